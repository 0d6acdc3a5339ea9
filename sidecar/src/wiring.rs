//! From settings to a running sidecar: endpoints first, then transport and runtime, then the engine until a signal.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use asya_handler::{
    Budget, Handler, Readiness,
    socket::{SocketConfig, SocketHandler},
};
use asya_telemetry::{ActorMetrics, Metrics, custom, log, server};
use asya_transport::{Health, Lease, broker::Opened};
use futures::future::BoxFuture;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    Ended, Engine, Means, Observers,
    endpoints::{State, probes},
    gateway::Gateway,
    settings::{Runtime, Settings},
    web::WebHandler,
};

/// How long the end of a pod may take beyond twice the grace period, which the operator makes at least half of it.
const STRAY_DRAIN: Duration = Duration::from_secs(30);
/// How long the last spans and answers may take.
const FLUSH: Duration = Duration::from_secs(2);

/// Runs the sidecar until a signal.
///
/// # Errors
/// What no waiting mends: an address in use, a transport that is not compiled in, refused credentials.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let config = &settings.engine;
    let handler: Arc<dyn Handler> = match &settings.runtime {
        Runtime::Socket(directory) => SocketHandler::new(SocketConfig {
            max_reply: config.limits.max_reply,
            budget: Some(Budget::new(config.memory_budget / 2)),
            ..SocketConfig::new(directory, config.actor.as_str())
        }),
        Runtime::Http(config) => WebHandler::new(config.clone()),
    };
    run_with(settings, handler).await
}

/// Runs the sidecar until a signal, around a handler that is not behind a socket.
///
/// # Errors
/// As [`run`].
pub async fn run_with(settings: Settings, handler: Arc<dyn Handler>) -> anyhow::Result<()> {
    run_beside(settings, handler, None).await
}

/// Work of an actor's own beside its engine, begun when the transport is there and dropped when the engine ends.
pub type Beside = Box<dyn FnOnce(Means) -> BoxFuture<'static, ()> + Send>;

/// Runs the sidecar until a signal, around a handler that is not behind a socket, and work beside it.
///
/// # Errors
/// As [`run`].
pub async fn run_beside(
    settings: Settings,
    handler: Arc<dyn Handler>,
    beside: Option<Beside>,
) -> anyhow::Result<()> {
    let Settings {
        engine: config,
        broker,
        connect_pause,
        runtime,
        ready_timeout,
        gateway,
        gateway_token,
        metrics_addr,
        drain_token,
        metrics_namespace,
        custom_metrics,
        log_filter,
        log_format,
        otlp,
    } = settings;
    log::init(log::filter(&log_filter).map_err(anyhow::Error::msg)?, log_format);
    tracing::info!(
        actor = %config.actor, broker = broker.masked(), ?runtime, ?gateway, ?gateway_token, ?metrics_addr,
        metrics_namespace, ?ready_timeout, ?otlp, engine = ?config, "starting"
    );
    let (state, grace) = (Arc::new(State::default()), config.grace);
    let (stop, terminated) = (state.stop.clone(), CancellationToken::new());
    on_signals(stop.clone(), terminated.clone())?;

    let metrics = Metrics::new(&metrics_namespace);
    custom::register(&metrics, custom_metrics);
    let served = CancellationToken::new();
    let mut server = None;
    if let Some(address) = metrics_addr {
        let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
        let probes = probes(&state, drain_token.as_ref());
        server = Some(tokio::spawn(server::serve(listener, metrics.clone(), probes, served.clone())));
    }

    drop(state.readiness.set(handler.readiness()));
    let actor = metrics.actor(config.actor.as_str(), config.transport_name);
    watch_runtime(handler.readiness(), actor.clone(), ready_timeout);
    let mut observers = Observers { metrics: Some(metrics.clone()), ..Observers::default() };
    if let Some(address) = &gateway {
        let gateway = Gateway::new(address, gateway_token)
            .map_err(anyhow::Error::msg)
            .with_context(|| format!("gateway {address}"))?;
        gateway.follow(Some(actor.clone()), &mut observers);
        observers.approvals = Some(Arc::clone(&gateway));
        observers.ends = Some(gateway);
    }
    let spans = export(otlp.as_deref(), config.actor.as_str());
    observers.spans = spans.as_ref().map(Export::sender);

    let transport = tokio::select! {
        transport = broker.connect(config.timeout, connect_pause, |error| state.away(error)) => Some(transport?),
        () = stop.cancelled() => None,
    };
    let ended = match transport {
        Some(Opened { transport, close, .. }) => {
            drop(state.health.set(transport.health()));
            watch_transport(transport.health(), actor);
            if let Lease::Fixed(lease) = transport.lease()
                && config.timeout > lease
            {
                tracing::warn!(
                    timeout = ?config.timeout, ?lease,
                    "ASYA_RUNTIME_TIMEOUT is longer than the broker lets a message be held (consumer_timeout): \
                     longer runs will be repeated"
                );
            }
            let engine = Engine::new(config, transport, handler, observers);
            let beside = beside.map(|beside| tokio::spawn(beside(engine.means())));
            let ended = engine.run(stop.clone()).await.context("the engine ended");
            if let Some(beside) = beside {
                beside.abort();
            }
            if let Some(close) = close {
                close.await;
            }
            ended
        }
        None => Ok(Ended::Stopped),
    };
    if let Some(spans) = spans {
        spans.flush(FLUSH).await;
    }
    // Also after a job: nothing is ready any more.
    stop.cancel();
    if ended.is_ok() {
        state.settled.cancel();
    }
    // In a pod the end comes by SIGTERM; a sidecar that ends earlier would be started again.
    match ended {
        Ok(Ended::Stopped) => ends(&terminated, grace).await,
        Ok(Ended::JobDone { handler_ends: true }) => terminated.cancelled().await,
        Ok(Ended::JobDone { handler_ends: false }) | Err(_) => {}
    }
    served.cancel();
    if let Some(server) = server {
        drop(tokio::time::timeout(FLUSH, server).await);
    }
    tracing::info!("stopped");
    ended.map(drop)
}

