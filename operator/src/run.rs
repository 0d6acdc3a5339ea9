//! How everything is started and stopped.

use std::{
    future::Future,
    process::ExitCode,
    sync::{Arc, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use asya_telemetry::log;
use axum::http::{HeaderValue, header::USER_AGENT};
use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    actor::FIELD_MANAGER,
    agents,
    cluster::Facts,
    controllers::{
        self,
        apply::Applier,
        cache::{Cache, Health},
        context::{Context as Shared, Parts},
        live::Kind,
        projection,
        watch::{self, Feed},
        work::{Queue, Work},
    },
    leader::{self, LEASE},
    metrics::Metrics,
    scaler, server,
    settings::Settings,
};

/// Stopped a second time, as a shell says it.
const EXIT_INTERRUPTED: i32 = 130;

/// Threads that do the work, which is mostly waiting for answers. One per core of a big node would each hold memory back.
const THREADS: usize = 2;

fn prepare(settings: &Settings) -> Result<tokio::runtime::Runtime> {
    // Several libraries bring rustls; without one provider for all, the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    log::init(log::filter(&settings.log_filter).map_err(anyhow::Error::msg)?, settings.log_format);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .context("starting the event loop")
}

fn finish(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(error = format!("{error:#}"), "failed");
            ExitCode::FAILURE
        }
    }
}

/// The API server's client; audit logs know its calls by its name.
///
/// # Errors
/// No configuration of a cluster, or one that is wrong.
pub async fn client() -> Result<Client> {
    let mut config = kube::Config::infer().await.context("finding the cluster")?;
    let agent = HeaderValue::from_static(concat!("asya-operator/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    Client::try_from(config).context("reaching the cluster")
}

/// Does one thing with the cluster and ends.
pub fn once<F: Future<Output = Result<()>>>(settings: &Settings, act: fn(Client, Settings) -> F) -> ExitCode {
    finish(prepare(settings).and_then(|runtime| {
        runtime.block_on(async {
            let client = client().await?;
            act(client, settings.clone()).await
        })
    }))
}

/// Runs the operator until it is told to stop.
pub fn operator(settings: Settings) -> ExitCode {
    until_stopped(settings, serve)
}

/// Runs something that ends when it is told to.
pub fn until_stopped<F: Future<Output = Result<()>>>(
    settings: Settings,
    serve: impl FnOnce(Settings, CancellationToken) -> F,
) -> ExitCode {
    finish(prepare(&settings).and_then(|runtime| {
        runtime.block_on(async {
            let stop = CancellationToken::new();
            tokio::spawn(signals(stop.clone()));
            serve(settings, stop).await
        })
    }))
}

async fn signals(stop: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return error!("signals cannot be received: only SIGKILL stops this process");
    };
    let mut asked = false;
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if asked {
            std::process::exit(EXIT_INTERRUPTED);
        }
        asked = true;
        info!("stopping: what is being worked on is finished first; a second signal ends it at once");
        stop.cancel();
    }
}

/// How often the installed KEDA is looked at: it may come, go or be upgraded.
const FACTS_EVERY: Duration = Duration::from_secs(30);
/// How long the first lists may take before a leader begins without those that are missing.
const SETTLE: Duration = Duration::from_secs(30);

async fn serve(settings: Settings, stop: CancellationToken) -> Result<()> {
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    info!(version = env!("CARGO_PKG_VERSION"), settings = ?settings, "starting");
    let client = client().await?;
    let cache = Arc::new(Cache::default());
    let queue = Arc::new(Queue::default());
    let metrics = Metrics::new();
    let applier = Arc::new(Applier::new(client.clone(), cache.clone(), metrics.clone()));
    let agents = agents::run::Context::start(&client, &settings, &cache, &metrics, &stop);
    start_server(&settings, &cache, &queue, &metrics, &agents, &stop).await?;
    let gone = {
        let applier = applier.clone();
        Arc::new(move |kind, key: &_, uid: &_| applier.forget(kind, key, uid))
    };
    let projected = Arc::new(projection::namespaces(&settings));
    let feed = Feed { cache: cache.clone(), queue: queue.clone(), gone, projected };
    watch::start(&client, &settings.namespaces, &feed, &stop);
    let reporter =
        Reporter { controller: FIELD_MANAGER.to_owned(), instance: Some(settings.identity.clone()) };
    let context = Arc::new(Shared::new(Parts {
        recorder: Recorder::new(client.clone(), reporter),
        client: client.clone(),
        settings,
        cache,
        applier,
        metrics,
        queue,
    }));
    tokio::spawn(push(context.clone(), stop.clone()));
    tokio::spawn(facts(context.clone(), stop.clone()));
    lead(&context, agents.as_ref(), &stop).await;
    Ok(())
}

