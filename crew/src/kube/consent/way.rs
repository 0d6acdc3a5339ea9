//! The way of a change: an envelope comes with a model's arguments, goes to the approval with a proposal, and comes again.

use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{Code, End, Failure, Fault, Item};
use asya_session::{Proposal, desk::APPROVED};
use serde::Deserialize;
use serde_json::{Value, json};

use super::refused::{Refused, Stop, refuse};
use crate::{
    actor::ActError,
    approval::place::{Place, open_call},
    asked::{Asked, Subjects, Unasked},
    desk::{Desk, DeskError},
};

/// What comes of a run.
#[derive(Debug)]
pub(crate) enum Plan {
    /// It is to be approved.
    Propose(Box<Proposal>),
    /// That is the answer: it was done, nothing would change, or only that was asked.
    Answer(Value),
}

/// Which of the two runs it is.
#[derive(Debug)]
pub(crate) enum Run {
    /// The arguments of a call.
    First(Value),
    /// What was approved of them.
    Second(Box<Proposal>),
}

/// The gateway's word that an envelope may go on, at one place of its route.
#[derive(Debug, Deserialize)]
struct Approved {
    operation: String,
    hop: usize,
}

/// Who asked for this envelope, which is no part of a fan-out; or how its run ends at once.
pub(crate) async fn asked(subjects: &Subjects, envelope: &Envelope) -> Result<Result<Asked, End>, ActError> {
    match subjects.of(envelope).await {
        Ok(asked) if asked.is_root(envelope) && envelope.route.current_actor().is_some() => Ok(Ok(asked)),
        Ok(_) => {
            let why = "this is a part of a fan-out: join the parts before a change";
            Ok(Err(rejected(why.to_owned())))
        }
        Err(Unasked::Away(reason)) => Err(ActError::Gateway(reason)),
        Err(error) => Ok(Err(rejected(error.to_string()))),
    }
}

/// Which run of an envelope this is, at this place.
pub(crate) fn run(envelope: &Envelope, place: &Place<'_>) -> Result<Run, Refused> {
    let Ok(payload) = serde_json::from_slice::<Value>(envelope.payload.as_bytes()) else {
        return refuse("the arguments are no JSON");
    };
    let approved = envelope.headers.get(APPROVED);
    let approved = approved.and_then(|header| serde_json::from_slice::<Approved>(header.as_bytes()).ok());
    let approved = approved.filter(|approved| approved.hop == place.hop);
    Ok(match approved.and_then(|Approved { operation, .. }| proposal_of(&payload, &operation)) {
        Some(proposal) => Run::Second(Box::new(proposal)),
        // Or it was approved that this actor is called, which says nothing of what it then does.
        None => Run::First(payload),
    })
}

/// The proposal that was approved, if the payload is one of this actor.
fn proposal_of(payload: &Value, operation: &str) -> Option<Proposal> {
    let proposal: Proposal = serde_json::from_value(payload.get("proposal")?.clone()).ok()?;
    (proposal.id == operation).then_some(proposal)
}

/// The call that a proposal is for.
pub(crate) async fn call(desk: &Desk, asked: &Asked) -> Result<String, Stop> {
    open_call(desk, asked).await.map_err(|error| match error {
        DeskError::Away(reason) => Stop::Later(ActError::Gateway(reason)),
        error => Stop::Refused(Refused(error.to_string())),
    })
}

/// How a run ends: with an answer, or by the approval and back.
pub(crate) fn end(
    answered: Result<Plan, Stop>,
    route: &Route,
    approval: &str,
    place: &Place<'_>,
) -> Result<End, ActError> {
    let item = match answered {
        Ok(Plan::Answer(answer)) => Item::payload(Raw::of(&answer)),
        Ok(Plan::Propose(proposal)) => {
            let payload = Raw::of(&json!({"proposal": proposal}));
            Item { payload, route: Some(asking(route, approval, place.actor)), headers: None }
        }
        Err(Stop::Refused(why) | Stop::Moved(why)) => Item::payload(Raw::of(&json!({"error": why.0}))),
        Err(Stop::Later(error)) => return Err(error),
    };
    Ok(End::Done(vec![item]))
}

/// The route by approval and back.
fn asking(route: &Route, approval: &str, own: &str) -> Route {
    let mut route = route.advanced();
    let at = route.current;
    route.actors.splice(at..at, [approval.to_owned(), own.to_owned()]);
    route
}

fn rejected(why: String) -> End {
    End::Failed(Failure::new(Code::Rejected, Fault::Final, why))
}
