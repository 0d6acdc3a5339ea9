//! Messages wait and nothing moves.

use asya_transport::Depth;
use jiff::{SignedDuration, Timestamp};

/// Waiting for less is not worth an alarm, however short the handler's time limit.
const LEAST: SignedDuration = SignedDuration::from_mins(5);

/// What one actor's queue did since it last moved. Kept in memory: a restart of the operator begins anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stall {
    /// Since when as many messages as then, or more, wait.
    since: Option<Timestamp>,
    waiting: u64,
}

impl Stall {
    /// Takes a new depth in. Any settled message shows as a smaller sum, unless as many arrive: then in-flight
    /// messages show that work goes on. Those of a `paused` actor wait because somebody wants them to.
    pub fn observe(&mut self, depth: Depth, ready_pods: i32, paused: bool, now: Timestamp) {
        let waiting = depth.ready + depth.in_flight;
        let working = depth.in_flight > 0 && ready_pods > 0;
        if depth.ready == 0 || waiting < self.waiting || working || paused {
            self.since = None;
        }
        self.waiting = waiting;
        if depth.ready > 0 && !paused && self.since.is_none() {
            self.since = Some(now);
        }
    }

    /// A sentence once nothing moved for longer than one run of the handler may take, and five minutes.
    pub fn sentence(&self, processing: SignedDuration, now: Timestamp) -> Option<String> {
        let waited = now.duration_since(self.since?);
        (waited > LEAST.max(processing)).then(|| {
            format!(
                "{} messages wait and none was handled for {} minutes: look at the pods' logs and at the condition \
                 WorkloadReady",
                self.waiting,
                // Rounded, so that the sentence does not change with every look.
                waited.as_mins() / 5 * 5
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::from_second(minute * 60).unwrap()
    }

    fn depth(ready: u64, in_flight: u64) -> Depth {
        Depth { ready, in_flight, ..Depth::default() }
    }

    #[test]
    fn a_queue_that_nobody_reads_stalls() {
        let mut stall = Stall::default();
        stall.observe(depth(3, 0), 1, false, at(0));
        stall.observe(depth(4, 0), 1, false, at(4));
        assert_eq!(stall.sentence(SignedDuration::from_secs(1), at(4)), None);
        let sentence = stall.sentence(SignedDuration::from_secs(1), at(6)).unwrap();
        assert!(sentence.contains("4 messages") && sentence.contains(" 5 minutes"), "{sentence}");
        assert_eq!(stall.sentence(SignedDuration::from_mins(10), at(6)), None, "one run may take longer");
    }

    #[test]
    fn a_queue_that_moves_never_stalls() {
        let mut stall = Stall::default();
        for minute in 0..60 {
            stall.observe(depth(100 - u64::try_from(minute).unwrap(), 0), 1, false, at(minute));
            assert_eq!(stall.sentence(SignedDuration::ZERO, at(minute)), None);
        }
        stall.observe(depth(50, 2), 1, false, at(70));
        assert_eq!(stall.sentence(SignedDuration::ZERO, at(75)), None, "it works on two");
    }

    #[test]
    fn a_paused_actor_never_stalls_and_is_given_time_when_it_goes_on() {
        let mut stall = Stall::default();
        stall.observe(depth(3, 0), 1, false, at(0));
        for minute in 1..60 {
            stall.observe(depth(3, 0), 0, true, at(minute));
            assert_eq!(stall.sentence(SignedDuration::ZERO, at(minute)), None);
        }
        stall.observe(depth(3, 0), 1, false, at(60));
        assert_eq!(stall.sentence(SignedDuration::ZERO, at(65)), None);
        assert!(stall.sentence(SignedDuration::ZERO, at(66)).is_some());
    }

    #[test]
    fn messages_in_flight_at_no_pod_are_no_progress() {
        let mut stall = Stall::default();
        stall.observe(depth(5, 2), 0, false, at(0));
        stall.observe(depth(5, 2), 0, false, at(6));
        assert!(stall.sentence(SignedDuration::ZERO, at(6)).is_some());
    }
}
