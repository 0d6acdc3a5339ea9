//! What happens when a provider fails, over real connections: retries, pauses that are asked for, timeouts, answers that
//! are none, the circuit breaker, concurrency and budgets.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod server;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use asya_llm::{Event, Kind, Model, Request, collect};
use futures::StreamExt as _;
use serde_json::{Value, json};
use server::{Answer, Server, model, proxy};
use tokio::time::Instant;

/// Looks like a key, and must never be seen.
const KEY: &str = "test-key-0123456789";

fn good() -> Answer {
    Answer::json(
        200,
        &json!({"choices": [{"finish_reason": "stop", "message": {"content": "yes"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2}}),
    )
}

fn limited() -> Answer {
    let error = json!({"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}});
    Answer::json(429, &error)
}

fn down() -> Answer {
    Answer::new(503, "text/html", "<html><body>upstream connect error</body></html>")
}

fn guarded(server: &Server, more: &[(&str, &str)]) -> asya_llm::Guarded<Box<dyn Model>> {
    let mut variables = vec![
        ("ASYA_LLM_BACKEND", "openai"),
        ("ASYA_LLM_API_KEY", KEY),
        ("ASYA_LLM_BASE_URL", &server.address),
    ];
    variables.extend(more);
    model(&variables)
}

fn ask() -> Request {
    Request::ask("", "?")
}

#[tokio::test]
async fn a_pause_in_seconds_is_waited_for_and_then_it_is_answered() {
    let server = Server::start([limited().header("retry-after", "1"), good()]).await;
    let response = guarded(&server, &[]).complete(&ask()).await.unwrap();
    assert_eq!(response.text, "yes");
    let asked = server.asked();
    assert_eq!(asked.len(), 2);
    let waited = asked[1].at - asked[0].at;
    assert!(waited >= Duration::from_secs(1) && waited < Duration::from_secs(20), "{waited:?}");
}

#[tokio::test]
async fn a_pause_as_a_date_is_waited_for() {
    let date = httpdate(SystemTime::now() + Duration::from_secs(3));
    let server = Server::start([limited().header("retry-after", &date), good()]).await;
    assert_eq!(guarded(&server, &[]).complete(&ask()).await.unwrap().text, "yes");
    let asked = server.asked();
    // Dates have whole seconds: between two and three are left, less what the start took.
    assert!(asked[1].at - asked[0].at >= Duration::from_secs(1), "{:?}", asked[1].at - asked[0].at);
}

fn httpdate(at: SystemTime) -> String {
    httpdate::fmt_http_date(at)
}

#[tokio::test]
async fn a_pause_that_is_too_long_is_the_callers_and_holds_everybody() {
    let server = Server::start([limited().header("retry-after", "90"), good()]).await;
    let model = guarded(&server, &[]);
    let error = model.complete(&ask()).await.unwrap_err();
    assert_eq!(error.kind, Kind::RateLimited { after: Some(Duration::from_secs(90)) }, "{error}");
    assert!(error.kind.is_transient());
    let next = model.complete(&ask()).await.unwrap_err();
    assert!(next.kind.after().unwrap() > Duration::from_secs(80), "{next}");
    assert_eq!(server.asked().len(), 1, "nobody asks before the time that was told");
    assert_eq!(model.account().tokens, 0, "calls that were refused cost nothing");
}

#[tokio::test]
async fn after_failures_it_is_tried_again_and_answered() {
    let server =
        Server::start([Answer::json(500, &json!({"error": {"message": "boom"}})), down(), good()]).await;
    assert_eq!(guarded(&server, &[]).complete(&ask()).await.unwrap().text, "yes");
    assert_eq!(server.asked().len(), 3);
    server.answer([down(), good()]);
    let events = guarded(&server, &[]).stream(&ask()).await.unwrap();
    assert_eq!(collect(events).await.unwrap().text, "yes");
}

#[tokio::test]
async fn a_stream_is_tried_again_only_before_its_first_piece() {
    let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let early = "data: {\"error\":{\"message\":\"Overloaded\",\"type\":\"overloaded_error\"}}\n\n";
    let late = format!("{piece}{early}");
    let server = Server::start([Answer::sse(early, 10), Answer::sse(&late, 10), good()]).await;
    let mut events = guarded(&server, &[]).stream(&ask()).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), Event::Text("a".to_owned()));
    assert_eq!(events.next().await.unwrap().unwrap_err().kind, Kind::Unavailable { after: None });
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn what_waiting_does_not_help_is_asked_once() {
    let server = Server::start([good()]).await;
    let openai = |code: &str, words: &str| json!({"error": {"message": words, "type": "x", "code": code}});
    for (status, body, kind) in [
        (401, openai("invalid_api_key", &format!("Incorrect API key provided: {KEY}")), Kind::Auth),
        (429, openai("insufficient_quota", "You exceeded your current quota"), Kind::Quota),
        (400, openai("context_length_exceeded", "maximum context length is 8192"), Kind::TooLong),
        (400, openai("content_filter", "filtered"), Kind::Refused),
        (404, openai("model_not_found", "no such model"), Kind::BadRequest),
    ] {
        server.answer([Answer::json(status, &body), good()]);
        let before = server.asked().len();
        let error = guarded(&server, &[]).complete(&ask()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(server.asked().len(), before + 1, "{error}");
        assert!(!error.kind.is_transient() && error.kind.next_step().len() > 20);
        let text = format!("{error} {error:?}");
        assert!(!text.contains(KEY) && text.contains("openai: "), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_answer_is_told_as_such() {
    let server = Server::start([good()]).await;
    let whole = good().chunks.concat();
    for (answer, words) in [
        (Answer::new(200, "application/json", &whole[..whole.len() / 2]), "no JSON"),
        (Answer::new(200, "text/html", "<html><title>Sign in</title></html>"), "it is text/html, not JSON"),
        (Answer::json(200, &json!({"hello": "world"})), "it has no choices"),
        (Answer::json(200, &Value::Null), "it has no choices"),
        (Answer::new(200, "application/json", ""), "no JSON"),
    ] {
        server.answer([answer]);
        for stream in [false, true] {
            let model = guarded(&server, &[]);
            let error = if stream {
                match model.stream(&ask()).await {
                    Ok(events) => collect(events).await.unwrap_err(),
                    Err(error) => error,
                }
            } else {
                model.complete(&ask()).await.unwrap_err()
            };
            assert_eq!(error.kind, Kind::Malformed, "{error}");
            assert!(error.to_string().contains(words), "{words}: {error}");
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_in_the_answer_is_tried_again() {
    let mut half = good();
    half.chunks = vec![half.chunks.concat()[..20].to_vec()];
    let server = Server::start([half.breaking(), good()]).await;
    assert_eq!(guarded(&server, &[]).complete(&ask()).await.unwrap().text, "yes");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_redirect_is_not_followed_with_the_key() {
    let server =
        Server::start([Answer::new(307, "text/plain", "").header("location", "http://elsewhere/")]).await;
    let error = guarded(&server, &[]).complete(&ask()).await.unwrap_err();
    assert_eq!(error.kind, Kind::BadRequest);
    assert!(error.to_string().contains("it redirects to http://elsewhere/"), "{error}");
}

#[tokio::test]
async fn a_proxy_is_told_the_providers_name_and_no_key() {
    let server = Server::start([good()]).await;
    let (address, asked) = proxy(&server.address, "200 Connection established").await;
    let proxy = format!("http://me:hunter2@{address}");
    // A name that only the proxy can resolve.
    let model = model(&[
        ("ASYA_LLM_BACKEND", "openai"),
        ("ASYA_LLM_API_KEY", KEY),
        ("ASYA_LLM_BASE_URL", "http://provider.invalid/v1"),
        ("ASYA_LLM_PROXY", &proxy),
    ]);
    assert_eq!(model.complete(&ask()).await.unwrap().text, "yes");
    drop(model);
    drop(server);
    let asked = asked.await.unwrap().to_lowercase();
    assert!(asked.starts_with("connect provider.invalid:80 http/1.1\r\n"), "{asked}");
    assert!(asked.contains("proxy-authorization: basic bwu6ahvudgvymg==") && !asked.contains(KEY), "{asked}");
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_without_its_password() {
    let server = Server::start([good()]).await;
    let (address, _asked) = proxy(&server.address, "407 Proxy Authentication Required").await;
    let proxy = format!("http://me:hunter2@{address}");
    let more = [("ASYA_LLM_PROXY", proxy.as_str()), ("ASYA_LLM_TRIES", "1")];
    let error = guarded(&server, &more).complete(&ask()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable { after: None }, "{error}");
    let text = format!("{error:?}");
    assert!(text.contains("cannot connect") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn nobody_there_is_not_available() {
    let server = Server::start([good()]).await;
    let gone = server.address.clone();
    drop(server);
    let model = model(&[
        ("ASYA_LLM_BACKEND", "openai"),
        ("ASYA_LLM_API_KEY", KEY),
        ("ASYA_LLM_BASE_URL", "http://127.0.0.1:1"),
        ("ASYA_LLM_TRIES", "1"),
    ]);
    let error = model.complete(&ask()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Unavailable { after: None }, "{gone}: {error}");
    assert!(error.to_string().contains("cannot connect to http://127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn a_provider_that_hangs_is_left_in_time() {
    let server = Server::start([good()]).await;
    let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let times = [("ASYA_LLM_TIMEOUT", "2s"), ("ASYA_LLM_IDLE_TIMEOUT", "700ms")];
    let began = Instant::now();
    // The head comes and the body does not end.
    server.answer([Answer::new(200, "application/json", "{").hanging()]);
    let error = guarded(&server, &times).complete(&ask()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout, "{error}");
    assert_eq!(server.asked().len(), 1, "a timeout is the queue's to try again");
    // A stream that stops.
    server.answer([Answer::sse(piece, 1000).hanging()]);
    let mut events = guarded(&server, &times).stream(&ask()).await.unwrap();
    assert_eq!(events.next().await.unwrap().unwrap(), Event::Text("a".to_owned()));
    assert_eq!(events.next().await.unwrap().unwrap_err().kind, Kind::Timeout);
    assert!(events.next().await.is_none());
    // A stream that goes on and on.
    let mut slow = Answer::sse(&piece.repeat(100), piece.len());
    slow.pause = Duration::from_millis(50);
    server.answer([slow]);
    let error = collect(guarded(&server, &times).stream(&ask()).await.unwrap()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Timeout, "{error}");
    assert!(began.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn a_provider_that_failed_often_rests_and_is_tried_by_one_call() {
    let server = Server::start([down()]).await;
    let rest = [
        ("ASYA_LLM_TRIES", "1"),
        ("ASYA_LLM_BREAK_AFTER", "3"),
        ("ASYA_LLM_BREAK_PAUSE", "1s"),
        ("ASYA_LLM_CONCURRENCY", "8"),
    ];
    let model = Arc::new(guarded(&server, &rest));
    for _ in 0..3 {
        assert_eq!(model.complete(&ask()).await.unwrap_err().kind, Kind::Unavailable { after: None });
    }
    assert!(model.is_open());
    let error = model.complete(&ask()).await.unwrap_err();
    assert!(matches!(error.kind, Kind::Resting { after } if after <= Duration::from_secs(1)), "{error}");
    assert_eq!(server.asked().len(), 3);
    let mut slow = good();
    slow.pause = Duration::from_millis(300);
    server.answer([slow]);
    tokio::time::sleep(error.kind.after().unwrap()).await;
    let calls = (0..5).map(|_| {
        let model = Arc::clone(&model);
        tokio::spawn(async move { model.complete(&ask()).await })
    });
    let answers: Vec<_> = futures::future::join_all(calls).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
    assert_eq!(server.asked().len(), 4, "one call tries");
    assert!(model.complete(&ask()).await.is_ok() && !model.is_open());
}

#[tokio::test]
async fn a_dropped_probe_does_not_keep_the_provider_resting() {
    let server = Server::start([down()]).await;
    let rest = [("ASYA_LLM_TRIES", "1"), ("ASYA_LLM_BREAK_AFTER", "1"), ("ASYA_LLM_BREAK_PAUSE", "50ms")];
    let model = guarded(&server, &rest);
    model.complete(&ask()).await.unwrap_err();
    tokio::time::sleep(Duration::from_millis(60)).await;
    server.answer([good().hanging()]);
    let dropped = tokio::time::timeout(Duration::from_millis(200), model.complete(&ask())).await;
    assert!(dropped.is_err());
    server.answer([good()]);
    assert_eq!(model.complete(&ask()).await.unwrap().text, "yes");
}

#[tokio::test]
async fn no_more_calls_run_at_once_than_are_allowed() {
    let mut slow = good();
    slow.pause = Duration::from_millis(200);
    let server = Server::start([slow]).await;
    let model = Arc::new(guarded(&server, &[("ASYA_LLM_CONCURRENCY", "2")]));
    let calls = (0..6).map(|_| {
        let model = Arc::clone(&model);
        tokio::spawn(async move { model.complete(&ask()).await.unwrap() })
    });
    futures::future::join_all(calls).await;
    let mut at: Vec<_> = server.asked().iter().map(|asked| asked.at).collect();
    at.sort();
    // Each third call begins when one of the two before it has ended.
    for pair in at.windows(3) {
        assert!(pair[2] - pair[0] >= Duration::from_millis(190), "{:?}", pair[2] - pair[0]);
    }
}

#[tokio::test]
async fn a_stream_keeps_its_place_until_it_is_dropped() {
    let piece = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    let server = Server::start([Answer::sse(piece, 1000).hanging(), good()]).await;
    let model = guarded(&server, &[("ASYA_LLM_CONCURRENCY", "1")]);
    let events = model.stream(&ask()).await.unwrap();
    let waiting = tokio::time::timeout(Duration::from_millis(200), model.complete(&ask())).await;
    assert!(waiting.is_err(), "there is no place");
    drop(events);
    assert_eq!(model.complete(&ask()).await.unwrap().text, "yes");
}

#[tokio::test]
async fn a_budget_is_kept_by_estimate_and_settled_by_what_is_reported() {
    let server = Server::start([good()]).await;
    // The estimate is 4 + 1 for the question and 50 for its answer; 5 are reported.
    let budget = [("ASYA_LLM_BUDGET_TOKENS", "62"), ("ASYA_LLM_MAX_TOKENS", "50")];
    let model = guarded(&server, &budget);
    for calls in 1..=2 {
        model.complete(&ask()).await.unwrap();
        assert_eq!((model.account().tokens, model.account().calls), (5 * calls, calls));
    }
    let error = model.complete(&ask()).await.unwrap_err();
    assert!(
        matches!(error.kind, Kind::Budget { after } if after <= Duration::from_secs(24 * 3600)),
        "{error}"
    );
    assert!(error.to_string().contains("10 of 62 tokens are used in this window"), "{error}");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_key_that_is_rotated_in_its_file_counts_at_once_and_a_lost_one_is_told() {
    let server = Server::start([good()]).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, "first\n").unwrap();
    let model = model(&[
        ("ASYA_LLM_BACKEND", "openai"),
        ("ASYA_LLM_API_KEY_FILE", path.to_str().unwrap()),
        ("ASYA_LLM_BASE_URL", &server.address),
    ]);
    model.complete(&ask()).await.unwrap();
    std::fs::write(&path, "second").unwrap();
    model.complete(&ask()).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    let error = model.complete(&ask()).await.unwrap_err();
    assert_eq!(error.kind, Kind::Auth);
    let sent: Vec<_> = server.asked().iter().map(|asked| asked.headers["authorization"].clone()).collect();
    assert_eq!(sent, ["Bearer first", "Bearer second"]);
}
