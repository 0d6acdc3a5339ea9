//! Dead letters: messages that nobody could handle, kept for a person.

use std::time::SystemTime;

use asya_envelope::Queue;
use bytes::Bytes;
use futures::future::BoxFuture;

use crate::TransportError;

/// A message on a dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What [`Selection::Ids`] takes; given by the transport, unique within the dead-letter queue. Not the envelope's
    /// id: the body of a dead letter need not be an envelope.
    pub id: String,
    /// The body as it was delivered.
    pub body: Bytes,
    /// Why it is here; empty if the broker moved it by itself.
    pub reason: String,
    /// Handler runs that had failed.
    pub attempts: u32,
    /// Since when it is here, if the transport knows.
    pub dead_since: Option<SystemTime>,
    /// The queue it was on, if the transport knows.
    pub source: Option<Queue>,
}

/// Which dead letters are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every one that is there when the call begins.
    All,
    /// Those with these ids; an id that is not there is passed over.
    Ids(Vec<String>),
}

impl Selection {
    /// Whether the dead letter with this id is meant.
    pub fn contains(&self, id: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.iter().any(|wanted| wanted == id),
        }
    }
}

/// Looking after dead letters. Every `queue` is the queue that the messages were on, not its dead-letter queue.
pub trait DeadLetters: Send + Sync {
    /// The oldest dead letters of a queue, at most `limit`.
    ///
    /// # Errors
    /// [`TransportError::Unroutable`] if the queue or its dead-letter queue does not exist.
    fn list<'a>(
        &'a self,
        queue: &'a Queue,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, TransportError>>;

    /// One dead letter; `None` if it is not there.
    ///
    /// # Errors
    /// As [`list`](Self::list).
    fn show<'a>(
        &'a self,
        queue: &'a Queue,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeadLetter>, TransportError>>;

    /// Puts dead letters back on their queue with fresh counters and says how many. Each is on its queue before it
    /// leaves the dead-letter queue.
    ///
    /// # Errors
    /// As [`list`](Self::list); those replayed before the error stay replayed.
    fn replay<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>>;

    /// Deletes dead letters for good and says how many. (Not called `drop`: on an `Arc` that would mean its
    /// destructor.)
    ///
    /// # Errors
    /// As [`list`](Self::list).
    fn discard<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>>;
}
