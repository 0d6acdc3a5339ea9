//! The queues of actors on their brokers: ensured, measured, deleted.
//!
//! | module | holds |
//! |---|---|
//! | [`brokers`] | [`Brokers`]: all transports; what the controllers call |
//! | `broker` | one transport: its connection, its credentials |
//! | [`conflicts()`] | pure: who owns a queue when several actors resolve to it |
//! | [`counts`] | pure: when counts are worth a write of the status |
//! | [`deletion`] | [`Deletion`]: what becomes of the queue of a deleted actor, step by step |
//! | [`projection`] | the Secret with the credentials in a namespace that is listed |
//! | [`retirement`] | [`Retirement`]: a deletion with its I/O, stepped by the controller |
//! | [`problem`] | [`Problem`]: why a queue is not as it should be |
//!
//! One connection per transport, opened at the first use, mended by itself, shared by all actors; used by the leader
//! only.

mod broker;
pub mod brokers;
mod conflicts;
pub mod counts;
pub mod deletion;
pub mod problem;
pub mod projection;
pub mod retirement;

use asya_transport::Depth;

pub use brokers::{Brokers, Whose};
pub use conflicts::{Claim, conflicts};
pub use deletion::Deletion;
pub use problem::Problem;
pub use retirement::{Retired, Retirement};

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
