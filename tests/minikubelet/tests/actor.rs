//! An actor's pod as the operator writes it, with the real sidecar, the real runtime and a real broker.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::process::Command;
use std::time::Instant;

use asya_tests::broker::{self, Arrivals};
use asya_tests::process::{program, root};
use asya_tests::server;
use bench::{Bench, GRACE, until};
use serde_json::json;

const ENVELOPES: usize = 100;

#[tokio::test]
async fn an_actors_pod_serves_its_queue_and_drains() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let sidecar = format!("asya-sidecar={}", program("asya-sidecar").unwrap().display());
    let Some(bench) = Bench::start(&["--command", &sidecar]).await else { return };
    let name = |role: &str| format!("pod{}-{role}", std::process::id());
    let (actor, happy, error) = (name("echo"), name("happy"), name("error"));
    let (_connection, channel) = broker::connect(&url).await.unwrap();
    for queue in [&actor, &happy, &error] {
        broker::declare(&channel, queue).await.unwrap();
    }
    let arrivals = Arrivals::default();
    let collector = tokio::spawn(broker::collect(url.clone(), happy.clone(), arrivals.clone()));

    bench.secret("broker", "url", &url).await;
    bench.config_map("handlers", "handlers.py", "def echo(payload):\n    return payload\n").await;
    bench.binary("asya-runtime", "asya_runtime.py", runtime(&bench)).await;
    let socket = json!({"name": "socket-dir", "mountPath": "/var/run/asya"});
    let pod = bench
        .create(json!({
            "containers": [{"name": "asya-sidecar", "image": "x",
                "env": [{"name": "ASYA_ACTOR_NAME", "value": actor},
                    {"name": "ASYA_ACTOR_HAPPY_END", "value": happy}, {"name": "ASYA_ACTOR_ERROR_END", "value": error},
                    {"name": "ASYA_TRANSPORT", "value": "rabbitmq"}, {"name": "ASYA_SOCKET_DIR", "value": "/var/run/asya"},
                    {"name": "ASYA_RABBITMQ_URL", "valueFrom": {"secretKeyRef": {"name": "broker", "key": "url"}}}],
                "ports": [{"name": "metrics", "containerPort": 8080}],
                "livenessProbe": {"httpGet": {"path": "/healthz", "port": "metrics"}},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": "metrics"}, "periodSeconds": 1},
                "volumeMounts": [socket]},
                {"name": "asya-runtime", "image": "python:3.13-slim",
                "command": ["python3", "/opt/asya/asya_runtime.py"],
                "env": [{"name": "ASYA_SOCKET_DIR", "value": "/var/run/asya"}, {"name": "ASYA_HANDLER", "value": "handlers.echo"},
                    {"name": "PYTHONPATH", "value": "/app"}],
                "startupProbe": {"exec": {"command": ["sh", "-c", "test -S /var/run/asya/asya-runtime.sock"]}, "periodSeconds": 1,
                    "failureThreshold": 30},
                "volumeMounts": [socket, {"name": "handlers", "mountPath": "/app"},
                    {"name": "asya-runtime", "mountPath": "/opt/asya/asya_runtime.py", "subPath": "asya_runtime.py"}]}],
            "volumes": [{"name": "socket-dir", "emptyDir": {}}, {"name": "handlers", "configMap": {"name": "handlers"}},
                {"name": "asya-runtime", "configMap": {"name": "asya-runtime", "defaultMode": 0o755}}]}))
        .await;
    bench.condition(&pod, "Ready", "True").await;

    let envelope = |n: usize| {
        let route = json!({"actors": [actor], "current": 0});
        json!({"id": format!("e{n}"), "route": route, "payload": {"n": n}}).to_string()
    };
    broker::publish(&channel, &actor, (0..ENVELOPES).map(envelope)).await.unwrap();
    until("every envelope arrives", async || arrivals.lock().unwrap().len() == ENVELOPES).await;
    let asked = Instant::now();
    bench.delete(&pod).await;
    assert!(asked.elapsed() < GRACE, "both ended by themselves");
    assert!(arrivals.lock().unwrap().values().all(|count| *count == 1));
    collector.abort();
    bench.end().await;
}

/// The runtime as one file.
fn runtime(bench: &Bench) -> Vec<u8> {
    let file = bench.folder().join("runtime.pyz");
    let built =
        Command::new("python3").arg(root().join("runtime-py/build_zipapp.py")).arg(&file).status().unwrap();
    assert!(built.success());
    std::fs::read(file).unwrap()
}
