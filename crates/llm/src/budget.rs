//! What may be spent in a window of time. Pure: the caller says what time it is and keeps the account where it lasts.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::response::Usage;

/// What a window may take; what is not set is unlimited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The window, in whole seconds, at least one; windows begin at multiples of it since 1970 (a day: midnight, UTC).
    pub window: Duration,
    /// Calls.
    pub calls: Option<u64>,
    /// Tokens, both directions.
    pub tokens: Option<u64>,
    /// Money, in millionths of whatever the prices are in.
    pub spend: Option<u64>,
    /// What tokens cost.
    pub prices: Prices,
}

/// Millionths of a currency per million tokens: $0.15 per million is 150,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prices {
    /// Of a question.
    pub input: u64,
    /// Of a question's part that the provider had cached; often a tenth.
    pub cached: u64,
    /// Of an answer.
    pub output: u64,
}

impl Prices {
    /// Millionths that this much costs, rounded up.
    pub fn cost(&self, usage: Usage) -> u64 {
        let cached = usage.cached.min(usage.input);
        let product = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let sum = product(usage.input - cached, self.input)
            .saturating_add(product(cached, self.cached))
            .saturating_add(product(usage.output, self.output));
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

impl Limits {
    /// Nothing is limited; calls are counted by the day.
    pub fn none() -> Self {
        let window = Duration::from_secs(24 * 3600);
        Self { window, calls: None, tokens: None, spend: None, prices: Prices::default() }
    }
}

/// What the current window has taken so far. Estimates of calls that are under way are in it, so that calls at the same
/// time cannot overdraw it together; a call that never reports back counts as its estimate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// When the window began, in seconds since 1970.
    pub begun: u64,
    /// Calls.
    pub calls: u64,
    /// Tokens.
    pub tokens: u64,
    /// Millionths.
    pub spend: u64,
}

/// A call's place in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    begun: u64,
    estimate: Usage,
}

/// Nothing is left for this call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{used} of {limit} {what} are used in this window, and the call takes about {wanted}")]
pub struct Exhausted {
    what: &'static str,
    used: u64,
    limit: u64,
    wanted: u64,
    /// When the next window begins.
    pub after: Duration,
}

impl Account {
    /// Takes what a call is estimated to need. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The first limit that it does not fit in; nothing is taken then.
    pub fn reserve(&mut self, limits: &Limits, now: u64, estimate: Usage) -> Result<Reservation, Exhausted> {
        self.turn(limits, now);
        let cost = limits.prices.cost(estimate);
        for (what, used, limit, wanted) in [
            ("calls", self.calls, limits.calls, 1),
            ("tokens", self.tokens, limits.tokens, estimate.total()),
            ("millionths", self.spend, limits.spend, cost),
        ] {
            if let Some(limit) = limit.filter(|limit| used.saturating_add(wanted) > *limit) {
                let after = Duration::from_secs((self.begun + window(limits)).saturating_sub(now));
                return Err(Exhausted { what, used, limit, wanted, after });
            }
        }
        self.calls += 1;
        self.tokens = self.tokens.saturating_add(estimate.total());
        self.spend = self.spend.saturating_add(cost);
        Ok(Reservation { begun: self.begun, estimate })
    }

    /// Replaces a call's estimate by what it took: more than the limit, if the estimate was too low.
    pub fn settle(&mut self, limits: &Limits, now: u64, reservation: Reservation, used: Usage) {
        self.turn(limits, now);
        if self.give_back(limits, reservation) {
            self.tokens = self.tokens.saturating_add(used.total());
            self.spend = self.spend.saturating_add(limits.prices.cost(used));
        }
    }

    /// Gives back what a call that took nothing had reserved; the call itself still counts as one.
    pub fn release(&mut self, limits: &Limits, now: u64, reservation: Reservation) {
        self.turn(limits, now);
        self.give_back(limits, reservation);
    }