/// Waits for the signal that ends the process. A pod that ends sends it in time; who else called `/drain` does not stop
/// the sidecar for longer than a pod may take to end: it ends by itself then, is started again, and reads again.
async fn ends(terminated: &CancellationToken, grace: Duration) {
    if tokio::time::timeout(2 * grace + STRAY_DRAIN, terminated.cancelled()).await.is_err() {
        tracing::warn!(
            "drained, and no signal came: /drain was not called because the pod ends; starting again"
        );
    }
}

/// The first signal drains and lets the process end after it; the second ends at once.
fn on_signals(stop: CancellationToken, terminated: CancellationToken) -> anyhow::Result<()> {
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
                terminated.cancel();
            }
        }
        std::process::exit(130);
    });
    Ok(())
}

fn watch_runtime(mut readiness: watch::Receiver<Readiness>, metrics: ActorMetrics, limit: Duration) {
    tokio::spawn(async move {
        let late = sleep(limit);
        tokio::pin!(late);
        let mut said = false;
        loop {
            let state = readiness.borrow_and_update().clone();
            metrics.runtime_ready(state == Readiness::Ready);
            match &state {
                Readiness::Ready => {
                    tracing::info!("runtime is ready");
                    said = true;
                }
                Readiness::NotReady(reason) => tracing::info!(reason, "runtime is not ready"),
                Readiness::Stuck(reason) => tracing::error!(reason, "runtime is stuck"),
            }
            tokio::select! {
                changed = readiness.changed() => if changed.is_err() { return },
                () = &mut late, if !said => {
                    tracing::error!(?limit, "no runtime within ASYA_RUNTIME_READY_TIMEOUT; still waiting");
                    said = true;
                }
            }
        }
    });
}

/// A broker that is back within this time, as at every start, is not worth a line.
const MENDED_SOON: Duration = Duration::from_secs(2);

fn watch_transport(mut health: watch::Receiver<Health>, metrics: ActorMetrics) {
    tokio::spawn(async move {
        loop {
            let state = health.borrow_and_update().clone();
            metrics.transport_up(state.is_up());
            match state.reason() {
                Some(reason) => match tokio::time::timeout(MENDED_SOON, health.changed()).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(_)) => return,
                    Err(_) => tracing::warn!(reason, "broker is not available"),
                },
                None => tracing::info!("broker is available"),
            }
            if health.changed().await.is_err() {
                return;
            }
        }
    });
}

#[cfg(feature = "otlp")]
use asya_telemetry::otlp::Export;

#[cfg(feature = "otlp")]
fn export(endpoint: Option<&str>, actor: &str) -> Option<Export> {
    let outcome = Export::start(endpoint?, actor);
    outcome.inspect_err(|reason| tracing::error!(reason, "spans are not exported")).ok()
}

#[cfg(not(feature = "otlp"))]
fn export(endpoint: Option<&str>, _actor: &str) -> Option<Export> {
    if endpoint.is_some() {
        tracing::error!("spans are not exported: this program was built without it (feature \"otlp\")");
    }
    None
}

/// Stands where an export would be.
#[cfg(not(feature = "otlp"))]
enum Export {}

#[cfg(not(feature = "otlp"))]
impl Export {
    fn sender(&self) -> tokio::sync::mpsc::Sender<asya_telemetry::trace::Span> {
        match *self {}
    }

    async fn flush(self, _limit: Duration) {
        match self {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const GRACE: Duration = Duration::from_secs(20);

    #[tokio::test(start_paused = true)]
    async fn a_drain_without_a_signal_is_over_after_the_longest_end_of_a_pod() {
        let began = Instant::now();
        ends(&CancellationToken::new(), GRACE).await;
        assert_eq!(began.elapsed(), 2 * GRACE + STRAY_DRAIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_ends_the_wait_at_once() {
        let began = Instant::now();
        let terminated = CancellationToken::new();
        terminated.cancel();
        ends(&terminated, GRACE).await;
        assert_eq!(began.elapsed(), Duration::ZERO);
    }
}
