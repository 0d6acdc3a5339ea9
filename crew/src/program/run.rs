//! From settings to a running actor.

use std::sync::Arc;

use anyhow::Context as _;
use asya_handler::Handler;
use asya_sidecar::{
    gateway::Gateway,
    settings::Settings as Sidecar,
    wiring::{self, Beside},
};
use asya_store::{EnvelopeStore, StoreOptions};

use super::settings::Settings;
use crate::{
    ErrorEnd, Failures, HappyEnd, Kind, Letters, Recorder,
    objects::Objects,
    shipped::{Names, State},
};

/// Runs the actor until a signal.
///
/// # Errors
/// What no waiting mends.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let Settings {
        kind,
        sidecar,
        records,
        results_prefix,
        errors_prefix,
        fan_ins,
        again,
        database,
        work,
        sweep,
    } = settings;
    let store = match &database {
        Some(url) => {
            // A database that is away at the start: the container is started again, with the kubelet's pauses.
            let opened = EnvelopeStore::open(url, StoreOptions::default()).await;
            Some(opened.context("opening ASYA_DATABASE_URL")?)
        }
        None => None,
    };
    let recorder = match &records {
        Some(place) => {
            let objects =
                Objects::open(place, &results_prefix, &errors_prefix).context("opening the records")?;
            Recorder::Objects(Arc::new(objects))
        }
        None => Recorder::Nowhere,
    };
    if let Some(work) = work {
        let state = store.map_or(State::None, |store| State::Apart(store.records()));
        let engine = &sidecar.engine;
        let names = Names {
            actor: engine.actor.to_string(),
            naming: engine.naming.clone(),
            happy_end: engine.happy_end.clone(),
            error_end: engine.error_end.clone(),
        };
        let (handler, beside) = work.start(state, names).map_err(anyhow::Error::msg)?;
        let beside = swept(&sidecar, sweep, beside);
        return wiring::run_beside(sidecar, handler, beside).await;
    }
    let handler: Arc<dyn Handler> = match kind {
        Kind::ErrorEnd => {
            let letters: Option<Arc<dyn Letters>> = match (store, &sidecar.gateway) {
                (Some(store), _) => Some(Arc::new(store)),
                (None, Some(address)) => {
                    let gateway = Gateway::new(address, sidecar.gateway_token.clone());
                    Some(gateway.map_err(anyhow::Error::msg).with_context(|| format!("gateway {address}"))?)
                }
                (None, None) => None,
            };
            Arc::new(ErrorEnd::with(recorder, fan_ins, Failures { again, letters }))
        }
        _ => Arc::new(HappyEnd::new(recorder, fan_ins)),
    };
    let beside = swept(&sidecar, sweep, None);
    wiring::run_beside(sidecar, handler, beside).await
}

/// The work beside, and that of removing old payloads where this actor is to do it.
fn swept(sidecar: &Sidecar, sweep: bool, own: Option<Beside>) -> Option<Beside> {
    let Some(claims) = sidecar.engine.payloads.clone().filter(|_| sweep) else { return own };
    Some(Box::new(move |means| {
        Box::pin(async move {
            let own = async {
                if let Some(own) = own {
                    own(means).await;
                }
            };
            futures::future::join(own, claims.sweeper()).await;
        })
    }))
}
