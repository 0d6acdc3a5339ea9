//! How envelopes travel: the transport seam and its three implementations.
//!
//! | module | holds |
//! |---|---|
//! | [`delivery`] | [`Delivery`], [`Outcome`]: a message in hand, settled exactly once |
//! | [`message`] | [`Outgoing`], [`Meta`]: what is sent, what the transport knows about what came |
//! | [`error`] | [`TransportError`], [`Unsettled`]: decisions for the caller |
//! | [`health`] | [`Health`]: whether a transport works, as others may watch it |
//! | [`broker`] | [`Broker`]: where the queues are, as programs are told it, and how that is opened |
//! | [`source`] | [`Source`]: a credential that is read again whenever it is needed |
//! | [`dead`] | [`DeadLetters`]: what nobody could handle, kept for a person |
//! | `local`, `rabbitmq`, `sqs` | the three siblings |
//! | `conformance` | the behaviour all of them show, as functions for test programs |
//!
//! The invariant of this crate: **a delivery is settled exactly once, and what follows from it is confirmed before it
//! is gone.** There is no acknowledge to call: [`Delivery::settle`] takes the outcome, publishes, waits for every
//! confirmation and only then removes the message; a delivery that is dropped goes back to its queue.

pub mod broker;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod dead;
pub mod delivery;
pub mod error;
pub mod health;
#[cfg(feature = "local")]
pub mod local;
pub mod message;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
pub mod source;
#[cfg(feature = "sqs")]
pub mod sqs;

use std::{num::NonZeroU16, time::Duration};

use asya_envelope::Queue;
use futures::future::BoxFuture;
use tokio::sync::watch;

pub use broker::Broker;
pub use dead::{DeadLetter, DeadLetters, Selection};
pub use delivery::{Delivery, Outcome, Settled, Settlement};
pub use error::{TransportError, Unsettled};
pub use health::Health;
pub use message::{Meta, Outgoing};
pub use source::Source;

/// Longest delay of [`Transport::publish`] and of a retry; longer ones are cut to it. The longest rung of the
/// RabbitMQ retry ladder, and the longest visibility timeout of SQS.
pub const MAX_DELAY: Duration = Duration::from_secs(12 * 60 * 60);

/// How long a delivery stays with its consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// For this long after the last renewal; the transport renews by itself while the delivery lives.
    Renewable(Duration),
    /// For this long in all; nothing can extend it.
    Fixed(Duration),
}

/// A way for envelopes to travel.
pub trait Transport: Send + Sync + 'static {
    /// Begins to consume a queue, with at most `credit` unsettled deliveries at a time. A queue that does not exist
    /// (yet) is not an error here: the consumer waits for it and [`Transport::health`] says so.
    fn consume(
        &self,
        queue: &Queue,
        credit: NonZeroU16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, TransportError>>;

    /// Sends one message; done when the transport has confirmed that it is on its queue. `delay` is capped at
    /// [`MAX_DELAY`].
    ///
    /// # Errors
    /// [`TransportError::Unroutable`] if no such queue exists; never silence.
    fn publish(
        &self,
        message: Outgoing,
        delay: Option<Duration>,
    ) -> BoxFuture<'_, Result<(), TransportError>>;

    /// How long deliveries of this transport stay with their consumer.
    fn lease(&self) -> Lease;

    /// Largest message in bytes that the transport takes, if it sets a bound of its own.
    fn max_message(&self) -> Option<usize>;

    /// Whether the transport works, now and as it changes.
    fn health(&self) -> watch::Receiver<Health>;
}

/// Deliveries of one queue. Dropping it stops consuming; what was received and not handed out goes back to the queue.
pub trait Consumer: Send {
    /// The next delivery. Reconnects by itself with back-off, so it ends in an error only when nothing can be mended.
    /// Cancel safe: no delivery is lost when the future is dropped.
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>>;

    /// Changes how many deliveries may be unsettled at a time. Takes effect for deliveries to come.
    fn set_credit(&mut self, credit: NonZeroU16);
}

/// Managing queues: the operator's and the command line's side of a transport.
pub trait Queues: Send + Sync {
    /// Makes the queue with its dead-letter queue and what delayed retry needs, unless it exists; an existing queue is
    /// used as it is.
    fn ensure<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>>;

    /// Deletes the queue and its dead-letter queue with all their messages; a missing queue is not an error.
    fn delete<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>>;

    /// How many messages wait and are in hand.
    fn depth<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<Depth, TransportError>>;
}

/// How full a queue is. Counts of SQS are approximate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that could be delivered now.
    pub ready: u64,
    /// Messages delivered and not settled; 0 where the transport cannot tell.
    pub in_flight: u64,
    /// Messages whose delay has not passed; 0 where the transport cannot tell.
    pub delayed: u64,
    /// Messages on the dead-letter queue; 0 where the transport cannot tell.
    pub dead: u64,
}
