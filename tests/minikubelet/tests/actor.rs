//! An actor's pod as the operator writes it, with the real sidecar, the real runtime and a real broker.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::time::Instant;

use asya_tests::broker::{self, Arrivals};
use asya_tests::process::program;
use asya_tests::server;
use bench::actor::Actor;
use bench::{Bench, GRACE, until};

const ENVELOPES: usize = 100;

#[tokio::test]
async fn an_actors_pod_serves_its_queue_and_drains() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let sidecar = format!("asya-sidecar={}", program("asya-sidecar").unwrap().display());
    let Some(bench) = Bench::start(&["--command", &sidecar]).await else { return };
    let actor = Actor::new("echo", "def echo(payload):\n    return payload\n");
    let (_connection, channel) = actor.prepare(&bench, &url).await;
    let arrivals = Arrivals::default();
    let collector = tokio::spawn(broker::collect(url.clone(), actor.happy.clone(), arrivals.clone()));
    let pod = bench.create(actor.pod()).await;
    bench.condition(&pod, "Ready", "True").await;

    broker::publish(&channel, &actor.name, actor.envelopes(ENVELOPES)).await.unwrap();
    until("every envelope arrives", async || arrivals.lock().unwrap().len() == ENVELOPES).await;
    let asked = Instant::now();
    bench.delete(&pod).await;
    assert!(asked.elapsed() < GRACE, "both ended by themselves");
    assert!(arrivals.lock().unwrap().values().all(|count| *count == 1));
    collector.abort();
    bench.end().await;
}
