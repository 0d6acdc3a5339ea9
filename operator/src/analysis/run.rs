//! How all of it is started and stopped.

use std::{
    process::ExitCode,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::Result;
use kube::runtime::events::{Recorder, Reporter};
use tokio::{task::JoinSet, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    FIELD_MANAGER, LEASE, another,
    config::Config,
    known::Known,
    metrics::Analyses,
    objects,
    reconcile::{self, Context, World},
    watch::{self, Feed},
};
use crate::{
    controllers::{
        apply::Applier,
        backoff,
        watch::words,
        work::{Key, Queue},
    },
    leader,
    metrics::Metrics,
    run, server,
    settings::Settings,
};

/// How often the original operator and KEDA are looked for: they may come and go.
const WORLD_EVERY: Duration = Duration::from_secs(30);
/// How long the first lists may take before a leader begins without those that are missing.
const SETTLE: Duration = Duration::from_secs(30);
/// `K8sGPT` objects that are looked at at the same time.
const WORKERS: usize = 4;
/// Pause between two tries to see whether it may act at all.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// KEDA's API.
const KEDA: &str = "keda.sh/v1alpha1";

/// Runs until it is told to stop.
pub fn analysis(settings: Settings, config: Config) -> ExitCode {
    run::until_stopped(settings, |settings, stop| serve(settings, config, stop))
}

async fn serve(settings: Settings, config: Config, stop: CancellationToken) -> Result<()> {
    info!(version = env!("CARGO_PKG_VERSION"), ?config, namespaces = ?settings.namespaces, "starting");
    let client = run::client().await?;
    let known = Arc::new(Known::default());
    let queue: Arc<Queue<Key>> = Arc::new(Queue::default());
    let metrics = Metrics::new();
    let analyses = Analyses::new(&metrics);
    let applier = Applier::under(FIELD_MANAGER, client.clone(), known.cache.clone(), metrics.clone());
    let applier = Arc::new(applier);
    start_server(&settings, &known, &queue, &metrics, &analyses, &stop).await?;
    let feed = Feed { known: known.clone(), queue: queue.clone(), applier: applier.clone() };
    watch::start(&client, &settings.namespaces, &feed, &stop);
    let reporter =
        Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(settings.identity.clone()) };
    let context = Arc::new(Context {
        recorder: Recorder::new(client.clone(), reporter),
        client,
        settings,
        config,
        known,
        applier,
        metrics,
        analyses,
        queue,
        world: Default::default(),
        seen: Default::default(),
    });
    lead(&context, &stop).await;
    Ok(())
}

async fn start_server(
    settings: &Settings,
    known: &Arc<Known>,
    queue: &Arc<Queue<Key>>,
    metrics: &Arc<Metrics>,
    analyses: &Arc<Analyses>,
    stop: &CancellationToken,
) -> Result<()> {
    let ready = {
        let known = known.clone();
        Arc::new(move || {
            let missing = known.missing();
            if missing.is_empty() { Ok(()) } else { Err(missing) }
        })
    };
    let scrape = {
        let (known, queue, metrics, analyses) =
            (known.clone(), queue.clone(), metrics.clone(), analyses.clone());
        Arc::new(move || {
            metrics.observe(&known.cache.sizes(), queue.busy(), known.failing());
            analyses.observe(&known);
            metrics.encode()
        })
    };
    server::start(settings.health, settings.metrics, ready, scrape, stop).await
}

/// Acts while this replica leads.
async fn lead(context: &Arc<Context>, stop: &CancellationToken) {
    leader::in_terms(&context.settings, &context.client, LEASE, stop, async |lost| {
        settle(context, stop).await;
        context.metrics.leads(true);
        act(context, stop, &lost).await;
        context.metrics.leads(false);
    })
    .await;
}

/// Waits for the first lists, and until it is known that the original operator is not there.
async fn settle(context: &Context, stop: &CancellationToken) {
    let settled = async {
        while !context.known.settled() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = settled => {}
        () = tokio::time::sleep(SETTLE) => warn!(missing = context.known.missing(), "acting without all lists"),
        () = stop.cancelled() => return,
    }
    while !look_around(context).await {
        tokio::select! {
            () = tokio::time::sleep(ASK_AGAIN) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Looks for the original operator and for KEDA; false where the API server did not say. Everything is looked at again
/// when one of them came or went.
async fn look_around(context: &Context) -> bool {
    let another = match another::deployment(&context.client, &context.settings.namespaces).await {
        Ok(another) => another,
        Err(error) => {
            warn!(error = words(&error), "cannot look for the original operator; nothing is done before");
            return false;
        }
    };
    let keda = match context.client.list_api_group_resources(KEDA).await {
        Ok(list) => list.resources.iter().any(|resource| resource.name == "scaledobjects"),
        // A group that nobody has is answered with a page of text, not with a Status that has a reason.
        Err(kube::Error::Api(status)) if status.code == 404 => false,
        Err(error) => {
            warn!(error = words(&error), "cannot look for KEDA");
            return false;
        }
    };
    let now = World { another, keda };
    let before = {
        let mut world = context.world.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *world, now.clone())
    };
    if before != now {
        info!(?now, "the cluster");
        for subject in context.known.subjects() {
            context.queue.now(subject.key());
        }
    }
    true
}

/// Acts until `stop`, and finishes what is being worked on; `lost` ends that, too, at once.
async fn act(context: &Arc<Context>, stop: &CancellationToken, lost: &CancellationToken) {
    context.applier.clear();
    context.queue.clear();
    for subject in context.known.subjects() {
        context.queue.now(subject.key());
    }
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        workers.spawn(worker(context.clone(), stop.clone()));
    }
    tokio::select! {
        () = around(context) => {}
        () = async { while workers.join_next().await.is_some() {} } => {}
        () = lost.cancelled() => workers.shutdown().await,
    }
}

async fn around(context: &Context) {
    loop {
        if let Err(refusal) = objects::sweep(context).await {
            warn!(error = refusal.to_string(), "cannot delete what is left of a K8sGPT; trying again");
        }
        tokio::time::sleep(WORLD_EVERY).await;
        look_around(context).await;
    }
}

async fn worker(context: Arc<Context>, stop: CancellationToken) {
    loop {
        let key = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            key = context.queue.next() => key,
        };
        let again = look(&context, &key).await;
        context.queue.done(key, again);
    }
}

/// One look; when the next one is wanted.
async fn look(context: &Context, key: &Key) -> Option<Duration> {
    let started = Instant::now();
    let outcome = reconcile::reconcile(context, key).await;
    let result = if outcome.is_ok() { "success" } else { "error" };
    context.metrics.reconciled("k8sgpt", result, started.elapsed());
    match outcome {
        Ok(again) => {
            context.queue.succeeded(key);
            again
        }
        Err(error) => {
            context.metrics.failed("ApiServer");
            context.analyses.failed(&key.1);
            let failures = context.queue.failed(key);
            warn!(
                namespace = key.0,
                k8sgpt = key.1,
                error = format!("{error:#}"),
                failures,
                "a look failed; trying again"
            );
            Some(backoff(failures))
        }
    }
}
