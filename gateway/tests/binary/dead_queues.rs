//! The brokers' own dead-letter queues, by a gateway that is connected to a real broker.
//!
//! `ASYA_TEST_RABBITMQ_URL` and `ASYA_TEST_RABBITMQ4_URL`, `ASYA_TEST_RABBITMQ_MANAGEMENT` (of the user `guest`);
//! `ASYA_TEST_SQS_ENDPOINT` and `ASYA_TEST_SQS_ENDPOINT_2`.

use std::{collections::BTreeSet, net::SocketAddr, path::Path, time::Duration};

use asya_envelope::{Naming, Queue};
use asya_settings::Secret;
use asya_transport::{
    Broker, Outcome, Outgoing,
    broker::{Amqp, Opened},
};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

use crate::support::{LIMIT, ask, body, free, get, in_folder, post, serving, until};

/// Messages of one test.
const COUNT: usize = 3;

/// The value of a variable that names a broker. Without it the test says so loudly and passes; in CI it fails.
fn broker(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        assert!(
            std::env::var("CI").as_deref() != Ok("true"),
            "{variable} is not set, and in CI the tests against real brokers must run"
        );
        eprintln!("SKIPPED: {variable} is not set, so no dead-letter queue of that broker was looked at");
    }
    value
}

fn rabbitmq(url: &str) -> Broker {
    Broker::Rabbitmq { amqp: Amqp::Url(Secret::Plain(url.to_owned())), exchange: "asya".to_owned() }
}

/// A queue of an actor that no other test uses, with what died on it.
struct World {
    actor: String,
    queue: Queue,
    opened: Opened,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(broker: &Broker) -> Self {
        let actor = format!("dlq-{}", uuid::Uuid::now_v7().simple());
        let queue = Naming::bare().queue(&actor);
        let opened = timeout(LIMIT, broker.open(Duration::from_secs(1))).await.unwrap().unwrap();
        opened.queues.ensure(&queue).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("tools.yaml"),
            format!("tools: [{{name: hello, route: [{actor}]}}]"),
        )
        .unwrap();
        Self { actor, queue, opened, folder }
    }

    fn message(&self, number: usize) -> String {
        let actors = [&self.actor];
        json!({"id": format!("e{number}"), "route": {"actors": actors, "current": 0}, "payload": number})
            .to_string()
    }

    async fn die(&self) {
        let transport = &self.opened.transport;
        for number in 0..COUNT {
            let body = Bytes::from(self.message(number));
            transport.publish(Outgoing { queue: self.queue.clone(), body }, None).await.unwrap();
        }
        let mut consumer = transport.consume(&self.queue, 1.try_into().unwrap()).await.unwrap();
        for _ in 0..COUNT {
            let delivery = timeout(LIMIT, consumer.next()).await.unwrap().unwrap();
            let id = body_of(&delivery.body)["id"].as_str().unwrap().to_owned();
            let reason = format!("poison: {id} was delivered 20 times");
            delivery.settle(Outcome::DeadLetter { reason }).await.map_err(|(error, _)| error).unwrap();
        }
    }

    async fn dead(&self) -> u64 {
        self.opened.queues.depth(&self.queue).await.unwrap().dead
    }

    /// The gateway's program, to be told of a broker.
    fn gateway(&self, address: SocketAddr) -> Command {
        let mut command = in_folder(self.folder.path(), address);
        command.env_remove("ASYA_LOCAL_PATH");
        command
    }

    async fn list(&self, address: SocketAddr) -> Value {
        body(&get(address, &format!("/api/v1/dead-letters?source=broker&actor={}", self.actor)).await)
    }

    /// The ids of envelopes that come on the queue.
    async fn arrived(&self, count: usize) -> BTreeSet<String> {
        let mut consumer = self.opened.transport.consume(&self.queue, 1.try_into().unwrap()).await.unwrap();
        let mut ids = BTreeSet::new();
        for _ in 0..count {
            let delivery = timeout(LIMIT, consumer.next()).await.unwrap().unwrap();
            ids.insert(body_of(&delivery.body)["id"].as_str().unwrap().to_owned());
            delivery.settle(Outcome::forward(vec![])).await.map_err(|(error, _)| error).unwrap();
        }
        ids
    }

    async fn end(self) {
        self.opened.queues.delete(&self.queue).await.unwrap();
        if let Some(close) = self.opened.close {
            close.await;
        }
    }
}

