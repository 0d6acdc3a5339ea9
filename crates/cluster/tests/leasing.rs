//! Who acts, by a Lease on an API server of the test's own.

#![allow(clippy::unwrap_used, reason = "a test program")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use asya_cluster::lease::{Candidate, DURATION};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use jiff::{SignedDuration, Timestamp};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/home/leases";

/// The Lease that is there, if any.
type Kept = Arc<Mutex<Option<Value>>>;

fn told(code: u16, body: &Value) -> Response {
    let json = [(CONTENT_TYPE, "application/json")];
    (StatusCode::from_u16(code).unwrap(), json, body.to_string()).into_response()
}

fn refusal(code: u16, reason: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "message": reason, "code": code});
    told(code, &status)
}

/// By compare-and-set on the resourceVersion.
fn put(kept: &Kept, body: &str) -> Response {
    let mut lease: Value = serde_json::from_str(body).unwrap();
    let mut kept = kept.lock().unwrap();
    let version = kept.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
    if version.as_ref().is_some_and(|version| *version != lease["metadata"]["resourceVersion"]) {
        return refusal(409, "Conflict");
    }
    let next = version.map_or(1, |version| version.as_str().unwrap().parse::<u64>().unwrap() + 1);
    lease["metadata"]["resourceVersion"] = json!(next.to_string());
    *kept = Some(lease.clone());
    told(200, &lease)
}

async fn server(kept: Kept) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |State(kept): State<Kept>| async move {
        let lease = kept.lock().unwrap().clone();
        lease.map_or_else(|| refusal(404, "NotFound"), |lease| told(200, &lease))
    };
    let write = |State(kept): State<Kept>, body: String| async move { put(&kept, &body) };
    let router = Router::new()
        .route(LEASES, post(write))
        .route(&format!("{LEASES}/one"), get(read).put(write))
        .with_state(kept);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Client::try_from(Config::new(format!("http://{address}").parse().unwrap())).unwrap()
}

fn renewed(kept: &Kept) -> Timestamp {
    let kept = kept.lock().unwrap();
    kept.as_ref().unwrap()["spec"]["renewTime"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn each_term_begins_behind_all_that_were_before_whatever_the_clocks_say() {
    let kept = Kept::default();
    let client = server(kept.clone()).await;
    let bid = |name| Candidate::new(client.clone(), "home", "one", name);
    let stop = CancellationToken::new();

    let first = bid("first").acquire(&stop).await.unwrap();
    assert_eq!(first.begins(), None, "nobody was before");
    let (done, lost) = (CancellationToken::new(), CancellationToken::new());
    done.cancel();
    first.hold(done.clone(), lost.clone()).await;
    assert!(!lost.is_cancelled(), "it gave the lease back");

    // Its clock is an hour ahead of that of the next one.
    let ahead = Timestamp::now() + SignedDuration::from_hours(1);
    kept.lock().unwrap().as_mut().unwrap()["spec"]["renewTime"] = json!(ahead.to_string());
    let second = bid("second").acquire(&stop).await.unwrap();
    let begins = second.begins().unwrap();
    assert!(begins >= ahead + SignedDuration::try_from(DURATION).unwrap());
    second.hold(done, lost).await;
    assert!(renewed(&kept) > ahead, "renewals do not go back in time");
    let third = bid("third").acquire(&stop).await.unwrap();
    assert!(third.begins().unwrap() > begins);
}

#[tokio::test]
async fn who_lost_the_lease_hears_of_it() {
    let kept = Kept::default();
    let client = server(kept.clone()).await;
    let term =
        Candidate::new(client, "home", "one", "first").acquire(&CancellationToken::new()).await.unwrap();
    kept.lock().unwrap().as_mut().unwrap()["metadata"]["resourceVersion"] = json!("77");
    let lost = CancellationToken::new();
    term.hold(CancellationToken::new(), lost.clone()).await;
    assert!(lost.is_cancelled());
}

#[tokio::test]
async fn a_write_of_the_lease_takes_notes_along_and_a_note_alone_is_none() {
    let kept = Kept::default();
    let client = server(kept.clone()).await;
    let (notes, read) = watch::channel(BTreeMap::from([("a".to_owned(), "1".to_owned())]));
    let stop = CancellationToken::new();
    let term = Candidate::new(client, "home", "one", "first").noting(read).acquire(&stop).await.unwrap();
    let version = || kept.lock().unwrap().as_ref().unwrap()["metadata"]["resourceVersion"].clone();
    let before = version();
    notes.send_modify(|notes| drop(notes.insert("b".to_owned(), "2".to_owned())));
    assert_eq!(version(), before, "a note alone is no write");
    let held = tokio::spawn(term.hold(stop.clone(), CancellationToken::new()));
    stop.cancel();
    held.await.unwrap();
    let lease = kept.lock().unwrap().clone().unwrap();
    assert_eq!(lease["metadata"]["annotations"], json!({"a": "1", "b": "2"}));
    assert_eq!(lease["spec"]["holderIdentity"], Value::Null, "given back");
}
