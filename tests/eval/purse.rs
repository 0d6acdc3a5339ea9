//! What all conversations together may use. Each reserves the most that it may take and gives back what it did not, so that
//! several at a time cannot overdraw it together.

use std::sync::{Mutex, MutexGuard, PoisonError};

use asya_session::Usage;
use tokio::sync::Notify;

/// What a million tokens cost, read and written; 0 where nobody says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Prices {
    /// Of a question.
    pub(crate) input: f64,
    /// Of an answer.
    pub(crate) output: f64,
}

impl Prices {
    /// What this much costs.
    #[allow(clippy::cast_precision_loss, reason = "tokens of an evaluation are far below 2^52")]
    pub(crate) fn cost(self, usage: Usage) -> f64 {
        (usage.input as f64 * self.input + usage.output as f64 * self.output) / 1e6
    }

    /// Whether anybody says.
    pub(crate) fn known(self) -> bool {
        self != Self::default()
    }
}

/// What is left.
pub(crate) struct Purse {
    each: u64,
    prices: Prices,
    left: Mutex<Left>,
    changed: Notify,
}

struct Left {
    tokens: u64,
    money: f64,
    running: usize,
}

impl Purse {
    /// So much for all, of which one conversation takes at most `each` tokens.
    pub(crate) fn new(tokens: u64, money: f64, each: u64, prices: Prices) -> Self {
        Self { each, prices, left: Mutex::new(Left { tokens, money, running: 0 }), changed: Notify::new() }
    }

    /// Waits until there is enough for one conversation; false: there will never be.
    pub(crate) async fn take(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            {
                let mut left = self.left();
                if left.tokens >= self.each && left.money >= self.most() {
                    left.tokens -= self.each;
                    left.money -= self.most();
                    left.running += 1;
                    return true;
                }
                if left.running == 0 {
                    return false;
                }
            }
            changed.await;
        }
    }

    /// A conversation that took its share has ended, and used this much.
    pub(crate) fn give_back(&self, used: Usage) {
        let mut left = self.left();
        left.tokens = (left.tokens + self.each).saturating_sub(used.tokens());
        left.money += self.most() - self.prices.cost(used);
        left.running -= 1;
        drop(left);
        self.changed.notify_waiters();
    }

    /// The most that one conversation costs.
    fn most(&self) -> f64 {
        let dear = Prices { input: 0.0, output: self.prices.input.max(self.prices.output) };
        dear.cost(Usage { calls: 0, input: 0, output: self.each })
    }

    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn used(input: u64, output: u64) -> Usage {
        Usage { calls: 1, input, output }
    }

    #[tokio::test]
    async fn conversations_at_the_same_time_cannot_overdraw_it_together() {
        let purse = Purse::new(250, f64::INFINITY, 100, Prices::default());
        assert!(purse.take().await && purse.take().await);
        let third = purse.take();
        tokio::pin!(third);
        assert!(third.as_mut().now_or_never().is_none(), "50 are left, and others may give back");
        purse.give_back(used(20, 10));
        assert!(third.await, "120 are left");
        purse.give_back(used(90, 10));
        purse.give_back(used(90, 10));
        assert!(!purse.take().await, "20 are left, and nobody will give back");
    }

    #[tokio::test]
    async fn money_is_kept_likewise_and_an_answer_that_was_too_long_is_paid() {
        let prices = Prices { input: 1.0, output: 10.0 };
        let purse = Purse::new(u64::MAX / 2, 2.0, 100_000, prices);
        assert!(purse.take().await);
        purse.give_back(used(500_000, 60_000));
        assert!(!purse.take().await, "0.9 is left, and one may cost 1");
        assert!((prices.cost(used(500_000, 60_000)) - 1.1).abs() < 1e-9);
    }
}
