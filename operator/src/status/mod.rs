//! Pure: what was observed of an actor becomes its status and the events that a person cares about.
//!
//! | module | holds |
//! |---|---|
//! | [`observed`] | [`Observed`]: everything that a status depends on |
//! | [`pods`] | [`Pod`], [`Trouble`]: what keeps a pod from working |
//! | [`conditions`] | the condition types, and when their times change |
//! | [`word`] | deciding the [`Word`] of `kubectl get` |
//! | [`events`] | [`Event`]: transitions worth telling |
//! | [`stall`] | [`Stall`]: messages wait and nothing moves |
//! | [`former`] | [`Former`]: queues that the actor left behind |
//! | [`counts`] | replicas and messages, and when they are worth a write |

pub mod conditions;
pub mod counts;
pub mod events;
pub mod former;
pub mod observed;
pub mod pods;
pub mod stall;
pub mod word;

use asya_resources::AsyncActorStatus;

pub use asya_resources::Word;
pub use events::Event;
pub use former::Former;
pub use observed::{Observed, Replicas, Verdict};
pub use pods::{Pod, Trouble};
pub use stall::Stall;

/// A status to be written if it differs from the old one, and what to tell about the way there.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The status.
    pub status: AsyncActorStatus,
    /// What happened since the previous status.
    pub events: Vec<Event>,
}

/// The status that follows from what was observed. The same observation gives the same status: nothing in it moves
/// with time alone.
pub fn report(observed: &Observed<'_>) -> Report {
    let mut status = observed.previous.clone();
    counts::replicas(&mut status, observed);
    counts::messages(&mut status, observed);
    status.former_queues = observed.former.iter().map(|former| former.queue.clone()).collect();
    conditions::set(&mut status, observed);
    status.status = Some(word::decide(observed, &status).as_str().to_owned());
    // A deleted object keeps the generation that was acted on.
    if observed.deleting.is_none() {
        status.observed_generation = Some(observed.generation);
    }
    let events = events::between(observed.previous, &status, observed);
    Report { status, events }
}

#[cfg(test)]
mod tests;
