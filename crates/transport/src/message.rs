//! What is sent, and what the transport knows about what came.

use std::time::SystemTime;

use asya_envelope::Queue;
use bytes::Bytes;

/// One message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The queue it is for.
    pub queue: Queue,
    /// The envelope as it goes over the wire. Cheap to clone.
    pub body: Bytes,
}

/// What the transport knows about a message that arrived; never part of its body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// How many times the message has been handed to a consumer, this time included (1 = first). Where the broker
    /// counts, its count; else the transport's own.
    pub deliveries: u32,
    /// Handler runs of this message that ended in the handler's own failure or timeout, as the last
    /// [`Retry`](crate::Outcome::Retry) said. On SQS: the receive count less one.
    pub attempts: u32,
    /// The last permitted delivery: if this one is not settled the broker itself moves the message to the dead-letter
    /// queue.
    pub last_chance: bool,
    /// When the message was sent, if the transport knows.
    pub sent_at: Option<SystemTime>,
}
