//! Asks custom analyzers: programs of anybody that are called over gRPC, as K8sGPT calls them, and say what is wrong.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | [`Settings`]: which analyzers, where they are, how often and how long they are asked |
//! | [`call`] | one call, bounded in time and size |
//! | [`said`] | its answer as an evaluation |
//! | [`proto`] | the protocol, generated |
//!
//! A source with a clock of its own, like `k8s-watch`: nobody tells when the answer of an analyzer changes. Each has its
//! own loop, so that a slow one holds up none of the others. An answer goes on as an observation of the analyzer itself: it
//! has one answer at a time, so there is one finding, which its next answer changes or closes. One that cannot be asked is
//! in doubt, which keeps its finding; at the start it is told which analyzers there are, which closes those of others.

pub mod call;
pub mod said;
pub mod settings;

use std::{sync::Arc, time::Duration};

use asya_analysis::{Evaluation, Live, Observation, Sequence, Unverified, custom, message::Observed};
use asya_envelope::{Envelope, Naming, Raw, Route};
use asya_handler::{End, Fate, Request};
use asya_sidecar::Means;
use asya_transport::Outgoing;
use futures::future::{BoxFuture, join_all};
use jiff::Timestamp;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

pub use settings::{Analyzer, Settings};

use crate::{
    InProcess,
    actor::{Act, ActError},
    deadlines::checked_in,
};

/// The protocol, generated from `proto/`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub mod proto {
    tonic::include_proto!("schema.v1");
}

/// Pause before the broker is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// The actor `custom`: a message to it makes it ask every analyzer now.
pub struct Custom(Arc<watch::Sender<()>>);

impl Custom {
    /// The actor, and what it wakes.
    pub fn handler() -> (InProcess<Self>, watch::Receiver<()>) {
        let (wake, woken) = watch::channel(());
        (InProcess::new(Self(Arc::new(wake)), 1), woken)
    }
}

impl Act for Custom {
    fn act(&self, _request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        self.0.send_replace(());
        Box::pin(async {
            Ok(End::Platform { envelopes: Vec::new(), writes: Vec::new(), fate: Fate::GoesOn })
        })
    }
}

/// Asks the analyzers, for ever. Cancel safe: what was answered and not sent is asked again at the next start.
pub async fn run(settings: Settings, naming: Naming, means: Means, woken: watch::Receiver<()>) {
    let teller = Teller { settings: &settings, naming: &naming, means: &means };
    teller.names().await;
    join_all(settings.analyzers.iter().map(|analyzer| teller.ask(analyzer, woken.clone()))).await;
}

struct Teller<'a> {
    settings: &'a Settings,
    naming: &'a Naming,
    means: &'a Means,
}

impl Teller<'_> {
    /// Says which analyzers there are: the findings of all others are closed.
    async fn names(&self) {
        let names = self.settings.analyzers.iter().map(|analyzer| analyzer.name.clone());
        let page = Live::page(custom::KIND, None, names);
        self.send("names", Sequence { at: now(), number: 0 }, Observation::Live(page)).await;
    }

    /// Asks one analyzer again and again.
    async fn ask(&self, analyzer: &Analyzer, mut woken: watch::Receiver<()>) {
        let Settings { interval, timeout: patience, .. } = self.settings;
        let mut last = Sequence { at: 0, number: 0 };
        loop {
            woken.mark_unchanged();
            // By the time of the question: of two replicas that ask, as in a rollout, the one that asked later is right.
            last = Sequence { at: now().max(last.at), number: last.number + 1 };
            let evaluation = match call::call(analyzer, *patience).await {
                Ok(said) => said::evaluation(&analyzer.name, said),
                Err(error) => {
                    tracing::warn!(analyzer = analyzer.name, %error, "not answered; its finding stays as it is");
                    let why = Unverified::Failed(error.to_string());
                    Evaluation::doubtful(custom::analyzer(&analyzer.name), why)
                }
            };
            self.send(&analyzer.name, last, Observation::Evaluated(evaluation)).await;
            // Nobody sends any more: only the clock wakes.
            let _ = timeout(*interval, async {
                if woken.changed().await.is_err() {
                    futures::future::pending::<()>().await;
                }
            })
            .await;
        }
    }

    /// Sends an observation, as often as it takes.
    async fn send(&self, about: &str, sequence: Sequence, observation: Observation) {
        let Settings { cluster, route, .. } = self.settings;
        let id = format!("{cluster}-custom-{about}-{}-{}", sequence.at, sequence.number);
        let observed = Observed { cluster: cluster.clone(), sequence, observation };
        let envelope = Envelope::new(id, Route::new(route.clone()), Raw::of(&observed));
        while let Err(error) = self.publish(&envelope).await {
            tracing::warn!(id = envelope.id, error, "not sent, trying again");
            sleep(PAUSE).await;
        }
    }

    async fn publish(&self, envelope: &Envelope) -> Result<(), String> {
        let Some(queue) = envelope.route.current_actor().map(|first| self.naming.queue(first)) else {
            return Ok(());
        };
        let envelope = checked_in(self.means.payloads.as_ref(), envelope.clone()).await;
        let body = envelope.map_err(|error| error.to_string())?.encode();
        let sent = self.means.transport.publish(Outgoing { queue, body }, None).await;
        sent.map_err(|error| error.to_string())
    }
}

/// Milliseconds of the Unix epoch.
fn now() -> u64 {
    u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default()
}
