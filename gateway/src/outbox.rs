//! Publishes what the outbox holds.

use std::{sync::Arc, time::Duration};

use asya_envelope::Naming;
use asya_store::{EnvelopeStore, StoreError, envelopes::Claimed};
use asya_transport::{Outgoing, Transport, TransportError};
use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

/// Entries that are published at a time: as many may be published again after a crash, and no more.
pub const BATCH: usize = 128;
/// How long entries in hand are kept from other replicas: longer than a broker takes to confirm, shorter than a person
/// waits for what a crash left behind.
const LEASE: Duration = Duration::from_secs(30);
/// How long the broker may take to confirm, so that a claim never runs out in hand.
const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between looks when nothing is known to wait: entries of other replicas, claims that ran out.
const LOOK: Duration = Duration::from_secs(1);
/// Pause before an entry is tried again; doubles with each try.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a queue that does not exist is waited for: an operator makes queues within seconds.
const MISSING_QUEUE: Duration = Duration::from_secs(60);

/// Publishes what the outbox holds until it is stopped.
pub struct Outbox {
    store: EnvelopeStore,
    transport: Arc<dyn Transport>,
    naming: Naming,
}

impl Outbox {
    /// Publishes the entries of `store` to queues that are named like `naming`.
    pub fn new(store: EnvelopeStore, transport: Arc<dyn Transport>, naming: Naming) -> Self {
        Self { store, transport, naming }
    }

    /// Publishes until `stop`; the batch in hand is finished first. Errors of store and broker are waited out.
    pub async fn run(self, stop: CancellationToken) {
        if let Err(error) = self.store.take_over(Timestamp::now()).await {
            tracing::warn!(%error, "what was in hand before waits until its claim runs out");
        }
        let mut sent = Vec::new();
        while !stop.is_cancelled() {
            let idle = match self.step(&mut sent).await {
                Ok(claimed) => claimed == 0,
                Err(error) => {
                    tracing::warn!(%error, "the outbox waits for its store");
                    true
                }
            };
            if idle {
                tokio::select! {
                    () = self.store.sendable() => {}
                    () = tokio::time::sleep(LOOK) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        if let Err(error) = self.store.confirm(&sent).await {
            tracing::warn!(%error, "what was sent last is sent once more at the next start");
        }
    }

    /// Confirms what was `sent`, and sends the next batch; answers how many entries it has claimed. What is sent and not
    /// confirmed, and what is in hand, are the same entries: never more than a batch.
    ///
    /// # Errors
    /// Those of the store; `sent` is as it was then.
    pub(crate) async fn step(&self, sent: &mut Vec<Claimed>) -> Result<usize, StoreError> {
        let claimed = self.store.exchange(sent, Timestamp::now(), LEASE, BATCH).await?;
        let count = claimed.len();
        *sent = self.publish_all(claimed).await;
        Ok(count)
    }

    /// Publishes entries, all at a time: the transport confirms them in windows. Answers those that it has; the others
    /// are put off or given up.
    async fn publish_all(&self, claimed: Vec<Claimed>) -> Vec<Claimed> {
        let outcomes: Vec<_> = stream::iter(claimed)
            .map(async |entry| {
                let outcome = self.publish(&entry).await;
                (entry, outcome)
            })
            .buffer_unordered(BATCH)
            .collect()
            .await;
        let mut sent = Vec::new();
        for (entry, outcome) in outcomes {
            let Err(error) = outcome else {
                sent.push(entry);
                continue;
            };
            if let Err(error) = self.failed(&entry, &error).await {
                tracing::warn!(%error, id = entry.id, "an envelope that was not sent waits until its claim runs out");
            }
        }
        sent
    }

    async fn publish(&self, entry: &Claimed) -> Result<(), TransportError> {
        let queue = self.naming.queue(&entry.actor);
        let publishing = self.transport.publish(Outgoing { queue, body: entry.body.clone() }, None);
        tokio::time::timeout(PATIENCE, publishing).await.unwrap_or_else(|_| {
            Err(TransportError::Unavailable(format!("no confirmation within {PATIENCE:?}")))
        })
    }

    async fn failed(&self, entry: &Claimed, error: &TransportError) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let age = Duration::try_from(now.duration_since(entry.created)).unwrap_or_default();
        let hopeless = match error {
            TransportError::Unroutable { .. } => age > MISSING_QUEUE,
            TransportError::TooLarge { .. } | TransportError::Refused { .. } => true,
            // A broker that comes back, or a person who mends it, in the envelope's lifetime is in time.
            TransportError::Unavailable(_) | TransportError::Misconfigured(_) => false,
        };
        if hopeless {
            tracing::warn!(id = entry.id, actor = entry.actor, %error, "envelope cannot be sent");
            return self.store.abandon(entry, &error.to_string(), now).await;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << entry.claim.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
        let until = now.checked_add(pause).unwrap_or(now);
        self.store.postpone(entry, &error.to_string(), until).await
    }
}
