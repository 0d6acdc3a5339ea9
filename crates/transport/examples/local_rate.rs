//! How many messages a queue file takes per second: published, forwarded from queue to queue, and removed at the end,
//! each on its own and then all at once.
//!
//! `cargo run --release -p asya-transport --no-default-features --features local --example local_rate [COUNT] [BYTES]
//! [full]`

use std::{
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use asya_envelope::Queue;
use asya_transport::{
    Outcome, Outgoing, Queues as _, Transport as _,
    local::{Local, LocalOptions, Synchronous},
};
use bytes::Bytes;
use futures::{StreamExt as _, stream};

const CREDIT: NonZeroU16 = NonZeroU16::new(256).expect("256 is not 0");

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let count: usize = args.next().map_or(Ok(100_000), |count| count.parse()).context("COUNT")?;
    let bytes: usize = args.next().map_or(Ok(256), |bytes| bytes.parse()).context("BYTES")?;
    let full = args.next().as_deref() == Some("full");
    let synchronous = if full { Synchronous::Full } else { Synchronous::Normal };
    let directory = tempfile::tempdir_in(".")?;
    let options = LocalOptions { synchronous, ..LocalOptions::default() };
    let local = Local::open(&directory.path().join("queues.db"), options)?;
    let (first, second) = (Queue::named("asya-first"), Queue::named("asya-second"));
    local.ensure(&first).await?;
    local.ensure(&second).await?;
    let body = Bytes::from(vec![b'x'; bytes]);
    println!("{count} messages of {bytes} bytes, {synchronous:?}, credit {CREDIT}");

    let publish = async || publish(&local, &first, &body, count).await;
    let forward = async || drain(&local, &first, Some(&second), count).await;
    let remove = async || drain(&local, &second, None, count).await;
    let took = timed(publish()).await?;
    println!("publish          {:>9.0} /s", count as f64 / took.as_secs_f64());
    let took = timed(forward()).await?;
    println!("consume, forward {:>9.0} /s", count as f64 / took.as_secs_f64());
    let took = timed(remove()).await?;
    println!("consume, remove  {:>9.0} /s", count as f64 / took.as_secs_f64());
    let took = timed(async { tokio::try_join!(publish(), forward(), remove()) }).await?;
    println!("all at once      {:>9.0} /s end to end", count as f64 / took.as_secs_f64());
    Ok(())
}

async fn publish(local: &Arc<Local>, queue: &Queue, body: &Bytes, count: usize) -> anyhow::Result<()> {
    let mut publishes = stream::iter(0..count)
        .map(|_| local.publish(Outgoing { queue: queue.clone(), body: body.clone() }, None))
        .buffer_unordered(CREDIT.get().into());
    while let Some(result) = publishes.next().await {
        result?;
    }
    Ok(())
}

async fn drain(local: &Arc<Local>, from: &Queue, to: Option<&Queue>, count: usize) -> anyhow::Result<()> {
    let mut consumer = local.consume(from, CREDIT).await?;
    let mut settling = tokio::task::JoinSet::new();
    for _ in 0..count {
        let delivery = consumer.next().await?;
        let successors =
            to.map(|to| Outgoing { queue: to.clone(), body: delivery.body.clone() }).into_iter().collect();
        settling.spawn(async move { delivery.settle(Outcome::forward(successors)).await.is_ok() });
    }
    anyhow::ensure!(
        settling.join_all().await.into_iter().all(|settled| settled),
        "a delivery was not settled"
    );
    Ok(())
}

async fn timed<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<Duration> {
    let began = Instant::now();
    work.await?;
    Ok(began.elapsed())
}
