//! An actor carries an operation out, once, and says what came of it.

use asya_session::{Operation, Outcome, Phase, desk::Claimed, operation::CALL};
use jiff::Timestamp;

use super::{Stored, audited, hold, save, told};
use crate::{StoreError, envelopes::bounds, session::Session as Transaction};

/// What became of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Claiming {
    /// It may be carried out now, or was claimed before.
    Granted(Claimed),
    /// What would be done is not what was approved.
    Changed(Operation),
    /// Nobody has approved it.
    Refused(Operation),
    /// There is no such operation in this session.
    Unknown,
}

/// What became of an outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Recorded {
    /// It is written down.
    Now(Operation),
    /// One was written down before, and stays.
    Before(Operation),
    /// Nobody has claimed it.
    Refused(Operation),
    /// There is no such operation in this session.
    Unknown,
}

/// Claims an operation of `session` to do what has this hash.
pub(crate) async fn claim(
    tx: &mut impl Transaction,
    id: &str,
    hash: &str,
    session: &str,
    who: &str,
    now: Timestamp,
) -> Result<Claiming, StoreError> {
    let Some(Stored { mut operation, envelope, .. }) = hold_of(tx, id, session).await? else {
        return Ok(Claiming::Unknown);
    };
    if operation.proposal.hash != hash {
        return Ok(Claiming::Changed(operation));
    }
    match operation.phase {
        Phase::Waiting | Phase::Rejected | Phase::Expired => Ok(Claiming::Refused(operation)),
        Phase::Claimed | Phase::Done => Ok(Claiming::Granted(Claimed { again: true, operation })),
        Phase::Approved => {
            operation.phase = Phase::Claimed;
            operation.claimed = Some(now);
            save(tx, &operation).await?;
            audited::write(tx, who, audited::CLAIM, Some(&envelope), &told(&operation), now).await?;
            Ok(Claiming::Granted(Claimed { again: false, operation }))
        }
    }
}

/// Writes down what came of an operation of `session`.
pub(crate) async fn outcome(
    tx: &mut impl Transaction,
    id: &str,
    outcome: &Outcome,
    session: &str,
    who: &str,
    now: Timestamp,
) -> Result<Recorded, StoreError> {
    let Some(Stored { mut operation, envelope, .. }) = hold_of(tx, id, session).await? else {
        return Ok(Recorded::Unknown);
    };
    match operation.phase {
        Phase::Done => return Ok(Recorded::Before(operation)),
        Phase::Claimed => {}
        // What an ordinary actor did tells whoever has called it; not every one of them claims.
        Phase::Approved if operation.proposal.verb == CALL => {}
        _ => return Ok(Recorded::Refused(operation)),
    }
    operation.phase = Phase::Done;
    operation.outcome = Some(Outcome { ok: outcome.ok, text: bounds::text(&outcome.text).to_owned() });
    save(tx, &operation).await?;
    let mut detail = told(&operation);
    detail["ok"] = outcome.ok.into();
    audited::write(tx, who, audited::OUTCOME, Some(&envelope), &detail, now).await?;
    Ok(Recorded::Now(operation))
}

async fn hold_of(tx: &mut impl Transaction, id: &str, session: &str) -> Result<Option<Stored>, StoreError> {
    let held = hold(tx, id).await?;
    Ok(held.filter(|stored| stored.operation.proposal.session == session))
}
