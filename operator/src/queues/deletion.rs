//! What becomes of a queue whose actor is deleted: a state machine without I/O, stepped by the controller.
//!
//! | from | reading | to |
//! |---|---|---|
//! | any | policy `Retain` | keep |
//! | reading | the queue is missing | done |
//! | reading | policy `Delete` | delete with all that is on it |
//! | reading | policy `DeleteIfEmpty`, something waits or is in hand | keep |
//! | reading | policy `DeleteIfEmpty`, nothing, as often as the broker's counts need | delete if empty |
//! | reading | policy `DeleteIfEmpty`, nothing, not often enough | read again |
//! | reading | the broker is away, for less than the limit | read again |
//! | reading | the broker is away, for longer | keep |
//!
//! The workload is gone by then: messages that its pods still held would count as in hand.

use std::time::Duration;

use asya_resources::DeletionPolicy;
use asya_transport::Depth;
use tokio::time::Instant;

/// Pause before a broker that is away is asked again.
const AWAY_PAUSE: Duration = Duration::from_secs(15);

/// How far the counts of a kind of broker can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Readings in a row that must say "nothing".
    pub readings: u8,
    /// Pause between them.
    pub pause: Duration,
}

impl Trust {
    /// RabbitMQ counts exactly.
    pub const EXACT: Self = Self { readings: 1, pause: Duration::ZERO };
    /// The counts of SQS are those of some of its servers, right about a minute after the last change.
    pub const APPROXIMATE: Self = Self { readings: 3, pause: Duration::from_secs(60) };
}

/// What a reading said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// The queue is there and holds so much.
    Holds(Depth),
    /// There is no such queue.
    Missing,
    /// The broker could not be asked: a sentence.
    Away(String),
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Delete the queue unless something is on it after all.
    DeleteIfEmpty,
    /// Delete the queue with all that is on it.
    Delete,
    /// Leave the queue and let the actor go: a sentence for the Event `QueueRetained`.
    Keep(String),
    /// The queue is gone; let the actor go.
    Done,
    /// Read again after this long. A sentence says why.
    ReadAgain {
        /// The pause.
        after: Duration,
        /// Why, for the log and the condition.
        why: String,
    },
}

/// The deletion of one queue, kept by the controller from step to step. Starting anew (after a restart) is safe: it
/// only takes longer.
#[derive(Clone, Debug)]
pub struct Deletion {
    policy: DeletionPolicy,
    trust: Trust,
    /// How long a broker that is away holds up the deletion.
    limit: Duration,
    /// Readings in a row that said "nothing", and when the last was.
    empty: Option<(u8, Instant)>,
    away_since: Option<Instant>,
}

impl Deletion {
    /// Begins a deletion.
    pub fn new(policy: DeletionPolicy, trust: Trust, limit: Duration) -> Self {
        Self { policy, trust, limit, empty: None, away_since: None }
    }

    /// What is to be done without asking the broker anything, if that is clear.
    pub fn at_once(&self) -> Option<Step> {
        match self.policy {
            DeletionPolicy::Retain => Some(Step::Keep("its deletion policy is Retain".to_owned())),
            DeletionPolicy::DeleteIfEmpty | DeletionPolicy::Delete => None,
        }
    }

    /// How long the next reading must still wait to count.
    pub fn too_early(&self, now: Instant) -> Option<Duration> {
        let (_, last) = self.empty?;
        let waited = now.saturating_duration_since(last);
        (waited < self.trust.pause).then(|| self.trust.pause - waited)
    }

    /// Takes a reading and says what to do next.
    pub fn step(&mut self, reading: Reading, now: Instant) -> Step {
        if let Some(step) = self.at_once() {
            return step;
        }
        match reading {
            Reading::Missing => Step::Done,
            Reading::Away(why) => match self.away(&why, now) {
                Ok(after) => Step::ReadAgain { after, why },
                Err(why) => Step::Keep(why),
            },
            Reading::Holds(depth) => {
                self.away_since = None;
                match self.policy {
                    DeletionPolicy::Delete => Step::Delete,
                    _ if !is_empty(depth) => Step::Keep(format!("it holds {}", counted(depth))),
                    _ => self.nothing(now),
                }
            }
        }
    }

