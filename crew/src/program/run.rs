//! From settings to a running actor.

use std::sync::Arc;

use anyhow::Context as _;
use asya_handler::Handler;
use asya_sidecar::{
    gateway::Gateway,
    wiring::{self, Beside},
};
use asya_store::{EnvelopeStore, Store, StoreOptions};

use super::settings::Settings;
use crate::{
    ErrorEnd, Failures, FanIn, HappyEnd, Kind, Letters, Recorder,
    committed::Committed,
    objects::Objects,
    park::{Park, Sweeper},
    schedule::{Clock, Delay},
};

/// Envelopes that park works on at the same time; those of one key exclude each other by the store.
const PARKING: usize = 16;

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
        plans,
        park,
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
    let mut beside: Option<Beside> = None;
    let handler: Arc<dyn Handler> = match kind {
        Kind::HappyEnd => Arc::new(HappyEnd::new(recorder, fan_ins)),
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
        Kind::FanIn => {
            let store = records_of(store.as_ref())?;
            Arc::new(Committed::new(store.clone(), FanIn::recording(store, Recorder::Nowhere), 1))
        }
        Kind::Park => {
            let store = records_of(store.as_ref())?;
            let (actor, naming) = (sidecar.engine.actor.to_string(), sidecar.engine.naming.clone());
            let (error_end, sweeps) = (naming.queue(&sidecar.engine.error_end), store.clone());
            beside = Some(Box::new(move |transport| {
                Box::pin(Sweeper::new(sweeps, transport, actor, error_end).run())
            }));
            Arc::new(Committed::new(store.clone(), Park::new(store, park), PARKING))
        }
        Kind::Schedule => {
            if !plans.is_empty() {
                let (store, naming) = (records_of(store.as_ref())?, sidecar.engine.naming.clone());
                beside = Some(Box::new(move |transport| {
                    let clock = Clock::new(store, transport, naming);
                    Box::pin(async move {
                        futures::future::join_all(plans.into_iter().map(|plan| clock.run(plan))).await;
                    })
                }));
            }
            Arc::new(Delay::new())
        }
    };
    if let Some(claims) = sidecar.engine.payloads.clone().filter(|_| sweep) {
        let own = beside;
        beside = Some(Box::new(move |transport| {
            Box::pin(async move {
                let own = async {
                    if let Some(own) = own {
                        own(transport).await;
                    }
                };
                futures::future::join(own, claims.sweeper()).await;
            })
        }));
    }
    wiring::run_beside(sidecar, handler, beside).await
}

fn records_of(store: Option<&EnvelopeStore>) -> anyhow::Result<Arc<dyn Store>> {
    Ok(store.context("ASYA_DATABASE_URL is not set")?.records())
}
