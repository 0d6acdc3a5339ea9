//! A gateway that is killed while it is busy.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asya_envelope::{Envelope, Naming};
use asya_gateway::outbox::BATCH;
use asya_transport::{
    Outcome, Queues, Transport,
    local::{Local, LocalOptions},
};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{LIMIT, body, free, get, in_folder, post, serving, until};

const CALLS: usize = 300;
/// Callers that call one after the other.
const CALLERS: usize = 10;
/// Accepted calls after which the gateway is killed.
const KILLS: [usize; 2] = [CALLS / 3, 2 * CALLS / 3];

/// Makes this request until it is answered with success, as callers and end actors do.
async fn insist(address: SocketAddr, path: &str, body: &Value) {
    let mut last = String::new();
    let insist = async {
        loop {
            last = post(address, path, body).await;
            if last.starts_with("HTTP/1.1 20") {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let outcome = timeout(LIMIT, insist).await;
    outcome.unwrap_or_else(|_| panic!("{path} is never answered with success: {last}"));
}

/// An actor and the end of its route in one: counts what comes, and reports the end before it settles.
async fn actor(folder: &Path, address: SocketAddr) -> Arc<Mutex<HashMap<String, usize>>> {
    let local = Local::open(&folder.join("queue.db"), LocalOptions::default()).unwrap();
    let queue = Naming::bare().queue("greet");
    local.ensure(&queue).await.unwrap();
    let mut consumer = local.consume(&queue, 16.try_into().unwrap()).await.unwrap();
    let seen = Arc::new(Mutex::new(HashMap::new()));
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        // The queues live as long as their actor.
        let _local = local;
        while let Ok(delivery) = consumer.next().await {
            let id = Envelope::parse(delivery.body.clone()).unwrap().id;
            *counted.lock().unwrap().entry(id.clone()).or_default() += 1;
            tokio::spawn(async move {
                let end = json!({"id": id, "status": "succeeded", "result": {"greeted": true}});
                insist(address, &format!("/envelopes/{id}/final"), &end).await;
                delivery.settle(Outcome::forward(Vec::new())).await.unwrap();
            });
        }
    });
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn two_kills_lose_no_accepted_call_and_repeat_no_more_than_was_in_hand() {
    let folder = tempfile::tempdir().unwrap();
    let address = free().await;
    let seen = actor(folder.path(), address).await;
    let mut child = serving(&mut in_folder(folder.path(), address), address).await;

    let accepted = Arc::new(AtomicUsize::new(0));
    let callers = (0..CALLERS).map(|caller| {
        let accepted = Arc::clone(&accepted);
        tokio::spawn(async move {
            for number in (caller..CALLS).step_by(CALLERS) {
                // The id makes it safe to call again: whether the first call was accepted is not known.
                let call = json!({"id": format!("call-{number}"), "arguments": {"who": "Ada"}});
                insist(address, "/api/v1/tools/hello?wait=0", &call).await;
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let callers: Vec<_> = callers.collect();
    for kill in KILLS {
        until("enough is accepted", async || accepted.load(Ordering::Relaxed) >= kill).await;
        child.kill().await.unwrap();
        child = serving(&mut in_folder(folder.path(), address), address).await;
    }
    for caller in callers {
        timeout(LIMIT, caller).await.unwrap().unwrap();
    }
    until("every envelope has ended", async || {
        let counts = body(&get(address, "/api/v1/counts").await);
        (&counts["pending"], &counts["running"]) == (&json!(0), &json!(0))
    })
    .await;

    let list = body(&get(address, "/api/v1/envelopes?status=succeeded&limit=1000").await);
    let ended: HashSet<_> =
        list["envelopes"].as_array().unwrap().iter().map(|one| one["id"].as_str()).collect();
    let lost: Vec<_> = (0..CALLS).map(|number| format!("call-{number}")).collect();
    let lost: Vec<_> = lost.iter().filter(|id| !ended.contains(&Some(id.as_str()))).collect();
    assert!(lost.is_empty(), "accepted, and not ended: {lost:?}");
    assert_eq!(ended.len(), CALLS);
    let seen = seen.lock().unwrap();
    let repeats: usize = seen.values().map(|times| times - 1).sum();
    eprintln!("{CALLS} calls, {} kills, {repeats} repeats", KILLS.len());
    assert_eq!(seen.len(), CALLS);
    assert!(repeats <= KILLS.len() * BATCH, "{repeats} repeats");
}
