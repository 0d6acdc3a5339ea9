//! What a transport answers when it cannot do as asked. The variants are the decisions that a caller takes.

use std::time::Duration;

use asya_envelope::Queue;

/// Why a transport did not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TransportError {
    /// The queue does not exist: wait for it, or send elsewhere.
    #[error("queue {queue:?} not found")]
    Unroutable {
        /// The queue that is missing.
        queue: Queue,
    },
    /// The message is larger than the transport takes: no later try can succeed.
    #[error("message of {size} bytes for queue {queue:?} is over the limit of {limit} bytes")]
    TooLarge {
        /// The queue it was for.
        queue: Queue,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The transport refuses this very message: no later try can succeed.
    #[error("queue {queue:?} refused the message: {reason}")]
    Refused {
        /// The queue it was for.
        queue: Queue,
        /// The transport's own words.
        reason: String,
    },
    /// The transport is away; it is being reached for, and a later try may succeed.
    #[error("transport is unavailable: {0}")]
    Unavailable(String),
    /// The configuration is wrong (credentials, address, a kind of queue that is not supported): trying again is
    /// pointless until a person changes it.
    #[error("{0}")]
    Misconfigured(String),
}

/// Why a delivery was not settled.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unsettled {
    /// A successor could not be published. Those published before it stay published: they have the same ids next time.
    #[error(transparent)]
    Publish(#[from] TransportError),
    /// A record had moved on; handle the message again.
    #[error("conflict on record {0}")]
    Conflict(String),
    /// The delivery is no longer ours (connection lost, lease expired): the transport delivers the message again.
    #[error("delivery was lost: {0}")]
    Lost(String),
}

impl TransportError {
    /// A pause that suits this error before the next try.
    pub fn pause(&self) -> Duration {
        match self {
            Self::Unroutable { .. } => Duration::from_secs(1),
            _ => Duration::from_millis(200),
        }
    }
}
