//! What the HTTP endpoints say of the sidecar, and the drain that one of them begins.

use std::sync::{Arc, Mutex, OnceLock};

use asya_handler::Readiness;
use asya_settings::Secret;
use asya_telemetry::server::{Drain, Probes};
use asya_transport::{Health, TransportError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the endpoints look at; filled in as the parts come up.
#[derive(Default)]
pub(crate) struct State {
    pub(crate) readiness: OnceLock<watch::Receiver<Readiness>>,
    pub(crate) health: OnceLock<watch::Receiver<Health>>,
    /// Why there is no transport yet.
    pub(crate) connecting: Mutex<Option<String>>,
    /// The drain has begun.
    pub(crate) stop: CancellationToken,
    /// The drain has ended: nothing is in hand.
    pub(crate) settled: CancellationToken,
}

impl State {
    /// The broker cannot be reached yet.
    pub(crate) fn away(&self, error: &TransportError) {
        *self.connecting.lock().expect("nothing panics while it says why") = Some(error.to_string());
    }
}

/// The answers; with a token `/drain` is one of them.
pub(crate) fn probes(state: &Arc<State>, drain_token: Option<&Secret>) -> Probes {
    let (healthy, ready, drained) = (Arc::clone(state), Arc::clone(state), Arc::clone(state));
    Probes {
        healthy: Arc::new(move || match healthy.readiness.get().map(|watch| watch.borrow().clone()) {
            Some(Readiness::Stuck(reason)) => Err(format!("runtime is stuck: {reason}")),
            _ => Ok(()),
        }),
        ready: Arc::new(move || {
            if ready.stop.is_cancelled() {
                return Err("draining".to_owned());
            }
            match ready.readiness.get().map(|watch| watch.borrow().clone()) {
                Some(Readiness::Ready) => {}
                Some(Readiness::NotReady(reason)) => return Err(format!("runtime: {reason}")),
                Some(Readiness::Stuck(reason)) => return Err(format!("runtime is stuck: {reason}")),
                None => return Err("starting".to_owned()),
            }
            let Some(health) = ready.health.get() else {
                let reason = ready.connecting.lock().expect("nothing panics while it says why").clone();
                return Err(format!("broker: {}", reason.unwrap_or_else(|| "connecting".to_owned())));
            };
            match health.borrow().reason() {
                Some(reason) => Err(format!("broker: {reason}")),
                None => Ok(()),
            }
        }),
        drain: drain_token.and_then(|token| token.read().ok()).map(|token| Drain {
            token,
            settled: Arc::new(move || {
                let state = Arc::clone(&drained);
                Box::pin(async move {
                    if !state.stop.is_cancelled() {
                        tracing::info!("draining at the word of /drain");
                        state.stop.cancel();
                    }
                    state.settled.cancelled().await;
                    Ok(())
                })
            }),
        }),
    }
}