    /// Whether the reservation was of this window: one of the last window has gone with it.
    fn give_back(&mut self, limits: &Limits, reservation: Reservation) -> bool {
        if reservation.begun != self.begun {
            return false;
        }
        self.tokens = self.tokens.saturating_sub(reservation.estimate.total());
        self.spend = self.spend.saturating_sub(limits.prices.cost(reservation.estimate));
        true
    }

    /// Begins a new window when its time has come; a clock that went back does not.
    fn turn(&mut self, limits: &Limits, now: u64) {
        let begun = now - now % window(limits);
        if begun > self.begun {
            *self = Self { begun, ..Self::default() };
        }
    }
}

fn window(limits: &Limits) -> u64 {
    limits.window.as_secs().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(input: u64, output: u64) -> Usage {
        Usage { input, output, cached: 0 }
    }

    fn limits() -> Limits {
        Limits { window: Duration::from_secs(100), tokens: Some(1000), ..Limits::none() }
    }

    #[test]
    fn calls_at_the_same_time_cannot_overdraw_together() {
        let (mut account, limits) = (Account::default(), limits());
        let first = account.reserve(&limits, 1005, usage(300, 300)).unwrap();
        let refused = account.reserve(&limits, 1010, usage(300, 300)).unwrap_err();
        assert_eq!(refused.after, Duration::from_secs(90));
        assert_eq!(
            refused.to_string(),
            "600 of 1000 tokens are used in this window, and the call takes about 600"
        );
        account.settle(&limits, 1011, first, usage(300, 10));
        assert_eq!((account.tokens, account.calls), (310, 1));
        account.reserve(&limits, 1012, usage(300, 300)).unwrap();
    }

    #[test]
    fn a_new_window_begins_from_zero_and_late_reports_of_the_old_one_do_not_count() {
        let (mut account, limits) = (Account::default(), limits());
        let old = account.reserve(&limits, 1099, usage(900, 0)).unwrap();
        let new = account.reserve(&limits, 1100, usage(900, 0)).unwrap();
        account.settle(&limits, 1101, old, usage(999, 0));
        assert_eq!(account.tokens, 900);
        account.settle(&limits, 1050, new, usage(5, 5));
        assert_eq!((account.tokens, account.begun), (10, 1100), "a clock that went back changes nothing");
    }

    #[test]
    fn a_call_that_took_nothing_gives_its_estimate_back_but_was_a_call() {
        let limits = Limits { calls: Some(2), ..limits() };
        let mut account = Account::default();
        for _ in 0..2 {
            let taken = account.reserve(&limits, 5, usage(500, 500)).unwrap();
            account.release(&limits, 5, taken);
        }
        assert_eq!(account.tokens, 0);
        assert!(account.reserve(&limits, 5, usage(1, 1)).unwrap_err().to_string().contains("2 of 2 calls"));
    }

    #[test]
    fn money_is_counted_by_prices_and_rounded_up() {
        let prices = Prices { input: 150_000, cached: 15_000, output: 600_000 };
        assert_eq!(prices.cost(Usage { input: 1_000_000, output: 0, cached: 0 }), 150_000);
        assert_eq!(prices.cost(Usage { input: 1_000_000, output: 1, cached: 1_000_000 }), 15_001);
        let dear = Prices { output: u64::MAX, ..prices };
        assert_eq!(dear.cost(Usage { input: u64::MAX, output: u64::MAX, cached: u64::MAX }), u64::MAX);
        let limits = Limits { spend: Some(100), prices, ..Limits::none() };
        let mut account = Account::default();
        account.reserve(&limits, 1, usage(100, 100)).unwrap();
        assert!(
            account
                .reserve(&limits, 1, usage(100, 100))
                .unwrap_err()
                .to_string()
                .contains("75 of 100 millionths")
        );
    }

    #[test]
    fn an_account_survives_being_stored() {
        let mut account = Account::default();
        account.reserve(&limits(), 1005, usage(1, 2)).unwrap();
        let stored = serde_json::to_string(&account).unwrap();
        assert_eq!(serde_json::from_str::<Account>(&stored).unwrap(), account);
    }
}
