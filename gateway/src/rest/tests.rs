#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::Body,
    http::{Request, StatusCode, header},
    middleware::from_fn_with_state,
};
use futures::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{
    api, contract,
    guard::{self, Guard},
    problem::PROBLEM,
};
use crate::{
    actors::{Actor, Source},
    auth::Principal,
    service::{
        Error, Reporter,
        hops::HopStatus,
        tests::{World, world},
    },
};

const LARGEST: usize = 1024 * 1024;

fn app(world: &World) -> Router {
    contract::health()
        .merge(contract::people(world.service.clone(), LARGEST))
        .merge(contract::sidecars(world.service.clone(), LARGEST))
        .layer(Extension(Principal::anonymous()))
        .layer(Extension(Reporter { namespace: None, account: None }))
}

/// No actor is known.
struct Nobody;

impl Source for Nobody {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

struct Answer {
    status: StatusCode,
    kind: String,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

async fn ask(
    app: &Router,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
    let status = answer.status();
    let text = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status, kind: kind.unwrap_or_default(), text }
}

async fn get(app: &Router, path: &str) -> Answer {
    ask(app, "GET", path, &[], Body::empty()).await
}

async fn post(app: &Router, path: &str, body: &Value) -> Answer {
    ask(app, "POST", path, &[], body.to_string()).await
}

/// Calls the tool and answers the id of its envelope.
async fn called(app: &Router) -> String {
    let answer = post(app, "/tools/call", &json!({"name": "ocr", "arguments": {"page": 1}})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let handle: Value = serde_json::from_str(answer.json()["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(handle["message"], "Envelope created successfully");
    let id = handle["envelope_id"].as_str().unwrap().to_owned();
    assert_eq!(handle["status_url"], format!("/envelopes/{id}"));
    id
}

#[tokio::test]
async fn a_call_is_followed_to_its_end() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    assert_eq!(get(&app, &format!("/envelopes/{id}/active")).await.json(), json!({"active": true}));
    // As the sidecar of the Go system reports: no name, and the index behind it once it has completed.
    for (status, current, percent) in [("received", 0, 5.0), ("processing", 0, 25.0), ("completed", 1, 50.0)]
    {
        let report = json!({"actors": ["split", "read"], "current_actor_idx": current, "status": status});
        let answer = post(&app, &format!("/envelopes/{id}/progress"), &report).await;
        assert_eq!(answer.json(), json!({"status": "ok", "progress_percent": percent}), "{status}");
    }
    let end = json!({"id": id, "status": "succeeded", "result": {"text": "ab"}});
    assert_eq!(post(&app, &format!("/envelopes/{id}/final"), &end).await.json(), json!({"status": "ok"}));
    let record = get(&app, &format!("/envelopes/{id}")).await.json();
    assert_eq!(record["status"], "succeeded");
    assert_eq!(record["progress_percent"], 100.0);
    assert_eq!(record["payload"], json!({"page": 1}));
    assert_eq!(record["result"], json!({"text": "ab"}));
    let over = get(&app, &format!("/envelopes/{id}/active")).await;
    assert_eq!((over.status, over.json()), (StatusCode::GONE, json!({"active": false})));
}

#[tokio::test]
async fn what_sidecars_say_of_another_try_and_of_failing_is_told_and_ends_nothing() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    for (seq, status) in ["received", "processing", "retrying", "failed"].into_iter().enumerate() {
        let mut report =
            json!({"actors": ["split", "read"], "current_actor_idx": 1, "current_actor_name": "read"});
        (report["status"], report["attempt"], report["seq"]) = (json!(status), json!(1), json!(seq));
        report["message"] = json!(format!("{status} read"));
        let answer = post(&app, &format!("/envelopes/{id}/progress"), &report).await;
        let percent = if status == "received" { 55.0 } else { 75.0 };
        assert_eq!(answer.json(), json!({"status": "ok", "progress_percent": percent}), "{status}");
    }
    assert_eq!(get(&app, &format!("/envelopes/{id}/active")).await.status, StatusCode::OK);
    let failed = json!({"status": "failed", "error": "no", "current_actor_name": "read"});
    post(&app, &format!("/envelopes/{id}/final"), &failed).await;
    let stream = get(&app, &format!("/envelopes/{id}/stream")).await.text;
    for told in ["retrying", "failed"] {
        assert!(stream.contains(&format!("\"message\":\"{told} read\"")), "{stream}");
        assert!(stream.contains(&format!("\"envelope_state\":\"{told}\"")), "{stream}");
    }
}

#[tokio::test]
async fn an_envelope_that_a_handler_lets_go_ends_and_so_do_those_who_follow_it() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    let path = format!("/envelopes/{id}/stream");
    let reading = tokio::spawn({
        let (app, path) = (app.clone(), path.clone());
        async move { get(&app, &path).await }
    });
    let dropped = json!({"actors": ["split", "read"], "current_actor_idx": 0, "current_actor_name": "split",
        "status": "dropped", "message": "dropped by split", "attempt": 1, "seq": 2});
    for _ in 0..2 {
        let answer = post(&app, &format!("/envelopes/{id}/progress"), &dropped).await;
        assert_eq!(answer.json(), json!({"status": "ok", "progress_percent": 100.0}));
    }
    let live = reading.await.unwrap();
    assert_eq!(live.text.matches(r#""status":"succeeded""#).count(), 1, "{}", live.text);
    assert_eq!(live.text.matches(r#""envelope_state":"dropped""#).count(), 1, "{}", live.text);
    assert_eq!(get(&app, &path).await.text, live.text);
    let record = get(&app, &format!("/envelopes/{id}")).await.json();
    assert_eq!((&record["status"], &record["result"]), (&json!("succeeded"), &Value::Null));
    assert_eq!((&record["actors_completed"], &record["current_actor_name"]), (&json!(1), &json!("split")));
    assert!(
        record["message"].as_str().unwrap().contains("handler of 'split' let the envelope go"),
        "{record}"
    );
    let whole = world.service.whole(&Principal::anonymous(), &id).await.unwrap();
    let hops: Vec<_> = whole.hops.iter().map(|hop| (hop.actor.as_str(), hop.status)).collect();
    assert_eq!(hops, [("split", HopStatus::Completed)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_wait_keep_no_sidecar_from_ending_them() {
    let world = world().await;
    let guard = Guard::small(2, 1, 1);
    let api = api::router(world.service.clone(), Arc::new(Nobody));
    let everybody = app(&world).nest("/api/v1", api).layer(Extension(Principal::anonymous()));
    let app = everybody.layer(from_fn_with_state(Arc::clone(&guard), guard::pass));
    let mut waiting = Vec::new();
    for id in ["one", "two"] {
        let app = app.clone();
        let call = json!({"arguments": {"page": 1}, "id": id}).to_string();
        waiting.push(tokio::spawn(async move {
            let json = [("content-type", "application/json")];
            ask(&app, "POST", "/api/v1/tools/ocr?wait=60", &json, call).await
        }));
    }
    let stored = async {
        for id in ["one", "two"] {
            while world.service.store().summary(id).await.unwrap().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), stored).await.unwrap();
    // All places of people are taken; those of sidecars are not.
    assert_eq!(get(&app, "/envelopes/one").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let report = json!({"actors": ["split", "read"], "current_actor_idx": 0, "status": "received"});
    assert_eq!(post(&app, "/envelopes/one/progress", &report).await.status, StatusCode::OK);
    for id in ["one", "two"] {
        let end = json!({"status": "succeeded", "result": id});
        assert_eq!(post(&app, &format!("/envelopes/{id}/final"), &end).await.status, StatusCode::OK);
    }
    for (call, id) in waiting.into_iter().zip(["one", "two"]) {
        let answer = tokio::time::timeout(Duration::from_secs(30), call).await.unwrap().unwrap();
        assert_eq!(
            (answer.status, &answer.json()["result"]),
            (StatusCode::OK, &json!(id)),
            "{}",
            answer.text
        );
    }
    assert_eq!(get(&app, "/envelopes/one").await.status, StatusCode::OK);
    // They are bounded too.
    let _only = guard.callbacks.try_acquire().unwrap();
    let refused = post(&app, "/envelopes/one/progress", &report).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_failure_is_told_in_the_word_that_was_reported_and_the_message_says_what_happened() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    let details = json!({"code": "processing_error", "type": "KeyError", "message": "'name'"});
    let report = json!({"status": "failed", "error": "processing_error", "error_details": details,
        "current_actor_name": "read"});
    post(&app, &format!("/envelopes/{id}/final"), &report).await;
    let record = get(&app, &format!("/envelopes/{id}")).await.json();
    assert_eq!(record["error"], "processing_error");
    assert_eq!(record["message"], "Envelope failed at actor 'read': KeyError: 'name'");
    let stream = get(&app, &format!("/envelopes/{id}/stream")).await;
    assert!(stream.text.contains(r#""error":"processing_error","progress_percent""#), "{}", stream.text);
    let kept = world.service.store().get(&id).await.unwrap().unwrap();
    assert_eq!(kept.summary.error.as_deref(), Some("KeyError: 'name'"));
}

#[tokio::test]
async fn error_end_buries_a_letter_of_an_envelope_that_was_sent_past_the_gateway() {
    let world = world().await;
    let app = app(&world);
    let envelope =
        json!({"id": "x", "route": {"actors": ["read"], "current": 0}, "payload": {"error": "no"}});
    let letter = json!({
        "id": "f00", "actor": "read", "code": "timeout", "error": "no", "attempts": 2,
        "since": "2026-11-21T09:08:07Z", "detail": {"class": "retryable"}, "envelope": envelope,
    });
    for _ in 0..2 {
        let answer = post(&app, "/envelopes/x/dead-letter", &letter).await;
        assert_eq!((answer.status, answer.json()), (StatusCode::CREATED, json!({"status": "ok"})));
    }
    let letters = world.service.store().dead_letters(&Default::default(), None, 10).await.unwrap().letters;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((letter.id.as_str(), letter.envelope.as_str(), letter.attempts), ("f00", "x", 2));
    let whole = world.service.store().dead_letter("f00").await.unwrap().unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&whole.body).unwrap(), envelope);
    assert_eq!(
        post(&app, "/envelopes/x/dead-letter", &json!({"id": "f00"})).await.status,
        StatusCode::BAD_REQUEST
    );

    // A sidecar of a namespace cannot replace the letters of another.
    let other = contract::sidecars(world.service.clone(), LARGEST)
        .layer(Extension(Reporter { namespace: Some("other".to_owned()), account: None }));
    let mut stolen =
        json!({"actor": "read", "code": "timeout", "attempts": 9, "since": "2026-11-21T09:08:07Z"});
    stolen["id"] = json!("f00");
    stolen["envelope"] = json!({});
    assert_eq!(post(&other, "/envelopes/x/dead-letter", &stolen).await.status, StatusCode::CREATED);
    let letters = world.service.store().dead_letters(&Default::default(), None, 10).await.unwrap().letters;
    assert_eq!(letters.len(), 2);
    // Nor bury an envelope of this gateway.
    let id = called(&app).await;
    let path = format!("/envelopes/{id}/dead-letter");
    assert_eq!(post(&other, &path, &stolen).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_stream_tells_everything_once_and_closes_after_the_end() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    let path = format!("/envelopes/{id}/stream");
    let reading = tokio::spawn({
        let (app, path) = (app.clone(), path.clone());
        async move { get(&app, &path).await }
    });
    let report = json!({"actors": ["split", "read"], "current_actor_idx": 0, "status": "received"});
    post(&app, &format!("/envelopes/{id}/progress"), &report).await;
    post(&app, &format!("/envelopes/{id}/final"), &json!({"status": "failed", "error": "no"})).await;
    let live = reading.await.unwrap();
    assert_eq!(live.kind, "text/event-stream");
    let ids: Vec<i64> =
        live.text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok()).collect();
    assert!(ids.is_sorted() && ids.len() >= 3, "{}", live.text);
    assert_eq!(live.text.matches("event: update").count(), ids.len());
    assert!(live.text.contains(r#""status":"failed""#));
    // An envelope that has ended: the same again, and the connection closes.
    assert_eq!(get(&app, &path).await.text, live.text);
    let last = ids[ids.len() - 2].to_string();
    let rest = ask(&app, "GET", &path, &[("last-event-id", &last)], Body::empty()).await;
    assert_eq!(rest.text.matches("event: update").count(), 1, "{}", rest.text);
    let wrong = ask(&app, "GET", &path, &[("last-event-id", "first")], Body::empty()).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn children_are_stored_and_not_sent() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    let before = world.service.store().outbox_depth().await.unwrap().waiting;
    let child = json!({"id": format!("{id}-1"), "parent_id": id, "actors": ["read"], "current": 0});
    for _ in 0..2 {
        let answer = post(&app, "/envelopes", &child).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        assert_eq!(answer.json(), json!({"status": "created", "id": format!("{id}-1")}));
    }
    assert_eq!(world.service.store().outbox_depth().await.unwrap().waiting, before);
}

#[tokio::test]
async fn a_parent_tells_of_its_children_and_ends_with_the_last_of_them() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    let path = format!("/envelopes/{id}");
    assert_eq!(get(&app, &path).await.json().get("children"), None);
    let child = |n: u32| json!({"id": format!("{id}-{n}"), "parent_id": id, "actors": ["split", "read"], "current": 1});
    let strangers = json!({"id": "stranger-1", "parent_id": "stranger", "actors": ["read"]});
    // Our sidecars' list; again, as after an answer that was lost.
    for _ in 0..2 {
        let answer = post(&app, "/envelopes", &json!([child(1), child(2), strangers])).await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::CREATED, json!({"status": "created", "known": 2}))
        );
    }
    assert_eq!(get(&app, "/envelopes/stranger-1").await.status, StatusCode::NOT_FOUND);
    let end = |id: &str| json!({"id": id, "status": "succeeded", "result": {"of": id}});
    post(&app, &format!("{path}-2/final"), &end("2")).await;
    let record = get(&app, &path).await.json();
    let children = json!({
        "total": 2, "running": 1, "succeeded": 1, "failed": 0, "more": false,
        "envelopes": [{"id": format!("{id}-2"), "status": "succeeded"}, {"id": format!("{id}-1"), "status": "running"}],
    });
    assert_eq!(record["children"], children);
    let of_child = get(&app, &format!("{path}-1")).await.json();
    assert_eq!((&of_child["parent_id"], &of_child["depth"]), (&json!(id), &json!(1)));
    assert_eq!(of_child["route"], json!({"actors": ["split", "read"], "current": 1}));
    // The first item keeps the id of what was split: its end is not the end of that.
    let mut own = end("0");
    own["children"] = json!({"open": [[1, 2]], "joined": true});
    assert_eq!(post(&app, &format!("{path}/final"), &own).await.json(), json!({"status": "ok"}));
    assert_eq!(get(&app, &path).await.json()["status"], "running");
    post(&app, &format!("{path}-1/final"), &json!({"status": "failed", "error": "no"})).await;
    let record = get(&app, &path).await.json();
    assert_eq!((&record["status"], &record["code"]), (&json!("failed"), &json!("children_failed")));
    assert_eq!(record["result"], json!({"of": "0"}));
}

#[tokio::test]
async fn a_report_about_a_child_that_nobody_announced_makes_it_known() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    let mut report = json!({"actors": ["split", "read"], "current_actor_idx": 1, "status": "received"});
    report["current_actor_name"] = json!("read");
    let steps = format!("/envelopes/{id}-1/progress");
    assert_eq!(post(&app, &steps, &report).await.status, StatusCode::NOT_FOUND, "it does not say of whom");
    report["parent_id"] = json!(id);
    assert_eq!(post(&app, &steps, &report).await.json()["progress_percent"], 55.0);
    let end = json!({"status": "succeeded", "parent_id": format!("{id}-1"), "actors": ["split", "read"]});
    let below = format!("/envelopes/{id}-1-1");
    assert_eq!(post(&app, &format!("{below}/final"), &end).await.status, StatusCode::OK);
    let record = get(&app, &below).await.json();
    assert_eq!((&record["status"], &record["depth"]), (&json!("succeeded"), &json!(2)));
    // Of an envelope that came around the gateway nothing is kept.
    let end = json!({"status": "succeeded", "parent_id": "stranger", "actors": ["read"]});
    assert_eq!(post(&app, "/envelopes/stranger-1/final", &end).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn answers_to_reports_say_that_an_envelope_is_cancelled() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    let child = json!([{"id": format!("{id}-1"), "parent_id": id, "actors": ["read"]}]);
    post(&app, "/envelopes", &child).await;
    let report = json!({"actors": ["read"], "current_actor_idx": 0, "status": "received", "parent_id": id});
    for about in [id.clone(), format!("{id}-1")] {
        let answer = post(&app, &format!("/envelopes/{about}/progress"), &report).await;
        assert_eq!(answer.json().get("cancelled"), None);
    }
    world.service.store().cancel(&id, "", jiff::Timestamp::now()).await.unwrap();
    // The last one appears only now.
    for about in [id.clone(), format!("{id}-1"), format!("{id}-2")] {
        let answer = post(&app, &format!("/envelopes/{about}/progress"), &report).await;
        assert_eq!(
            answer.json(),
            json!({"status": "ok", "progress_percent": 100.0, "cancelled": true}),
            "{about}"
        );
        let active = get(&app, &format!("/envelopes/{about}/active")).await;
        assert_eq!(active.json(), json!({"active": false, "cancelled": true}));
    }
    // One that has ended otherwise is not.
    let other = called(&app).await;
    post(&app, &format!("/envelopes/{other}/final"), &json!({"status": "failed", "error": "no"})).await;
    let answer = post(&app, &format!("/envelopes/{other}/progress"), &report).await;
    assert_eq!(answer.json(), json!({"status": "ok", "progress_percent": 100.0}));
}

#[tokio::test]
async fn refusals_have_the_status_of_the_contract() {
    let world = world().await;
    let app = app(&world);
    let id = called(&app).await;
    let report = json!({"actors": ["a"], "current_actor_idx": 0, "status": "received"});
    for (method, path, body, status) in [
        ("GET", "/envelopes/nobody".to_owned(), String::new(), 404),
        ("GET", "/envelopes/nobody/stream".to_owned(), String::new(), 404),
        ("GET", "/envelopes/nobody/active".to_owned(), String::new(), 410),
        // 500 in the Go system, whose sidecars then try again; ours is final.
        ("POST", "/envelopes/nobody/progress".to_owned(), report.to_string(), 404),
        ("POST", format!("/envelopes/{id}/progress"), json!({"status": "lost"}).to_string(), 400),
        ("POST", format!("/envelopes/{id}/final"), json!({"status": "running"}).to_string(), 400),
        ("POST", "/envelopes".to_owned(), json!({"id": "", "actors": ["a"]}).to_string(), 400),
        ("POST", "/tools/call".to_owned(), "{".to_owned(), 400),
        ("POST", "/tools/call".to_owned(), "{}".to_owned(), 400),
        ("POST", "/tools/call".to_owned(), json!({"name": "orc"}).to_string(), 404),
        ("GET", "/tools/call".to_owned(), String::new(), 405),
        ("POST", "/tools/call".to_owned(), "x".repeat(2 * LARGEST), 413),
        ("PUT", "/health".to_owned(), String::new(), 200),
    ] {
        let answer = ask(&app, method, &path, &[], body).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
    }
    assert_eq!(get(&app, "/envelopes/nobody").await.text, "Envelope not found\n");
    let wrong = post(&app, "/tools/call", &json!({"name": "ocr", "arguments": {}})).await.json();
    assert_eq!(wrong["isError"], true);
    assert_eq!(wrong["content"][0]["text"], "missing required parameter: page");
}

#[tokio::test]
async fn who_asks_for_a_problem_gets_one() {
    let world = world().await;
    let answer = ask(&app(&world), "GET", "/envelopes/nobody", &[("accept", PROBLEM)], Body::empty()).await;
    assert_eq!((answer.status, &*answer.kind), (StatusCode::NOT_FOUND, PROBLEM));
    let problem = answer.json();
    assert_eq!(problem["code"], "not_found");
    assert_eq!(problem["status"], 404);
}
