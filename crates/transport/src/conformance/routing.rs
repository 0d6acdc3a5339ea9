//! Queues that are missing, and messages that do not fit.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use asya_envelope::Queue;
use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::{
    Harness, Verdict,
    kit::{Bench, consume, done, drain, is_unroutable, message, name, next, nothing, settle, text},
};
use crate::{Outcome, Outgoing, TransportError, Unsettled};

/// Never silence.
pub(super) async fn publish_to_a_missing_queue_is_unroutable(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let missing = bench.harness.fresh_queue();
    is_unroutable(&bench.client.transport.publish(message(&missing, "lost?"), None).await, &missing)?;
    let delayed = bench.client.transport.publish(message(&missing, "lost?"), Some(bench.traits.delay)).await;
    is_unroutable(&delayed, &missing)?;
    Ok(Verdict::Passed)
}

/// Many publishes under way at once, one in ten to a queue that does not exist: each gets its own answer.
pub(super) async fn one_in_ten_unroutable_is_matched_exactly(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    const AT_ONCE: usize = 200;
    let bench = Bench::new(harness).await?;
    let count = bench.traits.load.max(AT_ONCE);
    let missing = bench.harness.fresh_queue();
    let lost = |n: usize| n % 10 == 3;
    let mut results = stream::iter(0..count)
        .map(|n| {
            let queue: &Queue = if lost(n) { &missing } else { &bench.queue };
            let publish = bench.client.transport.publish(message(queue, &name(n)), None);
            async move { (n, publish.await) }
        })
        .buffer_unordered(AT_ONCE);
    while let Some((n, result)) = results.next().await {
        if lost(n) {
            is_unroutable(&result, &missing)?;
        } else {
            ensure!(result.is_ok(), "message {n} is routable and got {result:?}");
        }
    }
    let expected = (0..count).filter(|n| !lost(*n)).count();
    let mut consumer = bench.consume(50).await?;
    let seen = drain(&mut *consumer, expected, Duration::from_secs(60)).await?;
    ensure!((0..count).all(|n| seen.contains_key(&name(n)) != lost(n)), "confirmed and delivered differ");
    Ok(Verdict::Passed)
}

/// A successor that cannot be sent leaves the delivery in hand, to be settled otherwise.
pub(super) async fn forward_to_a_missing_queue_keeps_the_delivery(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let missing = bench.harness.fresh_queue();
    let mut consumer = bench.consume(1).await?;
    bench.publish("astray").await?;
    let delivery = next(&mut *consumer).await?;
    let outcome = Outcome::forward(vec![message(&missing, "successor")]);
    let delivery = match delivery.settle(outcome).await {
        Err((Unsettled::Publish(TransportError::Unroutable { queue }), Some(delivery))) => {
            ensure!(queue == missing, "the error names {queue}");
            delivery
        }
        other => anyhow::bail!("expected an unroutable successor and the delivery back, got {other:?}"),
    };
    ensure!(text(&delivery) == "astray", "the delivery lost its body");
    settle(delivery, Outcome::DeadLetter { reason: format!("no queue {missing}") }).await?;
    bench.depth_is(0, 1).await?;
    let letters = bench.client.dead_letters.list(&bench.queue, 10).await?;
    ensure!(letters.len() == 1, "{} dead letters", letters.len());
    ensure!(letters[0].body == "astray", "the dead letter's body changed");
    if bench.traits.keeps_reason {
        ensure!(letters[0].reason.contains(missing.as_str()), "the reason is {:?}", letters[0].reason);
    }
    nothing(&mut *consumer, bench.traits.delay).await?;
    Ok(Verdict::Passed)
}

/// A message over the limit is refused at the source with its size, and the delivery stays in hand.
pub(super) async fn too_large_is_refused_clearly(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let Some(limit) = bench.client.transport.max_message() else {
        return Ok(Verdict::NotPromised("the transport sets no limit of its own"));
    };
    let large = Outgoing { queue: bench.queue.clone(), body: Bytes::from(vec![b'x'; limit + 1]) };
    match bench.client.transport.publish(large.clone(), None).await {
        Err(TransportError::TooLarge { size, limit: told, queue }) => {
            ensure!(
                (size, told) == (limit + 1, limit) && queue == bench.queue,
                "{size} and {told} are wrong"
            );
        }
        other => anyhow::bail!("expected a message too large, got {other:?}"),
    }
    let half = Outgoing { body: Bytes::from(vec![b'x'; limit / 2]), ..large.clone() };
    bench.client.transport.publish(half, None).await?;
    let mut consumer = bench.consume(1).await?;
    let delivery = next(&mut *consumer).await?;
    ensure!(delivery.body.len() == limit / 2, "half the limit arrived as {} bytes", delivery.body.len());
    match delivery.settle(Outcome::forward(vec![large])).await {
        Err((Unsettled::Publish(TransportError::TooLarge { .. }), Some(delivery))) => done(delivery).await?,
        other => anyhow::bail!("expected a successor too large and the delivery back, got {other:?}"),
    }
    Ok(Verdict::Passed)
}

/// Managing queues is idempotent, and ensuring an existing queue keeps what is in it.
pub(super) async fn ensure_and_delete_can_be_repeated(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    bench.publish("kept").await?;
    bench.client.queues.ensure(&bench.queue).await?;
    let other = bench.harness.client().await?;
    other.queues.ensure(&bench.queue).await?;
    let mut consumer = consume(&*other.transport, &bench.queue, 1).await?;
    let delivery = next(&mut *consumer).await?;
    ensure!(text(&delivery) == "kept", "another message came");
    done(delivery).await?;
    drop(consumer);
    let doomed = bench.another_queue().await?;
    bench.client.queues.delete(&doomed).await?;
    bench.client.queues.delete(&doomed).await?;
    bench.client.queues.delete(&bench.harness.fresh_queue()).await?;
    Ok(Verdict::Passed)
}
