//! What is on a queue, for the metric: KEDA asks for the value and for activity in one breath, and both of its parts
//! and each replica of it ask on their own.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use asya_envelope::Queue;
use asya_transport::Depth;
use tokio::time::Instant;

use super::{Target, sidecars};
use crate::queues::{Brokers, Queued};

/// How long a count is used.
const USED_FOR: Duration = Duration::from_secs(1);
/// How long where each question is billed.
const BILLED_USED_FOR: Duration = Duration::from_secs(5);
/// Counts that are kept before old ones are thrown away.
const KEPT: usize = 1_000;

/// Where the metrics of an actor's sidecars are; asked only where it matters.
pub(super) trait Sidecars: FnOnce() -> Option<Vec<SocketAddr>> + Send {}
impl<F: FnOnce() -> Option<Vec<SocketAddr>> + Send> Sidecars for F {}

/// The last counts.
pub(super) struct Counts {
    brokers: Arc<Brokers>,
    last: Mutex<HashMap<(String, Queue), (Instant, Depth)>>,
}

impl Counts {
    pub(super) fn new(brokers: Arc<Brokers>) -> Self {
        Self { brokers, last: Mutex::default() }
    }

    /// Messages that wait and those in hand: by the broker, or by the sidecars where it cannot tell.
    ///
    /// # Errors
    /// A sentence: the broker or a sidecar cannot be asked. It is never taken for an empty queue, or an idle pod.
    pub(super) async fn of(&self, target: &Target, sidecars: impl Sidecars) -> Result<u64, String> {
        let key = (target.transport.clone(), target.queue.clone());
        let used_for = if self.brokers.is_billed(&target.transport) { BILLED_USED_FOR } else { USED_FOR };
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied();
        let depth = match known {
            Some((since, depth)) if since.elapsed() < used_for => depth,
            _ => {
                let depth = self.ask(target, sidecars).await?;
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                if last.len() >= KEPT {
                    last.retain(|_, (since, _)| since.elapsed() < BILLED_USED_FOR);
                }
                last.insert(key, (Instant::now(), depth));
                depth
            }
        };
        Ok(depth.ready + depth.in_flight)
    }

    async fn ask(&self, target: &Target, sidecars: impl Sidecars) -> Result<Depth, String> {
        let Target { transport, queue, .. } = target;
        let mut depth = match self.brokers.look(transport, queue).await {
            Queued::There(depth) | Queued::Differs { depth, .. } => depth,
            // Not made yet, or deleted with its actor.
            Queued::Missing => Depth::default(),
            Queued::Unreachable(why) => return Err(why),
        };
        // The list is seconds old: who was just woken for a message must not hear that there is none.
        if self.brokers.is_listed(transport) {
            let ready = self.brokers.ready(transport, std::slice::from_ref(queue)).await;
            let ready = ready.map_err(|problem| problem.to_string())?.into_iter().flatten().sum();
            depth.ready = depth.ready.max(ready);
        }
        if !self.brokers.counts_in_hand(transport) {
            let addresses =
                sidecars().ok_or("the sidecars serve no metrics, which tell what they have in hand")?;
            depth.in_flight = sidecars::in_hand(addresses).await?;
        }
        Ok(depth)
    }
}
