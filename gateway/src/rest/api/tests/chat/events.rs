//! Following a session.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::time::timeout;

use super::*;
use crate::{auth::Principal, service::chat::follow::Happening};

const LIMIT: Duration = Duration::from_secs(30);

/// A stream of events that is open.
struct Open(std::pin::Pin<Box<dyn Stream<Item = String> + Send>>);

#[derive(Debug)]
struct Heard {
    name: String,
    id: Option<u64>,
    data: Value,
}

impl Open {
    async fn at(app: &Router, path: &str, known: Option<u64>) -> Self {
        let mut request = Request::get(format!("/api/v1{path}"));
        if let Some(known) = known {
            request = request.header("last-event-id", known);
        }
        let answer = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let parts = answer.into_body().into_data_stream();
        Self(parts.map(|part| String::from_utf8(part.unwrap().to_vec()).unwrap()).boxed())
    }

    /// The next event; each comes in one part. `None`: the stream has ended.
    async fn next(&mut self) -> Option<Heard> {
        let text = timeout(LIMIT, self.0.next()).await.expect("an event comes")?;
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        Some(Heard {
            name: field("event: ").unwrap_or_default(),
            id: field("id: ").map(|id| id.parse().unwrap()),
            data: field("data: ").map(|data| serde_json::from_str(&data).unwrap()).unwrap_or_default(),
        })
    }

    async fn entry(&mut self) -> u64 {
        loop {
            let heard = self.next().await.unwrap();
            if heard.name == "entry" {
                assert_eq!(heard.id.unwrap(), heard.data["n"], "{heard:?}");
                return heard.id.unwrap();
            }
        }
    }

    async fn until(&mut self, name: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let heard = self.next().await.unwrap();
            if heard.name == name && fits(&heard.data) {
                return heard.data;
            }
        }
    }
}

#[tokio::test]
async fn a_stream_replays_goes_on_live_and_is_taken_up_again_where_it_broke() {
    on_each(async |world| {
        let (app, id) = (ann(&world), begun(&world, "one").await);
        let path = format!("/sessions/{id}/events");
        let actor = Actor::take(&world).await;
        let mut events = Open::at(&app, &path, None).await;
        assert_eq!(events.entry().await, 1);
        events.until("session", |session| session["state"] == "running").await;
        actor.append(0, assistant("", &["k8s_write"])).await;
        assert_eq!(events.entry().await, 2);
        let op = operation(&actor.propose(|_| {}).await).proposal;
        let told = events.until("operation", |told| told["id"] == op.id.as_str()).await;
        assert_eq!(told["phase"], "waiting");
        events.until("session", |session| session["state"] == "input-required").await;
        drop(events);
        // While nobody looks it is decided, and the agent goes on.
        let decision = json!({"verdict": "approve", "hash": op.hash});
        let boss = of(&world, "boss", &[Role::Approve]);
        assert_eq!(post(&boss, &format!("/approvals/{}", op.id), &decision).await.status, StatusCode::OK);
        actor.append(3, result("scaled")).await;
        let mut events = Open::at(&app, &path, Some(2)).await;
        assert_eq!(events.entry().await, 3, "each once, none left out");
        let told = events.until("operation", |told| told["id"] == op.id.as_str()).await;
        assert_eq!(told["phase"], "approved");
        // Pieces of what is being written, and not of what is there already.
        let stream = format!("/sessions/{id}/stream");
        for delta in [json!({"n": 3, "offset": 0, "text": "old"}), json!({"n": 4, "offset": 0, "text": "Do"})]
        {
            assert_eq!(actor.ask(Method::POST, &stream, &delta).await.status, StatusCode::NO_CONTENT);
        }
        let delta = events.until("delta", |_| true).await;
        assert_eq!(delta, json!({"n": 4, "offset": 0, "text": "Do"}));
        actor.append(4, assistant("Done", &[])).await;
        assert_eq!(events.entry().await, 4);
        events.until("session", |session| session["state"] == "idle").await;
        let mut part = Open::at(&app, &format!("{path}?from=4"), None).await;
        assert_eq!(part.entry().await, 4);
    })
    .await;
}

#[tokio::test]
async fn a_stream_ends_when_its_session_is_not_the_readers_any_more() {
    let world = world().await;
    let (app, id) = (ann(&world), begun(&world, "one").await);
    let session = format!("/sessions/{id}");
    let share = async |with: Value| {
        let answer = send(&app, Method::PATCH, &session, &json!({"shared": with})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    };
    share(json!(["bob"])).await;
    let bob = of(&world, "bob", &[Role::Chat]);
    let mut events = Open::at(&bob, &format!("{session}/events"), None).await;
    assert_eq!(events.entry().await, 1);
    share(json!([])).await;
    let ended = async { while events.next().await.is_some() {} };
    timeout(LIMIT, ended).await.unwrap();
}

#[tokio::test]
async fn who_is_not_known_any_more_reads_no_further() {
    let world = world().await;
    let id = begun(&world, "hello").await;
    let actor = Actor::take(&world).await;
    let shared = json!({"shared": ["oidc:zoe", "carl"]});
    send(&ann(&world), Method::PATCH, &format!("/sessions/{id}"), &shared).await;
    let follow = async |name: &str, until: Option<Timestamp>| {
        let who = Principal { until, ..Principal::named(name, Roles::from_iter([Role::Chat])) };
        world.service.follow_session(&who, &id, 1).await.unwrap()
    };
    let now = Timestamp::now();
    for (name, until, reads) in [
        ("ann", None, true),
        // Holds no token of those that there are.
        ("carl", None, false),
        ("oidc:zoe", Some(now + SignedDuration::from_hours(1)), true),
        ("oidc:zoe", Some(now), false),
    ] {
        let first = follow(name, until).await.next().await.unwrap();
        assert_eq!(first.is_some(), reads, "{name} {until:?}");
    }
    let mut following = follow("oidc:zoe", Some(Timestamp::now() + SignedDuration::from_secs(2))).await;
    for _ in 0..2 {
        let there = following.next().await.unwrap();
        assert!(matches!(there, Some(Happening::Entry(_) | Happening::Session(_))), "{there:?}");
    }
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let delta = json!({"n": 2, "offset": 0, "text": "secret"});
    let told = actor.ask(Method::POST, &format!("/sessions/{id}/stream"), &delta).await;
    assert_eq!(told.status, StatusCode::NO_CONTENT, "{}", told.text);
    assert_eq!(timeout(LIMIT, following.next()).await.unwrap().unwrap(), None);
}
