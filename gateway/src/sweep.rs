//! Ends envelopes and operations whose time has run out, begins turns that nobody has begun, and deletes what nobody needs
//! any more. Every replica does it; the store gives each thing to one of them.

use std::time::Duration;

use asya_store::{EnvelopeStore, StoreError, envelopes::Retention};
use jiff::Timestamp;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;

use crate::service::Service;

/// Pause between looks at deadlines: what a caller sees as "at once".
const LOOK: Duration = Duration::from_secs(1);
/// Pause between deletions.
const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Envelopes in one transaction.
const BATCH: usize = 500;

/// Sweeps until `stop`. Errors of the store are waited out.
pub async fn run(service: Service, retention: Retention, stop: CancellationToken) {
    let store = service.store();
    let mut looks = interval(LOOK);
    let mut purged: Option<Instant> = None;
    loop {
        tokio::select! {
            _ = looks.tick() => {}
            () = stop.cancelled() => return,
        }
        if let Err(error) = deadlines(store).await {
            tracing::warn!(%error, "deadlines wait for the store");
        }
        if let Err(error) = service.expire_operations().await {
            tracing::warn!(%error, "operations that nobody has decided wait for the store");
        }
        if let Err(error) = service.begin_waiting().await {
            tracing::warn!(%error, "messages wait for the store");
        }
        if purged.is_none_or(|last| last.elapsed() > PURGE_EVERY) {
            purged = Some(Instant::now());
            if let Err(error) = purge(store, &retention).await {
                tracing::warn!(%error, "old envelopes are not deleted");
            }
        }
    }
}

/// Ends all that are late by now.
///
/// # Errors
/// Those of the store.
pub async fn deadlines(store: &EnvelopeStore) -> Result<(), StoreError> {
    while store.sweep(Timestamp::now(), BATCH).await?.len() == BATCH {}
    Ok(())
}

async fn purge(store: &EnvelopeStore, retention: &Retention) -> Result<(), StoreError> {
    loop {
        let gone = store.purge(retention, Timestamp::now(), BATCH).await?;
        if gone.is_empty() {
            return Ok(());
        }
        tracing::info!(?gone, "old envelopes are deleted");
    }
}
