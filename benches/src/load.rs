//! Work begun at a steady rate, whether or not earlier work has ended; and how long each piece took.

use std::{future::Future, time::Duration};

use anyhow::Result;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

/// Begins `work(0)`, `work(1)`, … at `rate` a second; what they answer, in the order in which they ended, and the
/// longest that one began late.
///
/// # Errors
/// The first error of a piece of work.
pub async fn steady<T, F>(
    count: usize,
    rate: usize,
    mut work: impl FnMut(usize) -> F,
) -> Result<(Vec<T>, Duration)>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let (start, mut tasks, mut late) = (Instant::now(), JoinSet::new(), Duration::ZERO);
    for number in 0..count {
        let due = start + Duration::from_secs_f64(number as f64 / rate as f64);
        sleep_until(due).await;
        late = late.max(due.elapsed());
        tasks.spawn(work(number));
    }
    let mut answers = Vec::with_capacity(count);
    while let Some(answer) = tasks.join_next().await {
        answers.push(answer??);
    }
    Ok((answers, late))
}

/// Times in milliseconds, for a table.
pub struct Times(Vec<f64>);

impl Times {
    /// Of these pieces of work.
    pub fn new(times: impl IntoIterator<Item = Duration>) -> Self {
        let mut times: Vec<f64> = times.into_iter().map(|time| time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        Self(times)
    }

    /// The time that this share of them did not exceed, in ms; 0 of none.
    pub fn quantile(&self, share: f64) -> f64 {
        let at = ((self.0.len() as f64 * share).ceil() as usize).clamp(1, self.0.len().max(1)) - 1;
        self.0.get(at).copied().unwrap_or(0.0)
    }

    /// A line of a table.
    pub fn line(&self, name: &str) -> String {
        let [p50, p90, p99, most] = [0.5, 0.9, 0.99, 1.0].map(|share| self.quantile(share));
        format!("  {name:44} p50 {p50:>8.2}  p90 {p90:>8.2}  p99 {p99:>8.2}  max {most:>8.2} ms")
    }
}