    /// The broker could not be asked, or could not do as asked: when to try again.
    ///
    /// # Errors
    /// It was away for too long: why the queue is kept.
    pub fn away(&mut self, why: &str, now: Instant) -> Result<Duration, String> {
        // What was read before says nothing about what comes after.
        self.empty = None;
        let since = *self.away_since.get_or_insert(now);
        let lasted = now.saturating_duration_since(since);
        if lasted >= self.limit {
            let minutes = lasted.as_secs() / 60;
            return Err(format!("its broker could not be reached for {minutes} min ({why})"));
        }
        Ok(AWAY_PAUSE.min(self.limit - lasted))
    }

    fn nothing(&mut self, now: Instant) -> Step {
        if let Some(early) = self.too_early(now) {
            return Step::ReadAgain { after: early, why: "the last reading was a moment ago".to_owned() };
        }
        let readings = self.empty.map_or(0, |(readings, _)| readings) + 1;
        if readings >= self.trust.readings {
            return Step::DeleteIfEmpty;
        }
        self.empty = Some((readings, now));
        Step::ReadAgain {
            after: self.trust.pause,
            why: format!("reading {readings} of {} found nothing on it", self.trust.readings),
        }
    }
}

/// Dead letters count for themselves: their queue is kept, this one need not be.
fn is_empty(depth: Depth) -> bool {
    depth.ready == 0 && depth.in_flight == 0 && depth.delayed == 0
}

