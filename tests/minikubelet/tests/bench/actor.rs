//! An actor's pod as the contract has it, and what it needs around it.

use std::process::Command;

use asya_tests::broker;
use asya_tests::process::root;
use lapin::{Channel, Connection};
use serde_json::{Value, json};

use super::Bench;

/// An actor with ends of its own; its queues have the contract's names and bindings.
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) happy: String,
    error: String,
    handlers: &'static str,
}

impl Actor {
    /// The module `handlers` has to define `echo`.
    pub(crate) fn new(role: &str, handlers: &'static str) -> Self {
        let name = |role: &str| format!("{role}{}", std::process::id());
        Self { name: name(role), happy: name("happy"), error: name("error"), handlers }
    }

    /// Makes its queues, and the objects that its pods mount; the connection for publishing.
    pub(crate) async fn prepare(&self, bench: &Bench, url: &str) -> (Connection, Channel) {
        let (connection, channel) = broker::connect(url).await.unwrap();
        for queue in [&self.name, &self.happy, &self.error] {
            broker::declare(&channel, queue).await.unwrap();
        }
        bench.secret("broker", "url", url).await;
        bench.config_map("handlers", "handlers.py", self.handlers).await;
        bench.binary("asya-runtime", "asya_runtime.py", runtime(bench)).await;
        (connection, channel)
    }

    /// The specification of one of its pods.
    pub(crate) fn pod(&self) -> Value {
        let socket = json!({"name": "socket-dir", "mountPath": "/var/run/asya"});
        json!({
            "containers": [{"name": "asya-sidecar", "image": "x",
                "env": [{"name": "ASYA_ACTOR_NAME", "value": self.name},
                    {"name": "ASYA_ACTOR_HAPPY_END", "value": self.happy}, {"name": "ASYA_ACTOR_ERROR_END", "value": self.error},
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
                {"name": "asya-runtime", "configMap": {"name": "asya-runtime", "defaultMode": 0o755}}]
        })
    }

    /// Envelopes to it and nobody after it.
    pub(crate) fn envelopes(&self, count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|n| {
            let route = json!({"actors": [self.name], "current": 0});
            json!({"id": format!("e{n}"), "route": route, "payload": {"n": n}}).to_string()
        })
    }
}

/// The runtime as one file.
fn runtime(bench: &Bench) -> Vec<u8> {
    let file = bench.folder().join("runtime.pyz");
    let built =
        Command::new("python3").arg(root().join("runtime-py/build_zipapp.py")).arg(&file).status().unwrap();
    assert!(built.success());
    std::fs::read(file).unwrap()
}
