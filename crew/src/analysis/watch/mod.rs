//! Watches a cluster and sends each object that has to be looked at, with what its analyzers read.
//!
//! A source: what it sends comes from the cluster and not from its queue. A message to its queue makes it send everything
//! again. Of several in pods one watches, the one that holds the Lease; its sequence goes on where that of the one before
//! has ended, and on the Lease stands how far it has come.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | [`Settings`]: `ASYA_WATCH_…` |
//! | `notes` | what is written on the Lease |
//! | `send` | how what was seen becomes a message |

mod notes;
mod send;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use asya_analysis::{Selection, Sequence};
use asya_cluster::lease::{Candidate, Notes};
use asya_cluster::{Api, Catalogue, Patience, Watch, WatchOptions, introduce};
use asya_envelope::Naming;
use asya_handler::{End, Fate, Request};
use asya_sidecar::Means;
use futures::future::BoxFuture;
use jiff::Timestamp;
use kube::config::KubeConfigOptions;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::sleep;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::send::subjects;
pub(super) use self::send::{LARGEST, Unsent, publish};
pub use self::settings::Settings;
use super::also::{Teller, Told};
use crate::InProcess;
use crate::actor::{Act, ActError};

/// Objects that were looked at and are not sent yet. Few: what waits in the planner instead is looked at once, however
/// often it changes.
const UNSENT: usize = 16;
/// Who asks, as the audit log of an API server says it.
const AGENT: &str = "asya-k8s-watch";
/// Pause before the cluster is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// The actor `k8s-watch`: a message to it makes it send everything again, and its end ends the watch.
pub struct Again {
    again: Arc<Notify>,
    stop: CancellationToken,
    terms: TaskTracker,
}

/// What the actor tells the watch beside it.
#[derive(Clone, Default)]
pub struct Orders {
    /// Send everything again.
    again: Arc<Notify>,
    /// Stop.
    stop: CancellationToken,
    /// The terms during which the Lease is held; when none is left, it was given back.
    terms: TaskTracker,
}

impl Again {
    /// The actor, and what it says to the watch.
    pub fn handler() -> (InProcess<Self>, Orders) {
        let orders = Orders::default();
        let Orders { again, stop, terms } = orders.clone();
        (InProcess::new(Self { again, stop, terms }, 1), orders)
    }
}

impl Act for Again {
    fn act(&self, _request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        self.again.notify_one();
        Box::pin(async {
            Ok(End::Platform { envelopes: Vec::new(), writes: Vec::new(), fate: Fate::GoesOn })
        })
    }

    /// Ends the watch and waits until the Lease is given back: the next one need not wait until it has run out.
    fn close(&self) -> BoxFuture<'_, ()> {
        self.stop.cancel();
        self.terms.close();
        Box::pin(self.terms.wait())
    }
}

/// Where the clusters are.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// The one that is watched.
    pub watched: kube::Config,
    /// The one in which this pod runs, and in its namespace the Lease; none outside of a cluster.
    pub home: Option<kube::Config>,
}

impl Clusters {
    /// Those of the environment: the one of `KUBECONFIG` is watched, or else that of the pod. Where the file is not there it
    /// is not the pod's that is meant.
    async fn infer() -> Result<Self, String> {
        let watched = if std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty()) {
            let read = kube::Config::from_kubeconfig(&KubeConfigOptions::default()).await;
            read.map_err(|error| error.to_string())?
        } else {
            kube::Config::infer().await.map_err(|error| error.to_string())?
        };
        Ok(Self { watched, home: kube::Config::incluster().ok() })
    }
}

/// Watches the cluster of the environment (a kubeconfig, or the pod's own service account) and sends, until the actor
/// ends. Where cluster or broker are away it tries again. Cancel safe: what was seen and not sent is sent at the next
/// start, because then everything is.
pub async fn run(settings: Settings, naming: Naming, means: Means, orders: Orders) {
    while !orders.stop.is_cancelled() {
        match Clusters::infer().await {
            Ok(clusters) => once(clusters, &settings, &naming, &means, &orders).await,
            Err(reason) => tracing::warn!(reason, "which cluster is meant is not known, trying again"),
        }
        tokio::select! {
            () = sleep(PAUSE) => {}
            () = orders.stop.cancelled() => {}
        }
    }
}

