//! A message in hand, and the ways out of it.
//!
//! What follows from a message is confirmed before the message is deleted. Where the service would move a message to
//! its dead-letter queue on the next receive, it is sent anew instead (confirmed, then deleted), with its count of
//! deliveries beside it: giving a message back is no reason to bury it.

use std::{sync::Arc, time::Duration};

use asya_envelope::Queue;
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};

use super::{
    Core,
    consumer::DELIVERIES,
    credit::Permit,
    dead,
    failure::Failure,
    lease::{Lease, Leases},
    requests::Hide,
};
use crate::{MAX_DELAY, Outcome, Settlement, TransportError, Unsettled};

/// How soon a delivery that was dropped comes back: not a hot loop when each one panics.
const ABANDONED_FOR: Duration = Duration::from_secs(1);

/// A message in hand.
pub(super) struct Held {
    pub core: Arc<Core>,
    pub leases: Arc<Leases>,
    pub lease: Arc<Lease>,
    /// The full name of its queue.
    pub queue: Queue,
    pub body: Bytes,
    /// Deliveries so far, this one included.
    pub deliveries: u32,
    /// The service buries the message instead of delivering it again.
    pub last_chance: bool,
    pub _permit: Option<Permit>,
}

impl Settlement for Held {
    fn settle(
        self: Box<Self>,
        outcome: Outcome,
    ) -> BoxFuture<'static, Result<(), (Unsettled, Option<Box<dyn Settlement>>)>> {
        Box::pin(async move {
            if let Some(reason) = self.lease.lost() {
                return Err((Unsettled::Lost(reason), None));
            }
            if let Err(error) = self.prepare(&outcome).await {
                return Err((Unsettled::Publish(error), Some(self as Box<dyn Settlement>)));
            }
            let done = match outcome {
                Outcome::Retry { after, .. } if !self.last_chance => self.hide(after).await,
                Outcome::Release if !self.last_chance => self.hide(Duration::ZERO).await,
                // What follows from it, or a copy of it, is on its queue.
                _ => self.remove().await,
            };
            // What follows is confirmed; that the message itself stays means that it is delivered again.
            done.map_err(|failure| (failure.settling(&self.queue), None))
        })
    }

    fn abandon(self: Box<Self>) {
        self.postpone(ABANDONED_FOR);
    }
}

impl Held {
    /// Whether the message is somebody else's by now.
    pub(super) fn lost(&self) -> bool {
        self.lease.lost().is_some()
    }

    /// Gives the message back at once, without waiting.
    pub(super) fn give_back(self) {
        self.postpone(Duration::ZERO);
    }

    /// Gives the message back after a time, without waiting.
    pub(super) fn postpone(self, period: Duration) {
        let core = Arc::clone(&self.core);
        core.tasks.spawn_on(
            async move {
                if let Err(failure) = self.put_back(period).await {
                    let reason = failure.settling(&self.queue);
                    tracing::warn!(queue = %self.queue, %reason, "a message could not be given back; it returns when its visibility timeout ends");
                }
            },
            &core.runtime,
        );
    }

    async fn put_back(&self, period: Duration) -> Result<(), Failure> {
        if self.last_chance {
            self.send_anew(period).await?;
            self.remove().await
        } else {
            self.hide(period).await
        }
    }

    /// Everything that must be confirmed before the message may go.
    async fn prepare(&self, outcome: &Outcome) -> Result<(), TransportError> {
        match outcome {
            Outcome::Forward { messages, writes } => {
                if !writes.is_empty() {
                    return Err(TransportError::Misconfigured(
                        "sqs keeps no records: an actor that writes them needs the local transport"
                            .to_owned(),
                    ));
                }
                let sent = messages.iter().map(|message| self.core.publish(message.clone(), None));
                join_all(sent).await.into_iter().collect()
            }
            Outcome::DeadLetter { reason } => dead::bury(self, reason).await,
            Outcome::Retry { after, .. } if self.last_chance => self.publish_anew(*after).await,
            Outcome::Release if self.last_chance => self.publish_anew(Duration::ZERO).await,
            Outcome::Retry { .. } | Outcome::Release => Ok(()),
        }
    }

    async fn publish_anew(&self, delay: Duration) -> Result<(), TransportError> {
        self.send_anew(delay).await.map_err(|failure| failure.publishing(&self.queue))
    }

    /// A copy whose receives count from nothing, and which knows how often it was delivered before.
    async fn send_anew(&self, delay: Duration) -> Result<(), Failure> {
        let before = (DELIVERIES, self.deliveries.to_string());
        let letter = super::letter(self.body.clone(), delay.min(MAX_DELAY), vec![before]);
        self.core.send(&self.queue, letter).await
    }

    async fn remove(&self) -> Result<(), Failure> {
        self.leases.end(&self.lease).await;
        self.core.delete(&self.queue, self.lease.receipt.clone()).await
    }

    async fn hide(&self, period: Duration) -> Result<(), Failure> {
        self.leases.end(&self.lease).await;
        let period = period.min(self.lease.longest_hide());
        self.core.hide(&self.queue, Hide { receipt: self.lease.receipt.clone(), period }).await
    }
}

impl Drop for Held {
    /// Whatever became of it, nobody here works on it any more: a settle that was cancelled half-way must not keep the
    /// message hidden.
    fn drop(&mut self) {
        self.leases.forget(&self.lease);
    }
}
