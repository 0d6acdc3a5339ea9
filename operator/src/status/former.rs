//! Pure: queues that an actor owned before its transport or the queue template changed.

use asya_resources::{AsyncActorStatus, FormerQueue};
use jiff::Timestamp;

/// Reason of the condition and the Event.
pub const LEFT_BEHIND: &str = "QueueLeftBehind";

/// A queue that the actor left behind, and what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    /// The queue.
    pub queue: FormerQueue,
    /// What was found on it, with numbers: the end of a sentence. Empty = it was not looked for.
    pub found: String,
}

impl Former {
    /// A queue that was not looked for.
    pub fn of(queue: FormerQueue) -> Self {
        Self { queue, found: String::new() }
    }

    /// For the Event.
    pub(super) fn told(&self) -> String {
        let FormerQueue { transport, name, left_time: _ } = &self.queue;
        let found = if self.found.is_empty() { "what is on it was not counted yet" } else { &self.found };
        format!(
            "queue {name} on transport {transport} was left behind, {found}: have its messages worked on by the old \
             transport or queue template, move them with the broker's tools, or delete it by hand (docs/queues.md)"
        )
    }
}

/// What the actor leaves and has left behind when it owns the queue `name` on `transport` from now on.
pub fn left(previous: &AsyncActorStatus, transport: &str, name: &str, now: Timestamp) -> Vec<Former> {
    let mut queues = previous.former_queues.clone();
    if let Some(owned) = &previous.queue
        && !queues.iter().any(|known| known.is(&owned.transport, &owned.name))
    {
        queues.push(FormerQueue {
            transport: owned.transport.clone(),
            name: owned.name.clone(),
            left_time: super::counts::text(now),
        });
    }
    queues.retain(|queue| !queue.is(transport, name));
    queues.into_iter().map(Former::of).collect()
}

#[cfg(test)]
mod tests {
    use asya_resources::QueueStatus;

    use super::*;

    fn owns(transport: &str, name: &str) -> AsyncActorStatus {
        let (transport, name) = (transport.to_owned(), name.to_owned());
        let queue = Some(QueueStatus { transport, name, dead_letter: None, counted_time: None });
        AsyncActorStatus { queue, ..AsyncActorStatus::default() }
    }

    fn places(former: &[Former]) -> Vec<(&str, &str)> {
        former.iter().map(|former| (former.queue.transport.as_str(), former.queue.name.as_str())).collect()
    }

    #[test]
    fn a_change_of_transport_or_of_the_queues_name_is_remembered_until_it_is_taken_back() {
        let now = Timestamp::UNIX_EPOCH;
        let mut status = owns("old", "asya-ocr");
        assert_eq!(places(&left(&status, "old", "asya-ocr", now)), []);
        assert_eq!(places(&left(&status, "old", "asya-team-ocr", now)), [("old", "asya-ocr")]);
        let former = left(&status, "new", "asya-ocr", now);
        assert_eq!(places(&former), [("old", "asya-ocr")]);

        status = owns("new", "asya-ocr");
        status.former_queues = former.into_iter().map(|former| former.queue).collect();
        let later = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_secs(60);
        let again = left(&status, "new", "asya-ocr", later);
        assert_eq!(again[0].queue, status.former_queues[0], "with the time at which it was left");
        assert_eq!(
            places(&left(&status, "third", "asya-ocr", later)),
            [("old", "asya-ocr"), ("new", "asya-ocr")]
        );
        assert_eq!(places(&left(&status, "old", "asya-ocr", later)), [("new", "asya-ocr")]);
    }
}
