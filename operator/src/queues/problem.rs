//! Why a queue is not as it should be, as decisions for the reconciler.

use std::time::Duration;

use asya_transport::TransportError;

/// After a queue of SQS was deleted, its name is free again only 60 s later.
const DELETED_RECENTLY: Duration = Duration::from_secs(65);
/// The service's code for it.
const DELETED_RECENTLY_CODE: &str = "QueueDeletedRecently";

/// Why a queue is not as it should be. Each holds a sentence for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No such transport is configured, or it is off: only another configuration helps.
    #[error("{0}")]
    InvalidTransport(String),
    /// The queue does not exist and we may not make it: a person must.
    #[error("{0}")]
    QueueMissing(String),
    /// The broker refuses: credentials, permissions, a name that it cannot have.
    #[error("{0}")]
    Refused(String),
    /// The broker cannot be reached; it is being tried again.
    #[error("{0}")]
    Unreachable(String),
    /// The broker asks for patience.
    #[error("{why}")]
    Later {
        /// A sentence.
        why: String,
        /// When to ask again.
        after: Duration,
    },
}

impl Problem {
    /// The reason of the condition `TransportReady`.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::InvalidTransport(_) => "InvalidTransport",
            Self::QueueMissing(_) => "QueueMissing",
            Self::Refused(_) => "BrokerRefused",
            Self::Unreachable(_) => "BrokerUnreachable",
            Self::Later { .. } => "QueueDeletedRecently",
        }
    }

    /// When to ask again, if the broker said so; else the caller's own back-off decides.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Later { after, .. } => Some(*after),
            _ => None,
        }
    }

    /// Reads what a broker answered.
    pub(super) fn of(transport: &str, error: TransportError) -> Self {
        let text = format!("transport {transport:?}: {error}");
        match error {
            TransportError::Unavailable(why) if why.contains(DELETED_RECENTLY_CODE) => {
                Self::Later { why: text, after: DELETED_RECENTLY }
            }
            TransportError::Unavailable(why) if is_refusal(&why) => Self::Refused(text),
            TransportError::Unavailable(_) => Self::Unreachable(text),
            TransportError::Unroutable { .. } => Self::QueueMissing(text),
            TransportError::Misconfigured(_)
            | TransportError::Refused { .. }
            | TransportError::TooLarge { .. } => Self::Refused(text),
        }
    }
}

/// A connection that is tried again and again says only in words that the broker turns it away.
pub(super) fn is_refusal(why: &str) -> bool {
    ["ACCESS_REFUSED", "ACCESS-REFUSED", "NOT_ALLOWED", "NOT-ALLOWED"].iter().any(|code| why.contains(code))
}
