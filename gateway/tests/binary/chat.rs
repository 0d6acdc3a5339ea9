//! A turn that outlives the gateway: asked of one process, approved at the next, answered at a third.

use std::{net::SocketAddr, path::Path};

use asya_envelope::{Envelope, Naming, Raw};
use asya_session::hash;
use asya_store::testing::on_each_home;
use asya_transport::{
    Outcome, Queues, Transport,
    local::{Local, LocalOptions},
};
use serde_json::{Value, json};
use tokio::{process::Child, time::timeout};

use crate::support::{LIMIT, ask, body, free, get, in_folder, serving, until};

/// A gateway with one agent, and nobody asked who they are.
pub(crate) async fn start(folder: &Path, database: &str) -> (Child, SocketAddr) {
    let agents = folder.join("agents");
    std::fs::create_dir_all(&agents).unwrap();
    std::fs::write(agents.join("helper.json"), json!({"name": "helper"}).to_string()).unwrap();
    let address = free().await;
    let mut command = in_folder(folder, address);
    command.env("ASYA_DATABASE_URL", database).env("ASYA_GATEWAY_AGENTS_DIR", agents);
    (serving(&mut command, address).await, address)
}

/// Takes what is sent to an actor, for good.
pub(crate) async fn taken(local: &Local, actor: &str) -> Envelope {
    let queue = Naming::bare().queue(actor);
    let mut queue = local.consume(&queue, 1.try_into().unwrap()).await.unwrap();
    let delivery = timeout(LIMIT, queue.next()).await.unwrap().unwrap();
    let envelope = Envelope::parse(delivery.body.clone()).unwrap();
    delivery.settle(Outcome::forward(Vec::new())).await.unwrap();
    envelope
}

/// Asks as a person does.
async fn api(address: SocketAddr, method: &str, path: &str, sent: &Value) -> Value {
    let headers = "content-type: application/json\r\n";
    let answer = ask(address, method, &format!("/api/v1{path}"), headers, &sent.to_string()).await;
    assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    body(&answer)
}

/// Asks as the actor does that has the envelope.
async fn desk(address: SocketAddr, envelope: &Envelope, method: &str, path: &str, sent: &Value) -> Value {
    let subject = envelope.headers.get_text("x-asya-subject").unwrap();
    let headers = format!("x-asya-subject: {subject}\r\n");
    let sent = if sent.is_null() { String::new() } else { sent.to_string() };
    let answer = ask(address, method, &format!("/internal/v1{path}"), &headers, &sent).await;
    assert!(answer.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    body(&answer)
}

/// Appends what comes next.
pub(crate) async fn append(address: SocketAddr, envelope: &Envelope, session: &str, hop: u64, said: Value) {
    let path = format!("/sessions/{session}");
    let there = desk(address, envelope, "GET", &path, &Value::Null).await;
    let n = there["session"]["head"].as_u64().unwrap() + 1;
    let place = json!({"envelope": envelope.id, "hop": hop});
    let append = json!({"before": there["session"]["hash"], "place": place, "body": said});
    desk(address, envelope, "POST", &format!("{path}/entries/{n}"), &append).await;
}

#[tokio::test]
async fn a_session_an_operation_that_waits_and_the_key_outlive_the_process() {
    on_each_home(async |home| {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
        for actor in ["helper", "k8s-write"] {
            local.ensure(&Naming::bare().queue(actor)).await.unwrap();
        }
        let (mut first, at) = start(folder.path(), &home.url).await;
        let agents = api(at, "GET", "/agents", &json!({})).await;
        assert_eq!(agents["agents"][0]["name"], "helper");
        let begin = json!({"agent": "helper", "message": "scale web to three"});
        let session = api(at, "POST", "/sessions", &begin).await["id"].as_str().unwrap().to_owned();
        let envelope = taken(&local, "helper").await;
        let calls = json!([{"id": "c1", "name": "k8s_write", "arguments": {}}]);
        let wants = json!({"kind": "assistant", "calls": calls, "model": "x/one"});
        append(at, &envelope, &session, 0, wants).await;
        let scale = json!({"verb": "scale", "replicas": 3});
        let op = format!("op-{}", &hash::of(&json!(envelope.id))[..32]);
        let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        let proposal = json!({
            "id": op, "session": session, "call": "c1", "tool": "k8s_write", "actor": "k8s-write",
            "summary": "scale web", "verb": "scale", "target": "Deployment web", "risk": "low",
            "operation": scale, "hash": hash::of(&scale), "expires": expires,
        });
        let mut on = envelope.clone();
        on.route.actors = vec!["helper".into(), "approval".into(), "k8s-write".into(), "helper".into()];
        on.route.current = 2;
        on.payload = Raw::of(&json!({"proposal": proposal}));
        let on: Value = serde_json::from_slice(&on.encode()).unwrap();
        let path = format!("/operations/{op}");
        desk(at, &envelope, "PUT", &path, &json!({"proposal": proposal, "envelope": on})).await;
        first.kill().await.unwrap();

        let (mut second, at) = start(folder.path(), &home.url).await;
        let waits = api(at, "GET", "/approvals?phase=waiting", &json!({})).await;
        assert_eq!(waits["operations"][0]["id"], json!(op));
        let decision = json!({"verdict": "approve", "hash": hash::of(&scale)});
        api(at, "POST", &format!("/approvals/{op}"), &decision).await;
        second.kill().await.unwrap();

        // Whether the envelope was sent before the kill or is only now, it comes.
        let (mut third, at) = start(folder.path(), &home.url).await;
        let writer = taken(&local, "k8s-write").await;
        assert_eq!(writer.route.current, 2);
        let claim = json!({"hash": hash::of(&scale)});
        assert_eq!(desk(at, &writer, "POST", &format!("{path}/claim"), &claim).await["again"], false);
        let done = json!({"ok": true, "text": "scaled"});
        desk(at, &writer, "POST", &format!("{path}/outcome"), &done).await;
        let result = json!({"kind": "tool", "call": "c1", "name": "k8s_write", "text": "scaled"});
        append(at, &writer, &session, 3, result).await;
        append(at, &writer, &session, 4, json!({"kind": "assistant", "text": "done", "model": "x/one"}))
            .await;
        until("the session is idle", async || {
            body(&get(at, &format!("/api/v1/sessions/{session}")).await)["state"] == "idle"
        })
        .await;
        let entries = body(&get(at, &format!("/api/v1/sessions/{session}/entries")).await);
        let kinds: Vec<_> =
            entries["entries"].as_array().unwrap().iter().map(|entry| entry["kind"].clone()).collect();
        assert_eq!(kinds, ["user", "assistant", "tool", "assistant"]);
        third.kill().await.unwrap();
    })
    .await;
}
