//! A circuit breaker, as a pure state machine.
//!
//! | state | event | next |
//! |---|---|---|
//! | closed | failure, the `failures`-th in a row | open for `pause` |
//! | closed | success | closed, counts from zero |
//! | open | the pause is over | one call goes through: probing |
//! | probing | the probe succeeds | closed |
//! | probing | the probe fails | open, twice as long, at most `most` |
//! | probing | the probe is dropped | open, and over at once: the next call probes |
//!
//! Beside it a gate: a provider that says "wait" is left alone by every call until then, whatever the state.

use std::time::Duration;

use tokio::time::Instant;

/// What a call hears while a probe runs: come back soon. The probe's outcome decides, and if it is a good one nobody should
/// still keep away for the pause that a bad one would have meant.
const WHILE_PROBING: Duration = Duration::from_secs(1);

/// When it opens and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaking {
    /// Failures in a row that open it; at least 1.
    pub failures: u32,
    /// The first pause.
    pub pause: Duration,
    /// The longest.
    pub most: Duration,
}

impl Default for Breaking {
    /// Five calls that all failed three times are no hiccup; a provider that is back is noticed within five minutes.
    fn default() -> Self {
        Self { failures: 5, pause: Duration::from_secs(15), most: Duration::from_secs(300) }
    }
}

/// The state.
#[derive(Debug)]
pub struct Breaker {
    breaking: Breaking,
    state: State,
    not_before: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { until: Instant, pause: Duration },
    Probing { pause: Duration },
}

/// Whether a call may be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Yes. `probe`: it is the one that tries whether the provider is back.
    Go {
        /// To be handed back with the outcome.
        probe: bool,
    },
    /// The provider asked for a pause that lasts this long.
    Wait(Duration),
    /// It is open for this long, or a probe runs whose outcome will be known about then.
    Open(Duration),
}

impl Breaker {
    /// A closed one.
    pub fn new(breaking: Breaking) -> Self {
        Self { breaking, state: State::Closed { failures: 0 }, not_before: None }
    }

    /// Asks for one call.
    pub fn admit(&mut self, now: Instant) -> Admission {
        if let Some(left) = self.not_before.and_then(|until| until.checked_duration_since(now)) {
            if !left.is_zero() {
                return Admission::Wait(left);
            }
            self.not_before = None;
        }
        match self.state {
            State::Closed { .. } => Admission::Go { probe: false },
            State::Open { until, pause } if until <= now => {
                self.state = State::Probing { pause };
                Admission::Go { probe: true }
            }
            State::Open { until, .. } => Admission::Open(until - now),
            State::Probing { .. } => Admission::Open(WHILE_PROBING),
        }
    }

    /// The provider asked for a pause of `after`. It answers: a probe has succeeded.
    pub fn told(&mut self, now: Instant, after: Duration) {
        let until = now + after;
        self.not_before = Some(self.not_before.map_or(until, |known| known.max(until)));
        self.succeeded();
    }

    /// A call was answered, be it with a refusal.
    pub fn succeeded(&mut self) {
        self.state = State::Closed { failures: 0 };
    }

    /// A call failed because the provider did.
    pub fn failed(&mut self, now: Instant, probe: bool) {
        let Breaking { failures: limit, pause: first, most } = self.breaking;
        self.state = match self.state {
            State::Closed { failures } if failures + 1 >= limit => {
                State::Open { until: now + first, pause: first }
            }
            State::Closed { failures } => State::Closed { failures: failures + 1 },
            State::Probing { pause } if probe => {
                let pause = pause.saturating_mul(2).min(most);
                State::Open { until: now + pause, pause }
            }
            // A call that began before it opened says nothing new.
            State::Probing { pause } => State::Probing { pause },
            State::Open { until, pause } => State::Open { until, pause },
        };
    }

    /// A call was dropped before its outcome was known.
    pub fn dropped(&mut self, now: Instant, probe: bool) {
        if let (true, State::Probing { pause }) = (probe, &self.state) {
            self.state = State::Open { until: now, pause: *pause };
        }
    }

    /// Whether calls are refused; for a metric.
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(Breaking { failures: 2, pause: SECOND, most: 3 * SECOND }), Instant::now())
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_half_opens_for_one_call() {
        let (mut breaker, now) = breaker();
        breaker.failed(now, false);
        breaker.succeeded();
        breaker.failed(now, false);
        assert_eq!(breaker.admit(now), Admission::Go { probe: false });
        breaker.failed(now, false);
        assert!(breaker.is_open());
        assert_eq!(breaker.admit(now), Admission::Open(SECOND));
        let later = now + SECOND;
        assert_eq!(breaker.admit(later), Admission::Go { probe: true });
        assert_eq!(breaker.admit(later), Admission::Open(SECOND));
        breaker.succeeded();
        assert_eq!(breaker.admit(later), Admission::Go { probe: false });
        assert!(!breaker.is_open());
    }

    #[test]
    fn a_failed_probe_doubles_the_pause_up_to_the_longest() {
        let (mut breaker, mut now) = breaker();
        breaker.failed(now, false);
        breaker.failed(now, false);
        for pause in [SECOND, 2 * SECOND, 3 * SECOND, 3 * SECOND] {
            assert_eq!(breaker.admit(now), Admission::Open(pause));
            now += pause;
            assert_eq!(breaker.admit(now), Admission::Go { probe: true });
            breaker.failed(now, false);
            assert_eq!(breaker.admit(now), Admission::Open(WHILE_PROBING), "a call from before says nothing");
            breaker.failed(now, true);
        }
    }

    #[test]
    fn who_comes_while_a_probe_runs_does_not_keep_away_for_the_pause_of_its_failure() {
        let now = Instant::now();
        let pause = Duration::from_secs(300);
        let mut breaker = Breaker::new(Breaking { failures: 1, pause, most: pause });
        breaker.failed(now, false);
        let now = now + pause;
        assert_eq!(breaker.admit(now), Admission::Go { probe: true });
        assert_eq!(breaker.admit(now), Admission::Open(WHILE_PROBING));
        breaker.succeeded();
        assert_eq!(breaker.admit(now), Admission::Go { probe: false });
    }

    #[test]
    fn a_dropped_probe_lets_the_next_call_probe() {
        let (mut breaker, now) = breaker();
        breaker.failed(now, false);
        breaker.failed(now, false);
        let now = now + SECOND;
        assert_eq!(breaker.admit(now), Admission::Go { probe: true });
        breaker.dropped(now, false);
        assert_eq!(breaker.admit(now), Admission::Open(SECOND));
        breaker.dropped(now, true);
        assert_eq!(breaker.admit(now), Admission::Go { probe: true });
    }

    #[test]
    fn a_pause_that_was_asked_for_holds_everybody_and_never_shrinks() {
        let (mut breaker, now) = breaker();
        breaker.told(now, 5 * SECOND);
        breaker.told(now, SECOND);
        assert_eq!(breaker.admit(now + SECOND), Admission::Wait(4 * SECOND));
        assert_eq!(breaker.admit(now + 5 * SECOND), Admission::Go { probe: false });
    }
}