async fn start_server(
    settings: &Settings,
    cache: &Arc<Cache>,
    queue: &Arc<Queue>,
    metrics: &Arc<Metrics>,
    agents: &Option<Arc<agents::run::Context>>,
    stop: &CancellationToken,
) -> Result<()> {
    let ready = {
        let cache = cache.clone();
        Arc::new(move || if cache.knows_actors() && cache.settled() { Ok(()) } else { Err(unready(&cache)) })
    };
    let scrape = {
        let (cache, queue, metrics) = (cache.clone(), queue.clone(), metrics.clone());
        let agents = agents.clone();
        Arc::new(move || {
            let mut failing =
                cache.health().values().filter(|health| matches!(health, Health::Failing(_))).count();
            let mut busy = queue.busy();
            if let Some(agents) = &agents {
                failing += agents.known.failing();
                busy += agents.queue.busy();
                metrics.agents(&agents.known.by_ready());
            }
            metrics.observe(&cache.sizes(), busy, failing);
            metrics.encode()
        })
    };
    server::start(settings.health, settings.metrics, ready, scrape, stop).await
}

fn unready(cache: &Cache) -> String {
    let missing = cache.health().into_iter().filter_map(|(scope, health)| match health {
        Health::Starting => Some(format!("waiting for the first list of {}", scope.plural())),
        Health::Absent if scope.kind.is_none() => Some("CRDs not installed: asyncactors.asya.sh".to_owned()),
        Health::Failing(words) if scope.kind.is_none() => {
            Some(format!("cannot watch {}: {words}", scope.plural()))
        }
        _ => None,
    });
    missing.collect::<Vec<_>>().join("; ")
}

/// Acts while this replica leads.
async fn lead(context: &Arc<Shared>, agents: Option<&Arc<agents::run::Context>>, stop: &CancellationToken) {
    leader::in_terms(&context.settings, &context.client, LEASE, stop, async |lost| {
        settle(context, stop).await;
        context.metrics.leads(true);
        let actors = controllers::act(context.clone(), stop.clone(), lost.clone());
        match agents {
            Some(agents) => drop(tokio::join!(actors, agents::run::act(agents.clone(), stop.clone(), lost))),
            None => actors.await,
        }
        context.metrics.leads(false);
    })
    .await;
}

/// Waits for the first lists, so that a leader does not take what it has not seen yet for missing.
async fn settle(context: &Shared, stop: &CancellationToken) {
    let settled = async {
        while !context.cache.settled() || !context.cache.knows_actors() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = settled => {}
        () = tokio::time::sleep(SETTLE) => warn!(missing = unready(&context.cache), "acting without all caches"),
        () = stop.cancelled() => {}
    }
    refresh(context).await;
}

/// How soon the push scaler is tried again: its certificates may not be there yet.
const SERVE_AGAIN: Duration = Duration::from_secs(10);

/// Serves KEDA if asked to, on every replica. What stands in the way is tried again: everything else works without.
async fn push(context: Arc<Shared>, stop: CancellationToken) {
    let Some(push) = &context.settings.push else { return };
    let (cache, losers) = (context.cache.clone(), context.losers.clone());
    let actors = Arc::new(scaler::Cached::new(cache, context.settings.clone(), losers));
    let counters = &context.metrics.scaler;
    while !stop.is_cancelled() {
        let (actors, brokers) = (actors.clone(), context.brokers.clone());
        if let Err(error) = scaler::serve(push, actors, brokers, counters.clone(), stop.clone()).await {
            error!(
                error = format!("{:#}", anyhow::Error::new(error)),
                "no actor is woken by the push scaler"
            );
        }
        tokio::select! {
            () = tokio::time::sleep(SERVE_AGAIN) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn facts(context: Arc<Shared>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(FACTS_EVERY) => {}
            () = stop.cancelled() => return,
        }
        refresh(&context).await;
    }
}

/// Looks again at what the API server and KEDA can do; every actor is looked at when that changed.
async fn refresh(context: &Shared) {
    let keda = context.cache.exists(Kind::ScaledObject);
    match Facts::read(&context.client, keda).await {
        Ok(facts) => {
            let before = {
                let mut known = context.facts.write().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *known, facts)
            };
            if before != facts {
                info!(?facts, "the cluster");
                for key in context.cache.actor_keys() {
                    context.queue.now(Work::Actor(key));
                }
            }
        }
        Err(error) => warn!(error = watch::words(&error), "cannot ask the API server for its version"),
    }
}
