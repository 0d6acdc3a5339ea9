//! Has a model propose a change of what is broken, and applies it once somebody has approved it.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | what the actor is told |
//! | `kinds` | which objects can be mended |
//! | `question` | what a model is asked, and what it says |
//! | `guard` | what a fix may change |
//! | `manifest` | what differs between two manifests, and how alike they are |
//! | `record` | how far each is, in the database |
//! | `proposal` | from a finding to a `Mutation` that waits for approval |
//! | `approval`, `policy` | who has approved it, and whether the API server lets only those do so who may |
//! | `change` | applied, looked at again, taken back |
//! | [`mender`] | [`Mender`]: does the next step of whatever is due |
//! | `cluster` | the objects, and the Mutations that show how far it is |
//!
//! The actor only writes down what is wanted, in the commit that acknowledges the message, and sends the message on. All
//! else is done beside it, step by step: each is written down before and after, so that whoever comes next after a crash
//! finds where it stopped, and looks at the object to see whether it was done.
//!
//! The invariant: **nothing is applied but what somebody has approved who may, to the object that the person saw.**

mod approval;
mod change;
mod cluster;
mod guard;
mod kinds;
mod manifest;
pub mod mender;
mod policy;
mod proposal;
mod question;
mod record;
pub mod settings;

use std::{sync::Arc, time::Duration};

use asya_analysis::{Change, Lifecycle, message::Told};
use asya_envelope::Envelope;
use asya_handler::{End, Fate, Request};
use asya_sidecar::Means;
use asya_store::{Expect, Store, Write, due::Due};
use futures::future::BoxFuture;
use jiff::Timestamp;

pub use self::{cluster::Clusters, mender::Mender, record::REMEDIES, settings::Settings};
use self::{kinds::Mendable, record::Held};
use super::{key, read};
use crate::{
    actor::{Act, ActError},
    deadlines::as_entered,
};

/// Who changes objects, in their managed fields and in the audit log.
pub const FIELD_MANAGER: &str = "asya-remedy";
/// Pause before the cluster is looked for again.
const PAUSE: Duration = Duration::from_secs(5);

/// The actor `remedy`: every message goes on as it came.
pub struct Remedy {
    store: Arc<dyn Store>,
    settings: Settings,
}

impl Remedy {
    /// The actor's decisions; what it writes is to be committed by whoever calls it.
    pub fn new(store: Arc<dyn Store>, settings: &Settings) -> Self {
        Self { store, settings: settings.clone() }
    }

    async fn take(&self, envelope: &Envelope) -> Result<End, ActError> {
        let told: Told = read(envelope, "a transition of findings")?;
        let mut onward = envelope.clone();
        onward.route = envelope.route.advanced();
        let writes = self.wanted(told).await?;
        Ok(End::Platform { envelopes: vec![onward], writes, fate: Fate::GoesOn })
    }

    /// The writes that have it mended, if it can be.
    async fn wanted(&self, told: Told) -> Result<Vec<Write>, ActError> {
        let finding = told.transition.finding;
        let broken = matches!(told.transition.change, Change::Opened | Change::Changed)
            && finding.lifecycle != Lifecycle::Resolved;
        let (Some(explanation), Some(_), true) = (told.explanation, &self.settings.model, broken) else {
            return Ok(Vec::new());
        };
        let target = kinds::target(&finding).clone();
        let may = Mendable::of(&target.kind)
            .is_some_and(|kind| self.settings.kinds.iter().any(|it| it == kind.kind))
            && target
                .namespace
                .as_ref()
                .is_some_and(|namespace| self.settings.namespaces.contains(namespace));
        if !may {
            return Ok(Vec::new());
        }
        let key = key(&finding.cluster, &target);
        let known = Held::get(&*self.store, &key).await?;
        if known.as_ref().is_some_and(|known| !known.remedy.makes_way_for(&finding)) {
            return Ok(Vec::new());
        }
        let remedy = record::Remedy::wanted(finding, explanation.text, target);
        let write = match &known {
            Some(known) => known.replaced(&remedy)?,
            None => record::put(&key, &remedy, Expect::Absent)?,
        };
        Ok(vec![write, Due::enter(record::DUE, as_entered(Timestamp::now()).into(), &key)])
    }
}

impl Act for Remedy {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.take(&request.envelope).await })
    }
}

/// Mends for ever what is written down, in the clusters of the environment; not at all without a model. Cancel safe:
/// what was begun is found by whoever comes next.
pub async fn run(store: Arc<dyn Store>, settings: Settings, means: Means) {
    loop {
        match Clusters::infer(settings.namespace.clone()).await {
            Ok(clusters) => match Mender::new(store.clone(), settings.clone(), clusters, &means) {
                Some(mender) => mender.run().await,
                None => std::future::pending().await,
            },
            Err(error) => {
                tracing::warn!(error, "there is no cluster in which something could be mended, trying again");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}
