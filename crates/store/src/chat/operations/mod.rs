//! Changes that are proposed, decided and carried out once.
//!
//! | module | holds |
//! |---|---|
//! | [`propose`] | [`Proposed`]: an actor proposes, and hands over the envelope that goes on |
//! | [`decide`] | [`Ruling`], [`Decided`], [`Renewed`]: somebody decides, or nobody does in time, and the envelope goes on |
//! | [`claim`] | [`Claiming`], [`Recorded`]: an actor carries it out, once, and says what came of it |
//! | [`list`] | [`OperationFilter`], [`OperationPage`] |
//!
//! Phases go as [`Phase`] says, each step by one who holds the row.

pub mod claim;
pub mod decide;
pub mod list;
pub mod propose;

use asya_session::{Decision, Operation, Phase, Verdict, operation::CALL};
use bytes::Bytes;
use jiff::Timestamp;

pub use claim::{Claiming, Recorded};
pub use decide::{Decided, Renew, Renewed, Ruling};
pub use list::{OperationFilter, OperationPage};
pub use propose::Proposed;

use super::audited;
use crate::{
    StoreError,
    envelopes::bounds,
    session::{Row, Session as Transaction, broken},
};

/// An operation as it is stored.
struct Stored {
    operation: Operation,
    /// The envelope that carries the turn.
    envelope: String,
    /// The message that goes on, until somebody has decided.
    kept: Option<Bytes>,
}

const COLUMNS: &str = "proposal, requester, phase, created_at, decision, claimed_at, outcome";
/// Number of columns in [`COLUMNS`].
const COLUMNS_COUNT: usize = 7;

fn read(row: &Row) -> Result<Operation, StoreError> {
    let phase = row.text(2)?;
    Ok(Operation {
        proposal: row.decoded(0)?.ok_or_else(|| broken(0, "is empty"))?,
        requester: row.text(1)?,
        phase: Phase::named(&phase).ok_or_else(|| broken(2, &format!("holds {phase:?}")))?,
        created: row.time(3)?,
        decision: row.decoded(4)?,
        claimed: row.optional_time(5)?,
        outcome: row.decoded(6)?,
    })
}

/// Reads one.
pub(crate) async fn get(tx: &mut impl Transaction, id: &str) -> Result<Option<Operation>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM operations WHERE id = ?1");
    tx.rows(&sql, &[id.into()]).await?.first().map(read).transpose()
}

/// Reads one, and holds it until the end of the transaction.
async fn hold(tx: &mut impl Transaction, id: &str) -> Result<Option<Stored>, StoreError> {
    let lock = tx.dialect().for_update();
    let sql = format!("SELECT {COLUMNS}, envelope_id, envelope FROM operations WHERE id = ?1{lock}");
    let rows = tx.rows(&sql, &[id.into()]).await?;
    rows.first()
        .map(|row| {
            Ok(Stored {
                operation: read(row)?,
                envelope: row.text(COLUMNS_COUNT)?,
                kept: row.optional_bytes(COLUMNS_COUNT + 1)?,
            })
        })
        .transpose()
}

/// Writes how far it is. The caller holds it. The envelope that goes on is not kept any more.
async fn save(tx: &mut impl Transaction, operation: &Operation) -> Result<(), StoreError> {
    let json = |value: Result<String, serde_json::Error>| {
        value.map_err(|error| StoreError::Refused(error.to_string()))
    };
    let decision = operation.decision.as_ref().map(|it| json(serde_json::to_string(it))).transpose()?;
    let outcome = operation.outcome.as_ref().map(|it| json(serde_json::to_string(it))).transpose()?;
    tx.execute(
        "UPDATE operations SET phase = ?2, decision = ?3, claimed_at = ?4, outcome = ?5, envelope = NULL WHERE id = ?1",
        &[
            (&operation.proposal.id).into(),
            operation.phase.as_str().into(),
            decision.into(),
            operation.claimed.into(),
            outcome.into(),
        ],
    )
    .await?;
    tx.changed(&operation.proposal.session);
    Ok(())
}

/// What the audit log says of an operation.
fn told(operation: &Operation) -> serde_json::Value {
    let proposal = &operation.proposal;
    serde_json::json!({
        "session": proposal.session,
        "operation": proposal.id,
        "summary": bounds::name(&proposal.summary),
        "verb": bounds::name(&proposal.verb),
        "target": bounds::name(&proposal.target),
        "risk": proposal.risk,
        "hash": proposal.hash,
    })
}

/// The turn of an envelope has ended: nothing of it is decided or begun any more.
pub(super) async fn abandon(
    tx: &mut impl Transaction,
    envelope: &str,
    session: &str,
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM operations WHERE session_id = ?1 AND envelope_id = ?2 \
         AND phase IN ('waiting', 'approved', 'claimed') ORDER BY id{}",
        tx.dialect().for_update()
    );
    for row in tx.rows(&sql, &[session.into(), envelope.into()]).await? {
        let mut operation = read(&row)?;
        // An ordinary actor says nothing of what it did; one that claims for itself does, also after the end.
        let text = match (operation.phase, operation.proposal.verb == CALL) {
            (Phase::Claimed, false) => continue,
            (Phase::Waiting, _) => None,
            (Phase::Claimed, true) => {
                Some(format!("It was begun. Whether it was carried out before {why} is not known here."))
            }
            (_, true) => {
                Some(format!("It was approved. Whether it was carried out before {why} is not known here."))
            }
            (_, false) => Some(format!("It was not carried out: {why} first.")),
        };
        match text {
            None => expired(&mut operation, why, now),
            Some(text) => {
                operation.phase = Phase::Done;
                operation.outcome = Some(asya_session::Outcome { ok: false, text });
            }
        }
        save(tx, &operation).await?;
        let mut detail = told(&operation);
        detail["reason"] = why.into();
        audited::write(tx, audited::NOBODY, audited::EXPIRE, Some(envelope), &detail, now).await?;
    }
    Ok(())
}

/// Nobody decided, and nobody can any more.
fn expired(operation: &mut Operation, why: &str, now: Timestamp) {
    operation.phase = Phase::Expired;
    operation.decision =
        Some(Decision { verdict: Verdict::Reject, by: String::new(), at: now, comment: why.to_owned() });
}