fn counted(depth: Depth) -> String {
    let Depth { ready, in_flight, delayed, dead: _ } = depth;
    let parts = [(ready, "waiting"), (in_flight, "in hand"), (delayed, "delayed")];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    format!("messages: {}", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(600);
    const NOTHING: Depth = Depth { ready: 0, in_flight: 0, delayed: 0, dead: 0 };

    fn deletion(policy: DeletionPolicy, trust: Trust) -> (Deletion, Instant) {
        (Deletion::new(policy, trust, LIMIT), Instant::now())
    }

    #[test]
    fn a_retained_queue_is_kept_without_a_question() {
        let (deletion, _) = deletion(DeletionPolicy::Retain, Trust::EXACT);
        assert_eq!(deletion.at_once(), Some(Step::Keep("its deletion policy is Retain".to_owned())));
    }

    #[test]
    fn one_exact_reading_of_nothing_is_enough() {
        let (mut deletion, now) = deletion(DeletionPolicy::DeleteIfEmpty, Trust::EXACT);
        assert_eq!(deletion.step(Reading::Holds(NOTHING), now), Step::DeleteIfEmpty);
    }

    #[test]
    fn anything_on_the_queue_keeps_it_but_its_dead_letters() {
        for (depth, words) in [
            (Depth { ready: 2, ..NOTHING }, "it holds messages: 2 waiting"),
            (
                Depth { ready: 1, in_flight: 3, delayed: 4, dead: 0 },
                "it holds messages: 1 waiting, 3 in hand, 4 delayed",
            ),
        ] {
            let (mut deletion, now) = deletion(DeletionPolicy::DeleteIfEmpty, Trust::EXACT);
            assert_eq!(deletion.step(Reading::Holds(depth), now), Step::Keep(words.to_owned()));
        }
        let (mut deletion, now) = deletion(DeletionPolicy::DeleteIfEmpty, Trust::EXACT);
        assert_eq!(deletion.step(Reading::Holds(Depth { dead: 9, ..NOTHING }), now), Step::DeleteIfEmpty);
    }

    #[test]
    fn policy_delete_takes_messages_with_it() {
        let (mut deletion, now) = deletion(DeletionPolicy::Delete, Trust::APPROXIMATE);
        assert_eq!(deletion.step(Reading::Holds(Depth { ready: 5, ..NOTHING }), now), Step::Delete);
    }

    #[test]
    fn three_approximate_readings_a_minute_apart_are_needed() {
        let (mut deletion, mut now) = deletion(DeletionPolicy::DeleteIfEmpty, Trust::APPROXIMATE);
        for _ in 0..2 {
            let Step::ReadAgain { after, .. } = deletion.step(Reading::Holds(NOTHING), now) else {
                panic!("one more reading")
            };
            assert_eq!(after, Duration::from_secs(60));
            now += after;
        }
        assert_eq!(deletion.step(Reading::Holds(NOTHING), now), Step::DeleteIfEmpty);
    }

    #[test]
    fn a_reading_that_comes_too_early_does_not_count() {
        let (mut deletion, now) = deletion(DeletionPolicy::DeleteIfEmpty, Trust::APPROXIMATE);
        deletion.step(Reading::Holds(NOTHING), now);
        for second in [1, 20, 59] {
            let at = now + Duration::from_secs(second);
            assert_eq!(deletion.too_early(at), Some(Duration::from_secs(60 - second)));
            assert!(matches!(deletion.step(Reading::Holds(NOTHING), at), Step::ReadAgain { .. }), "{second}");
        }
        assert_eq!(deletion.too_early(now + Duration::from_secs(60)), None);
    }

    #[test]
    fn a_message_that_shows_in_the_last_reading_keeps_the_queue() {
        let (mut deletion, now) = deletion(DeletionPolicy::DeleteIfEmpty, Trust::APPROXIMATE);
        deletion.step(Reading::Holds(NOTHING), now);
        let later = now + Duration::from_secs(60);
        let step = deletion.step(Reading::Holds(Depth { in_flight: 1, ..NOTHING }), later);
        assert_eq!(step, Step::Keep("it holds messages: 1 in hand".to_owned()));
    }

    #[test]
    fn a_queue_that_is_gone_is_done_with() {
        for policy in [DeletionPolicy::DeleteIfEmpty, DeletionPolicy::Delete] {
            let (mut deletion, now) = deletion(policy, Trust::APPROXIMATE);
            assert_eq!(deletion.step(Reading::Missing, now), Step::Done);
        }
    }

    #[test]
    fn a_broker_that_is_away_holds_up_the_deletion_for_its_limit_and_no_longer() {
        for policy in [DeletionPolicy::DeleteIfEmpty, DeletionPolicy::Delete] {
            let (mut deletion, began) = deletion(policy, Trust::EXACT);
            let mut now = began;
            let kept = loop {
                match deletion.step(Reading::Away("refused".to_owned()), now) {
                    Step::ReadAgain { after, .. } => now += after,
                    step => break step,
                }
            };
            assert_eq!(now - began, LIMIT);
            assert_eq!(kept, Step::Keep("its broker could not be reached for 10 min (refused)".to_owned()));
        }
    }

    #[test]
    fn a_broker_that_came_back_begins_a_new_limit_and_new_readings() {
        let (mut deletion, now) = deletion(DeletionPolicy::DeleteIfEmpty, Trust::APPROXIMATE);
        deletion.step(Reading::Holds(NOTHING), now);
        let away = now + Duration::from_secs(60);
        deletion.step(Reading::Away("x".to_owned()), away);
        let back = away + LIMIT - Duration::from_secs(1);
        let step = deletion.step(Reading::Holds(NOTHING), back);
        assert!(
            matches!(&step, Step::ReadAgain { why, .. } if why.starts_with("reading 1 of 3")),
            "{step:?}"
        );
        let again = deletion.step(Reading::Away("x".to_owned()), back + LIMIT);
        assert!(matches!(again, Step::ReadAgain { .. }), "{again:?}");
    }
}
