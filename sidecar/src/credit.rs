//! How many messages may be in hand: what the handler runs, plus a look-ahead that grows only for fast handlers and
//! shrinks before large messages.

use std::time::Duration;

use asya_handler::Capacity;

/// The look-ahead grows while what waits in it is handled within this time: short enough that new replicas find work.
const LOOK_AHEAD_TIME: Duration = Duration::from_millis(100);
/// Runs and messages that a window of observations holds; two windows are looked at.
const WINDOW: u32 = 512;
/// A message's share of the budget: itself and what follows from it.
const COPIES: usize = 2;
/// Size that a message is taken to have until one was seen.
const FIRST_GUESS: usize = 16 * 1024;
/// Buckets of handler times: powers of two from 1 us.
const BUCKETS: usize = 40;

/// Observes messages and runs, and says what credit they allow.
#[derive(Clone, Debug)]
pub(crate) struct Credit {
    budget: usize,
    max_look_ahead: usize,
    sizes: [usize; 2],
    seen: u32,
    times: [[u32; BUCKETS]; 2],
    runs: u32,
}

impl Credit {
    pub(crate) fn new(budget: usize, max_look_ahead: usize) -> Self {
        Self { budget, max_look_ahead, sizes: [FIRST_GUESS, 0], seen: 0, times: [[0; BUCKETS]; 2], runs: 0 }
    }

    /// A message of this size has come.
    pub(crate) fn saw(&mut self, bytes: usize) {
        self.sizes[0] = self.sizes[0].max(bytes);
        self.seen += 1;
        if self.seen == WINDOW {
            (self.sizes, self.seen) = ([1, self.sizes[0]], 0);
        }
    }

    /// A run has ended that took this long while `beside` requests of `running` at once were in the handler: what it
    /// waited for the others is not its own time.
    pub(crate) fn ran(&mut self, took: Duration, beside: usize, running: usize) {
        let share = beside.max(1).div_ceil(running.max(1));
        let micros = took.as_micros() / share as u128;
        let bucket = (128 - micros.leading_zeros()).min(BUCKETS as u32 - 1) as usize;
        self.times[0][bucket] += 1;
        self.runs += 1;
        if self.runs == WINDOW {
            (self.times, self.runs) = ([[0; BUCKETS], self.times[0]], 0);
        }
    }

    /// The credit for this capacity: at least 1.
    pub(crate) fn of(&self, capacity: Capacity) -> usize {
        let least = capacity.look_ahead.max(capacity.running);
        let fast = self.p99().map_or(0, |time| {
            usize::try_from(LOOK_AHEAD_TIME.as_micros() / time.as_micros().max(1)).unwrap_or(usize::MAX)
        });
        let look_ahead = least.max(fast.min(self.max_look_ahead));
        // A one-shot runtime says that nothing may wait behind the one that runs.
        let look_ahead = if capacity.look_ahead == 0 { 1 } else { look_ahead };
        let affordable = self.budget / (COPIES * self.sizes[0].max(self.sizes[1]).max(1));
        (capacity.running + look_ahead).min(affordable).clamp(1, u16::MAX.into())
    }

    fn p99(&self) -> Option<Duration> {
        let total: u32 = self.times.iter().flatten().sum();
        let mut above = total / 100;
        for bucket in (0..BUCKETS).rev() {
            let count = self.times[0][bucket] + self.times[1][bucket];
            if count > above {
                return Some(Duration::from_micros(1 << bucket));
            }
            above -= count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: usize = 64 * 1024 * 1024;
    const WORKERS: Capacity = Capacity { running: 4, look_ahead: 4 };

    #[test]
    fn without_experience_one_message_waits_per_worker() {
        assert_eq!(Credit::new(BUDGET, 256).of(WORKERS), 8);
        assert_eq!(Credit::new(BUDGET, 256).of(Capacity::ONE), 2);
    }

    #[test]
    fn fast_handlers_get_a_long_look_ahead_and_slow_ones_none_beyond_the_least() {
        let mut fast = Credit::new(BUDGET, 256);
        let mut slow = fast.clone();
        for _ in 0..WINDOW {
            fast.ran(Duration::from_micros(50), 1, 4);
            slow.ran(Duration::from_secs(10), 1, 4);
        }
        assert_eq!(fast.of(WORKERS), 4 + 256);
        assert_eq!(slow.of(WORKERS), 8);
    }

    #[test]
    fn waiting_behind_others_does_not_make_a_handler_slow() {
        let mut credit = Credit::new(BUDGET, 256);
        for _ in 0..WINDOW {
            credit.ran(Duration::from_millis(8), 16, 1);
        }
        assert!(credit.of(WORKERS) > 4 + 64, "0.5 ms each");
    }

    #[test]
    fn large_messages_shrink_the_credit_to_the_budget_and_never_below_one() {
        let mut credit = Credit::new(BUDGET, 256);
        credit.saw(8 * 1024 * 1024);
        assert_eq!(credit.of(WORKERS), 4);
        credit.saw(BUDGET);
        assert_eq!(credit.of(WORKERS), 1);
        for _ in 0..2 * WINDOW {
            credit.saw(100);
        }
        assert_eq!(credit.of(WORKERS), 8, "large messages are forgotten");
    }
}
