//! Bad input: each kind gets exactly one error envelope with a code and a reason, and disturbs nothing else.

use asya_envelope::Limits;
use asya_handler::{Code, End, Failure, Fault};
use serde_json::Value;

use crate::rig::{Bench, Scripted, envelope, raised};

/// Sends the body between two good envelopes; returns the only error envelope.
async fn only_error(body: impl AsRef<[u8]>) -> Value {
    let rig = Bench::new().await.start(Scripted::echo());
    rig.send_envelope("before", "1").await;
    rig.send(body).await;
    rig.send_envelope("after", "2").await;
    let error = rig.take("error-end").await;
    rig.settled().await;
    assert_eq!(rig.count("error-end").await, 0, "exactly one error envelope");
    assert_eq!(rig.count("next").await, 2, "nothing else is disturbed");
    assert_eq!(rig.dead().await, Vec::<String>::new());
    error
}

fn code(error: &Value) -> &str {
    let details = &error["payload"]["details"];
    assert!(!details["message"].as_str().unwrap().is_empty(), "{error}");
    assert_eq!(details["actor"], "ocr");
    details["code"].as_str().unwrap()
}

#[tokio::test]
async fn what_is_not_an_envelope_ends_with_the_body_and_the_reason() {
    for (body, reason) in [
        (&b"{not json"[..], "Failed to parse message"),
        (b"", "Failed to parse message"),
        (b"[1,2]", "expected a JSON object, got a list"),
        (br#"{"route":{"actors":["ocr"],"current":0},"payload":1}"#, "missing required 'id' field"),
        (br#"{"id":7,"route":{"actors":["ocr"],"current":0},"payload":1}"#, "'id' must be a string"),
        (br#"{"id":"x","payload":1}"#, "missing required 'route' field"),
        (br#"{"id":"x","route":[],"payload":1}"#, "'route' must be an object"),
        (br#"{"id":"x","route":{"actors":[],"current":0},"payload":1}"#, "'route.actors' must not be empty"),
        (br#"{"id":"x","route":{"actors":["ocr"],"current":2},"payload":1}"#, "'route.current' is 2"),
        (br#"{"id":"x","route":{"actors":["ocr"],"current":0}}"#, "missing required 'payload' field"),
        (br#"{"id":"x","route":{"actors":["ocr"]},"headers":1,"payload":1}"#, "'headers' must be an object"),
        (b"\xff\xfe", "Failed to parse message"),
    ] {
        let error = only_error(body).await;
        assert_eq!(code(&error), "msg_parsing_error");
        let text = error["payload"]["error"].as_str().unwrap();
        assert!(text.contains(reason), "{reason} is not in {text}");
        assert!(!error["id"].as_str().unwrap().is_empty());
        if let Ok(body) = std::str::from_utf8(body) {
            assert_eq!(error["payload"]["original_payload"], body);
        }
    }
}

#[tokio::test]
async fn envelopes_that_do_not_belong_here_are_refused() {
    let with = |route: &str| format!(r#"{{"id":"x","route":{route},"payload":{{"n":1}}}}"#);
    for (route, expected) in [
        (r#"{"actors":["other","ocr"],"current":0}"#, "route_mismatch"),
        (r#"{"actors":["ocr"],"current":1}"#, "route_mismatch"),
        (r#"{"actors":["ocr","happy-end"],"current":0}"#, "end_actor_in_route"),
        (r#"{"actors":["error-end","ocr"],"current":1}"#, "end_actor_in_route"),
    ] {
        let error = only_error(with(route)).await;
        assert_eq!(code(&error), expected, "{route}");
        assert_eq!(error["id"], "x");
    }
}

#[tokio::test]
async fn a_passed_deadline_and_too_many_hops_end_before_the_handler() {
    let late = r#"{"id":"x","route":{"actors":["ocr"]},"payload":1,"deadline":"2020-01-01T00:00:00Z"}"#;
    assert_eq!(code(&only_error(late).await), "deadline");
    let looping = r#"{"id":"x","route":{"actors":["ocr"]},"headers":{"x-asya-hops":1001},"payload":1}"#;
    assert_eq!(code(&only_error(looping).await), "loop");
}

#[tokio::test]
async fn an_error_envelope_keeps_what_it_wraps_byte_for_byte() {
    let rig = Bench::new().await.start(Scripted::ending(|_| raised("ValueError")));
    rig.send(
        r#"{"id":"x","parent_id":"p","route":{"actors":["ocr","next"],"current":0,"metadata":{"job_id":"x"}},
        "headers":{"t":1.0},"payload":{"n":1e400,"m":12345678901234567890123},"extra":[1.0]}"#,
    )
    .await;
    let body = rig.take_body("error-end").await;
    assert!(body.contains(r#""original_payload":{"n":1e400,"m":12345678901234567890123}}"#), "{body}");
    assert!(body.contains(r#""t":1.0"#) && body.contains(r#""extra":[1.0]"#), "{body}");
    let numbers = body.replace("1e400", "0");
    let error: Value = serde_json::from_str(&numbers).unwrap();
    assert_eq!((&error["id"], &error["parent_id"]), (&"x".into(), &"p".into()));
    assert_eq!(error["route"]["metadata"]["job_id"], "x");
    assert_eq!(error["payload"]["error"], "processing_error");
    let details = &error["payload"]["details"];
    assert_eq!((&details["type"], &details["attempt"]), (&"ValueError".into(), &1.into()));
    assert_eq!(details["traceback"], "Traceback: it broke");
}

#[tokio::test]
async fn a_body_over_the_limit_is_kept_on_the_dead_letter_queue_and_told_at_error_end() {
    let limits = Limits { max_envelope: 64 * 1024, ..Limits::default() };
    let rig = Bench::new().await.with(|config| config.limits = limits).start(Scripted::echo());
    rig.send_envelope("big", &format!("\"{}\"", "x".repeat(70_000))).await;
    rig.send_envelope("good", "1").await;
    let error = rig.take("error-end").await;
    assert_eq!((code(&error), &error["id"]), ("too_large", &"big".into()));
    assert!(error["payload"]["details"]["original_size"].as_u64().unwrap() > 70_000);
    rig.settled().await;
    let dead = rig.dead().await;
    assert!(dead.len() == 1 && dead[0].contains("too_large"), "{dead:?}");
    assert_eq!((rig.count("next").await, rig.count("error-end").await), (1, 0));
}

#[tokio::test]
async fn a_result_over_the_limit_is_the_handlers_failure() {
    let limits = Limits { max_envelope: 64 * 1024, ..Limits::default() };
    let big = || crate::rig::item(&format!("\"{}\"", "x".repeat(60_000)));
    let rig = Bench::new()
        .await
        .with(|config| config.limits = limits)
        .start(Scripted::ending(move |_| End::Done(vec![big()])));
    rig.send_envelope("x", "1").await;
    let error = rig.take("error-end").await;
    assert_eq!((code(&error), &error["payload"]["original_payload"]), ("too_large", &1.into()));
}

#[tokio::test]
async fn every_way_a_run_fails_ends_under_its_code() {
    for failure in [
        Code::Parsing,
        Code::Timeout,
        Code::WorkerDied,
        Code::InvalidResult,
        Code::ReplyTooLarge,
        Code::Validation,
        Code::Rejected,
    ] {
        let rig =
            Bench::new().await.start(Scripted::ending(move |request| match request.envelope.id.as_str() {
                "bad" => End::Failed(Failure::new(failure, Fault::Final, "because")),
                _ => End::Done(vec![crate::rig::item("1")]),
            }));
        rig.send(envelope("bad", "1")).await;
        rig.send(envelope("good", "1")).await;
        let error = rig.take("error-end").await;
        assert_eq!(code(&error), failure.as_str());
        rig.settled().await;
        assert_eq!((rig.count("next").await, rig.count("error-end").await), (1, 0));
    }
}

#[tokio::test]
async fn a_refused_envelope_counts_its_way_to_the_error_end_and_keeps_the_run_that_made_it() {
    let rig = Bench::new().await.start(Scripted::echo());
    rig.send(r#"{"id":"a","route":{"actors":["other"]},"headers":{"x-asya-hops":4,"x-asya-attempt":3},"payload":1}"#)
        .await;
    let error = rig.take("error-end").await;
    let headers = &error["headers"];
    assert_eq!((&headers["x-asya-hops"], &headers["x-asya-attempt"]), (&5.into(), &3.into()));
}
