//! What came of an approved change, the same for model, person and audit log.

use asya_session::{
    Outcome, Proposal,
    desk::{Claim, Claimed},
};
use serde_json::{Value, json};

use super::refused::{Stop, refuse};
use crate::{
    actor::ActError,
    asked::Asked,
    desk::{Desk, DeskError},
};

/// Largest part of a diff in an outcome, in bytes.
const REMEMBERED: usize = 4 * 1024;

/// Claims what was approved.
pub(crate) async fn claim(desk: &Desk, asked: &Asked, proposal: &Proposal) -> Result<Claimed, Stop> {
    let claim = Claim { hash: proposal.hash.clone() };
    match desk.claim(&asked.token, &proposal.id, &claim).await {
        Err(DeskError::Away(reason)) => Err(Stop::Later(ActError::Gateway(reason))),
        Err(error) => refuse(format!("not approved: {error}")).map_err(Stop::Refused),
        Ok(claimed) => Ok(claimed),
    }
}

/// Tells what came of it; what the model is told.
pub(crate) async fn tell(
    desk: &Desk,
    asked: &Asked,
    proposal: &Proposal,
    outcome: Outcome,
) -> Result<Value, Stop> {
    let operation = desk.outcome(&asked.token, &proposal.id, &outcome).await;
    let operation = operation.map_err(|error| Stop::Later(ActError::from(error)))?;
    Ok(result(&operation.outcome.unwrap_or(outcome)))
}

/// Whether what was approved is what was proposed. Until when and by whom it is decided is the gateway's to say.
pub(crate) fn is_that(approved: &Proposal, proposal: &Proposal) -> bool {
    let Proposal { expires, four_eyes, .. } = *approved;
    *approved == Proposal { expires, four_eyes, ..proposal.clone() }
}

pub(crate) fn done(proposal: &Proposal) -> Outcome {
    let mut diff = proposal.diff.as_str();
    if diff.len() > REMEMBERED {
        let end = (0..=REMEMBERED).rev().find(|at| diff.is_char_boundary(*at)).unwrap_or_default();
        diff = &diff[..end];
    }
    Outcome { ok: true, text: format!("done: {}\n{diff}", proposal.summary) }
}

pub(crate) fn failed(proposal: &Proposal, why: &str) -> Outcome {
    Outcome { ok: false, text: format!("not done: {}: {why}", proposal.summary) }
}

/// What the model is told, the same each time.
pub(crate) fn result(outcome: &Outcome) -> Value {
    if outcome.ok {
        json!({"done": true, "summary": outcome.text})
    } else {
        json!({"done": false, "error": outcome.text})
    }
}
