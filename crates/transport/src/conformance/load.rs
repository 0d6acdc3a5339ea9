//! Many at once.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::ensure;

use super::{
    Harness, Verdict,
    kit::{Bench, consume, eventually, message, name, settle, text},
};
use crate::Outcome;

/// Four forwarding consumers and one at the end: nothing is lost, and without faults nothing is duplicated.
pub(super) async fn many_messages_many_consumers(harness: Arc<dyn Harness>) -> anyhow::Result<Verdict> {
    const FORWARDERS: usize = 4;
    let bench = Bench::new(harness).await?;
    let count = bench.traits.load;
    let onward = bench.another_queue().await?;
    let arrived: Arc<Mutex<BTreeMap<String, usize>>> = Arc::default();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..FORWARDERS {
        let mut consumer = bench.consume(25).await?;
        let onward = onward.clone();
        tasks.spawn(async move {
            loop {
                let delivery = consumer.next().await?;
                let onward = onward.clone();
                tokio::spawn(async move {
                    let successor = message(&onward, &text(&delivery));
                    settle(delivery, Outcome::forward(vec![successor])).await
                });
            }
            #[expect(unreachable_code, reason = "gives the task its type")]
            anyhow::Ok(())
        });
    }
    let mut end = consume(&*bench.client.transport, &onward, 100).await?;
    let counted = Arc::clone(&arrived);
    tasks.spawn(async move {
        loop {
            let delivery = end.next().await?;
            *counted.lock().expect("no panic while counting").entry(text(&delivery)).or_default() += 1;
            tokio::spawn(settle(delivery, Outcome::forward(vec![])));
        }
    });
    bench.publish_many(count).await?;
    let complete = async || Ok(arrived.lock().expect("no panic while counting").len() >= count);
    eventually(Duration::from_secs(90), "every message arrives", complete).await?;
    eventually(Duration::from_secs(20), "both queues are empty", async || {
        let (first, second) =
            (bench.client.queues.depth(&bench.queue).await?, bench.client.queues.depth(&onward).await?);
        Ok(first.ready + first.in_flight + second.ready + second.in_flight == 0)
    })
    .await?;
    tasks.shutdown().await;
    let arrived = arrived.lock().expect("no panic while counting");
    ensure!((0..count).all(|n| arrived.contains_key(&name(n))), "other messages arrived");
    let twice = arrived.values().filter(|times| **times > 1).count();
    ensure!(twice == 0 || !bench.harness.delivers_once(), "{twice} messages came twice");
    Ok(Verdict::Passed)
}
