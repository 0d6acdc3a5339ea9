//! Has somebody decide whether an envelope goes on.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | what the actor is told |
//! | [`place`] | [`Place`]: where an operation is proposed, which gives it its id |
//!
//! The gateway keeps the operation and the envelope; this actor only hands both over and ends its delivery, so that
//! nothing waits in a queue or a process while a person thinks. The decision sends the envelope on: to the actor behind this
//! one if it was approved, else past it.
//!
//! A tool that knows exactly what it would do proposes that itself: the route is `[tool, approval, tool, …]`, the payload
//! `{"proposal": …}`. For any other tool the proposal is made here, and says that it is called with these arguments. Which
//! of the two it is says the route and not the payload: arguments are what a model makes up.
//!
//! The invariant: **what is shown to be approved is what the envelope carries that goes on.**

pub mod place;
pub mod settings;

use std::time::Duration;

use asya_envelope::{Envelope, headers};
use asya_handler::{Code, End, Failure, Fate, Fault, Request};
use asya_session::{Proposal, Review, desk::Propose, hash, operation::CALL};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::{Value, json};

use self::place::{Place, open_call};
pub use self::settings::Settings;
use crate::{
    InProcess,
    actor::{Act, ActError},
    asked::{Asked, Subjects, Unasked},
    deadlines::later,
    desk::{Desk, DeskError},
};

/// What the actor is called unless it is called otherwise.
pub const NAME: &str = "approval";
/// How long somebody may take to decide, unless settings say otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// Largest envelope that is kept, as JSON in bytes: what every transport takes with its error report around it.
const LARGEST: usize = 224 * 1024;
/// Envelopes at the same time: each is one or three short requests to the gateway.
const RUNNING: usize = 16;

/// The actor `approval`.
pub struct Approval {
    settings: Settings,
    desk: Desk,
    subjects: Subjects,
}

/// Why an envelope is not handed over.
enum Stop {
    /// It cannot be: final.
    Refused(Failure),
    /// Again, later.
    Later(ActError),
}

fn refuse<T>(code: Code, why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Refused(Failure::new(code, Fault::Final, why)))
}

impl From<DeskError> for Stop {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Away(reason) => Self::Later(ActError::Gateway(reason)),
            error => Self::Refused(Failure::new(Code::Rejected, Fault::Final, error.to_string())),
        }
    }
}

impl Approval {
    /// The actor.
    ///
    /// # Errors
    /// A sentence, if the gateway's address cannot be used.
    #[allow(clippy::new_ret_no_self, reason = "what is made is a handler like the others")]
    pub fn new(settings: Settings) -> Result<InProcess<Self>, String> {
        let desk = Desk::new(&settings.gateway)?;
        let subjects = Subjects::new(&settings.subjects)?;
        Ok(InProcess::new(Self { settings, desk, subjects }, RUNNING))
    }

