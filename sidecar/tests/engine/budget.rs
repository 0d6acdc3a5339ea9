//! What an envelope may use up, and what becomes of it beyond that.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use asya_envelope::{Headers, Route};
use asya_handler::{End, Item, Reply, Request};
use asya_sidecar::gateway::Gateway;
use serde_json::{Value, json as value};

use crate::{
    reports::{Requests, gateway_saying},
    rig::{Bench, Rig, Scripted, infrastructure, item, json, raised},
};

/// An item whose handler says what it cost, beside the headers that came.
fn costing(cost: &str, came: &Headers) -> Item {
    let mut headers = came.clone();
    headers.set("asya-cost", json(cost));
    Item { headers: Some(headers), ..item("1") }
}

/// Sends an envelope for the route `ocr -> next` with these headers.
async fn send(rig: &Rig, id: &str, headers: &Value) {
    rig.send(
        value!({"id": id, "route": {"actors": ["ocr", "next"]}, "headers": headers, "payload": 0})
            .to_string(),
    )
    .await;
}

/// The code and message of the only envelope that comes to the error end; nothing went on.
async fn refused(rig: &Rig) -> (String, String) {
    let error = rig.take("error-end").await;
    rig.settled().await;
    assert_eq!((rig.count("next").await, rig.count("happy-end").await), (0, 0));
    let details = &error["payload"]["details"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&details["code"]), text(&details["message"]))
}

