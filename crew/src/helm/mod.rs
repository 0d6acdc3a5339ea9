//! Looks at releases of Helm, and changes them with somebody's approval, by the real `helm`.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | what the actor is told |
//! | [`repository`] | [`Repository`](repository::Repository): where charts may come from |
//! | `arguments`, `values` | what a model asks for, read strictly |
//! | `program` | one run of `helm`: its arguments, its place, its end |
//! | `chart` | the archive of a chart, known by its digest |
//! | `release` | what helm knows of a release |
//! | `objects` | the objects of a manifest, and the rights that they take |
//! | `deed` | exactly what is done, and to which revision: what is approved |
//! | `shown` | what of it a person sees: our own diff, without secrets |
//! | `picture` | a deed, and what it changes now |
//! | `read` | what changes nothing, and is answered at once |
//! | `plan` | the first run: a picture, and a proposal |
//! | `carry`, `found` | the second run, with approval; what came of a run that was interrupted |
//!
//! The invariant: **what is installed is the archive that was approved with the values that were approved, upon the revision
//! that was looked at, at most once.** What a model writes becomes a name that was checked, or data in a file: never an
//! option, an address or a template.

mod arguments;
mod carry;
mod chart;
mod deed;
mod found;
mod objects;
mod picture;
mod plan;
mod program;
mod read;
mod release;
pub mod repository;
pub mod settings;
mod shown;
#[cfg(test)]
mod tests;
mod values;

use asya_envelope::Envelope;
use asya_handler::{End, Request};
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::Client;
use tokio::sync::OnceCell;

use self::program::Program;
pub use self::settings::Settings;
use crate::{
    InProcess,
    actor::{Act, ActError},
    approval::place::Place,
    asked::{Asked, Subjects},
    desk::Desk,
    kube::consent::{
        refused::Stop,
        way::{self, Plan, Run},
    },
};

/// Envelopes at the same time: each is a process of up to a hundred megabytes.
const RUNNING: usize = 2;
/// Who asks the API server, beside helm itself.
const AGENT: &str = "asya-helm";

/// The actor `helm`.
pub struct Helm {
    settings: Settings,
    program: Program,
    desk: Desk,
    subjects: Subjects,
    cluster: OnceCell<Client>,
}

impl Helm {
    /// The actor, in the cluster of the environment.
    ///
    /// # Errors
    /// A sentence, if the gateway's address cannot be used.
    pub fn handler(settings: Settings) -> Result<InProcess<Self>, String> {
        Ok(InProcess::new(Self::new(settings, None)?, RUNNING))
    }

    /// What the actor does with envelopes; without a client in the cluster of the environment. Helm itself finds the cluster
    /// by the settings.
    ///
    /// # Errors
    /// As [`Helm::handler`].
    pub fn new(settings: Settings, client: Option<Client>) -> Result<Self, String> {
        let desk = Desk::new(&settings.consent.gateway)?;
        let subjects = Subjects::new(&settings.consent.subjects)?;
        let program = Program::new(&settings);
        Ok(Self { settings, program, desk, subjects, cluster: OnceCell::new_with(client) })
    }

    /// Answers, plans or carries out what an envelope wants. Cancel safe: helm is ended with its whole process group, and what
    /// it had begun is found by whoever gets the envelope next.
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
        let cluster = self.cluster.get_or_try_init(|| crate::kube::client(AGENT)).await;
        let cluster =
            cluster.map_err(|reason| ActError::Cluster { doing: "connecting".to_owned(), reason })?;
        let answered = self.answer(envelope, &asked, &place, cluster, now).await;
        way::end(answered, &envelope.route, &self.settings.consent.approval, &place)
    }

    async fn answer(
        &self,
        envelope: &Envelope,
        asked: &Asked,
        place: &Place<'_>,
        cluster: &Client,
        now: Timestamp,
    ) -> Result<Plan, Stop> {
        match way::run(envelope, place)? {
            Run::First(payload) => self.plan(&payload, asked, place, cluster, now).await,
            Run::Second(proposal) => self.carry(&proposal, asked, cluster, now).await.map(Plan::Answer),
        }
    }
}

impl Act for Helm {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.take(&request.envelope, Timestamp::now()).await })
    }
}
