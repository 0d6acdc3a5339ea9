//! The queues of actors on their brokers: ensured, measured, deleted.
//!
//! | module | holds |
//! |---|---|
//! | [`brokers`] | [`Brokers`]: all transports; what the controllers call |
//! | `broker` | one transport: its connection, its credentials |
//! | [`problem`] | [`Problem`]: why a queue is not as it should be |
//!
//! One connection per transport, opened at the first use, mended by itself, shared by all actors; used by the leader
//! only.

mod broker;
pub mod brokers;
pub mod problem;

use asya_transport::Depth;

pub use brokers::{Brokers, Whose};
pub use problem::Problem;

/// What the broker said of one actor's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Queued {
    /// The queue exists and holds so much.
    There(Depth),
    /// It does not exist.
    Missing,
    /// It exists with other arguments than ours; it is used as it is.
    Differs {
        /// What it holds.
        depth: Depth,
        /// In which way, in a sentence.
        how: String,
    },
    /// The broker could not be asked: a sentence.
    Unreachable(String),
}

impl Queued {
    /// What the queue holds, if that is known.
    pub fn depth(&self) -> Option<Depth> {
        match self {
            Self::There(depth) | Self::Differs { depth, .. } => Some(*depth),
            Self::Missing | Self::Unreachable(_) => None,
        }
    }
}
