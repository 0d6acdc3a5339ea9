//! One run of a handler.

use std::time::Duration;

use asya_envelope::Envelope;
use bytes::Bytes;

/// One run of a handler on one envelope.
#[derive(Clone, Debug)]
pub struct Request {
    /// The envelope, checked and at this actor.
    pub envelope: Envelope,
    /// The message body it was read from: what a one-shot runtime receives, unmodified.
    pub body: Bytes,
    /// The actor that handles it.
    pub actor: String,
    /// Which run of the handler this is, 1-based.
    pub attempt: u32,
    /// How long the handler may take once it has started.
    pub timeout: Duration,
}
