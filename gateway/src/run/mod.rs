//! How everything is started and stopped.
//!
//! | module | holds |
//! |---|---|
//! | [`parts`] | from settings to what the use cases stand on: store, tools, authentication |
//! | [`background`] | what goes on beside requests |
//! | `spans` | export of spans |
//! | `late` | a broker that is connected to while the gateway serves |
//!
//! The end, in order: not ready any more; no new connections; streams and sockets are told to come back; requests end;
//! what was accepted is sent; the rest stops.

pub mod background;
mod late;
pub mod parts;
mod spans;

use std::{net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use asya_store::EnvelopeStore;
use asya_telemetry::log;
use asya_transport::DeadLetters;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::{
    actors::{
        Depths, Routed, Source,
        kubernetes::{self, Cluster},
    },
    app, args,
    dead_queues::DeadQueues,
    metrics::Metrics,
    rest::guard::{Guard, Stopping},
    server,
    service::{
        Service,
        chat::{Chat, People},
    },
    settings::{Migration, Settings},
    tools::Tools,
    ws::seats::Seats,
};
use background::{Background, Queues};
use late::Late;
use parts::{Misconfigured, open_store, read_tools};

/// The configuration is wrong: `EX_USAGE` of sysexits.h.
const WRONG_CONFIGURATION: u8 = 64;
/// How long the last spans may take.
const SPANS: Duration = Duration::from_secs(2);
/// How long sockets may take to be closed: a little more than one goodbye.
const GOODBYES: Duration = Duration::from_secs(3);
/// Stopped a second time, as a shell says it.
const INTERRUPTED: i32 = 130;

/// Does what the arguments say; the exit code.
pub async fn main(args: args::Args) -> ExitCode {
    let args::Args { options, command } = args;
    let outcome = match command {
        None => match Settings::read(&options) {
            Ok(settings) => serve(settings).await,
            Err(errors) => Err(Misconfigured(errors.to_string()).into()),
        },
        Some(args::Command::Migrate) => match Migration::read(&options) {
            Ok(migration) => migrate(migration).await,
            Err(errors) => Err(Misconfigured(errors.to_string()).into()),
        },
        Some(args::Command::Check { path }) => check(&path),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("asya-gateway: {error:#}");
            let wrong = error.is::<Misconfigured>();
            ExitCode::from(if wrong { WRONG_CONFIGURATION } else { 1 })
        }
    }
}

/// Checks files of tools, and lists the tools.
fn check(path: &std::path::Path) -> anyhow::Result<()> {
    let tools = Tools::load(path).map_err(Misconfigured)?;
    let set = tools.subscribe().borrow().clone();
    for tool in set.iter() {
        println!("{}: {}", tool.name, tool.route.join(" -> "));
    }
    println!("{} tools, no faults", set.iter().len());
    Ok(())
}

async fn migrate(migration: Migration) -> anyhow::Result<()> {
    let Migration { database, log_filter, log_format } = migration;
    log::init(log::filter(&log_filter).map_err(Misconfigured)?, log_format);
    let url = database.address().map_err(Misconfigured)?.unwrap_or_default();
    let done =
        EnvelopeStore::migrate(&url, database.options).await.context("bringing the database up to date")?;
    tracing::info!(from = done.from, to = done.to, adopted = done.adopted, "the database is up to date");
    Ok(())
}

/// Serves until a signal.
async fn serve(settings: Settings) -> anyhow::Result<()> {
    log::init(log::filter(&settings.log_filter).map_err(Misconfigured)?, settings.log_format);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        broker = settings.broker.masked(),
        ?settings,
        "starting"
    );
    let stop = CancellationToken::new();
    on_signals(stop.clone())?;
    let queues = Queues::Connect(settings.broker.clone());
    let gateway = tokio::select! {
        gateway = start(settings, queues, stop.clone()) => gateway?,
        // Nothing was accepted yet.
        () = stop.cancelled() => return Ok(()),
    };
    gateway.ended().await
}

/// The first signal drains, the second ends at once.
fn on_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("draining; a second signal ends at once");
                stop.cancel();
            }
        }
        std::process::exit(INTERRUPTED);
    });
    Ok(())
}

