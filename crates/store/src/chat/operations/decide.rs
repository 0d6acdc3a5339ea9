//! Somebody decides, or nobody does in time, and the envelope goes on.

use std::sync::Arc;

use asya_envelope::{Envelope, Raw};
use asya_session::{Decision, Operation, Phase, State, Verdict, desk};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;

use super::{Stored, audited, expired, hold, save, told};
use crate::{
    StoreError,
    chat::sessions,
    envelopes::{Publish, bounds, outbox, tracked},
    session::{Session as Transaction, broken},
};

/// What nobody said in time.
const IN_TIME: &str = "nobody decided in time";

/// Makes an envelope that waited for this operation good again: what was signed for a day may have waited longer. Answers
/// whether it still says who asked. It is called inside the transaction, perhaps more than once: it must
/// not wait.
pub type Renew = Arc<dyn Fn(&Operation, &mut Envelope) -> bool + Send + Sync>;

/// What somebody decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Yes or no.
    pub verdict: Verdict,
    /// Who: the name of a principal.
    pub by: String,
    /// The hash of what they have seen.
    pub hash: String,
    /// Why, if they say so.
    pub comment: String,
}

/// What became of a decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Decided {
    /// It counts, and the envelope is on its way.
    Now(Operation),
    /// It was decided before, as this says.
    Before(Operation),
    /// What they have seen is not this.
    Changed(Operation),
    /// It came too late: the operation has expired.
    Late(Operation),
    /// Somebody else than who asked must approve it.
    Own(Operation),
    /// Nobody says any more who asked: it waits on, until that is renewed.
    Nameless(Operation),
    /// There is no such operation.
    Unknown,
}

/// What became of saying anew who asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Renewed {
    /// The envelope says so from now on.
    Now(Operation),
    /// It was decided before, as this says.
    Before(Operation),
    /// Somebody else has asked.
    Other(Operation),
    /// There is no such operation.
    Unknown,
}

/// Decides an operation that waits.
pub(crate) async fn decide(
    tx: &mut impl Transaction,
    id: &str,
    ruling: &Ruling,
    renew: &Renew,
    now: Timestamp,
) -> Result<Decided, StoreError> {
    sessions::check_names([&ruling.by])?;
    let Some(mut stored) = hold_all(tx, id).await? else { return Ok(Decided::Unknown) };
    let operation = &mut stored.operation;
    if operation.phase != Phase::Waiting {
        return Ok(Decided::Before(stored.operation));
    }
    if operation.proposal.hash != ruling.hash {
        return Ok(Decided::Changed(stored.operation));
    }
    let mut onward = onward(stored.kept.take())?;
    let named = renew(operation, &mut onward);
    if now >= operation.proposal.expires {
        expired(operation, IN_TIME, now);
        let operation = go_on(tx, stored, onward, now).await?;
        return Ok(Decided::Late(operation));
    }
    let approves = ruling.verdict == Verdict::Approve;
    if approves && operation.proposal.four_eyes && operation.requester == ruling.by {
        return Ok(Decided::Own(stored.operation));
    }
    if approves && !named {
        return Ok(Decided::Nameless(stored.operation));
    }
    operation.phase = if approves { Phase::Approved } else { Phase::Rejected };
    operation.decision = Some(Decision {
        verdict: ruling.verdict,
        by: ruling.by.clone(),
        at: now,
        comment: bounds::text(&ruling.comment).to_owned(),
    });
    go_on(tx, stored, onward, now).await.map(Decided::Now)
}

/// Has the envelope that waits for an operation say anew that `who` asked, who says so now.
pub(crate) async fn renew(
    tx: &mut impl Transaction,
    id: &str,
    who: &str,
    renew: &Renew,
    now: Timestamp,
) -> Result<Renewed, StoreError> {
    let Some(mut stored) = hold_all(tx, id).await? else { return Ok(Renewed::Unknown) };
    let operation = &stored.operation;
    if operation.phase != Phase::Waiting {
        return Ok(Renewed::Before(stored.operation));
    }
    let mut onward = onward(stored.kept.take())?;
    if operation.requester != who || !renew(operation, &mut onward) {
        return Ok(Renewed::Other(stored.operation));
    }
    let sql = "UPDATE operations SET envelope = ?2 WHERE id = ?1";
    tx.execute(sql, &[id.into(), (&onward.encode()).into()]).await?;
    audited::write(tx, who, audited::RENEW, Some(&stored.envelope), &told(operation), now).await?;
    Ok(Renewed::Now(stored.operation))
}

