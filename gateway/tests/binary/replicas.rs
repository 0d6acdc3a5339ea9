//! Several gateways on one database.

use std::time::{Duration, Instant};

use asya_envelope::Naming;
use asya_store::testing::Home;
use asya_transport::{
    Queues,
    local::{Local, LocalOptions},
};
use serde_json::{Value, json};

use crate::support::{Events, body, call, free, get, in_folder, post, serving};

/// Two reports that are heard of within this were told, not found by a look every 5 s.
const TOLD: Duration = Duration::from_secs(4);

fn report(status: &str, message: &str) -> Value {
    json!({"actors": ["greet"], "current_actor_idx": 0, "status": status, "message": message})
}

#[tokio::test]
async fn a_stream_on_one_replica_tells_what_another_hears_and_goes_on_there_after_a_kill() {
    let Some(home) = Home::postgres().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
    local.ensure(&Naming::bare().queue("greet")).await.unwrap();
    let replica = async |address| {
        let mut command = in_folder(folder.path(), address);
        serving(command.env("ASYA_DATABASE_URL", &home.url), address).await
    };
    let (a, b) = (free().await, free().await);
    let (mut a_child, mut b_child) = (replica(a).await, replica(b).await);

    let id = call(a).await;
    let (stream, progress) = (format!("/envelopes/{id}/stream"), format!("/envelopes/{id}/progress"));
    let tell = async |status: &str, message: &str| {
        let answer = post(a, &progress, &report(status, message)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    // The sidecar knows replica A, whoever watches has replica B.
    let mut events = Events::open(b, &stream, 0).await;
    let mut seen = Vec::new();
    let mut hear = async |events: &mut Events, message: &str| {
        while let Some((id, update)) = events.next().await {
            seen.push(id);
            if update["message"] == message {
                return true;
            }
        }
        false
    };
    tell("received", "one").await;
    assert!(hear(&mut events, "one").await, "history and what is new");
    let began = Instant::now();
    for message in ["two", "three"] {
        tell("processing", message).await;
        assert!(hear(&mut events, message).await, "{message} is told live");
    }
    assert!(began.elapsed() < TOLD, "told after {:?}", began.elapsed());

    b_child.kill().await.unwrap();
    assert!(!hear(&mut events, "nothing more").await);
    tell("completed", "four").await;
    let last = *seen.last().unwrap();
    let mut events = Events::open(a, &stream, last).await;
    let mut rest = Vec::new();
    let (first, update) = events.next().await.unwrap();
    assert_eq!(update["message"], "four", "it goes on behind the last event: {update}");
    rest.push(first);
    let end = json!({"id": id, "status": "succeeded", "result": {"greeted": true}});
    post(a, &format!("/envelopes/{id}/final"), &end).await;
    let mut status = Value::Null;
    while let Some((id, update)) = events.next().await {
        rest.push(id);
        status = update["status"].clone();
    }
    assert_eq!(status, "succeeded", "the end is the last event");

    let updates = body(&get(a, &format!("/api/v1/envelopes/{id}/updates")).await);
    let kept: Vec<_> = updates["updates"].as_array().unwrap().iter().map(|one| one["seq"].as_i64()).collect();
    let told: Vec<_> = seen.iter().chain(&rest).map(|id| Some(*id)).collect();
    assert_eq!(told, kept, "each event once, none left out");
    a_child.kill().await.unwrap();
    home.forget().await;
}
