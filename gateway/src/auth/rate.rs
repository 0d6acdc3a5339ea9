//! How often one principal may ask: a bucket of tokens that fills at a steady rate.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Principals that are remembered; beyond it those whose buckets are full are forgotten, which changes nothing.
const REMEMBERED: usize = 10_000;

/// The buckets.
#[derive(Debug)]
pub struct Rates {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<String, (f64, Instant)>>,
}

impl Rates {
    /// So many requests a second, after a burst of twice as many.
    pub fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self { per_second, burst: 2.0 * per_second, buckets: Mutex::default() }
    }

    /// Takes one for `name`.
    ///
    /// # Errors
    /// When the next one will be there.
    pub fn take(&self, name: &str) -> Result<(), Duration> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= REMEMBERED && !buckets.contains_key(name) {
            buckets.retain(|_, (left, since)| self.filled(*left, *since, now) < self.burst);
        }
        let (left, since) = buckets.entry(name.to_owned()).or_insert((self.burst, now));
        *left = self.filled(*left, *since, now);
        *since = now;
        if *left >= 1.0 {
            *left -= 1.0;
            Ok(())
        } else {
            Err(Duration::from_secs_f64((1.0 - *left) / self.per_second))
        }
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
        let rates = Rates::new(2);
        for _ in 0..4 {
            rates.take("ada").unwrap();
        }
        assert_eq!(rates.take("ada").unwrap_err(), Duration::from_millis(500));
        rates.take("ben").unwrap();
        tokio::time::advance(Duration::from_millis(500)).await;
        rates.take("ada").unwrap();
        assert!(rates.take("ada").is_err());
    }
}
