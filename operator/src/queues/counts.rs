//! Pure: when a queue's counts are worth a write of the status.

use std::time::Duration;

use asya_transport::Depth;

/// Least time between two writes for counts alone.
pub const LEAST_BETWEEN: Duration = Duration::from_secs(30);
/// The change that a person cares about.
const FACTOR: u64 = 2;

/// Whether the counts in the status should be replaced: when one of them changed by more than a factor of two, or to
/// or from zero, and the last write is long enough ago (`None` = there was none).
pub fn worth_writing(old: Option<Depth>, new: Depth, since_last_write: Option<Duration>) -> bool {
    if since_last_write.is_some_and(|since| since < LEAST_BETWEEN) {
        return false;
    }
    let Some(old) = old else { return true };
    [(old.ready, new.ready), (old.in_flight, new.in_flight), (old.dead, new.dead)]
        .into_iter()
        .any(|(old, new)| (old == 0) != (new == 0) || old.max(new) > old.min(new).saturating_mul(FACTOR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(ready: u64) -> Depth {
        Depth { ready, ..Depth::default() }
    }

    #[test]
    fn zero_is_crossed_and_factors_are_told_in_both_directions() {
        for (old, new, worth) in [
            (0, 0, false),
            (0, 1, true),
            (1, 0, true),
            (1, 2, false),
            (1, 3, true),
            (100, 200, false),
            (100, 201, true),
            (100, 50, false),
            (100, 49, true),
            (7, 7, false),
            (u64::MAX, u64::MAX - 1, false),
        ] {
            assert_eq!(worth_writing(Some(waiting(old)), waiting(new), None), worth, "{old} -> {new}");
        }
    }

    #[test]
    fn every_count_matters() {
        for new in [Depth { in_flight: 1, ..waiting(5) }, Depth { dead: 1, ..waiting(5) }] {
            assert!(worth_writing(Some(waiting(5)), new, None), "{new:?}");
        }
    }

    #[test]
    fn half_a_minute_passes_between_two_writes() {
        let write = |seconds| worth_writing(Some(waiting(0)), waiting(9), Some(Duration::from_secs(seconds)));
        assert!(!write(0) && !write(29) && write(30));
        assert!(worth_writing(None, waiting(0), None), "the first counts are always written");
    }
}
