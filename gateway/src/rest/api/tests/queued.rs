//! Dead letters on the brokers' own queues: on a real queue file, and on brokers that are away or refuse.

use std::collections::BTreeSet;

use asya_envelope::{Naming, Queue};
use asya_store::envelopes::DeadLetter as Stored;
use asya_transport::{
    DeadLetter, DeadLetters, Depth, Outcome, Outgoing, Queues, Selection, Transport, TransportError,
};
use bytes::Bytes;
use futures::future::ready;
use jiff::Timestamp;

use super::*;
use crate::dead_queues::DeadQueues;

/// An envelope as a sidecar found it on the queue of an actor.
fn message(id: &str, actor: &str) -> String {
    json!({"id": id, "route": {"actors": [actor], "current": 0}, "payload": "secret"}).to_string()
}

/// Puts messages on the dead-letter queue of an actor, as a sidecar does.
async fn die(world: &World, actor: &str, messages: &[(&str, &str)]) {
    let queue = Naming::bare().queue(actor);
    world.transport.ensure(&queue).await.unwrap();
    let mut consumer = world.transport.consume(&queue, 1.try_into().unwrap()).await.unwrap();
    for (body, reason) in messages {
        let body = Bytes::copy_from_slice(body.as_bytes());
        world.transport.publish(Outgoing { queue: queue.clone(), body }, None).await.unwrap();
        let delivery = tokio::time::timeout(LIMIT, consumer.next()).await.unwrap().unwrap();
        delivery.settle(Outcome::DeadLetter { reason: (*reason).to_owned() }).await.unwrap();
    }
}

const LIMIT: std::time::Duration = std::time::Duration::from_secs(30);

async fn depth(world: &World, actor: &str) -> Depth {
    world.transport.depth(&Naming::bare().queue(actor)).await.unwrap()
}

/// One letter of the store.
async fn stored(world: &World, id: &str) {
    let letter = Stored {
        id: id.to_owned(),
        envelope: id.to_owned(),
        actor: "read".to_owned(),
        code: "timeout".to_owned(),
        error: "late".to_owned(),
        attempts: 1,
        body: message(id, "read").into(),
        detail: None,
        since: Timestamp::now(),
        replayed_as: None,
        replayed: None,
    };
    world.service.store().bury(&letter).await.unwrap();
}

fn column<'a>(answer: &'a Value, name: &str) -> Vec<&'a str> {
    answer["letters"].as_array().unwrap().iter().map(|one| one[name].as_str().unwrap_or("-")).collect()
}

async fn three(world: &World) {
    let (first, second) = (message("e1", "read"), message("e2", "read"));
    die(world, "read", &[(&first, "poison: delivered 20 times"), (&second, "loop: published 999 times")])
        .await;
    die(world, "split", &[("no envelope", "")]).await;
}