    /// Has the gateway keep the operation and the envelope.
    async fn hand_over(&self, envelope: &Envelope, now: Timestamp) -> Result<(), Stop> {
        let asked = self.root(envelope).await?;
        let propose = self.propose(envelope, &asked, now).await?;
        let Proposal { id, call, summary, .. } = &propose.proposal;
        match self.desk.propose(&asked.token, &propose).await {
            Ok(_) => {
                tracing::info!(operation = id, summary, "waits for approval");
                Ok(())
            }
            // A message that came again may propose the same in other words, such as the time of a restart. What was
            // proposed first counts.
            Err(DeskError::Refused { status: 409, reason }) => {
                match self.desk.operation(&asked.token, id).await {
                    Ok(first)
                        if first.proposal.session == asked.claims.session && first.proposal.call == *call =>
                    {
                        Ok(())
                    }
                    Err(DeskError::Away(reason)) => Err(Stop::Later(ActError::Gateway(reason))),
                    _ => refuse(Code::Rejected, reason),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The proposal and the envelope that goes on.
    async fn propose(&self, envelope: &Envelope, asked: &Asked, now: Timestamp) -> Result<Propose, Stop> {
        let mut onward = envelope.clone();
        onward.route = envelope.route.advanced();
        onward.headers.remove(headers::RUNS);
        let (Some(place), Some(actor)) = (Place::of(asked, envelope), onward.route.current_actor()) else {
            return refuse(
                Code::Rejected,
                "nobody is behind this actor on the route: there is nothing to approve",
            );
        };
        if onward.route.advanced().current_actor().is_none() {
            let why =
                format!("nobody is behind {actor:?} on the route who could be told that it was rejected");
            return refuse(Code::Rejected, why);
        }
        let unreadable = |error: serde_json::Error| {
            Stop::Refused(Failure::new(Code::Validation, Fault::Final, error.to_string()))
        };
        let payload: Value = serde_json::from_slice(envelope.payload.as_bytes()).map_err(unreadable)?;
        let before = place.hop.checked_sub(1).and_then(|at| envelope.route.actors.get(at));
        let proposal = match before.filter(|before| *before == actor) {
            Some(_) => own(&payload, Place { hop: place.hop - 1, actor, ..place })?,
            None => {
                let call = open_call(&self.desk, asked).await?;
                self.call_of(place, actor, &payload, call, now)
            }
        };
        let text = onward.encode();
        if text.len() > LARGEST {
            let why = format!("the envelope has {} bytes, and one that waits may have {LARGEST}", text.len());
            return refuse(Code::Rejected, why);
        }
        let envelope = serde_json::from_slice(&text).map_err(unreadable)?;
        Ok(Propose { proposal, envelope })
    }

    /// The proposal to call `actor` with these arguments.
    fn call_of(
        &self,
        place: Place<'_>,
        actor: &str,
        arguments: &Value,
        call: String,
        now: Timestamp,
    ) -> Proposal {
        let operation = json!({"actor": actor, "arguments": arguments});
        Proposal {
            id: place.operation(&call),
            session: place.session.to_owned(),
            call,
            tool: actor.to_owned(),
            actor: actor.to_owned(),
            summary: format!("call {actor}"),
            verb: CALL.to_owned(),
            target: actor.to_owned(),
            hash: hash::of(&operation),
            operation,
            diff: String::new(),
            review: Review::default(),
            risk: self.settings.risk,
            expires: later(now, self.settings.timeout),
            four_eyes: self.settings.four_eyes,
        }
    }

    /// Who asked for an envelope that is no part of a fan-out.
    async fn root(&self, envelope: &Envelope) -> Result<Asked, Stop> {
        let asked = match self.subjects.of(envelope).await {
            Ok(asked) => asked,
            Err(Unasked::Away(reason)) => return Err(Stop::Later(ActError::Gateway(reason))),
            Err(error) => return refuse(Code::Rejected, error.to_string()),
        };
        if !asked.is_root(envelope) {
            return refuse(Code::Rejected, "this is a part of a fan-out: join the parts before an approval");
        }
        Ok(asked)
    }
}

/// The proposal of a tool that stands before and behind this actor: it must be its own, made at `place`.
fn own(payload: &Value, place: Place<'_>) -> Result<Proposal, Stop> {
    let actor = place.actor;
    let given = payload.get("proposal").cloned().unwrap_or_default();
    let proposal: Proposal = match serde_json::from_value(given) {
        Ok(proposal) => proposal,
        Err(error) => return refuse(Code::Validation, format!("payload.proposal of {actor}: {error}")),
    };
    let is = (proposal.session.as_str(), proposal.actor.as_str(), &proposal.id);
    if is != (place.session, actor, &place.operation(&proposal.call)) {
        return refuse(Code::Rejected, format!("the proposal of {actor} is not one for this envelope"));
    }
    if proposal.hash != hash::of(&proposal.operation) {
        return refuse(Code::Rejected, format!("the proposal of {actor} has not the hash of its operation"));
    }
    Ok(proposal)
}

impl Act for Approval {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move {
            match self.hand_over(&request.envelope, Timestamp::now()).await {
                Ok(()) => Ok(End::Platform { envelopes: Vec::new(), writes: Vec::new(), fate: Fate::GoesOn }),
                Err(Stop::Refused(failure)) => Ok(End::Failed(failure)),
                Err(Stop::Later(error)) => Err(error),
            }
        })
    }
}
