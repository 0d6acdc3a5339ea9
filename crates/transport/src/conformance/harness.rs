//! What a test program says about its transport.

use std::{sync::Arc, time::Duration};

use asya_envelope::Queue;
use futures::future::BoxFuture;

use crate::{DeadLetters, Queues, Transport};

/// A transport under test: a server (or a file), and how to make clients of it.
pub trait Harness: Send + Sync + 'static {
    /// The column of the table, for example `rabbitmq 3.10`.
    fn name(&self) -> String;

    /// What this transport promises beyond the seam, and how fast it is.
    fn traits(&self) -> Traits;

    /// A new client with connections of its own.
    fn client(&self) -> BoxFuture<'_, anyhow::Result<Client>>;

    /// The name of a queue that does not exist and that no other case uses.
    fn fresh_queue(&self) -> Queue;

    /// Without faults no message is delivered twice. False for a server that is known to hand a message to two
    /// receives at once; then a case asks only that nothing is lost.
    fn delivers_once(&self) -> bool {
        true
    }
}

/// A client with connections of its own.
pub struct Client {
    /// The client.
    pub transport: Arc<dyn Transport>,
    /// The same, for managing queues.
    pub queues: Arc<dyn Queues>,
    /// The same, for dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Cuts every connection at once, as if the process had been killed: nothing is settled, released or flushed,
    /// and it does not reconnect. Deliveries in hand become [`Unsettled::Lost`](crate::Unsettled::Lost).
    pub sever: Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send + Sync>,
}

/// What is true of one transport and not of all.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// The shortest delay that the transport knows; delays are given as multiples of it. Brokers: one second.
    pub delay: Duration,
    /// By how much a delay of [`delay`](Self::delay) may come late, scheduling of a busy machine included.
    pub slack: Duration,
    /// After a client was cut off, its unsettled messages are delivered again within this time (lease included).
    pub redelivery: Duration,
    /// [`Meta::deliveries`](crate::Meta::deliveries) counts every delivery.
    pub counts_deliveries: bool,
    /// [`Meta::attempts`](crate::Meta::attempts) is the value of the retry. Where not, it is deliveries less one.
    pub keeps_attempts: bool,
    /// Dead letters carry the reason they were settled with.
    pub keeps_reason: bool,
    /// [`Queues::depth`] is exact and at once, in all four numbers. Where not, only `ready` and `dead` are looked at,
    /// and they are waited for.
    pub exact_depth: bool,
    /// Ready messages are handed out in order of readiness.
    pub ordered: bool,
    /// The outcome of a delivery takes effect at once and entirely (one transaction). Where not, a message may be
    /// delivered twice when a client is cut off between publishing and removing.
    pub atomic: bool,
    /// Messages of the load cases; servers that are slow per message name fewer.
    pub load: usize,
}