#[tokio::test]
async fn messages_on_dead_letter_queues_are_listed_and_shown_and_stay_there() {
    let world = world().await;
    three(&world).await;
    stored(&world, "s1").await;
    let app = app(&world, &[Role::Admin]);
    for _ in 0..3 {
        let all = get(&app, "/dead-letters?source=all").await;
        assert!(!all.text.contains("secret"), "lists have no contents: {}", all.text);
        let all = all.json();
        assert_eq!(column(&all, "source"), ["broker", "broker", "broker", "store"], "{all}");
        assert!(all.get("warnings").is_none(), "{all}");
    }
    assert_eq!((depth(&world, "read").await.dead, depth(&world, "split").await.dead), (2, 1));
    let broker = get(&app, "/dead-letters?source=broker").await.json();
    assert_eq!(column(&broker, "envelope").into_iter().collect::<BTreeSet<_>>(), ["-", "e1", "e2"].into());
    assert_eq!(
        (column(&get(&app, "/dead-letters").await.json(), "id"), &broker["next"]),
        (vec!["s1"], &Value::Null)
    );

    for (query, found) in [
        ("actor=read&code=poison", &["e1"][..]),
        ("q=PUBLISHED", &["e2"]),
        ("envelope=e2", &["e2"]),
        ("code=unknown", &["-"]),
        ("until=2020-01-01T00:00:00Z", &[]),
        ("actor=split&q=by%20itself", &["-"]),
    ] {
        let answer = get(&app, &format!("/dead-letters?source=broker&{query}")).await.json();
        assert_eq!(column(&answer, "envelope"), found, "{query}: {answer}");
    }
    let poison = get(&app, "/dead-letters?source=broker&code=poison").await.json()["letters"][0].clone();
    assert_eq!(
        (&poison["actor"], &poison["error"], poison["since"].is_string()),
        (&json!("read"), &json!("delivered 20 times"), true)
    );
    let id = poison["id"].as_str().unwrap();
    assert!(id.starts_with("broker:read:"), "{id}");
    let shown = get(&app, &format!("/dead-letters/{id}")).await.json();
    assert_eq!((&shown["body"]["payload"], &shown["source"]), (&json!("secret"), &json!("broker")));
    let reader = super::app(&world, &[Role::Read]);
    assert!(get(&reader, &format!("/dead-letters/{id}")).await.json().get("body").is_none());
    for unknown in ["broker:read:999", "broker:nobody:1"] {
        assert_eq!(get(&app, &format!("/dead-letters/{unknown}")).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(depth(&world, "read").await.dead, 2);
}

#[tokio::test]
async fn what_is_cut_off_or_not_there_is_told_as_a_warning() {
    let world = world().await;
    three(&world).await;
    let app = app(&world, &[Role::Read]);
    let cut = get(&app, "/dead-letters?source=broker&actor=read&limit=1").await.json();
    assert_eq!(cut["letters"].as_array().unwrap().len(), 1);
    assert!(cut["warnings"][0].as_str().unwrap().contains("of read only 1 messages"), "{cut}");
    // A filter is not content with the first that does not fit.
    let second = get(&app, "/dead-letters?source=broker&actor=read&limit=1&code=loop").await.json();
    assert_eq!((column(&second, "envelope"), second.get("warnings")), (vec!["e2"], None));
    let missing = get(&app, "/dead-letters?source=all&actor=nobody").await.json();
    assert!(missing["warnings"][0].as_str().unwrap().contains("asya-nobody"), "{missing}");
}

#[tokio::test]
async fn messages_go_back_to_their_queue_as_they_are_and_a_second_time_is_harmless() {
    let world = world().await;
    three(&world).await;
    stored(&world, "s1").await;
    let app = app(&world, &[Role::Admin]);
    let list = get(&app, "/dead-letters?source=broker&code=poison").await.json();
    let id = list["letters"][0]["id"].as_str().unwrap();
    let done = post(&app, "/dead-letters/replay", &json!({"ids": [id, id, "s1"]})).await.json();
    assert_eq!((&done["replayed"], done["ids"].as_array().unwrap().len()), (&json!(2), 1), "{done}");
    let again = post(&app, "/dead-letters/replay", &json!({"ids": [id]})).await.json();
    assert_eq!((&again["replayed"], &again["gone"]), (&json!(0), &json!(1)));
    let Depth { ready, dead, .. } = depth(&world, "read").await;
    assert_eq!((ready, dead), (1, 1));
    let queue = Naming::bare().queue("read");
    let mut consumer = world.transport.consume(&queue, 1.try_into().unwrap()).await.unwrap();
    let back = tokio::time::timeout(LIMIT, consumer.next()).await.unwrap().unwrap();
    assert_eq!((&back.body[..], back.meta.attempts), (message("e1", "read").as_bytes(), 0));
    drop((back, consumer));

    // Without the queue that it was on nothing can go back to it, and nothing is said to be gone.
    let nowhere = post(&app, "/dead-letters/replay", &json!({"ids": ["broker:nobody:1"]})).await.json();
    assert_eq!((&nowhere["refused"][0]["id"], nowhere.get("gone")), (&json!("broker:nobody:1"), None));
    let nobody = json!({"filter": {"source": "broker", "actor": "nobody"}});
    let nobody = post(&app, "/dead-letters/replay", &nobody).await.json();
    assert!(nobody["warnings"][0].as_str().unwrap().contains("asya-nobody"), "{nobody}");

    // Those that fit, then whole queues.
    let fitting = json!({"filter": {"source": "broker", "code": "loop"}});
    assert_eq!(post(&app, "/dead-letters/replay", &fitting).await.json()["replayed"], 1);
    let rest = json!({"filter": {"source": "all"}});
    assert_eq!(post(&app, "/dead-letters/replay", &rest).await.json()["replayed"], 1);
    assert_eq!((depth(&world, "read").await.dead, depth(&world, "split").await.dead), (0, 0));
    let log = get(&app, "/audit?action=replay").await.json();
    let log = log["entries"].as_array().unwrap();
    // Four that went, one of the store among them, and two that could not.
    assert_eq!((log.len(), &log[0]["who"], &log[0]["detail"]["count"]), (6, &json!("ann"), &json!(1)));
    assert_eq!(log[0]["detail"]["source"], "broker");
}

#[tokio::test]
async fn messages_are_deleted_by_whom_may_and_by_nobody_else() {
    let world = world().await;
    three(&world).await;
    let everything = json!({"filter": {"source": "broker"}});
    for roles in [&[Role::Read][..], &[Role::Send, Role::Payload]] {
        let app = app(&world, roles);
        for path in ["/dead-letters/replay", "/dead-letters/delete"] {
            assert_eq!(post(&app, path, &everything).await.status, StatusCode::FORBIDDEN);
        }
    }
    let sender = app(&world, &[Role::Send]);
    assert_eq!(get(&sender, "/dead-letters?source=broker").await.status, StatusCode::FORBIDDEN);
    assert_eq!((depth(&world, "read").await.dead, depth(&world, "split").await.dead), (2, 1));
    let admin = app(&world, &[Role::Admin]);
    // What is not said to be on a broker is of the store.
    assert_eq!(
        post(&admin, "/dead-letters/delete", &json!({"filter": {}})).await.json(),
        json!({"deleted": 0})
    );
    let one = json!({"filter": {"source": "broker", "actor": "split"}});
    assert_eq!(post(&admin, "/dead-letters/delete", &one).await.json(), json!({"deleted": 1}));
    assert_eq!(post(&admin, "/dead-letters/delete", &everything).await.json(), json!({"deleted": 2}));
    assert_eq!(get(&admin, "/audit?action=delete").await.json()["entries"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn wrong_requests_touch_no_queue() {
    let world = world().await;
    three(&world).await;
    let app = app(&world, &[Role::Admin]);
    let id = get(&app, "/dead-letters?source=broker&actor=split").await.json();
    let id = id["letters"][0]["id"].clone();
    for (body, field) in [
        (json!({"ids": [id], "payload": 1}), "payload"),
        (json!({"ids": [id], "route": ["read"]}), "route"),
        (json!({"filter": {"source": "all"}, "payload": 1}), "payload"),
        (json!({"filter": {"source": "queue"}}), "filter.source"),
    ] {
        let answer = post(&app, "/dead-letters/replay", &body).await;
        assert_eq!(
            (answer.status, answer.fields()),
            (StatusCode::BAD_REQUEST, vec![field.to_owned()]),
            "{body}"
        );
    }
    assert_eq!(get(&app, "/dead-letters?source=queue").await.fields(), ["source"]);
    stored(&world, "s1").await;
    stored(&world, "s2").await;
    let next = get(&app, "/dead-letters?limit=1").await.json();
    let next = next["next"].as_str().unwrap();
    assert_eq!(get(&app, &format!("/dead-letters?source=broker&after={next}")).await.fields(), ["after"]);
    let second = get(&app, &format!("/dead-letters?source=all&after={next}")).await.json();
    assert_eq!(column(&second, "source"), ["store"], "the brokers' come once, on the first page");
    assert_eq!((depth(&world, "split").await.dead, depth(&world, "read").await.dead), (1, 2));
}

/// A broker that answers nothing but this.
struct Broken(TransportError);

impl Broken {
    fn fails<T: Send + 'static>(&self) -> BoxFuture<'static, Result<T, TransportError>> {
        ready(Err(self.0.clone())).boxed()
    }
}

impl DeadLetters for Broken {
    fn list<'a>(&'a self, _: &'a Queue, _: usize) -> BoxFuture<'a, Result<Vec<DeadLetter>, TransportError>> {
        self.fails()
    }

    fn show<'a>(
        &'a self,
        _: &'a Queue,
        _: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeadLetter>, TransportError>> {
        self.fails()
    }

    fn replay<'a>(&'a self, _: &'a Queue, _: Selection) -> BoxFuture<'a, Result<u64, TransportError>> {
        self.fails()
    }

    fn discard<'a>(&'a self, _: &'a Queue, _: Selection) -> BoxFuture<'a, Result<u64, TransportError>> {
        self.fails()
    }
}

/// A world whose broker fails so.
async fn broken(error: TransportError) -> World {
    let mut world = world().await;
    let queues = DeadQueues::new(Arc::new(Broken(error)), Arc::new(Known), Naming::bare());
    world.service = world.service.with_dead_queues(queues);
    stored(&world, "s1").await;
    world
}

#[tokio::test]
async fn a_broker_that_is_away_or_refuses_is_a_warning_beside_what_the_store_has() {
    let away = TransportError::Unavailable("no route to host".to_owned());
    let denied = TransportError::Refused {
        queue: Queue::named("asya-read-dlq"),
        reason: "ACCESS_REFUSED - read access".to_owned(),
    };
    for (error, part) in [(away, "no route to host"), (denied, "of read, split cannot be looked at: ")] {
        let world = broken(error).await;
        let app = app(&world, &[Role::Admin]);
        let all = get(&app, "/dead-letters?source=all").await;
        assert_eq!(all.status, StatusCode::OK);
        let all = all.json();
        assert_eq!(column(&all, "id"), ["s1"]);
        let warnings = all["warnings"].as_array().unwrap();
        assert!(warnings.len() == 1 && warnings[0].as_str().unwrap().contains(part), "{all}");
        let one = get(&app, "/dead-letters/broker:read:1").await;
        assert_eq!(
            (one.status, &one.json()["code"]),
            (StatusCode::SERVICE_UNAVAILABLE, &json!("unavailable"))
        );
        let ids = json!({"ids": ["broker:read:1", "s1"]});
        let done = post(&app, "/dead-letters/replay", &ids).await.json();
        assert_eq!(
            (&done["replayed"], &done["refused"][0]["id"]),
            (&json!(1), &json!("broker:read:1")),
            "{done}"
        );
        let everything = json!({"filter": {"source": "broker"}});
        let done = post(&app, "/dead-letters/delete", &everything).await.json();
        assert!(done["deleted"] == 0 && !done["warnings"].as_array().unwrap().is_empty(), "{done}");
    }
}
