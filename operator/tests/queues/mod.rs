//! What the tests of queues share: the servers, and settings that lead to them.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::{
    process::Command,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use asya_envelope::Queue;
use asya_operator::settings::{Raw, Settings};
use serde_json::Value;

/// How long to wait for what must happen soon; generous, because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// The value of an environment variable that names a server. Without it the test says so loudly and passes; in CI it
/// fails.
pub(crate) fn server(variable: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Some(value),
        _ if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("{variable} is not set, and in CI the tests against real brokers must run")
        }
        _ => {
            eprintln!("SKIPPED: {variable} is not set, so nothing was tried against a real broker");
            None
        }
    }
}

/// Both brokers, as `(AMQP address, management address)`.
pub(crate) fn rabbitmqs() -> Vec<Rabbit> {
    ["ASYA_TEST_RABBITMQ", "ASYA_TEST_RABBITMQ4"]
        .into_iter()
        .filter_map(|prefix| {
            let amqp = server(&format!("{prefix}_URL"))?;
            let management = server(&format!("{prefix}_MANAGEMENT"))?;
            Some(Rabbit { amqp, management })
        })
        .collect()
}

/// One broker: addresses of the form `scheme://guest:guest@host:port/`.
pub(crate) struct Rabbit {
    pub(crate) amqp: String,
    pub(crate) management: String,
}

impl Rabbit {
    pub(crate) fn host(&self) -> String {
        let (host, _) = host_and_port(&self.amqp);
        host
    }

    pub(crate) fn port(&self) -> u16 {
        host_and_port(&self.amqp).1
    }

    /// The management API without credentials.
    pub(crate) fn management_url(&self) -> String {
        let (host, port) = host_and_port(&self.management);
        format!("http://{host}:{port}")
    }

    /// The management API's answer to a call by curl.
    pub(crate) fn api(&self, method: &str, path: &str, body: &str) -> String {
        let url = format!("{}/api/{path}", self.management);
        let mut command = Command::new("curl");
        command.args(["-sS", "-X", method, "-H", "content-type: application/json", &url]);
        if !body.is_empty() {
            command.args(["-d", body]);
        }
        let answer = command.output().expect("curl is there");
        assert!(answer.status.success(), "{method} {path}: {}", String::from_utf8_lossy(&answer.stderr));
        String::from_utf8_lossy(&answer.stdout).into_owned()
    }

    /// Publishes to a queue by its name.
    pub(crate) fn publish(&self, queue: &Queue, body: &str) {
        let message = serde_json::json!({
            "properties": {"delivery_mode": 2}, "routing_key": queue.as_str(), "payload": body,
            "payload_encoding": "string",
        });
        let answer = self.api("POST", "exchanges/%2F/amq.default/publish", &message.to_string());
        assert!(answer.contains("true"), "published to {queue:?}: {answer}");
    }
}

fn host_and_port(address: &str) -> (String, u16) {
    let rest = address.split_once('@').expect("credentials").1;
    let (host, port) = rest.trim_end_matches('/').split_once(':').expect("a port");
    (host.to_owned(), port.parse().expect("a number"))
}

pub(crate) fn fresh_queue() -> Queue {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos();
    Queue::named(format!("asya-test-{:x}-{:x}", std::process::id(), now))
}

/// Settings with these transports.
pub(crate) fn settings(transports: &Value, secrets: &std::path::Path) -> Settings {
    let config = serde_json::json!({ "transports": transports });
    Settings::read(Raw {
        transport_config: Some(config.to_string()),
        transport_secrets_dir: Some(secrets.display().to_string()),
        ..Raw::default()
    })
    .expect("the settings are right")
}

/// Waits until a condition holds.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < SOON, "not within {SOON:?}: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