#[tokio::test]
async fn what_handlers_report_adds_up_and_does_not_travel() {
    let rig = Bench::new().await.start(Scripted::ending(|request| {
        End::Done(vec![costing(r#"{"tokens": 40, "turns": 1}"#, &request.envelope.headers)])
    }));
    let budget = value!({"tokens": 100, "turns": 3});
    send(&rig, "a", &value!({"x-asya-budget": budget, "x-asya-spent": {"tokens": 60, "turns": 2}, "t": 1}))
        .await;
    let sent = rig.take("next").await;
    assert_eq!(
        sent["headers"],
        value!({"x-asya-budget": budget, "x-asya-spent": {"tokens": 100, "turns": 3}, "t": 1,
            "x-asya-hops": 1, "x-asya-attempt": 1})
    );
    // Without a budget it is counted all the same.
    send(&rig, "b", &value!({})).await;
    assert_eq!(rig.take("next").await["headers"]["x-asya-spent"], value!({"tokens": 40, "turns": 1}));
}

#[tokio::test]
async fn an_answer_beyond_the_budget_is_not_sent_on() {
    let rig = Bench::new().await.start(Scripted::ending(|request| {
        End::Done(vec![costing(r#"{"tokens": 41}"#, &request.envelope.headers)])
    }));
    send(&rig, "a", &value!({"x-asya-budget": {"tokens": 100}, "x-asya-spent": {"tokens": 60}})).await;
    let (code, message) = refused(&rig).await;
    assert_eq!(code, "budget_exceeded");
    assert!(message.starts_with("tokens: 101 were used, at most 100 are allowed; raise it"), "{message}");
}

#[tokio::test]
async fn an_answer_that_ends_the_route_is_delivered_whatever_it_cost() {
    let rig = Bench::new().await.start(Scripted::ending(|request| {
        End::Done(vec![costing(r#"{"turns": 5}"#, &request.envelope.headers)])
    }));
    rig.send(r#"{"id":"a","route":{"actors":["ocr"]},"headers":{"x-asya-budget":{"turns":1}},"payload":0}"#)
        .await;
    assert_eq!(rig.take("happy-end").await["headers"]["x-asya-spent"]["turns"], 5);
}

#[tokio::test]
async fn no_handler_runs_on_what_is_beyond_its_budget_or_has_one_that_cannot_be_read() {
    for (headers, code, word) in [
        (
            value!({"x-asya-budget": {"turns": 1}, "x-asya-spent": {"turns": 2}}),
            "budget_exceeded",
            "turns: 2",
        ),
        (
            value!({"x-asya-budget": {"tokens": 9}, "x-asya-spent": {"tokens": 10}}),
            "budget_exceeded",
            "tokens: 10",
        ),
        (value!({"x-asya-budget": {"route": 1}}), "budget_exceeded", "route: 2"),
        (
            value!({"x-asya-budget": {"depth": 0}, "x-asya-fan": [{"group": "a/0", "index": 0, "count": 2}]}),
            "budget_exceeded",
            "depth: 1",
        ),
        (value!({"x-asya-budget": {"until": "2001-01-01T00:00:00Z"}}), "budget_exceeded", "until"),
        (value!({"x-asya-budget": {"turns": -1}}), "budget_invalid", "x-asya-budget"),
        (value!({"x-asya-budget": {"money": 1}}), "budget_invalid", "money"),
        (value!({"x-asya-budget": []}), "budget_invalid", "object"),
        (value!({"x-asya-budget": {"depth": 9}, "x-asya-fan": "x"}), "budget_invalid", "x-asya-fan"),
        (value!({"x-asya-spent": {"turns": "none"}}), "budget_invalid", "x-asya-spent"),
    ] {
        let handler = Scripted::echo();
        let events = handler.events();
        let rig = Bench::new().await.start(handler);
        send(&rig, "a", &headers).await;
        let (found, message) = refused(&rig).await;
        assert_eq!(found, code, "{headers}: {message}");
        assert!(message.contains(word), "{headers}: {message}");
        assert_eq!(events.all(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_handler_changes_neither_its_budget_nor_what_was_spent() {
    let rig = Bench::new().await.start(Scripted::ending(|_| {
        let headers =
            [("x-asya-budget", r#"{"turns":99}"#), ("x-asya-spent", "{}"), ("asya-cost", r#"{"turns":1}"#)];
        let headers = Headers::from_pairs(headers.map(|(name, value)| (name.to_owned(), json(value))));
        End::Done(vec![Item { headers: Some(headers), ..item("1") }])
    }));
    send(&rig, "a", &value!({"x-asya-budget": {"turns": 1}, "x-asya-spent": {"turns": 1}})).await;
    assert_eq!(refused(&rig).await.0, "budget_exceeded");
}

#[tokio::test]
async fn a_cost_that_cannot_be_is_not_counted_and_stops_nothing() {
    for cost in [r#"{"tokens":-5}"#, r#"{"tokens":99999999999}"#, r#""much""#, "null", "[1,1]", "1e400"] {
        let rig = Bench::new().await.start(Scripted::ending(move |request| {
            End::Done(vec![costing(cost, &request.envelope.headers)])
        }));
        send(&rig, "a", &value!({"x-asya-budget": {"tokens": 9}, "x-asya-spent": {"tokens": 9}})).await;
        let sent = rig.take_body("next").await;
        assert!(
            sent.contains(r#""x-asya-spent":{"tokens":9}"#) && !sent.contains("asya-cost"),
            "{cost}: {sent}"
        );
    }
}

#[tokio::test]
async fn a_cost_that_came_in_is_nobodys() {
    // One handler returns only a payload, the other all that it got.
    for whole in [false, true] {
        let rig = Bench::new().await.start(Scripted::ending(move |request| {
            let headers = request.envelope.headers.clone();
            assert!(headers.get("asya-cost").is_none(), "it is not shown");
            assert!(!String::from_utf8_lossy(&request.body).contains("asya-cost"), "nor in the message");
            End::Done(vec![Item { headers: whole.then_some(headers), ..item("1") }])
        }));
        send(&rig, "a", &value!({"asya-cost": {"tokens": 7}, "t": 1})).await;
        let headers = rig.take("next").await["headers"].clone();
        assert_eq!(headers, value!({"t": 1, "x-asya-hops": 1, "x-asya-attempt": 1}));
    }
}

#[tokio::test]
async fn a_cost_goes_to_no_end() {
    let rig = Bench::new().await.start(Scripted::ending(|request| match request.envelope.payload.as_str() {
        "0" => End::Done(Vec::new()),
        _ => crate::rig::raised("ValueError"),
    }));
    for (payload, end) in [(0, "happy-end"), (1, "error-end")] {
        let headers = value!({"asya-cost": {"tokens": 7}, "t": 1});
        let sent = value!({"id": "a", "route": {"actors": ["ocr"]}, "headers": headers, "payload": payload});
        rig.send(sent.to_string()).await;
        let headers = rig.take(end).await["headers"].clone();
        assert_eq!((&headers["t"], headers.get("asya-cost")), (&1.into(), None), "{end}");
    }
}

#[tokio::test]
async fn parts_of_a_fan_out_count_for_themselves_and_are_sent_all_or_none() {
    let rig = Bench::new().await.start(Scripted::ending(|request| {
        let came = &request.envelope.headers;
        End::Done(vec![costing(r#"{"tokens":1}"#, came), costing(r#"{"tokens":2}"#, came), item("3")])
    }));
    send(&rig, "a", &value!({"x-asya-budget": {"tokens": 12, "depth": 1}, "x-asya-spent": {"tokens": 10}}))
        .await;
    let mut spent = Vec::new();
    for _ in 0..3 {
        let part = rig.take("next").await;
        spent.push((part["id"].clone(), part["headers"]["x-asya-spent"]["tokens"].clone()));
    }
    assert_eq!(value!(spent), value!([["a-1", 12], ["a-2", 10], ["a", 11]]));
    // One part too much, and none is sent.
    send(&rig, "b", &value!({"x-asya-budget": {"tokens": 11}, "x-asya-spent": {"tokens": 10}})).await;
    assert_eq!(refused(&rig).await.0, "budget_exceeded");
}

#[tokio::test]
async fn a_generator_that_splits_deeper_than_it_may_sends_no_part() {
    let rig = Bench::new().await.start(Scripted::new(|_, replies| async move {
        for _ in 0..3 {
            if !replies.send(Reply::Yield(item("1"))).await {
                return;
            }
        }
        replies.send(Reply::End(End::Done(Vec::new()))).await;
    }));
    send(&rig, "a", &value!({"x-asya-budget": {"depth": 0}})).await;
    let (code, message) = refused(&rig).await;
    assert_eq!(code, "budget_exceeded");
    assert!(message.starts_with("depth: 1 "), "{message}");
}

#[tokio::test]
async fn a_route_that_grows_beyond_the_budget_is_stopped() {
    let rig = Bench::new().await.start(Scripted::ending(|request| {
        let mut route = request.envelope.route.advanced();
        route.actors.insert(route.current, "ocr".to_owned());
        End::Done(vec![Item { route: Some(route), ..item("1") }])
    }));
    send(&rig, "a", &value!({"x-asya-budget": {"route": 5}})).await;
    let (code, message) = refused(&rig).await;
    assert_eq!(code, "budget_exceeded");
    assert!(message.starts_with("route: 6 actors are in the route, at most 5"), "{message}");
    assert_eq!(rig.stats.received(), 4);
}

#[tokio::test]
async fn an_end_records_what_is_beyond_its_budget() {
    let rig = Bench::new().await.with(|config| config.end_actor = true).start(Scripted::echo());
    send(&rig, "a", &value!({"x-asya-budget": "none", "x-asya-spent": 7})).await;
    rig.until("it was recorded", async || rig.stats.succeeded() == 1).await;
    rig.settled().await;
    assert_eq!(rig.count("error-end").await, 0);
}

#[tokio::test]
async fn only_what_was_approved_for_this_hop_is_handled() {
    let approved = |hop: Value| value!({"x-asya-approved": {"operation": "op-1", "hop": hop}});
    let route = |current: usize| value!({"actors": ["ocr", "ocr", "next"], "current": current});
    let handler = Scripted::echo();
    let events = handler.events();
    let rig = Bench::new().await.with(|config| config.approved_only = true).start(handler);
    for (id, current, headers) in [
        ("none", 1, value!({})),
        ("earlier", 1, approved(value!(0))),
        ("later", 1, approved(value!(2))),
        ("text", 1, approved(value!("1"))),
        ("true", 1, value!({"x-asya-approved": true})),
        ("nameless", 1, value!({"x-asya-approved": {"hop": 1}})),
    ] {
        rig.send(value!({"id": id, "route": route(current), "headers": headers, "payload": 0}).to_string())
            .await;
        let error = rig.take("error-end").await;
        assert_eq!(
            (&error["id"], &error["payload"]["details"]["code"]),
            (&id.into(), &"not_approved".into())
        );
    }
    assert_eq!(events.all(), Vec::<String>::new());
    rig.send(
        value!({"id": "good", "route": route(1), "headers": approved(value!(1)), "payload": 0}).to_string(),
    )
    .await;
    let sent = rig.take("next").await;
    assert_eq!(
        (&sent["id"], sent["headers"].get("x-asya-approved")),
        (&"good".into(), None),
        "it is used up"
    );
}

#[tokio::test]
async fn a_handler_can_neither_make_an_approval_nor_lead_one_back() {
    // An actor ahead of the guarded one writes the header; one behind it sends another payload back to the same hop.
    for (current, to, came) in
        [(0, 1, value!({})), (1, 0, value!({"x-asya-approved": {"operation": "op-1", "hop": 0}}))]
    {
        let rig = Bench::new().await.start(Scripted::ending(move |request| {
            let headers =
                [("x-asya-approved".to_owned(), json(&format!(r#"{{"operation":"op-1","hop":{to}}}"#)))];
            let route = Route { current: to, ..request.envelope.route.clone() };
            let item = item(r#""something else""#);
            End::Done(vec![Item { route: Some(route), headers: Some(Headers::from_pairs(headers)), ..item }])
        }));
        let actors = if to == 0 { ["next", "ocr"] } else { ["ocr", "next"] };
        let sent = value!({"id": "a", "route": {"actors": actors, "current": current}, "headers": came, "payload": 0});
        rig.send(sent.to_string()).await;
        let sent = rig.take("next").await;
        assert_eq!((&sent["route"]["current"], sent["headers"].get("x-asya-approved")), (&to.into(), None));
    }
}

/// A guarded actor with a gateway that answers with these statuses in turn.
async fn guarded(statuses: &'static [u16], handler: Arc<Scripted>) -> (Rig, Requests) {
    let (address, requests) = gateway_saying(statuses, |_| r#"{"detail": "it was begun before"}"#).await;
    let mut bench = Bench::new().await.with(|config| {
        config.approved_only = true;
        config.retry.attempts = 5;
    });
    bench.observers.approvals = Some(Gateway::new(&address, None).unwrap());
    (bench.start(handler), requests)
}

async fn send_approved(rig: &Rig) {
    let headers = value!({"x-asya-approved": {"operation": "op-1", "hop": 1}, "x-asya-subject": "signed", "asya-cost": 1});
    let route = value!({"actors": ["agent", "ocr", "next"], "current": 1});
    rig.send(value!({"id": "a", "route": route, "headers": headers, "payload": {"order": 7}}).to_string())
        .await;
}

/// A handler that ends each run so, and counts them.
fn counting(answer: impl Fn(&Request) -> End + Send + Sync + 'static) -> (Arc<Scripted>, Arc<AtomicU32>) {
    let runs = Arc::new(AtomicU32::new(0));
    let counted = runs.clone();
    let handler = Scripted::ending(move |request| {
        counted.fetch_add(1, Ordering::Relaxed);
        answer(request)
    });
    (handler, runs)
}

#[tokio::test]
async fn what_was_approved_is_begun_at_the_gateway_before_it_is_handled() {
    let (rig, requests) = guarded(&[200], Scripted::echo()).await;
    send_approved(&rig).await;
    rig.take("next").await;
    let asked = requests.lock().unwrap().clone();
    let [(path, _, body)] = asked.as_slice() else { panic!("{asked:?}") };
    assert_eq!(path, "/internal/v1/operations/op-1/begin");
    assert_eq!(*body, value!({"actor": "ocr", "arguments": {"order": 7}}));
}

#[tokio::test]
async fn what_was_begun_before_is_not_begun_again() {
    let (handler, runs) = counting(|_| End::Done(vec![item("1")]));
    let (rig, _) = guarded(&[409], handler).await;
    send_approved(&rig).await;
    let (code, message) = refused(&rig).await;
    assert_eq!(code, "not_approved");
    assert!(message.contains("op-1") && message.contains("it was begun before"), "{message}");
    assert_eq!(runs.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_was_begun_runs_once_however_it_ends() {
    fn later() -> End {
        End::Retry { after: None, reason: "later".to_owned() }
    }
    let broke: fn() -> End = || raised("ValueError");
    for (answer, expected) in [(broke, "it broke"), (infrastructure, "no runtime"), (later, "later")] {
        let (handler, runs) = counting(move |_| answer());
        let (rig, requests) = guarded(&[200], handler).await;
        send_approved(&rig).await;
        let (_, message) = refused(&rig).await;
        assert!(message.contains(expected), "{message}");
        assert_eq!((requests.lock().unwrap().len(), runs.load(Ordering::Relaxed)), (1, 1), "{expected}");
    }
}

#[tokio::test]
async fn a_gateway_that_is_away_is_waited_for() {
    let (rig, requests) = guarded(&[503, 503, 200], Scripted::echo()).await;
    send_approved(&rig).await;
    rig.take("next").await;
    assert_eq!(requests.lock().unwrap().len(), 3);
}
