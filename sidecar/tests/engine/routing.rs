//! Where envelopes go, and what they carry there.

use asya_envelope::{Headers, Raw, Route};
use asya_handler::{End, Fate, Item};
use asya_telemetry::Metrics;

use crate::rig::{Bench, Scripted, item, json};

#[tokio::test]
async fn an_envelope_goes_on_with_all_it_carries() {
    let rig = Bench::new().await.start(Scripted::ending(|_| End::Done(vec![item(r#"{"y":1.0}"#)])));
    rig.send(
        r#"{"id":"a","parent_id":"p","route":{"actors":["ocr","next"],"current":0,"metadata":{"k":1.0}},
        "headers":{"t":1e400,"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
        "payload":0,"deadline":"2999-01-01T00:00:00Z","extra":1.50}"#,
    )
    .await;
    let body = rig.take_body("next").await;
    for part in [
        r#""id":"a","parent_id":"p""#,
        r#""route":{"actors":["ocr","next"],"current":1,"metadata":{"k":1.0}}"#,
        r#""t":1e400"#,
        r#""x-asya-hops":1"#,
        r#""x-asya-attempt":1"#,
        r#""payload":{"y":1.0}"#,
        r#""deadline":"2999-01-01T00:00:00Z""#,
        r#""extra":1.50"#,
        r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-"#,
    ] {
        assert!(body.contains(part), "{part} is not in {body}");
    }
    assert!(!body.contains("00f067aa0ba902b7"), "this hop has a span of its own");
}

#[tokio::test]
async fn a_finished_route_goes_to_happy_end_and_so_does_an_empty_answer_with_its_input() {
    let rig = Bench::new().await.start(Scripted::ending(|request| match request.envelope.payload.as_str() {
        "0" => End::Done(Vec::new()),
        _ => End::Done(vec![item("\"done\"")]),
    }));
    rig.send(r#"{"id":"full","route":{"actors":["ocr"]},"payload":1}"#).await;
    let full = rig.take("happy-end").await;
    assert_eq!((&full["payload"], &full["route"]["current"]), (&"done".into(), &1.into()));
    rig.send(r#"{"id":"empty","route":{"actors":["ocr","next"]},"payload":0}"#).await;
    let empty = rig.take("happy-end").await;
    assert_eq!((&empty["payload"], &empty["route"]["current"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn a_dropped_envelope_leaves_nothing_behind() {
    let rig = Bench::new().await.start(Scripted::ending(|_| End::Drop { reason: "spam".to_owned() }));
    rig.send_envelope("a", "1").await;
    rig.until("it was dropped", async || rig.stats.dropped() == 1).await;
    rig.settled().await;
    for actor in ["next", "happy-end", "error-end"] {
        assert_eq!(rig.count(actor).await, 0);
    }
}

#[tokio::test]
async fn platform_headers_are_put_back_and_counted_and_others_are_the_handlers() {
    let metrics = Metrics::new("asya_actor");
    let mut bench = Bench::new().await;
    bench.observers.metrics = Some(metrics.clone());
    let rig = bench.start(Scripted::ending(|_| {
        let headers = [("x-asya-hops", "0"), ("x-asya-children", "9"), ("lang", "\"en\"")];
        let headers = Headers::from_pairs(headers.map(|(name, value)| (name.to_owned(), json(value))));
        End::Done(vec![Item { headers: Some(headers), ..item("1") }])
    }));
    rig.send(
        r#"{"id":"a","route":{"actors":["ocr","next"]},"headers":{"x-asya-hops":4,"gone":1},"payload":0}"#,
    )
    .await;
    let sent = rig.take("next").await;
    let expected = serde_json::json!({"x-asya-hops": 5, "x-asya-attempt": 1, "lang": "en"});
    assert_eq!(sent["headers"], expected);
    let counted = "asya_actor_headers_restored_total{queue=\"ocr\"} 2\n";
    rig.until("both changes are counted", async || metrics.encode().contains(counted)).await;
}

#[tokio::test]
async fn routes_that_break_a_rule_are_refused_with_their_code() {
    let route = |actors: &[&str], current| Route { current, ..Route::new(actors.iter().copied()) };
    for (returned, code) in [
        (route(&["ocr", "next"], 0), "not_advanced"),
        (route(&["other", "next"], 1), "invalid_route"),
        (route(&["ocr", "next"], 3), "invalid_route"),
        (route(&["ocr", "error-end"], 1), "end_actor_in_route"),
        (route(&["ocr", "happy-end", "next"], 1), "end_actor_in_route"),
        (route(&["ocr", "shell", "next"], 1), "route_not_allowed"),
    ] {
        let rig = Bench::new().await.with(|config| config.allowed_routes = vec!["tool-*".to_owned()]).start(
            Scripted::ending(move |_| End::Done(vec![Item { route: Some(returned.clone()), ..item("1") }])),
        );
        rig.send_envelope("a", "0").await;
        let error = rig.take("error-end").await;
        assert_eq!(error["payload"]["details"]["code"], code);
        assert_eq!(error["payload"]["original_payload"], 0);
        rig.settled().await;
        assert_eq!(rig.count("next").await, 0);
    }
}

#[tokio::test]
async fn a_handler_may_insert_what_it_is_allowed_to_and_remove_what_is_ahead() {
    let rig = Bench::new().await.with(|config| config.allowed_routes = vec!["nex?".to_owned()]).start(
        Scripted::ending(|_| {
            let route = Route { current: 1, ..Route::new(["ocr", "next"]) };
            End::Done(vec![Item { route: Some(route), ..item("1") }])
        }),
    );
    rig.send(r#"{"id":"a","route":{"actors":["ocr","b","c"]},"payload":0}"#).await;
    assert_eq!(rig.take("next").await["route"]["actors"], serde_json::json!(["ocr", "next"]));
}

#[tokio::test]
async fn an_envelope_that_goes_in_circles_is_stopped_by_its_hops() {
    let rig = Bench::new().await.with(|config| config.max_hops = 5).start(Scripted::ending(|request| {
        let mut route = request.envelope.route.advanced();
        route.actors.insert(route.current, "ocr".to_owned());
        End::Done(vec![Item { route: Some(route), ..item("1") }])
    }));
    rig.send(r#"{"id":"a","route":{"actors":["ocr"]},"payload":0}"#).await;
    let error = rig.take("error-end").await;
    assert_eq!(error["payload"]["details"]["code"], "loop");
    assert_eq!(rig.stats.received(), 6);
}

#[tokio::test]
async fn a_platform_actor_sends_whole_envelopes_and_records_in_one_settlement() {
    let rig = Bench::new().await.start(Scripted::ending(|request| {
        let mut envelope = request.envelope.clone();
        envelope.id = "joined".to_owned();
        envelope.route = envelope.route.advanced();
        let write = asya_store::Write {
            table: "groups",
            key: "g".to_owned(),
            value: Some("1".into()),
            expect: asya_store::Expect::Absent,
        };
        End::Platform { envelopes: vec![envelope], writes: vec![write], fate: Fate::GoesOn }
    }));
    rig.send_envelope("a", "1").await;
    assert_eq!(rig.take("next").await["id"], "joined");
    let record = rig.local().store().get("groups", "g").await.unwrap().unwrap();
    assert_eq!((record.value.as_ref(), record.version), (&b"1"[..], 1));
    assert_eq!(Raw::of(&1).as_str(), "1");
}

#[tokio::test]
async fn a_platform_envelope_that_is_too_large_ends_under_its_own_id_and_leaves_its_cause_untouched() {
    let handler = Scripted::ending(|request| {
        let mut joined = request.envelope.clone();
        joined.id = "joined".to_owned();
        joined.route.current = 1;
        joined.payload = json(&format!("\"{}\"", "x".repeat(80_000)));
        let write = asya_store::Write {
            table: "t",
            key: "k".to_owned(),
            value: Some("1".into()),
            expect: asya_store::Expect::Absent,
        };
        End::Platform { envelopes: vec![joined], writes: vec![write], fate: Fate::GoesOn }
    });
    let rig = Bench::new().await.with(|config| config.limits.max_envelope = 64 * 1024).start(handler);
    rig.send_envelope("part", "0").await;
    let error = rig.take("error-end").await;
    assert_eq!((&error["id"], &error["payload"]["details"]["code"]), (&"joined".into(), &"too_large".into()));
    rig.settled().await;
    let dead = rig.dead().await;
    assert!(dead.len() == 1 && dead[0].contains("part"), "{dead:?}");
    assert!(rig.local().store().get("t", "k").await.unwrap().is_none(), "it can be made again");
}

#[tokio::test]
async fn a_platform_envelope_that_may_not_be_sent_ends_under_its_own_id() {
    let handler = Scripted::ending(|request| {
        let mut joined = request.envelope.clone();
        joined.id = "joined".to_owned();
        joined.route = Route::new(["ocr", "error-end"]).advanced();
        End::Platform { envelopes: vec![joined], writes: Vec::new(), fate: Fate::GoesOn }
    });
    let rig = Bench::new().await.start(handler);
    rig.send_envelope("part", "0").await;
    let error = rig.take("error-end").await;
    assert_eq!((&error["id"], &error["headers"]["x-asya-hops"]), (&"joined".into(), &1.into()));
    rig.settled().await;
}
