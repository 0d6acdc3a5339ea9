//! The real KEDA wakes pods that do real work, and lets them go: `make test-keda`.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::time::Instant;

use asya_tests::broker::{self, Arrivals};
use asya_tests::process::program;
use bench::actor::Actor;
use bench::{Bench, until};
use serde_json::json;

/// Enough for three pods to be wanted; each takes 50 ms.
const ENVELOPES: usize = 300;
const HANDLERS: &str = "import time\n\ndef echo(payload):\n    time.sleep(0.05)\n    return payload\n";

#[tokio::test]
async fn work_wakes_pods_and_the_last_one_goes_when_it_is_done() {
    if std::env::var_os("ASYA_TEST_KEDA_CTL").is_none() {
        eprintln!("NOT RUN: needs the real KEDA, make test-keda runs it");
        return;
    }
    let url = asya_tests::server("ASYA_TEST_RABBITMQ_URL").unwrap();
    let management = asya_tests::server("ASYA_TEST_RABBITMQ_MANAGEMENT").unwrap();
    let sidecar = format!("asya-sidecar={}", program("asya-sidecar").unwrap().display());
    let bench = Bench::start(&["--command", &sidecar]).await.unwrap();
    let actor = Actor::new("woken", HANDLERS);
    let (_connection, channel) = actor.prepare(&bench, &url).await;
    let arrivals = Arrivals::default();
    let collector = tokio::spawn(broker::collect(url.clone(), actor.happy.clone(), arrivals.clone()));
    bench
        .apply(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "woken"},
            "spec": {"replicas": 0, "selector": {"matchLabels": {"app": "woken"}},
                "template": {"metadata": {"labels": {"app": "woken"}}, "spec": actor.pod()}}}))
        .await;
    bench
        .apply(json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "woken"},
            "spec": {"scaleTargetRef": {"name": "woken"}, "minReplicaCount": 0, "maxReplicaCount": 3,
                "pollingInterval": 1, "cooldownPeriod": 3,
                "advanced": {"horizontalPodAutoscalerConfig": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 3}}}},
                "triggers": [{"type": "rabbitmq", "metadata": {"protocol": "http", "host": management, "vhostName": "/",
                    "queueName": format!("asya-{}", actor.name), "mode": "QueueLength", "value": "50"}}]}}))
        .await;
    let wanted =
        async || bench.deployments().get("woken").await.unwrap().spec.unwrap().replicas.unwrap_or_default();

    let autoscaler = async || bench.autoscalers().get_opt("keda-hpa-woken").await.unwrap();
    until("KEDA works on the ScaledObject", async || autoscaler().await.is_some()).await;

    let started = Instant::now();
    broker::publish(&channel, &actor.name, actor.envelopes(ENVELOPES)).await.unwrap();
    until("the first pod is wanted", async || wanted().await >= 1).await;
    let activated = started.elapsed();
    until("the first envelope is done", async || !arrivals.lock().unwrap().is_empty()).await;
    let first = started.elapsed();
    until("three pods are wanted", async || wanted().await == 3).await;
    let three = started.elapsed();
    until("every envelope is done", async || arrivals.lock().unwrap().len() == ENVELOPES).await;
    let done = started.elapsed();
    until("no pod is wanted", async || wanted().await == 0).await;
    let zero = started.elapsed();
    let pods = bench.pods();
    until("no pod is left", async || pods.list(&Default::default()).await.unwrap().items.is_empty()).await;
    println!(
        "after the first message, polling every 1 s: activation {activated:.1?}, first result {first:.1?}, three pods \
         {three:.1?}, {ENVELOPES} results {done:.1?}, zero pods {zero:.1?}"
    );
    assert!(arrivals.lock().unwrap().values().all(|count| *count == 1), "nothing was done twice");
    collector.abort();
    bench.end().await;
}
