//! Words in which the cases are written.

use std::{
    collections::BTreeMap,
    future::Future,
    num::NonZeroU16,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use asya_envelope::Queue;
use bytes::Bytes;

use super::{Client, Harness, Traits};
use crate::{Consumer, Delivery, Outgoing, Transport, TransportError, Unsettled};

/// How long to wait for what must happen at once; generous, because the machine may be busy.
pub(super) const SOON: Duration = Duration::from_secs(20);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A client, a queue that exists, and what is promised.
pub(super) struct Bench {
    pub(super) harness: Arc<dyn Harness>,
    pub(super) client: Client,
    pub(super) queue: Queue,
    pub(super) traits: Traits,
}

impl Bench {
    pub(super) async fn new(harness: Arc<dyn Harness>) -> anyhow::Result<Self> {
        let client = harness.client().await.context("making a client")?;
        let queue = harness.fresh_queue();
        client.queues.ensure(&queue).await.context("making a queue")?;
        let traits = harness.traits();
        Ok(Self { harness, client, queue, traits })
    }

    /// One more queue.
    pub(super) async fn another_queue(&self) -> anyhow::Result<Queue> {
        let queue = self.harness.fresh_queue();
        self.client.queues.ensure(&queue).await.context("making another queue")?;
        Ok(queue)
    }

    pub(super) async fn consume(&self, credit: u16) -> anyhow::Result<Box<dyn Consumer>> {
        consume(&*self.client.transport, &self.queue, credit).await
    }

    pub(super) async fn publish(&self, body: &str) -> anyhow::Result<()> {
        self.client
            .transport
            .publish(message(&self.queue, body), None)
            .await
            .with_context(|| format!("publishing {body}"))
    }

    /// Publishes `count` different messages at once and waits for all confirmations.
    pub(super) async fn publish_many(&self, count: usize) -> anyhow::Result<()> {
        let each = (0..count).map(|n| self.client.transport.publish(message(&self.queue, &name(n)), None));
        for result in futures::future::join_all(each).await {
            result.context("publishing many")?;
        }
        Ok(())
    }

    /// Waits until the queue's depth is as said.
    pub(super) async fn depth_is(&self, ready: u64, dead: u64) -> anyhow::Result<()> {
        eventually(SOON, &format!("depth of ready {ready}, dead {dead}"), async || {
            let depth = self.client.queues.depth(&self.queue).await?;
            Ok((depth.ready, depth.dead) == (ready, dead))
        })
        .await
    }
}

/// The name of message n of many; as text, so that it can be a body.
pub(super) fn name(n: usize) -> String {
    format!("message {n:06}")
}

pub(super) fn message(queue: &Queue, body: &str) -> Outgoing {
    Outgoing { queue: queue.clone(), body: Bytes::from(body.to_owned()) }
}

pub(super) async fn consume(
    transport: &dyn Transport,
    queue: &Queue,
    credit: u16,
) -> anyhow::Result<Box<dyn Consumer>> {
    let credit = NonZeroU16::new(credit).context("credit of zero")?;
    transport.consume(queue, credit).await.context("beginning to consume")
}

/// The body as text.
pub(super) fn text(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.body).into_owned()
}

/// The next delivery, which must come soon.
pub(super) async fn next(consumer: &mut dyn Consumer) -> anyhow::Result<Delivery> {
    next_within(consumer, SOON).await
}

/// The next delivery, which must come within `limit`.
pub(super) async fn next_within(consumer: &mut dyn Consumer, limit: Duration) -> anyhow::Result<Delivery> {
    tokio::time::timeout(limit, consumer.next())
        .await
        .with_context(|| format!("no delivery within {} ms", limit.as_millis()))?
        .context("the consumer ended")
}

/// No delivery may come for this long.
pub(super) async fn nothing(consumer: &mut dyn Consumer, period: Duration) -> anyhow::Result<()> {
    match tokio::time::timeout(period, consumer.next()).await {
        Err(_) => Ok(()),
        Ok(Ok(delivery)) => anyhow::bail!("unexpected delivery {:?} of {:?}", delivery, text(&delivery)),
        Ok(Err(error)) => Err(error).context("the consumer ended"),
    }
}

/// Settles and requires success.
pub(super) async fn settle(delivery: Delivery, outcome: crate::Outcome) -> anyhow::Result<()> {
    delivery.settle(outcome).await.map_err(|(error, _)| error).context("settling")
}

/// Removes without successor.
pub(super) async fn done(delivery: Delivery) -> anyhow::Result<()> {
    settle(delivery, crate::Outcome::forward(vec![])).await
}

/// Waits until a condition holds.
pub(super) async fn eventually<F>(limit: Duration, what: &str, condition: F) -> anyhow::Result<()>
where
    F: AsyncFn() -> anyhow::Result<bool>,
{
    let began = Instant::now();
    while !condition().await? {
        ensure!(began.elapsed() < limit, "not within {} s: {what}", limit.as_secs());
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Receives and removes until every one of `count` names has come, and says how often each came.
pub(super) async fn drain(
    consumer: &mut dyn Consumer,
    count: usize,
    limit: Duration,
) -> anyhow::Result<BTreeMap<String, usize>> {
    let began = Instant::now();
    let mut seen = BTreeMap::new();
    while seen.len() < count {
        let left = limit.saturating_sub(began.elapsed());
        let delivery = next_within(consumer, left)
            .await
            .with_context(|| format!("{} of {count} different messages had come", seen.len()))?;
        *seen.entry(text(&delivery)).or_default() += 1;
        done(delivery).await?;
    }
    Ok(seen)
}

/// Requires that a failed call said so for this queue.
pub(super) fn is_unroutable(result: &Result<(), TransportError>, missing: &Queue) -> anyhow::Result<()> {
    match result {
        Err(TransportError::Unroutable { queue }) if queue == missing => Ok(()),
        other => anyhow::bail!("expected queue {missing} to be unroutable, got {other:?}"),
    }
}

/// Runs a future that must end soon.
pub(super) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> anyhow::Result<T> {
    tokio::time::timeout(SOON, future).await.with_context(|| format!("not soon: {what}"))
}

/// Requires that a settle found its delivery gone.
pub(super) fn is_lost(result: Result<(), (Unsettled, Option<Delivery>)>) -> anyhow::Result<()> {
    match result {
        Err((Unsettled::Lost(_), None)) => Ok(()),
        other => anyhow::bail!("expected a lost delivery, got {other:?}"),
    }
}
