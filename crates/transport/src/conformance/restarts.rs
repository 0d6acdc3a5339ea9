//! Clients that are cut off.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::{
    Harness, Verdict,
    kit::{Bench, consume, done, is_lost, message, name, next, next_within, soon, text},
};
use crate::Outcome;

/// What a client had in hand when it was cut off is delivered to another.
pub(super) async fn unsettled_deliveries_come_back_after_a_client_restart(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    const HELD: usize = 3;
    let bench = Bench::new(harness).await?;
    let doomed = bench.harness.client().await?;
    bench.publish_many(HELD).await?;
    let mut consumer = consume(&*doomed.transport, &bench.queue, 10).await?;
    let mut held = Vec::new();
    for _ in 0..HELD {
        held.push(next(&mut *consumer).await?);
    }
    (doomed.sever)().await;
    let mut rival = bench.consume(10).await?;
    let mut seen = BTreeSet::new();
    while seen.len() < HELD {
        let delivery = next_within(&mut *rival, bench.traits.redelivery).await?;
        if bench.traits.counts_deliveries {
            ensure!(delivery.meta.deliveries >= 2, "a redelivery says {}", delivery.meta.deliveries);
        }
        seen.insert(text(&delivery));
        done(delivery).await?;
    }
    drop((held, consumer));
    Ok(Verdict::Passed)
}

/// A delivery of a client that was cut off cannot be settled: the message is delivered again, so its settle must not
/// look like a success.
pub(super) async fn a_settle_after_the_connection_is_gone_is_lost(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    let bench = Bench::new(harness).await?;
    let doomed = bench.harness.client().await?;
    bench.publish("once more").await?;
    let mut consumer = consume(&*doomed.transport, &bench.queue, 1).await?;
    let held = next(&mut *consumer).await?;
    (doomed.sever)().await;
    is_lost(soon("the settle of a lost delivery answers", held.settle(Outcome::forward(vec![]))).await?)?;
    let mut rival = bench.consume(1).await?;
    let again = next_within(&mut *rival, bench.traits.redelivery).await?;
    ensure!(text(&again) == "once more", "another message came");
    done(again).await?;
    Ok(Verdict::Passed)
}

/// Clients that forward from one queue to the next are cut off again and again: every message arrives at least once,
/// and the duplicates are bounded by what was in hand.
pub(super) async fn nothing_is_lost_across_a_restart_of_the_client(
    harness: Arc<dyn Harness>,
) -> anyhow::Result<Verdict> {
    const CREDIT: u16 = 20;
    const CUTS: usize = 3;
    let bench = Bench::new(harness).await?;
    let count = (bench.traits.load / 4).max(100);
    let onward = bench.another_queue().await?;
    bench.publish_many(count).await?;
    for cut in 0..CUTS {
        let doomed = bench.harness.client().await?;
        let mut consumer = consume(&*doomed.transport, &bench.queue, CREDIT).await?;
        let share = count / (CUTS + 1);
        let mut begun = 0;
        let mut tasks = tokio::task::JoinSet::new();
        let deadline = Instant::now() + bench.traits.redelivery + Duration::from_secs(20);
        while begun < share && Instant::now() < deadline {
            let Ok(delivery) = tokio::time::timeout(Duration::from_secs(1), consumer.next()).await else {
                continue;
            };
            let delivery = delivery?;
            let successor = message(&onward, &text(&delivery));
            begun += 1;
            tasks.spawn(async move {
                let _ = delivery.settle(Outcome::forward(vec![successor])).await;
            });
        }
        ensure!(begun > 0, "client {cut} got nothing");
        // In the middle of whatever is under way.
        (doomed.sever)().await;
        tasks.shutdown().await;
    }
    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    let mut rest = bench.consume(CREDIT).await?;
    let mut end = consume(&*bench.client.transport, &onward, 100).await?;
    let deadline = Instant::now() + bench.traits.redelivery + Duration::from_secs(30);
    while arrived.len() < count {
        ensure!(Instant::now() < deadline, "{} of {count} arrived", arrived.len());
        tokio::select! {
            delivery = rest.next() => {
                let delivery = delivery?;
                let successor = message(&onward, &text(&delivery));
                super::kit::settle(delivery, Outcome::forward(vec![successor])).await?;
            }
            delivery = end.next() => {
                let delivery = delivery?;
                *arrived.entry(text(&delivery)).or_default() += 1;
                done(delivery).await?;
            }
            () = tokio::time::sleep(Duration::from_millis(200)) => {}
        }
    }
    ensure!((0..count).all(|n| arrived.contains_key(&name(n))), "a message that nobody sent arrived");
    while let Ok(delivery) = tokio::time::timeout(bench.traits.delay, end.next()).await {
        let delivery = delivery?;
        *arrived.entry(text(&delivery)).or_default() += 1;
        done(delivery).await?;
    }
    let duplicates: usize = arrived.values().map(|times| times - 1).sum();
    let bound = if bench.traits.atomic { 0 } else { CUTS * usize::from(CREDIT) };
    ensure!(duplicates <= bound, "{duplicates} duplicates, at most {bound} were in hand");
    Ok(Verdict::Passed)
}
