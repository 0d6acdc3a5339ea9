//! How all of it is started and stopped, within the operator.

use std::{sync::Arc, time::Duration};

use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    FIELD_MANAGER,
    known::Known,
    reconcile, registry,
    watch::{self, Feed},
};
use crate::{
    controllers::{
        apply::Applier,
        backoff,
        cache::Cache,
        work::{Key, Queue},
    },
    metrics::Metrics,
    settings::{Agents, Settings},
};

/// Agents that are looked at at the same time.
const WORKERS: usize = 4;

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// An agent.
    Agent(Key),
    /// The entries of a namespace.
    Registry(String),
}

/// What every look shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the operator is told of agents.
    pub config: Agents,
    /// What is known of agents.
    pub known: Arc<Known>,
    /// What is known of the rest: whether KEDA is there.
    pub actors: Arc<Cache>,
    /// Writes objects.
    pub applier: Arc<Applier>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is to be looked at.
    pub queue: Arc<Queue<Work>>,
    /// Tells people.
    pub recorder: Recorder,
}

impl Context {
    /// Starts the watches, if agents are looked after; they end with `stop`.
    pub fn start(
        client: &Client,
        settings: &Settings,
        actors: &Arc<Cache>,
        metrics: &Arc<Metrics>,
        stop: &CancellationToken,
    ) -> Option<Arc<Self>> {
        let config = settings.agents.clone()?;
        let known = Arc::new(Known::default());
        let queue = Arc::new(Queue::default());
        let applier = Applier::under(FIELD_MANAGER, client.clone(), known.cache.clone(), metrics.clone());
        let applier = Arc::new(applier);
        let feed = Feed { known: known.clone(), queue: queue.clone(), applier: applier.clone() };
        watch::start(client, &settings.namespaces, &feed, stop);
        let reporter =
            Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(settings.identity.clone()) };
        Some(Arc::new(Self {
            client: client.clone(),
            config,
            known,
            actors: actors.clone(),
            applier,
            metrics: metrics.clone(),
            queue,
            recorder: Recorder::new(client.clone(), reporter),
        }))
    }
}

/// Acts until `stop`, and finishes what is being worked on; `lost` ends that, too, at once.
pub async fn act(context: Arc<Context>, stop: CancellationToken, lost: CancellationToken) {
    context.applier.clear();
    context.known.clear();
    context.queue.clear();
    watch::everything(&context.known, &context.queue);
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(worker(context.clone(), stop.clone()));
    }
    tokio::select! {
        () = async { while workers.join_next().await.is_some() {} } => {}
        () = lost.cancelled() => workers.shutdown().await,
    }
}

async fn worker(context: Arc<Context>, stop: CancellationToken) {
    loop {
        let work = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            work = context.queue.next() => work,
        };
        let again = look(&context, &work).await;
        context.queue.done(work, again);
    }
}

/// One look; when the next one is wanted.
async fn look(context: &Context, work: &Work) -> Option<Duration> {
    let started = Instant::now();
    let (controller, outcome) = match work {
        Work::Agent(key) => ("agent", reconcile::reconcile(context, key).await),
        Work::Registry(namespace) => {
            ("registry", registry::reconcile(context, namespace).await.map(|()| None))
        }
    };
    let result = if outcome.is_ok() { "success" } else { "error" };
    context.metrics.reconciled(controller, result, started.elapsed());
    match outcome {
        Ok(again) => {
            context.queue.succeeded(work);
            again
        }
        Err(error) => {
            context.metrics.failed("ApiServer");
            let failures = context.queue.failed(work);
            warn!(?work, error = format!("{error:#}"), failures, "a look failed; trying again");
            Some(backoff(failures))
        }
    }
}
