//! What becomes of a delivery.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::{
    Harness, Verdict,
    kit::{Bench, consume, done, drain, message, name, next, nothing, settle, text},
};
use crate::{Lease, Outcome};

/// Dropping is giving back, not at once (so that a panic is not a hot loop), and counted.
pub(super) async fn dropped_delivery_is_requeued(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let mut consumer = bench.consume(1).await?;
    bench.publish("dropped").await?;
    let delivery = next(&mut *consumer).await?;
    let dropped = Instant::now();
    drop(delivery);
    let again = next(&mut *consumer).await?;
    let waited = dropped.elapsed();
    ensure!(text(&again) == "dropped", "another message came");
    ensure!(waited >= Duration::from_millis(900), "back after {} ms already", waited.as_millis());
    if bench.traits.counts_deliveries {
        ensure!(again.meta.deliveries == 2, "delivery {} instead of 2", again.meta.deliveries);
    }
    done(again).await?;
    Ok(Verdict::Passed)
}

/// A released delivery is delivered again with its attempts as they were.
pub(super) async fn released_delivery_comes_back(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let mut consumer = bench.consume(1).await?;
    bench.publish("released").await?;
    settle(next(&mut *consumer).await?, Outcome::Release).await?;
    let again = next(&mut *consumer).await?;
    ensure!(text(&again) == "released", "another message came");
    if bench.traits.keeps_attempts {
        ensure!(again.meta.attempts == 0, "a release was counted as an attempt");
    }
    done(again).await?;
    nothing(&mut *consumer, bench.traits.delay).await?;
    Ok(Verdict::Passed)
}

/// What was settled does not come back, neither now nor when its lease would have ended, nor to a new client.
pub(super) async fn settle_is_exactly_once(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let mut consumer = bench.consume(4).await?;
    bench.publish_many(20).await?;
    let seen = drain(&mut *consumer, 20, Duration::from_secs(20)).await?;
    ensure!(seen.values().all(|times| *times == 1), "delivered twice: {seen:?}");
    drop(consumer);
    let other = bench.harness.client().await?;
    let mut consumer = consume(&*other.transport, &bench.queue, 4).await?;
    let wait = match bench.client.transport.lease() {
        Lease::Renewable(lease) if lease < Duration::from_secs(10) => lease + bench.traits.delay,
        _ => bench.traits.delay * 2,
    };
    nothing(&mut *consumer, wait).await?;
    bench.depth_is(0, 0).await?;
    Ok(Verdict::Passed)
}

/// No message can loop without a counter going up.
pub(super) async fn deliveries_count_up(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    if !bench.traits.counts_deliveries {
        return Ok(Verdict::NotPromised("the broker does not count deliveries"));
    }
    let mut consumer = bench.consume(1).await?;
    bench.publish("again").await?;
    for expected in 1..=4 {
        let delivery = next(&mut *consumer).await?;
        let deliveries = delivery.meta.deliveries;
        ensure!(deliveries == expected, "delivery {expected} says {deliveries}");
        settle(delivery, Outcome::Release).await?;
    }
    done(next(&mut *consumer).await?).await?;
    Ok(Verdict::Passed)
}

/// All successors are there, and then the source is gone.
pub(super) async fn forward_publishes_before_it_removes(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    const CHILDREN: usize = 25;
    let bench = Bench::new(harness).await?;
    let onward = bench.another_queue().await?;
    let mut consumer = bench.consume(1).await?;
    bench.publish("parent").await?;
    let parent = next(&mut *consumer).await?;
    let children = (0..CHILDREN).map(|n| message(&onward, &name(n))).collect();
    settle(parent, Outcome::forward(children)).await?;
    let mut next_stage = consume(&*bench.client.transport, &onward, 10).await?;
    let seen = drain(&mut *next_stage, CHILDREN, Duration::from_secs(20)).await?;
    ensure!(seen.values().all(|times| *times == 1), "a child came twice: {seen:?}");
    nothing(&mut *consumer, bench.traits.delay).await?;
    bench.depth_is(0, 0).await?;
    Ok(Verdict::Passed)
}

/// The transport keeps a delivery alive for as long as it is in hand.
pub(super) async fn lease_extends_while_a_handler_runs(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let Lease::Renewable(lease) = bench.client.transport.lease() else {
        return Ok(Verdict::NotPromised("nothing can extend a lease of this transport"));
    };
    if lease > Duration::from_secs(10) {
        return Ok(Verdict::NotPromised("the lease of this harness is too long to wait for"));
    }
    let other = bench.harness.client().await?;
    let mut consumer = bench.consume(1).await?;
    bench.publish("slow").await?;
    let slow = next(&mut *consumer).await?;
    let mut rival = consume(&*other.transport, &bench.queue, 1).await?;
    nothing(&mut *rival, lease * 5 / 2).await?;
    done(slow).await?;
    bench.publish("next").await?;
    // Either consumer may get it.
    let delivery = tokio::select! {
        delivery = next(&mut *rival) => delivery?,
        delivery = next(&mut *consumer) => delivery?,
    };
    ensure!(text(&delivery) == "next", "the slow message came again");
    done(delivery).await?;
    Ok(Verdict::Passed)
}
