//! An actor proposes, and hands over the envelope that goes on.

use asya_envelope::Envelope;
use asya_session::{Operation, Phase, Proposal, State, desk::Propose, hash};
use bytes::Bytes;
use jiff::Timestamp;

use super::{audited, get, told};
use crate::{
    StoreError,
    chat::{entries, sessions},
    envelopes::bounds,
    session::Session as Transaction,
};

/// Largest proposal as JSON, in bytes: a manifest and its diff.
const LARGEST: usize = 1024 * 1024;

/// What became of a proposal.
#[derive(Clone, Debug, PartialEq)]
pub enum Proposed {
    /// It waits for a decision.
    New(Operation),
    /// It was proposed before, and this is what became of it.
    Before(Operation),
    /// The id was taken by something else.
    Conflict(Operation),
    /// The envelope is not the session's, as the turn has ended, or a late copy: its call is answered.
    Over,
    /// There is no such session.
    Unknown,
}

/// Keeps an operation and the envelope that goes on after the decision.
pub(crate) async fn propose(
    tx: &mut impl Transaction,
    propose: &Propose,
    requester: &str,
    who: &str,
    now: Timestamp,
) -> Result<Proposed, StoreError> {
    let Propose { proposal, envelope } = propose;
    let (text, body) = check(proposal, envelope)?;
    let Some(mut stored) = sessions::hold(tx, &proposal.session).await? else {
        return Ok(Proposed::Unknown);
    };
    if let Some(there) = get(tx, &proposal.id).await? {
        let same = there.proposal.hash == proposal.hash && there.proposal.session == proposal.session;
        return Ok(if same { Proposed::Before(there) } else { Proposed::Conflict(there) });
    }
    let carried = stored.session.envelope.clone().filter(|id| *id == body.id);
    let Some(id) = carried else { return Ok(Proposed::Over) };
    // Something was said behind the actor that would carry it out: this is a late copy of a delivery, and its call is answered.
    let last = entries::get(tx, &proposal.session, stored.session.head).await?.and_then(|last| last.place);
    if last.is_some_and(|place| place.envelope == id && place.hop >= body.route.current as u64) {
        return Ok(Proposed::Over);
    }
    let operation = Operation {
        proposal: proposal.clone(),
        requester: requester.to_owned(),
        phase: Phase::Waiting,
        created: now,
        decision: None,
        claimed: None,
        outcome: None,
    };
    tx.execute(
        "INSERT INTO operations (id, session_id, envelope_id, phase, proposal, requester, expires_at, envelope, \
         created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        &[
            (&proposal.id).into(),
            (&proposal.session).into(),
            (&id).into(),
            operation.phase.as_str().into(),
            text.into(),
            requester.into(),
            proposal.expires.into(),
            (&body.encode()).into(),
            now.into(),
        ],
    )
    .await?;
    stored.session.state = State::InputRequired;
    sessions::save(tx, &stored, now).await?;
    let mut detail = told(&operation);
    detail["requester"] = requester.into();
    audited::write(tx, who, audited::PROPOSE, Some(&id), &detail, now).await?;
    Ok(Proposed::New(operation))
}

/// The proposal as it is stored, and the envelope: both as they must be for what follows.
fn check(proposal: &Proposal, envelope: &serde_json::Value) -> Result<(String, Envelope), StoreError> {
    let refused = |why: String| StoreError::Refused(format!("operation {:?}: {why}", proposal.id));
    bounds::check_id([&proposal.id])?;
    sessions::check_names([&proposal.tool, &proposal.actor])?;
    if proposal.hash != hash::of(&proposal.operation) {
        return Err(refused("its hash is not that of what would be done".to_owned()));
    }
    let text = serde_json::to_string(proposal).map_err(|error| refused(error.to_string()))?;
    if text.len() > LARGEST {
        return Err(refused(format!("it has at most {LARGEST} bytes, and this one has {}", text.len())));
    }
    let body = Envelope::parse(Bytes::from(envelope.to_string()))
        .map_err(|error| refused(format!("the envelope that goes on: {error}")))?;
    if body.route.current_actor() != Some(&proposal.actor) {
        return Err(refused(format!(
            "the envelope that goes on is at {:?}, not at {:?}, which carries it out",
            body.route.current_actor(),
            proposal.actor
        )));
    }
    if body.route.advanced().current_actor().is_none() {
        return Err(refused("nobody is behind its actor who could be told that it was rejected".to_owned()));
    }
    Ok((text, body))
}