/// Waits for the Lease and watches, until it is lost, the cluster cannot be watched, or the actor ends.
pub async fn once(clusters: Clusters, settings: &Settings, naming: &Naming, means: &Means, orders: &Orders) {
    let Clusters { mut watched, home } = clusters;
    introduce(&mut watched, AGENT);
    let lost = CancellationToken::new();
    let done = orders.stop.child_token();
    // Also when this is dropped: whoever does not watch does not hold the Lease.
    let _done = done.clone().drop_guard();
    let (notes, read) = watch::channel(notes::of(&settings.cluster, &watched));
    let mut first = 0;
    if let Some(candidate) = home.and_then(|home| candidate(settings, home, read)) {
        let Some(term) = candidate.acquire(&done).await else { return };
        first = term.begins().map(millis).unwrap_or_default();
        // Renewed by a task of its own: looking at many objects does not hold it up.
        orders.terms.spawn(term.hold(done.clone(), lost.clone()));
    }
    tokio::select! {
        watched = sends(watched, settings, naming, means, orders, &notes, first) => {
            if let Err(reason) = watched {
                tracing::warn!(reason, "the cluster cannot be watched, trying again");
            }
        }
        () = lost.cancelled() => tracing::warn!("another one may watch the cluster now; standing by"),
        () = done.cancelled() => {}
    }
}

/// A bid for the Lease, where there is one: it is of the cluster in which this pod runs, not of the one that is watched.
fn candidate(settings: &Settings, home: kube::Config, notes: Notes) -> Option<Candidate> {
    let name = settings.lease.as_ref()?;
    let namespace = home.default_namespace.clone();
    let client = kube::Client::try_from(home).inspect_err(
        |error| tracing::warn!(%error, "no lease is asked for: nobody else should watch this cluster"),
    );
    // A pod is called like its host; the same pod that starts again goes on at once.
    let identity = std::env::var("HOSTNAME").unwrap_or_else(|_| format!("k8s-watch-{}", std::process::id()));
    Some(
        Candidate::new(client.ok()?, &namespace, name, &identity)
            .noting(notes)
            .owned_by(settings.owner.clone()),
    )
}

fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or_default()
}

async fn sends(
    config: kube::Config,
    settings: &Settings,
    naming: &Naming,
    means: &Means,
    orders: &Orders,
    notes: &notes::Sender,
    first: u64,
) -> Result<(), String> {
    let client = kube::Client::try_from(config).map_err(|error| error.to_string())?;
    let api = Api::new(client.clone(), Patience::default());
    let catalogue = Catalogue::read(&api).await.map_err(|error| error.to_string())?;
    notes::version(&api, notes).await;
    let selection = Selection::new(&settings.analyzers, &[], &[]).map_err(|error| error.to_string())?;
    let selection = selection.ruled(settings.rules.clone()).map_err(|error| error.to_string())?;
    let Settings { debounce, resync, settle, secrets, .. } = *settings;
    let extent = settings.extent.clone();
    let options = WatchOptions { extent, debounce, resync, settle, secrets, ..WatchOptions::default() };
    let passes = options.passes.subscribe();
    let (sender, mut told) = mpsc::channel(UNSENT);
    // Ends with the receiver: a change that nobody sends must not be taken as told.
    let watch = Watch::new(client, catalogue, selection, options).again(orders.again.clone());
    let watch = watch.each_version(settings.also.kinds.clone()).run(sender);
    let send = async {
        let mut last = Sequence { at: first, number: 0 };
        let mut next = || {
            last = Sequence { at: millis(Timestamp::now()).max(last.at), number: last.number + 1 };
            last
        };
        let mut teller = Teller::default();
        send::send(settings, naming, means, next(), vec![settings.also.spoken_of()]).await;
        while let Some(step) = told.recv().await {
            let sequence = next();
            let told = Told { cluster: &settings.cluster, route: &settings.route, sequence };
            let beside = settings.also.told(&told, &step);
            send::send(settings, naming, means, sequence, subjects(&settings.rules, step)).await;
            if teller.tell(naming, means, beside).await {
                orders.again.notify_one();
            }
        }
    };
    tracing::info!(cluster = settings.cluster, "watching the cluster");
    tokio::select! {
        _ = futures::future::join(watch, send) => {}
        () = notes::keep(passes, notes) => {}
    }
    Ok(())
}
