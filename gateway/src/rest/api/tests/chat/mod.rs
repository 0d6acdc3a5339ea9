//! Conversations with agents, as people, approvers and actors meet them.

mod approvals;
mod desk;
mod events;
mod heard;
mod sessions;
mod turn;

use asya_envelope::{Envelope, Raw};
use asya_session::{Body as Said, Call, Entry, Operation, Usage, desk::SUBJECT, hash};
use axum::http::Method;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{rest::internal, service::Reporter};

/// The API as this principal meets it.
fn of(world: &World, name: &str, roles: &[Role]) -> Router {
    app_of(world, name, roles, Pace::default())
}

/// The API as ann meets it, who talks with agents.
fn ann(world: &World) -> Router {
    of(world, "ann", &[Role::Chat])
}

async fn send(app: &Router, method: Method, path: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(format!("/api/v1{path}"));
    let request = request.header(header::CONTENT_TYPE, "application/json");
    ask(app, request.body(body.to_string().into()).unwrap()).await
}

/// Begins a session of ann's with a message; its id.
async fn begun(world: &World, message: &str) -> String {
    let answer = post(&ann(world), "/sessions", &json!({"agent": "helper", "message": message})).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// An actor with an envelope of a turn in hand.
pub(crate) struct Actor {
    app: Router,
    pub(crate) envelope: Envelope,
}

impl Actor {
    /// Takes the next envelope of the agent.
    pub(crate) async fn take(world: &World) -> Self {
        Self::with(world, world.published("helper").await)
    }

    fn with(world: &World, envelope: Envelope) -> Self {
        Self::from(world, envelope, "team")
    }

    /// The same, in another namespace.
    fn from(world: &World, envelope: Envelope, namespace: &str) -> Self {
        let reporter = Reporter { namespace: Some(namespace.to_owned()), account: Some("helper".to_owned()) };
        let app = Router::new().nest(internal::BASE, internal::router(world.service.clone()));
        Self { app: app.layer(Extension(reporter)), envelope }
    }

    fn subject(&self) -> String {
        self.envelope.headers.get_text(SUBJECT).unwrap()
    }

    /// What its subject says.
    fn claims(&self) -> Value {
        let subject = self.subject();
        let claims = URL_SAFE_NO_PAD.decode(subject.split('.').nth(1).unwrap()).unwrap();
        serde_json::from_slice(&claims).unwrap()
    }

    /// The session, by that.
    pub(crate) fn session(&self) -> String {
        self.claims()["session"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        self.ask_as(&self.subject(), method, path, body).await
    }

    async fn ask_as(&self, subject: &str, method: Method, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(format!("{}{path}", internal::BASE));
        let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
        ask(&self.app, request.header(SUBJECT, subject).body(body).unwrap()).await
    }

    /// Appends what comes next to its session, at a hop.
    pub(crate) async fn append(&self, hop: u64, body: Said) -> Entry {
        let id = self.session();
        let there = self.ask(Method::GET, &format!("/sessions/{id}"), &Value::Null).await.json();
        let n = there["session"]["head"].as_u64().unwrap() + 1;
        let append = json!({
            "before": there["session"]["hash"],
            "place": {"envelope": self.envelope.id, "hop": hop},
            "body": body,
        });
        let answer = self.ask(Method::POST, &format!("/sessions/{id}/entries/{n}"), &append).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        serde_json::from_str(&answer.text).unwrap()
    }

    /// Proposes to scale something, by an envelope that goes on to `k8s-write`; the operation.
    pub(crate) async fn propose(&self, change: impl FnOnce(&mut Value)) -> Answer {
        let propose = self.proposal(change);
        let id = propose["proposal"]["id"].as_str().unwrap().to_owned();
        self.ask(Method::PUT, &format!("/operations/{id}"), &propose).await
    }

    fn proposal(&self, change: impl FnOnce(&mut Value)) -> Value {
        let operation = json!({"verb": "scale", "kind": "Deployment", "name": "web", "replicas": 3});
        let mut proposal = json!({
            "id": format!("op-{}", &hash::of(&json!(self.envelope.id))[..32]),
            "session": self.session(), "call": "c1", "tool": "k8s_write", "actor": "k8s-write",
            "summary": "scale Deployment shop/web from 1 to 3", "verb": "scale", "target": "Deployment shop/web",
            "hash": hash::of(&operation), "operation": operation, "diff": "-1\n+3", "risk": "low",
            "expires": Timestamp::now() + SignedDuration::from_hours(24),
        });
        change(&mut proposal);
        let mut envelope = self.envelope.clone();
        envelope.route.actors =
            ["helper", "k8s-write", "approval", "k8s-write", "helper"].map(str::to_owned).into();
        envelope.route.current = 3;
        envelope.payload = Raw::of(&json!({"proposal": proposal}));
        let envelope: Value = serde_json::from_slice(&envelope.encode()).unwrap();
        json!({"proposal": proposal, "envelope": envelope})
    }
}

pub(crate) fn assistant(text: &str, calls: &[&str]) -> Said {
    let call = |name: &&str| Call {
        id: "c1".to_owned(),
        name: (*name).to_owned(),
        arguments: json!({"verb": "scale"}),
        signature: None,
    };
    Said::Assistant {
        text: text.to_owned(),
        calls: calls.iter().map(call).collect(),
        model: "x/one".to_owned(),
        usage: Usage { calls: 1, input: 7, output: 2 },
    }
}

pub(crate) fn result(text: &str) -> Said {
    Said::Tool { call: "c1".to_owned(), name: "k8s_write".to_owned(), text: text.to_owned(), failed: false }
}

pub(crate) fn operation(answer: &Answer) -> Operation {
    serde_json::from_str(&answer.text).unwrap_or_else(|error| panic!("{error}: {}", answer.text))
}
