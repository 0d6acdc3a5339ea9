//! Who acts: one replica holds a Lease, the others stand by with warm caches.

pub use asya_cluster::lease::{Candidate, Term};
use kube::Client;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::settings::Settings;

/// Name of the Lease, the Go operator's, so that the two never act at the same time.
pub const LEASE: &str = "asya-operator.asya.sh";

/// Acts in terms until `stop`: while this replica holds `lease`, or always where there is no election. `act` ends by itself
/// when `stop` is cancelled, and at once when its token is: then the Lease is lost.
pub async fn in_terms(
    settings: &Settings,
    client: &Client,
    lease: &str,
    stop: &CancellationToken,
    act: impl AsyncFn(CancellationToken),
) {
    while !stop.is_cancelled() {
        let lost = CancellationToken::new();
        let done = CancellationToken::new();
        let held = if settings.leader_elect {
            let candidate = Candidate::new(client.clone(), &settings.namespace, lease, &settings.identity);
            let Some(term) = candidate.acquire(stop).await else { return };
            Some(tokio::spawn(term.hold(done.clone(), lost.clone())))
        } else {
            None
        };
        act(lost.clone()).await;
        // The lease is given back only now: nobody acts any more.
        done.cancel();
        if let Some(held) = held {
            let _ = held.await;
        }
        if lost.is_cancelled() {
            warn!("no longer leading; standing by");
        }
    }
}
