//! What a gateway is told of the children of fan-outs, and what it says of cancelled envelopes.

use std::time::Duration;

use asya_envelope::ActorName;
use asya_handler::{End, Reply};
use asya_sidecar::{Cancelled, Status, gateway::Gateway};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::{
    reports::{Requests, gateway, gateway_saying},
    rig::{Bench, Scripted, item, raised},
};

/// Bodies of the requests to a path, in order.
fn sent_to(requests: &Requests, path: &str) -> Vec<Value> {
    let requests = requests.lock().unwrap();
    requests.iter().filter(|(to, ..)| to == path).map(|(.., body)| body.clone()).collect()
}

/// Children that were announced, in order.
fn announced(requests: &Requests) -> Vec<Value> {
    let lists = sent_to(requests, "/envelopes").into_iter();
    lists.flat_map(|list| list.as_array().unwrap().clone()).collect()
}

fn child(number: u64) -> Value {
    json!({"id": format!("a-{number}"), "parent_id": "a", "actors": ["ocr", "next"], "current": 1})
}

#[tokio::test]
async fn children_of_a_list_are_announced_and_the_first_item_is_none() {
    let (address, requests) = gateway(&[200]).await;
    let mut bench = Bench::new().await;
    Gateway::new(&address, None).unwrap().follow(None, &mut bench.observers);
    let rig = bench.start(Scripted::ending(|_| End::Done(vec![item("0"), item("1"), item("2")])));
    rig.send_envelope("a", "null").await;
    rig.until("both are announced", async || announced(&requests).len() == 2).await;
    assert_eq!(announced(&requests), [child(1), child(2)]);
    assert_eq!(rig.count("next").await, 3, "they were sent, once");
}

#[tokio::test]
async fn children_of_a_generator_are_announced_as_they_are_sent() {
    let (address, requests) = gateway(&[200]).await;
    let mut bench = Bench::new().await;
    Gateway::new(&address, None).unwrap().follow(None, &mut bench.observers);
    let rig = bench.start(Scripted::new(|_, replies| async move {
        for n in 0..3 {
            replies.send(Reply::Yield(item(&n.to_string()))).await;
        }
        replies.send(Reply::End(raised("ValueError"))).await;
    }));
    rig.send_envelope("a", "null").await;
    rig.until("both are announced", async || announced(&requests).len() == 2).await;
    assert_eq!(announced(&requests), [child(1), child(2)]);
}

#[tokio::test]
async fn an_answer_of_one_item_has_no_children() {
    let (sender, mut children) = mpsc::channel(10);
    let mut bench = Bench::new().await;
    bench.observers.children = Some(sender);
    let rig = bench.start(Scripted::echo());
    rig.send_envelope("a", "1").await;
    rig.settled().await;
    assert!(children.try_recv().is_err());
}

#[tokio::test]
async fn a_gateway_that_is_away_delays_no_fan_out() {
    // Nothing listens there.
    let mut bench = Bench::new().await;
    Gateway::new("http://127.0.0.1:9", None).unwrap().follow(None, &mut bench.observers);
    let (full, _unread) = mpsc::channel(1);
    bench.observers.children = Some(full);
    let rig = bench.start(Scripted::ending(|_| End::Done(vec![item("0"), item("1"), item("2")])));
    for n in 0..20 {
        rig.send_envelope(&n.to_string(), "1").await;
    }
    rig.settled().await;
    assert_eq!(rig.count("next").await, 60);
}

#[tokio::test]
async fn reports_name_the_parent_and_ends_what_is_left_of_the_fan_out() {
    let (address, requests) = gateway(&[200]).await;
    let mut bench = Bench::new().await.with(|config| config.actor = ActorName::parse("happy-end").unwrap());
    let gateway = Gateway::new(&address, None).unwrap();
    bench.observers.ends = Some(gateway);
    let rig = bench.start(Scripted::ending(|_| End::Done(vec![item("{}")])));
    let fan = |part: Value| json!({"x-asya-fan": [part], "x-asya-children": 3});
    let route = json!({"actors": ["ocr"], "current": 1});
    for (id, parent, headers) in [
        ("a", None, fan(json!({"group": "a/1", "index": 0, "count": 3}))),
        ("a-1", Some("a"), json!({"x-asya-fan": [{"group": "a/0", "index": 1}]})),
        ("plain", None, json!({})),
    ] {
        let mut envelope = json!({"id": id, "route": route, "headers": headers, "payload": 1});
        if let Some(parent) = parent {
            envelope["parent_id"] = json!(parent);
        }
        rig.send(envelope.to_string()).await;
    }
    rig.until("all are reported", async || requests.lock().unwrap().len() == 3).await;
    let end = |id: &str| sent_to(&requests, &format!("/envelopes/{id}/final")).remove(0);
    assert_eq!(end("a")["children"], json!({"open": [[2, 3]], "joined": true}));
    assert_eq!((end("a-1")["parent_id"].as_str(), end("a-1").get("children")), (Some("a"), None));
    assert_eq!((end("plain").get("parent_id"), end("plain").get("children")), (None, None));
}

