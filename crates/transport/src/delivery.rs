//! A message in hand, settled exactly once.

use std::{fmt, time::Duration};

use asya_store::Write;
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{Meta, Outgoing, Unsettled};

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The work is done: these messages follow from it, and these records. The message is removed when all of them are
    /// confirmed. The local transport does it in one transaction; the others need `writes` to be empty.
    Forward {
        /// What is sent on; empty when the message simply ends here.
        messages: Vec<Outgoing>,
        /// What is recorded.
        writes: Vec<Write>,
    },
    /// Again, later.
    Retry {
        /// How long from now, at most [`MAX_DELAY`](crate::MAX_DELAY); may be rounded up by the transport.
        after: Duration,
        /// The value of [`Meta::attempts`] when it comes back.
        attempts: u32,
    },
    /// To the dead-letter queue, body untouched.
    DeadLetter {
        /// Why, for the person who finds it there.
        reason: String,
    },
    /// Back to its queue, as if it had not been delivered.
    Release,
}

impl Outcome {
    /// Done, with these messages to send on.
    pub fn forward(messages: Vec<Outgoing>) -> Self {
        Self::Forward { messages, writes: Vec::new() }
    }
}

/// How a settlement went: on a failure after which the message is still in hand, the settlement comes back.
pub type Settled = Result<(), (Unsettled, Option<Box<dyn Settlement>>)>;

/// The transport's half of a delivery. Called exactly once: by [`Delivery::settle`], or by dropping the delivery.
pub trait Settlement: Send + Sync + 'static {
    /// Carries the outcome out. On a failure after which the message is still in hand, `self` comes back inside the
    /// error, so that another outcome can be tried.
    fn settle(self: Box<Self>, outcome: Outcome) -> BoxFuture<'static, Settled>;

    /// Gives the message back without waiting; at the earliest after one second, so that a panic on each delivery is
    /// not a hot loop. Must not block.
    fn abandon(self: Box<Self>);
}

/// A message in hand. Settle it; if dropped unsettled it goes back to its queue.
#[must_use = "a delivery that is dropped goes back to its queue"]
pub struct Delivery {
    /// The message's body.
    pub body: Bytes,
    /// What the transport knows about it.
    pub meta: Meta,
    settlement: Option<Box<dyn Settlement>>,
}

impl Delivery {
    /// Made by transports.
    pub fn new(body: Bytes, meta: Meta, settlement: Box<dyn Settlement>) -> Self {
        Self { body, meta, settlement: Some(settlement) }
    }

    /// Carries out the outcome: publishes, waits until every publish is confirmed, and only then removes the message.
    ///
    /// Not cancel safe: dropping the future leaves the message where it is, to be delivered again, while successors
    /// may have been published.
    ///
    /// # Errors
    /// [`Unsettled`] with the delivery inside as long as it is still in hand (an unroutable successor, a message too
    /// large, a conflicting write); without it when the connection is gone and the broker will deliver again.
    pub async fn settle(mut self, outcome: Outcome) -> Result<(), (Unsettled, Option<Self>)> {
        let settlement = self.settlement.take().expect("a delivery is consumed by settling it");
        match settlement.settle(outcome).await {
            Ok(()) => Ok(()),
            Err((error, None)) => Err((error, None)),
            Err((error, Some(settlement))) => {
                self.settlement = Some(settlement);
                Err((error, Some(self)))
            }
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(settlement) = self.settlement.take() {
            settlement.abandon();
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("bytes", &self.body.len())
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}
