//! Which failures are tried again, and when.

use std::time::Duration;

use asya_handler::Failure;
use asya_transport::MAX_DELAY;

/// First pause before a message is tried again.
pub const DEFAULT_INITIAL: Duration = Duration::from_secs(1);
/// Longest pause: long enough for a dependency to come back, short enough to be noticed.
pub const DEFAULT_MAX: Duration = Duration::from_secs(300);
/// Each pause is this many times the one before it.
pub const DEFAULT_MULTIPLIER: f64 = 2.0;
/// Share of a pause that is left to chance, so that what failed together does not return together.
pub const DEFAULT_JITTER: f64 = 0.2;

/// When a failed run of the handler is repeated. The default repeats nothing, as existing users expect.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// Runs in all, the first included; 1 = no retry of the handler's own failures.
    pub attempts: u32,
    /// Pause before the second run.
    pub initial: Duration,
    /// Longest pause; never more than [`MAX_DELAY`].
    pub max: Duration,
    /// Growth from one pause to the next, at least 1.
    pub multiplier: f64,
    /// 0.0 to 1.0: a pause is shortened by up to this share of itself, at random.
    pub jitter: f64,
    /// Exception types that no retry helps: bare (`ValueError`) or qualified (`mypkg.errors.Fatal`) names, matched
    /// against the class and all its bases.
    pub non_retryable: Vec<String>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 1,
            initial: DEFAULT_INITIAL,
            max: DEFAULT_MAX,
            multiplier: DEFAULT_MULTIPLIER,
            jitter: DEFAULT_JITTER,
            non_retryable: Vec::new(),
        }
    }
}

impl RetryPolicy {
    /// The pause after `failed` runs (1 = the first has failed). `chance` is a random number from 0.0 to 1.0.
    pub fn pause(&self, failed: u32, chance: f64) -> Duration {
        let steps = i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX);
        let most = self.max.min(MAX_DELAY).as_secs_f64();
        let full = (self.initial.as_secs_f64() * self.multiplier.max(1.0).powi(steps)).min(most);
        Duration::from_secs_f64(full * (1.0 - self.jitter.clamp(0.0, 1.0) * chance))
    }

    /// True when a retry may help: none of the exception's classes is listed as non-retryable.
    pub fn may_help(&self, failure: &Failure) -> bool {
        let listed = |name: &str| {
            let bare = name.rsplit('.').next().unwrap_or(name);
            self.non_retryable.iter().any(|entry| entry == name || entry == bare)
        };
        !failure.type_name.iter().chain(&failure.mro).any(|name| listed(name))
    }
}

#[cfg(test)]
mod tests {
    use asya_handler::{Code, Fault};

    use super::*;

    fn raised(mro: &[&str]) -> Failure {
        let mut failure = Failure::new(Code::Processing, Fault::Handler, "x");
        failure.mro = mro.iter().map(|name| (*name).to_owned()).collect();
        failure.type_name = mro.first().map(|name| name.rsplit('.').next().unwrap().to_owned());
        failure
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let policy = RetryPolicy { max: Duration::from_secs(10), ..RetryPolicy::default() };
        let pauses: Vec<_> = (1..=6).map(|n| policy.pause(n, 0.0).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 10, 10]);
        assert_eq!(policy.pause(u32::MAX, 0.0).as_secs(), 10);
    }

    #[test]
    fn jitter_only_shortens() {
        let policy = RetryPolicy::default();
        assert_eq!(policy.pause(1, 1.0), Duration::from_millis(800));
        assert!(policy.pause(3, 0.5) < policy.pause(3, 0.0));
    }

    #[test]
    fn non_retryable_types_match_along_the_class_hierarchy_by_either_name() {
        let failure =
            raised(&["shop.errors.CardDeclined", "shop.errors.PaymentError", "builtins.ValueError"]);
        for (entry, helps) in [
            ("CardDeclined", false),
            ("shop.errors.PaymentError", false),
            ("ValueError", false),
            ("KeyError", true),
            ("other.PaymentError", true),
        ] {
            let policy = RetryPolicy { non_retryable: vec![entry.to_owned()], ..RetryPolicy::default() };
            assert_eq!(policy.may_help(&failure), helps, "{entry}");
        }
    }
}
