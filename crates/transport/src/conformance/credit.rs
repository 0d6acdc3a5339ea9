//! How much is in hand at a time.

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use anyhow::ensure;

use super::{
    Harness, Verdict,
    kit::{Bench, done, drain, next, nothing},
};

/// Never more unsettled deliveries than credit, and every settled one makes room for the next.
pub(super) async fn credit_is_never_exceeded(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    bench.publish_many(12).await?;
    let mut consumer = bench.consume(3).await?;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(next(&mut *consumer).await?);
    }
    nothing(&mut *consumer, bench.traits.delay).await?;
    if bench.traits.exact_depth {
        let depth = bench.client.queues.depth(&bench.queue).await?;
        ensure!((depth.ready, depth.in_flight) == (9, 3), "depth is {depth:?}");
    }
    for _ in 0..9 {
        done(held.remove(0)).await?;
        held.push(next(&mut *consumer).await?);
    }
    nothing(&mut *consumer, bench.traits.delay).await?;
    for delivery in held {
        done(delivery).await?;
    }
    bench.depth_is(0, 0).await?;
    Ok(Verdict::Passed)
}

/// More credit brings more deliveries at once; less credit takes effect as deliveries are settled.
pub(super) async fn credit_can_grow_and_shrink(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    const COUNT: usize = 12;
    let bench = Bench::new(harness).await?;
    bench.publish_many(COUNT).await?;
    let mut consumer = bench.consume(1).await?;
    let mut held = vec![next(&mut *consumer).await?];
    nothing(&mut *consumer, bench.traits.delay).await?;
    consumer.set_credit(NonZeroU16::new(4).expect("4 is not 0"));
    while held.len() < 4 {
        held.push(next(&mut *consumer).await?);
    }
    nothing(&mut *consumer, bench.traits.delay).await?;
    consumer.set_credit(NonZeroU16::MIN);
    done(held.remove(0)).await?;
    done(held.remove(0)).await?;
    // Two are in hand and one is allowed; what had been received ahead under the old credit may still come.
    for delivery in held {
        done(delivery).await?;
    }
    let rest = drain(&mut *consumer, COUNT - 4, Duration::from_secs(30)).await?;
    ensure!(rest.values().all(|times| *times == 1), "delivered twice: {rest:?}");
    Ok(Verdict::Passed)
}
