//! The queues of actors on their brokers: ensured, measured, deleted.
//!
//! One connection per transport, opened at the first use, mended by itself, shared by all actors; used by the leader
//! only.

use asya_transport::Depth;

/// What the broker said of one actor's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queued {
    /// The queue exists and holds so much.
    There(Depth),
    /// It does not exist.
    Missing,
    /// It exists with other arguments than ours; it is used as it is.
    Differs(String),
    /// The broker could not be asked: a sentence.
    Unreachable(String),
}
