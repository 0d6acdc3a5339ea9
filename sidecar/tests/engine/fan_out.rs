//! Several items from one envelope: lists and generators.

use asya_handler::{End, Item, Reply};
use serde_json::json;

use crate::rig::{Bench, Rig, Scripted, item, raised};

fn yielding(count: usize, end: fn() -> End) -> std::sync::Arc<Scripted> {
    Scripted::new(move |_, replies| async move {
        for n in 0..count {
            replies.send(Reply::Yield(item(&n.to_string()))).await;
        }
        replies.send(Reply::End(end())).await;
    })
}

fn done() -> End {
    End::Done(Vec::new())
}

async fn taken(rig: &Rig, actor: &str, count: usize) -> Vec<(String, i64)> {
    let mut found = Vec::new();
    for _ in 0..count {
        let envelope = rig.take(actor).await;
        found.push((envelope["id"].as_str().unwrap().to_owned(), envelope["payload"].as_i64().unwrap()));
    }
    found
}

fn ids(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
    expected.iter().map(|(id, payload)| ((*id).to_owned(), *payload)).collect()
}

#[tokio::test]
async fn a_list_becomes_children() {
    let rig =
        Bench::new().await.start(Scripted::ending(|_| End::Done(vec![item("0"), item("1"), item("2")])));
    rig.send_envelope("a", "null").await;
    let mut children = taken(&rig, "next", 3).await;
    children.sort();
    assert_eq!(children, ids(&[("a", 0), ("a-1", 1), ("a-2", 2)]));
}

#[tokio::test]
async fn a_list_with_one_bad_item_sends_none() {
    let rig = Bench::new().await.start(Scripted::ending(|request| {
        let stuck = Item { route: Some(request.envelope.route.clone()), ..item("1") };
        End::Done(vec![item("0"), stuck])
    }));
    rig.send_envelope("a", "null").await;
    assert_eq!(rig.take("error-end").await["payload"]["details"]["code"], "not_advanced");
    rig.settled().await;
    assert_eq!(rig.count("next").await, 0);
}

#[tokio::test]
async fn yields_go_on_as_they_come_and_item_0_last_with_the_count() {
    let rig = Bench::new().await.start(yielding(3, done));
    rig.send_envelope("a", "null").await;
    let mut last = serde_json::Value::Null;
    let mut order = Vec::new();
    for _ in 0..3 {
        last = rig.take("next").await;
        order.push(last["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(order, ["a-1", "a-2", "a"]);
    assert_eq!(last["headers"]["x-asya-children"], 2);
    assert_eq!(last["headers"]["x-asya-fan"], json!([{"group": "a/0", "index": 0, "count": 3}]));
}

#[tokio::test]
async fn a_child_is_sent_while_the_generator_still_runs() {
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let wait = gate.clone();
    let rig = Bench::new().await.start(Scripted::new(move |_, replies| {
        let wait = wait.clone();
        async move {
            replies.send(Reply::Yield(item("0"))).await;
            replies.send(Reply::Yield(item("1"))).await;
            wait.notified().await;
            replies.send(Reply::End(done())).await;
        }
    }));
    rig.send_envelope("a", "null").await;
    assert_eq!(rig.take("next").await["id"], "a-1");
    assert_eq!(rig.stats.in_flight(), 1, "its parent is still in hand");
    gate.notify_one();
    assert_eq!(rig.take("next").await["id"], "a");
}

#[tokio::test]
async fn a_single_yield_is_not_a_fan_out() {
    let rig = Bench::new().await.start(yielding(1, done));
    rig.send_envelope("a", "null").await;
    let only = rig.take("next").await;
    assert_eq!(
        (&only["id"], &only["headers"]),
        (&"a".into(), &json!({"x-asya-hops": 1, "x-asya-attempt": 1}))
    );
}

#[tokio::test]
async fn an_empty_generator_sends_its_input_to_happy_end() {
    let rig = Bench::new().await.start(yielding(0, done));
    rig.send_envelope("a", "7").await;
    assert_eq!(rig.take("happy-end").await["payload"], 7);
}

#[tokio::test]
async fn a_generator_that_fails_half_way_has_one_end_and_says_how_many_children_went() {
    let rig = Bench::new().await.start(yielding(3, || raised("ValueError")));
    rig.send_envelope("a", "7").await;
    let error = rig.take("error-end").await;
    assert_eq!((&error["id"], &error["payload"]["details"]["children_sent"]), (&"a".into(), &2.into()));
    assert_eq!(taken(&rig, "next", 2).await, ids(&[("a-1", 1), ("a-2", 2)]));
    rig.settled().await;
    assert_eq!((rig.count("next").await, rig.count("error-end").await), (0, 0), "item 0 was never sent");
}

#[tokio::test]
async fn a_second_fan_out_of_the_same_id_makes_new_ids() {
    let rig = Bench::new().await.start(Scripted::ending(|_| End::Done(vec![item("0"), item("1")])));
    rig.send(r#"{"id":"a","route":{"actors":["ocr","next"]},"headers":{"x-asya-children":4},"payload":0}"#)
        .await;
    let mut children = taken(&rig, "next", 2).await;
    children.sort();
    assert_eq!(children, ids(&[("a", 0), ("a-5", 1)]));
}
