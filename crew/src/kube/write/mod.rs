//! Changes objects of a cluster, each time with somebody's approval.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | what the actor is told |
//! | [`rules`] | [`Rules`]: what may be changed at all |
//! | `arguments`, `manifest`, `names` | what a model asks for, read strictly |
//! | `change` | what that changes, before anybody has looked |
//! | `deed` | exactly what is done, and to which state of the object: what is approved |
//! | `risk`, `powers`, `shown` | what of it a person sees: how bad it can get, and a diff without secrets |
//! | `cluster` | the API server |
//! | `plan` | the first run: everything is looked at, nothing is changed, and it is proposed |
//! | `carry` | the second run, with approval: the change is carried out |
//! | `refused` | what is not done, in a sentence |
//!
//! An envelope comes here twice. The first time its payload is a model's arguments; it goes on with a proposal as its
//! payload by the route `[…, k8s-write, approval, k8s-write, …]`. The second time it carries the header by which the gateway
//! lets it go on, and the operation is claimed there. What could be done only by asking twice is not done.
//!
//! The invariant: **what is done is what was shown, to the object as it was shown, at most once.** The second run makes
//! what was shown anew, from the operation and the object, and stops if anything differs; the change names uid and version
//! of the object, so that the API server itself refuses the second one.

mod arguments;
mod carry;
mod change;
mod cluster;
mod deed;
mod manifest;
mod names;
mod plan;
mod powers;
mod refused;
mod risk;
pub mod rules;
pub mod settings;
mod shown;
#[cfg(test)]
mod tests;

use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{Code, End, Failure, Fault, Item, Request};
use asya_session::{Proposal, desk::APPROVED};
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

pub use self::{cluster::FIELD_MANAGER, rules::Rules, settings::Settings};
use self::{
    cluster::{Cluster, Stop},
    plan::Plan,
    refused::refuse,
};
use crate::{
    InProcess,
    actor::{Act, ActError},
    approval::place::{Place, open_call},
    asked::{Asked, Subjects, Unasked},
    desk::{Desk, DeskError},
};

/// Envelopes at the same time: each is a handful of requests.
const RUNNING: usize = 8;

/// The actor `k8s-write`.
pub struct Write {
    settings: Settings,
    desk: Desk,
    subjects: Subjects,
    cluster: OnceCell<Client>,
}

/// The gateway's word that an envelope may go on, at one place of its route.
#[derive(Debug, Deserialize)]
struct Approved {
    operation: String,
    hop: usize,
}

impl Write {
    /// The actor, in the cluster of the environment.
    ///
    /// # Errors
    /// A sentence, if the gateway's address cannot be used.
    pub fn handler(settings: Settings) -> Result<InProcess<Self>, String> {
        Ok(InProcess::new(Self::new(settings, None)?, RUNNING))
    }

    /// What the actor does with envelopes; without a client in the cluster of the environment.
    ///
    /// # Errors
    /// As [`Write::handler`].
    pub fn new(settings: Settings, client: Option<Client>) -> Result<Self, String> {
        let desk = Desk::new(&settings.gateway)?;
        let subjects = Subjects::new(&settings.subjects)?;
        Ok(Self { settings, desk, subjects, cluster: OnceCell::new_with(client) })
    }

    /// Plans or carries out what an envelope wants. Cancel safe: what was begun is found by whoever gets it next.
    ///
    /// # Errors
    /// Somebody is away: again, later.
    pub async fn take(&self, envelope: &Envelope, now: Timestamp) -> Result<End, ActError> {
        let asked = match self.subjects.of(envelope).await {
            Ok(asked) => asked,
            Err(Unasked::Away(reason)) => return Err(ActError::Gateway(reason)),
            Err(error) => return Ok(rejected(error.to_string())),
        };
        let place = Place::of(&asked, envelope).filter(|_| asked.is_root(envelope));
        let Some(place) = place else {
            return Ok(rejected("this is a part of a fan-out: join the parts before a change".to_owned()));
        };
        let cluster = self.cluster.get_or_try_init(|| crate::kube::client(FIELD_MANAGER)).await;
        let cluster =
            cluster.map_err(|reason| ActError::Cluster { doing: "connecting".to_owned(), reason })?;
        let answered = self.answer(envelope, &asked, &place, &Cluster(cluster.clone()), now).await;
        let item = match answered {
            Ok(Plan::Answer(answer)) => Item::payload(Raw::of(&answer)),
            Ok(Plan::Propose(proposal)) => {
                let payload = Raw::of(&json!({"proposal": proposal}));
                let route = Some(asking(&envelope.route, &self.settings.approval, place.actor));
                Item { payload, route, headers: None }
            }
            Err(Stop::Refused(why) | Stop::Moved(why)) => Item::payload(Raw::of(&json!({"error": why.0}))),
            Err(Stop::Later(error)) => return Err(error),
        };
        Ok(End::Done(vec![item]))
    }

    async fn answer(
        &self,
        envelope: &Envelope,
        asked: &Asked,
        place: &Place<'_>,
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<Plan, Stop> {
        let Ok(payload) = serde_json::from_slice::<Value>(envelope.payload.as_bytes()) else {
            return refuse("the arguments are no JSON").map_err(Stop::Refused);
        };
        let approved = envelope.headers.get(APPROVED);
        let approved = approved.and_then(|header| serde_json::from_slice::<Approved>(header.as_bytes()).ok());
        match approved.filter(|approved| approved.hop == place.hop) {
            None => self.plan(&payload, asked, place, cluster, now).await,
            Some(Approved { operation, .. }) => match proposal_of(&payload, &operation) {
                Some(proposal) => self.carry(&proposal, asked, cluster, now).await.map(Plan::Answer),
                // It was approved that this actor is called, which says nothing of what it then does.
                None => self.plan(&payload, asked, place, cluster, now).await,
            },
        }
    }

    async fn call(&self, asked: &Asked) -> Result<String, Stop> {
        open_call(&self.desk, asked).await.map_err(|error| match error {
            DeskError::Away(reason) => Stop::Later(ActError::Gateway(reason)),
            error => Stop::Refused(refused::Refused(error.to_string())),
        })
    }
}

/// The proposal that was approved, if the payload is one of this actor.
fn proposal_of(payload: &Value, operation: &str) -> Option<Proposal> {
    let proposal: Proposal = serde_json::from_value(payload.get("proposal")?.clone()).ok()?;
    (proposal.id == operation).then_some(proposal)
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

impl Act for Write {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.take(&request.envelope, Timestamp::now()).await })
    }
}