#[tokio::test]
async fn a_run_ends_when_the_gateway_says_that_its_envelope_is_cancelled() {
    let (address, requests) = gateway_saying(&[200], |path| match path {
        "/envelopes/a/progress" => r#"{"status":"ok","cancelled":true}"#,
        _ => "{}",
    })
    .await;
    let mut bench = Bench::new().await;
    Gateway::new(&address, None).unwrap().follow(None, &mut bench.observers);
    let ended = std::sync::Arc::new(tokio::sync::Notify::new());
    let told = ended.clone();
    let rig = bench.start(Scripted::new(move |request, replies| {
        let told = told.clone();
        async move {
            if request.envelope.id == "a" {
                // It would never end by itself.
                let _told = scopeguard(told);
                std::future::pending::<()>().await;
            }
            replies.send(Reply::End(End::Done(vec![item("1")]))).await;
        }
    }));
    rig.send_envelope("a", "1").await;
    rig.send_envelope("b", "1").await;
    ended.notified().await;
    rig.settled().await;
    assert_eq!((rig.count("next").await, rig.count("error-end").await, rig.stats.dropped()), (1, 0, 1));
    rig.until("its end is reported", async || {
        let reports = sent_to(&requests, "/envelopes/a/progress");
        reports.last().is_some_and(|report| report["status"] == "dropped")
    })
    .await;
}

/// Tells when it is dropped.
fn scopeguard(told: std::sync::Arc<tokio::sync::Notify>) -> impl Drop {
    struct Guard(std::sync::Arc<tokio::sync::Notify>);
    impl Drop for Guard {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    Guard(told)
}

#[tokio::test]
async fn what_is_known_to_be_cancelled_is_not_handled() {
    let (sender, mut reports) = mpsc::channel(100);
    let mut bench = Bench::new().await;
    let cancelled = Cancelled::default();
    cancelled.note("a");
    (bench.observers.progress, bench.observers.cancelled) = (Some(sender), Some(cancelled));
    let handler = Scripted::echo();
    let events = handler.events();
    let rig = bench.start(handler);
    rig.send_envelope("a", "1").await;
    rig.send_envelope("b", "1").await;
    rig.settled().await;
    assert_eq!(events.all(), ["handle b"]);
    assert_eq!((rig.count("next").await, rig.count("error-end").await, rig.stats.dropped()), (1, 0, 1));
    let mut seen = Vec::new();
    while let Ok(report) = reports.try_recv() {
        if report.id == "a" {
            seen.push((report.status, report.message));
        }
    }
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].0, Status::Received);
    assert_eq!(seen[1], (Status::Dropped, "cancelled, ended at ocr".to_owned()));
}

#[tokio::test]
async fn what_is_cancelled_while_its_handler_runs_is_not_forwarded_retried_or_failed() {
    let cancelled = Cancelled::default();
    let ends: [fn() -> End; 3] = [
        || End::Done(vec![item("1")]),
        || raised("ValueError"),
        || End::Retry { after: Some(Duration::ZERO), reason: "later".to_owned() },
    ];
    for (n, end) in ends.into_iter().enumerate() {
        let mut bench = Bench::new().await;
        bench.observers.cancelled = Some(cancelled.clone());
        let learns = cancelled.clone();
        let rig = bench.start(Scripted::ending(move |request| {
            learns.note(&request.envelope.id);
            end()
        }));
        rig.send_envelope(&n.to_string(), "1").await;
        rig.settled().await;
        assert_eq!((rig.count("next").await, rig.count("error-end").await), (0, 0));
        assert_eq!((rig.stats.dropped(), rig.stats.retried()), (1, 0));
    }
}

#[tokio::test]
async fn the_gateway_is_asked_about_what_an_actor_has_for_long() {
    let (address, requests) = gateway_saying(&[200], |path| match path {
        "/envelopes/a/active" => r#"{"active":false,"cancelled":true}"#,
        _ => "{}",
    })
    .await;
    let mut bench = Bench::new().await;
    let gateway = Gateway::new(&address, None).unwrap();
    gateway.follow_asking(Duration::from_millis(20), None, &mut bench.observers);
    let rig = bench.start(Scripted::new(|_, _replies| std::future::pending()));
    rig.send_envelope("a", "1").await;
    rig.settled().await;
    assert_eq!((rig.count("next").await, rig.stats.dropped()), (0, 1));
    assert!(!sent_to(&requests, "/envelopes/a/active").is_empty());
}
