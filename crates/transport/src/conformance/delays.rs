//! What comes later.

use std::{sync::Arc, time::Instant};

use anyhow::ensure;

use super::{
    Harness, Verdict,
    kit::{Bench, SOON, done, message, next, next_within, settle, text},
};
use crate::Outcome;

/// A delayed message is not delivered before its time, and not long after it.
pub(super) async fn delay_waits(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let delay = bench.traits.delay * 2;
    let mut consumer = bench.consume(1).await?;
    let began = Instant::now();
    bench.client.transport.publish(message(&bench.queue, "later"), Some(delay)).await?;
    let delivery = next_within(&mut *consumer, delay + bench.traits.slack).await?;
    ensure!(began.elapsed() >= delay, "came after {} ms already", began.elapsed().as_millis());
    done(delivery).await?;
    Ok(Verdict::Passed)
}

/// A short delay does not wait behind a long one, and no delay behind neither.
pub(super) async fn a_delayed_message_does_not_hold_up_others(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let (short, long) = (bench.traits.delay, bench.traits.delay * 5);
    let mut consumer = bench.consume(3).await?;
    for (body, delay) in [("long", Some(long)), ("short", Some(short)), ("now", None)] {
        bench.client.transport.publish(message(&bench.queue, body), delay).await?;
    }
    for expected in ["now", "short", "long"] {
        let delivery = next_within(&mut *consumer, long + bench.traits.slack).await?;
        ensure!(text(&delivery) == expected, "{} came before {expected}", text(&delivery));
        done(delivery).await?;
    }
    Ok(Verdict::Passed)
}

/// A retry comes back after its wait with the attempts it was settled with.
pub(super) async fn retry_waits_and_carries_attempts(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let after = bench.traits.delay;
    let mut consumer = bench.consume(1).await?;
    bench.publish("retried").await?;
    for attempts in 1..=2 {
        let delivery = next(&mut *consumer).await?;
        let settled = Instant::now();
        settle(delivery, Outcome::Retry { after, attempts }).await?;
        let again = next_within(&mut *consumer, SOON).await?;
        ensure!(settled.elapsed() >= after, "back after {} ms already", settled.elapsed().as_millis());
        ensure!(text(&again) == "retried", "another message came");
        let carried = again.meta.attempts;
        ensure!(carried == attempts, "carries attempts {carried}, not {attempts}");
        if attempts == 1 {
            // Back to the start of the loop with the same message in its queue.
            settle(again, Outcome::Release).await?;
            if !bench.traits.keeps_attempts {
                done(next(&mut *consumer).await?).await?;
                return Ok(Verdict::Passed);
            }
        } else {
            done(again).await?;
        }
    }
    Ok(Verdict::Passed)
}