fn body_of(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

fn letters(list: &Value) -> Vec<Value> {
    list["letters"].as_array().cloned().unwrap_or_default()
}

/// What dies is listed as often as anybody looks, goes back to its queue, and none is lost.
async fn looks_and_replays_lose_nothing(broker: Broker, told: impl FnOnce(&mut Command)) {
    let world = World::new(&broker).await;
    world.die().await;
    until("all are dead", async || world.dead().await == COUNT as u64).await;
    let address = free().await;
    let mut command = world.gateway(address);
    told(&mut command);
    let _child = serving(&mut command, address).await;
    until("the broker is connected to", async || letters(&world.list(address).await).len() == COUNT).await;

    // What was looked at can be looked at again at once, by the gateway and by others.
    // (What is not given back is hidden for longer than this waits.)
    for _ in 0..3 {
        until("all are there again", async || {
            let list = world.list(address).await;
            letters(&list).len() == COUNT && list.get("warnings").is_none()
        })
        .await;
    }
    until("others see them too", async || {
        world.opened.dead_letters.list(&world.queue, 100).await.unwrap().len() == COUNT
    })
    .await;
    // Without an actor those are found whose queues are not known to be empty.
    until("it is found without its name", async || {
        let all = body(&get(address, "/api/v1/dead-letters?source=all").await);
        letters(&all).iter().filter(|letter| letter["actor"] == *world.actor).count() == COUNT
    })
    .await;
    let list = letters(&world.list(address).await);
    let first = list.iter().find(|letter| letter["envelope"] == "e0").unwrap();
    assert_eq!(
        (&first["source"], &first["code"], &first["error"]),
        (&json!("broker"), &json!("poison"), &json!("e0 was delivered 20 times"))
    );
    let id = first["id"].as_str().unwrap();
    let shown = body(&get(address, &format!("/api/v1/dead-letters/{id}")).await);
    assert_eq!(shown["body"]["payload"], 0, "{shown}");

    let one = post(address, "/api/v1/dead-letters/replay", &json!({"ids": [id]})).await;
    assert_eq!(body(&one)["replayed"], 1, "{one}");
    assert_eq!(world.arrived(1).await, BTreeSet::from(["e0".to_owned()]));
    until("the others are left", async || letters(&world.list(address).await).len() == COUNT - 1).await;
    let again = post(address, "/api/v1/dead-letters/replay", &json!({"ids": [id]})).await;
    assert_eq!((&body(&again)["replayed"], &body(&again)["gone"]), (&json!(0), &json!(1)), "{again}");
    let rest = json!({"filter": {"source": "broker", "actor": world.actor}});
    let rest = post(address, "/api/v1/dead-letters/replay", &rest).await;
    assert_eq!(body(&rest)["replayed"], COUNT - 1, "{rest}");
    assert_eq!(world.arrived(COUNT - 1).await, BTreeSet::from(["e1".to_owned(), "e2".to_owned()]));
    until("none is left", async || letters(&world.list(address).await).is_empty()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_rabbitmq_are_looked_at_and_replayed_and_none_is_lost() {
    for variable in ["ASYA_TEST_RABBITMQ_URL", "ASYA_TEST_RABBITMQ4_URL"] {
        // Version 4 is not to be had everywhere, as in the other tests.
        if variable == "ASYA_TEST_RABBITMQ4_URL" && std::env::var(variable).is_err() {
            continue;
        }
        let Some(url) = broker(variable) else { continue };
        looks_and_replays_lose_nothing(rabbitmq(&url), |command| {
            command.env("ASYA_TRANSPORT", "rabbitmq").env("ASYA_RABBITMQ_URL", &url);
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_sqs_are_looked_at_and_replayed_and_none_is_lost() {
    for variable in ["ASYA_TEST_SQS_ENDPOINT", "ASYA_TEST_SQS_ENDPOINT_2"] {
        let Some(endpoint) = broker(variable) else { continue };
        let sqs = Broker::Sqs {
            key: None,
            endpoint: Some(endpoint.clone()),
            region: Some("us-east-1".to_owned()),
            visibility: Duration::from_secs(30),
            wait: Duration::from_secs(1),
        };
        looks_and_replays_lose_nothing(sqs, |command| {
            command.env("ASYA_TRANSPORT", "sqs").env("ASYA_SQS_ENDPOINT", &endpoint);
            for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
                command.env(name, std::env::var(name).unwrap_or_else(|_| "test".to_owned()));
            }
        })
        .await;
    }
}

/// `guest:guest`, as basic authentication has it.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";

async fn manage(management: &str, method: &str, path: &str, body: &Value) {
    let address = management.rsplit_once('@').unwrap().1.trim_end_matches('/').parse().unwrap();
    let headers = format!("authorization: Basic {GUEST}\r\ncontent-type: application/json\r\n");
    let answer = ask(address, method, &format!("/api/{path}"), &headers, &body.to_string()).await;
    assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_may_not_read_a_dead_letter_queue_says_so_and_shows_its_own() {
    let Some(url) = broker("ASYA_TEST_RABBITMQ_URL") else { return };
    let Some(management) = broker("ASYA_TEST_RABBITMQ_MANAGEMENT") else { return };
    let world = World::new(&rabbitmq(&url)).await;
    world.die().await;
    // May publish, and read nothing.
    let user = world.actor.clone();
    manage(&management, "PUT", &format!("users/{user}"), &json!({"password": "p", "tags": ""})).await;
    let rights = json!({"configure": "", "write": ".*", "read": "^$"});
    manage(&management, "PUT", &format!("permissions/%2F/{user}"), &rights).await;
    let limited = format!("amqp://{user}:p@{}", url.rsplit_once('@').unwrap().1);
    let address = free().await;
    let mut command = world.gateway(address);
    command.env("ASYA_TRANSPORT", "rabbitmq").env("ASYA_RABBITMQ_URL", &limited);
    let _child = serving(&mut command, address).await;
    bury(world.folder.path()).await;
    let path = format!("/api/v1/dead-letters?source=all&actor={}", world.actor);
    until("it says what it may not", async || {
        let list = body(&get(address, &path).await);
        let warned = list["warnings"][0].as_str().is_some_and(|text| text.contains("ACCESS_REFUSED"));
        warned && letters(&list).is_empty()
    })
    .await;
    let stored = body(&get(address, "/api/v1/dead-letters?source=all").await);
    assert!(letters(&stored).iter().any(|letter| letter["source"] == "store"), "{stored}");
    assert_eq!(world.dead().await, COUNT as u64);
    manage(&management, "DELETE", &format!("users/{user}"), &Value::Null).await;
    world.end().await;
}

/// A letter in the store of the gateway in this folder.
async fn bury(folder: &Path) {
    use asya_store::{EnvelopeStore, StoreOptions, envelopes::DeadLetter};
    let url = folder.join("gateway.db");
    let store = EnvelopeStore::open(url.to_str().unwrap(), StoreOptions::default()).await.unwrap();
    let letter = DeadLetter {
        id: "stored".to_owned(),
        envelope: "stored".to_owned(),
        actor: "other".to_owned(),
        code: "timeout".to_owned(),
        error: "late".to_owned(),
        attempts: 1,
        body: Bytes::from_static(b"{}"),
        detail: None,
        since: jiff::Timestamp::now(),
        replayed_as: None,
        replayed: None,
    };
    store.bury(&letter).await.unwrap();
}