/// Operations that wait and whose time is over, the oldest first; at most `limit`.
pub(crate) async fn due(
    tx: &mut impl Transaction,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let sql =
        "SELECT id FROM operations WHERE phase = 'waiting' AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2";
    tx.rows(sql, &[now.into(), limit.into()]).await?.iter().map(|row| row.text(0)).collect()
}

/// Rejects an operation whose time is over; `None` if it is not, or was decided meanwhile.
pub(crate) async fn expire(
    tx: &mut impl Transaction,
    id: &str,
    renew: &Renew,
    now: Timestamp,
) -> Result<Option<Operation>, StoreError> {
    let Some(mut stored) = hold_all(tx, id).await? else { return Ok(None) };
    let operation = &mut stored.operation;
    if operation.phase != Phase::Waiting || now < operation.proposal.expires {
        return Ok(None);
    }
    let mut onward = onward(stored.kept.take())?;
    renew(operation, &mut onward);
    expired(operation, IN_TIME, now);
    go_on(tx, stored, onward, now).await.map(Some)
}

/// Holds an operation, after its envelope and its session: in the order in which the end of an envelope takes them.
async fn hold_all(tx: &mut impl Transaction, id: &str) -> Result<Option<Stored>, StoreError> {
    let sql = "SELECT envelope_id, session_id FROM operations WHERE id = ?1";
    let rows = tx.rows(sql, &[id.into()]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    tracked::hold(tx, &row.text(0)?).await?;
    sessions::hold(tx, &row.text(1)?).await?;
    hold(tx, id).await
}

/// The envelope that waits.
fn onward(kept: Option<Bytes>) -> Result<Envelope, StoreError> {
    let kept = kept.ok_or_else(|| broken(0, "holds no envelope that goes on"))?;
    Envelope::parse(kept).map_err(|error| broken(0, &error.to_string()))
}

/// Writes a decision down and sends the envelope on: approved, to the actor that carries it out; else past it, with the
/// reason. The session runs again, unless another operation waits. The caller holds all three.
async fn go_on(
    tx: &mut impl Transaction,
    stored: Stored,
    mut body: Envelope,
    now: Timestamp,
) -> Result<Operation, StoreError> {
    let Stored { operation, envelope, .. } = stored;
    let decision = operation.decision.as_ref().ok_or_else(|| broken(0, "holds no decision"))?;
    if operation.phase == Phase::Approved {
        let approved = json!({"operation": operation.proposal.id, "hop": body.route.current});
        body.headers.set(desk::APPROVED, Raw::of(&approved));
    } else {
        body.route = body.route.advanced();
        body.payload = Raw::of(&json!({"rejected": {"by": decision.by, "reason": decision.comment}}));
    }
    let actor = body.route.current_actor().ok_or_else(|| broken(0, "goes on to nobody"))?.to_owned();
    let publish = Publish { actor, body: body.encode() };
    outbox::enter(tx, &envelope, &publish, now).await?;
    save(tx, &operation).await?;
    let action = match operation.phase {
        Phase::Approved => audited::APPROVE,
        Phase::Expired => audited::EXPIRE,
        _ => audited::REJECT,
    };
    let who = if decision.by.is_empty() { audited::NOBODY } else { &decision.by };
    let mut detail = told(&operation);
    detail["reason"] = decision.comment.as_str().into();
    detail["requester"] = operation.requester.as_str().into();
    audited::write(tx, who, action, Some(&envelope), &detail, now).await?;
    let session = &operation.proposal.session;
    let sql = "SELECT 1 FROM operations WHERE session_id = ?1 AND phase = 'waiting' LIMIT 1";
    if tx.rows(sql, &[session.into()]).await?.is_empty()
        && let Some(mut stored) = sessions::hold_with(tx, session, &envelope).await?
    {
        stored.session.state = State::Running;
        sessions::save(tx, &stored, now).await?;
    }
    Ok(operation)
}