/// A gateway that serves.
#[derive(Debug)]
pub struct Gateway {
    /// What it listens on.
    pub address: SocketAddr,
    /// Its use cases.
    pub service: Service,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Gateway {
    /// Waits until it has ended, drained after its stop.
    ///
    /// # Errors
    /// What ended it before.
    pub async fn ended(self) -> anyhow::Result<()> {
        self.task.await.context("the gateway's task")?
    }
}

/// Starts a gateway that drains when `stop` is cancelled, in this process, which has its own logs and signals.
///
/// # Errors
/// [`Misconfigured`], an address in use, a database that cannot be opened, a broker's settings that cannot work.
pub async fn start(settings: Settings, queues: Queues, stop: CancellationToken) -> anyhow::Result<Gateway> {
    let listener = bind(settings.address).await?;
    let address = listener.local_addr().context("reading the address that is listened on")?;
    let observed = match settings.observed {
        Some(observed) => Some(bind(observed).await?),
        None => None,
    };
    for warning in &settings.access.warnings {
        tracing::warn!("{warning}");
    }
    let metrics = Metrics::new();
    let mut background = Background::default();
    let tools = read_tools(settings.config.as_deref(), &mut background)?;
    let agents = parts::read_agents(settings.agents.folder.as_deref(), &mut background)?;
    let auth = Arc::new(parts::auth(&settings.access, Arc::clone(&metrics), &mut background)?);
    let (store, folder) = open_store(&settings.database).await?;
    let mut rules = settings.rules.clone();
    rules.payloads = rules.payloads.map(|claims| metrics.counting(claims));
    let issuer = settings.access.public_url.as_deref();
    let subjects = parts::subjects(settings.agents.keys.as_deref(), issuer, &store).await?;
    let people = People { open: auth.open, tokens: auth.tokens.clone() };
    let service = Service::new(store, tools, rules).with_chat(Chat::new(agents, subjects, people));
    let guard = Arc::new(Guard {
        places: Semaphore::new(settings.max_requests),
        callbacks: Semaphore::new(settings.max_requests),
        streams: Arc::new(Semaphore::new(settings.max_streams)),
        seats: Seats::new(settings.max_sockets),
        origins: settings.access.origins.clone(),
        metrics: Arc::clone(&metrics),
        draining: stop.clone(),
        stopping: Stopping::default(),
    });
    background.watch(&service, metrics);
    background.sweep(&service, settings.retention);
    let late = Late::default();
    let (actors, dead): (Arc<dyn Source>, Arc<dyn DeadLetters>) = match &queues {
        Queues::Open { actors, dead_letters, .. } => {
            let actors = Routed::new(Arc::clone(actors), service.tool_changes());
            (Arc::new(actors), Arc::clone(dead_letters))
        }
        Queues::Connect(broker) => {
            let mut actors = Depths::new(
                service.tool_changes(),
                Arc::new(late.clone()),
                settings.naming.clone(),
                broker.name(),
                settings.rules.namespace.clone(),
            )
            .with(settings.actors.clone())
            .rated(service.store().clone());
            if let Some(wish) = settings.kubernetes.clone() {
                let cluster = Arc::new(Cluster::new(Arc::clone(&guard.metrics)));
                actors = actors.on(Arc::clone(&cluster));
                background.spawn(kubernetes::follow(cluster, wish, settings.rules.namespace.clone()));
            }
            (Arc::new(actors), Arc::new(late.clone()))
        }
    };
    let dead = DeadQueues::new(dead, Arc::clone(&actors), settings.naming.clone());
    let service = service.with_dead_queues(dead);
    background.publish(&service, queues, settings.naming.clone(), &guard.metrics, late);
    let export = spans::export(settings.otlp.as_deref());
    let parts = app::Parts {
        service: service.clone(),
        auth,
        guard,
        largest: settings.rules.largest(),
        actors,
        cluster: settings.cluster_tools.then(Arc::default),
        spans: export.as_ref().map(spans::Export::sender),
    };
    let task = tokio::spawn(run(settings, listener, observed, parts, background, export, folder));
    tracing::info!(%address, "serving");
    Ok(Gateway { address, service, task })
}

async fn run(
    settings: Settings,
    listener: TcpListener,
    observed: Option<TcpListener>,
    parts: app::Parts,
    mut background: Background,
    export: Option<spans::Export>,
    folder: Option<tempfile::TempDir>,
) -> anyhow::Result<()> {
    let (service, guard) = (parts.service.clone(), Arc::clone(&parts.guard));
    let (draining, stopping) = (guard.draining.clone(), guard.stopping.0.clone());
    let streams = Arc::clone(&guard.streams);
    let ended = CancellationToken::new();
    if let Some(listener) = observed {
        let app = app::observed(service.clone(), guard);
        tokio::spawn(server::serve(listener, app, ended.clone(), Duration::ZERO));
    }
    let server = tokio::spawn(server::serve(listener, app::router(parts), stopping.clone(), settings.grace));
    let failed = tokio::select! {
        () = draining.cancelled() => None,
        error = background.failed() => Some(error),
    };
    if failed.is_none() {
        tokio::time::sleep(settings.drain_delay).await;
    }
    draining.cancel();
    stopping.cancel();
    match server.await {
        Ok(0) => {}
        Ok(left) => tracing::warn!(left, grace = ?settings.grace, "connections were cut off"),
        Err(error) => tracing::error!(%error, "serving ended"),
    }
    // Sockets are no connections of the server any more: each gives its place back when it is closed.
    let all = u32::try_from(settings.max_streams).unwrap_or(u32::MAX);
    let _ = tokio::time::timeout(GOODBYES, streams.acquire_many(all)).await;
    background.finish(&service).await;
    if let Some(export) = export {
        export.flush(SPANS).await;
    }
    ended.cancel();
    // The temporary database, if it is one, goes when nobody uses it any more.
    drop(folder);
    tracing::info!("stopped");
    failed.map_or(Ok(()), Err)
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}
