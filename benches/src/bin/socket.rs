//! Over the socket alone: the sidecar's end and one Python worker.
//!
//! First as many small messages as go through, with the window that the handler asks for; then the round trip at half
//! of `LOAD` (25000/s, the goal). Settings: `SECONDS` (5).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use asya_benches::{process, setting};
use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{
    End, Handler, Readiness, Reply, Request,
    socket::{SocketConfig, SocketHandler},
};
use futures::{StreamExt, stream::FuturesUnordered};

#[tokio::main]
async fn main() -> Result<()> {
    let seconds = setting("SECONDS", 5);
    let load = setting("LOAD", 25_000);
    let directory = tempfile::Builder::new().prefix("asya-bench").tempdir_in("/tmp")?;
    let _runtime = process::python(directory.path(), "handlers.echo", &[])?;
    let handler = SocketHandler::new(SocketConfig::new(directory.path(), "bench"));
    let mut readiness = handler.readiness();
    tokio::time::timeout(Duration::from_secs(10), readiness.wait_for(|r| *r == Readiness::Ready))
        .await
        .context("the runtime did not become ready")??;

    closed_loop(&handler, Duration::from_secs(1)).await?;
    let rate = closed_loop(&handler, Duration::from_secs(seconds as u64)).await?;
    println!("throughput: {rate:.0}/s (goal: at least {load})");

    let mut latencies = open_loop(&handler, load / 2, Duration::from_secs(seconds as u64)).await?;
    latencies.sort();
    let at = |q: f64| latencies[((latencies.len() - 1) as f64 * q) as usize];
    println!(
        "round trip at {}/s: p50 {:?}, p99 {:?}, max {:?} (goal: p99 below 1 ms)",
        load / 2,
        at(0.5),
        at(0.99),
        at(1.0)
    );
    Ok(())
}

async fn closed_loop(handler: &Arc<SocketHandler>, duration: Duration) -> Result<f64> {
    let start = Instant::now();
    let capacity = handler.capacity();
    let mut running = FuturesUnordered::new();
    let mut done = 0_u64;
    while start.elapsed() < duration {
        while running.len() < capacity.borrow().total() {
            running.push(call(handler.clone()));
        }
        running.next().await.context("nothing is running")??;
        done += 1;
    }
    Ok(done as f64 / start.elapsed().as_secs_f64())
}

/// Sends at a fixed rate whether or not answers come, so that a slow answer does not hide behind fewer questions. The
/// timer's grain is a millisecond: messages leave in bursts of a millisecond's worth.
async fn open_loop(handler: &Arc<SocketHandler>, rate: usize, duration: Duration) -> Result<Vec<Duration>> {
    let total = rate * usize::try_from(duration.as_secs())?;
    let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let start = Instant::now();
    let mut sent = 0;
    while sent < total {
        tick.tick().await;
        let due = (start.elapsed().as_secs_f64() * rate as f64) as usize;
        for _ in sent..due.min(total) {
            let (handler, sender) = (handler.clone(), sender.clone());
            let asked = Instant::now();
            tokio::spawn(async move {
                let done = call(handler).await.map(|()| asked.elapsed());
                let _ = sender.send(done);
            });
        }
        sent = due.min(total);
    }
    drop(sender);
    let mut latencies = Vec::with_capacity(total);
    while let Some(latency) = results.recv().await {
        latencies.push(latency?);
    }
    Ok(latencies)
}

async fn call(handler: Arc<SocketHandler>) -> Result<()> {
    let envelope = Envelope::new("bench", Route::new(["bench"]), Raw::of(&serde_json::json!({"n": 1})));
    let body = envelope.encode();
    let request =
        Request { envelope, body, actor: "bench".to_owned(), attempt: 1, timeout: Duration::from_secs(60) };
    let mut replies = handler.handle(request);
    match replies.recv().await {
        Some(Reply::End(End::Done(items))) if items.len() == 1 => Ok(()),
        other => anyhow::bail!("unexpected reply {other:?}"),
    }
}
