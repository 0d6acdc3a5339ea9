//! How messages arrive.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::Bytes;

use super::{
    Harness, Verdict,
    kit::{Bench, SOON, consume, done, drain, eventually, message, name, next, nothing, text},
};
use crate::Outgoing;

/// Bodies are bytes: JSON, text beyond ASCII, and an envelope with numbers that no parser may touch.
pub(super) async fn published_message_is_delivered_with_its_bytes(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let large = format!("{{\"text\":\"{}\"}}", "ä€ \\\" ".repeat(10_000));
    let bodies = ["{}", "{\"n\": 1.0, \"e\": 1e400, \"big\": 12345678901234567890}", "no json: ü", &large];
    // One consumer for all: one that is ending may still be sent a message, which then comes for the second time.
    let mut consumer = bench.consume(1).await?;
    for body in bodies {
        let body = Bytes::from(body.to_owned());
        let sent = Outgoing { queue: bench.queue.clone(), body: body.clone() };
        bench.client.transport.publish(sent, None).await?;
        let delivery = next(&mut *consumer).await?;
        ensure!(delivery.body == body, "the body changed on its way");
        ensure!(delivery.meta.deliveries <= 1, "first delivery says {}", delivery.meta.deliveries);
        ensure!(delivery.meta.attempts == 0, "first delivery has attempts {}", delivery.meta.attempts);
        done(delivery).await?;
    }
    Ok(Verdict::Passed)
}

/// Ready messages are handed out in the order in which they became ready.
pub(super) async fn order_of_readiness(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    if !harness.traits().ordered {
        return Ok(Verdict::NotPromised("ready messages come in no promised order"));
    }
    let bench = Bench::new(harness).await?;
    let delay = bench.traits.delay;
    bench.client.transport.publish(message(&bench.queue, "late"), Some(delay)).await?;
    for n in 0..20 {
        bench.publish(&name(n)).await?;
    }
    // A busy broker is late with it.
    bench.depth_is(21, 0).await?;
    bench.publish("last").await?;
    let mut consumer = bench.consume(3).await?;
    let mut order = Vec::new();
    for _ in 0..22 {
        let delivery = next(&mut *consumer).await?;
        order.push(text(&delivery));
        done(delivery).await?;
    }
    let mut expected: Vec<String> = (0..20).map(name).collect();
    expected.extend(["late".to_owned(), "last".to_owned()]);
    ensure!(order == expected, "handed out as {order:?}");
    Ok(Verdict::Passed)
}

/// `next` may be dropped at any moment.
pub(super) async fn cancel_of_next_loses_nothing(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    const COUNT: usize = 200;
    let bench = Bench::new(harness).await?;
    let mut consumer = bench.consume(10).await?;
    bench.publish_many(COUNT).await?;
    let mut seen = Vec::new();
    let mut tries = 0;
    let collect = async {
        while seen.len() < COUNT {
            // From not at all to a little: the future is dropped in each of its states.
            tries += 1;
            let patience = Duration::from_micros(tries * 50 % 20_000);
            if let Ok(delivery) = tokio::time::timeout(patience, consumer.next()).await {
                let delivery = delivery.context("the consumer ended")?;
                seen.push(text(&delivery));
                done(delivery).await?;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(SOON * 2, collect).await.context("messages were lost or are late")??;
    let distinct: BTreeSet<_> = seen.iter().collect();
    ensure!(distinct.len() == COUNT, "{} of {COUNT} came, the others twice", distinct.len());
    Ok(Verdict::Passed)
}

/// Two clients on one queue: each message reaches one of them, and what one cannot take the other gets.
pub(super) async fn two_consumers_share_a_queue_without_duplicates(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    const COUNT: usize = 200;
    const CREDIT: u16 = 5;
    let bench = Bench::new(harness).await?;
    let other = bench.harness.client().await?;
    let mut first = bench.consume(CREDIT).await?;
    let mut second = consume(&*other.transport, &bench.queue, CREDIT).await?;
    bench.publish_many(COUNT).await?;
    // The first holds all that it may, so the second must get everything else.
    let mut held = Vec::new();
    for _ in 0..CREDIT {
        held.push(next(&mut *first).await?);
    }
    let mut seen: BTreeSet<_> = held.iter().map(text).collect();
    while seen.len() < COUNT {
        let delivery = next(&mut *second).await?;
        let new = seen.insert(text(&delivery));
        ensure!(new || !bench.harness.delivers_once(), "{} came twice", text(&delivery));
        done(delivery).await?;
    }
    nothing(&mut *second, bench.traits.delay).await?;
    for delivery in held {
        done(delivery).await?;
    }
    nothing(&mut *first, bench.traits.delay).await?;
    Ok(Verdict::Passed)
}

/// A queue that does not exist yet is waited for, and health says so meanwhile.
pub(super) async fn consuming_a_missing_queue_waits_and_health_says_so(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    let client = harness.client().await?;
    let queue = harness.fresh_queue();
    let health = client.transport.health();
    let mut consumer = consume(&*client.transport, &queue, 1).await?;
    let waiting = tokio::spawn(async move {
        let seen = drain(&mut *consumer, 1, SOON * 2).await;
        (seen, consumer)
    });
    eventually(SOON, "health names the missing queue", async || {
        Ok(health.borrow().reason().is_some_and(|reason| reason.contains(queue.as_str())))
    })
    .await?;
    client.queues.ensure(&queue).await?;
    client.transport.publish(message(&queue, "at last"), None).await?;
    let (seen, _consumer) = waiting.await?;
    ensure!(seen?.contains_key("at last"), "something else came");
    eventually(SOON, "health is up again", async || Ok(health.borrow().is_up())).await?;
    Ok(Verdict::Passed)
}
