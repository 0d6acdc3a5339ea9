//! Changes objects of a cluster, each time with somebody's approval.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | what the actor is told |
//! | `arguments`, `manifest`, `names` | what a model asks for, read strictly |
//! | `change` | what that changes, before anybody has looked |
//! | `deed` | exactly what is done, and to which state of the object: what is approved |
//! | `risk`, `shown` | what of it a person sees: how bad it can get, and a diff without secrets |
//! | `cluster` | the API server |
//! | [`consent`](super::consent) | what all such tools share |
//! | `plan` | the first run: everything is looked at, nothing is changed, and it is proposed |
//! | `carry` | the second run, with approval: the change is carried out |
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
mod risk;
pub mod settings;
mod shown;
#[cfg(test)]
mod tests;

use asya_envelope::Envelope;
use asya_handler::{End, Request};
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::OnceCell;

use self::cluster::Cluster;
pub use self::{cluster::FIELD_MANAGER, settings::Settings};
use super::consent::{
    refused::Stop,
    way::{self, Plan, Run},
};
use crate::{
    InProcess,
    actor::{Act, ActError},
    approval::place::Place,
    asked::{Asked, Subjects},
    desk::Desk,
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
        let desk = Desk::new(&settings.consent.gateway)?;
        let subjects = Subjects::new(&settings.consent.subjects)?;
        Ok(Self { settings, desk, subjects, cluster: OnceCell::new_with(client) })
    }

    /// Plans or carries out what an envelope wants. Cancel safe: what was begun is found by whoever gets it next.
    ///
    /// # Errors
    /// Somebody is away: again, later.
    pub async fn take(&self, envelope: &Envelope, now: Timestamp) -> Result<End, ActError> {
        let asked = match way::asked(&self.subjects, envelope).await? {
            Ok(asked) => asked,
            Err(end) => return Ok(end),
        };
        let Some(place) = Place::of(&asked, envelope) else {
            return Err(ActError::Unfit("the route is finished".to_owned()));
        };
        let cluster = self.cluster.get_or_try_init(|| crate::kube::client(FIELD_MANAGER)).await;
        let cluster =
            cluster.map_err(|reason| ActError::Cluster { doing: "connecting".to_owned(), reason })?;
        let answered = self.answer(envelope, &asked, &place, &Cluster(cluster.clone()), now).await;
        way::end(answered, &envelope.route, &self.settings.consent.approval, &place)
    }

    async fn answer(
        &self,
        envelope: &Envelope,
        asked: &Asked,
        place: &Place<'_>,
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<Plan, Stop> {
        match way::run(envelope, place)? {
            Run::First(payload) => self.plan(&payload, asked, place, cluster, now).await,
            Run::Second(proposal) => self.carry(&proposal, asked, cluster, now).await.map(Plan::Answer),
        }
    }
}

impl Act for Write {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.take(&request.envelope, Timestamp::now()).await })
    }
}
