//! How often one principal, or one peer, may ask: a bucket of tokens that fills at a steady rate.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Names that are remembered. Beyond it those whose buckets are full are forgotten, which changes nothing; if there are
/// none, all: so many at a time are no few who ask too often.
const REMEMBERED: usize = 10_000;

/// The buckets.
#[derive(Debug)]
pub struct Rates<K = String> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, (f64, Instant)>>,
}

impl<K: Eq + Hash> Rates<K> {
    /// So many requests a second, after a burst of twice as many.
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self::with(per_second, 2.0 * per_second)
    }

    /// So many requests a second, above 0, after a burst of so many, at least 1.
    pub fn with(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, buckets: Mutex::default() }
    }

    /// Takes one for `name`.
    ///
    /// # Errors
    /// When the next one will be there.
    pub fn take(&self, name: impl Into<K>) -> Result<(), Duration> {
        let (name, now) = (name.into(), Instant::now());
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(&name) {
            buckets.retain(|_, (left, since)| self.filled(*left, *since, now) < self.burst);
            if buckets.len() >= REMEMBERED {
                buckets.clear();
            }
        }
        let (left, since) = buckets.entry(name).or_insert((self.burst, now));
        *left = self.filled(*left, *since, now);
        *since = now;
        if *left >= 1.0 {
            *left -= 1.0;
            Ok(())
        } else {
            Err(self.until(*left))
        }
    }

    /// When the next one will be there for `name`, unless it is; takes none.
    pub fn wait(&self, name: &K) -> Option<Duration> {
        let now = Instant::now();
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let left = buckets.get(name).map(|(left, since)| self.filled(*left, *since, now));
        left.filter(|left| *left < 1.0).map(|left| self.until(left))
    }

    fn until(&self, left: f64) -> Duration {
        Duration::from_secs_f64((1.0 - left) / self.per_second)
    }

    fn filled(&self, left: f64, since: Instant, now: Instant) -> f64 {
        (left + (now - since).as_secs_f64() * self.per_second).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_taken_then_the_rate_and_everybody_has_their_own() {
        let rates = Rates::<String>::new(2);
        for _ in 0..4 {
            rates.take("ada").unwrap();
        }
        assert_eq!(rates.take("ada").unwrap_err(), Duration::from_millis(500));
        rates.take("ben").unwrap();
        tokio::time::advance(Duration::from_millis(500)).await;
        rates.take("ada").unwrap();
        assert!(rates.take("ada").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_are_remembered_than_there_is_room_for() {
        let rates = Rates::<usize>::new(1);
        for name in 0..3 * REMEMBERED {
            rates.take(name).unwrap();
            assert!(rates.buckets.lock().unwrap().len() <= REMEMBERED);
        }
    }
}
