//! Both Rust ends of the protocol against each other.

#![allow(clippy::unwrap_used)]

mod support;

use std::{path::PathBuf, sync::Arc, time::Duration};

use asya_envelope::Raw;
use asya_handler::{
    Code, End, Fault, Handler, Item, Readiness,
    serve::{Call, Error, Output, ServeOptions, serve},
    socket::{READY_NAME, SOCKET_NAME, SocketHandler},
};
use support::{LIMIT, client, end, eventually, failure, payloads, ready, replies, request};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

const SECOND: Duration = Duration::from_secs(1);

struct Actor {
    directory: TempDir,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// An actor whose payload says what it does.
async fn actor() -> (Actor, Arc<SocketHandler>) {
    let directory = tempfile::tempdir().unwrap();
    let stop = CancellationToken::new();
    let options = ServeOptions { stop: stop.clone(), concurrency: 8, ..ServeOptions::default() };
    let path: PathBuf = directory.path().to_owned();
    let task = tokio::spawn(async move { serve(&path, options, behave).await.unwrap() });
    let handler = client(directory.path());
    ready(&handler).await;
    (Actor { directory, stop, task }, handler)
}

async fn behave(call: Call) -> Result<Output, Error> {
    match call.payload().to_text().as_deref() {
        Some("hang") => std::future::pending().await,
        Some("panic") => panic!("it was too much"),
        Some("fail") => Err("x".parse::<i32>().unwrap_err().into()),
        Some("retry") => Err(Error::Retry { after: Some(3 * SECOND), reason: "busy".to_owned() }),
        Some("drop") => Err(Error::Drop { reason: "old".to_owned() }),
        Some("reject") => Err(Error::Reject { reason: "no".to_owned() }),
        Some("sleep") => {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok(().into())
        }
        Some("yield") => {
            for n in 0..40 {
                call.send(Item::payload(Raw::of(&n))).await;
            }
            call.progress(1.0, "done");
            Ok(().into())
        }
        Some("meta") => {
            let meta = call.meta()?;
            Output::json(&(meta.id, meta.actor, meta.attempt, meta.route.current))
        }
        Some("many") => Output::json_each([1, 2, 3]),
        _ => Ok(call.payload().clone().into()),
    }
}

#[tokio::test]
async fn a_payload_comes_back_byte_for_byte() {
    let (_actor, handler) = actor().await;
    for text in ["1.0", "1e400", r#"{"a" : [1,  2]}"#, "null", r#""é""#] {
        assert_eq!(payloads(handler.handle(request("1", text, LIMIT))).await, [text]);
    }
}

#[tokio::test]
async fn large_payloads_pass_in_both_directions() {
    let (_actor, handler) = actor().await;
    let text = format!("\"{}\"", "x".repeat(3_000_000));
    let answers: Vec<_> = (0..8).map(|_| handler.handle(request("1", &text, LIMIT))).collect();
    for answer in answers {
        assert_eq!(payloads(answer).await[0].len(), text.len());
    }
}

#[tokio::test]
async fn thousands_of_requests_are_matched_to_their_answers() {
    let (_actor, handler) = actor().await;
    let answers: Vec<_> =
        (0..5000).map(|n| handler.handle(request(&n.to_string(), &n.to_string(), LIMIT))).collect();
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(payloads(answer).await, [n.to_string()]);
    }
}

#[tokio::test]
async fn a_handler_says_how_its_request_ends() {
    let (_actor, handler) = actor().await;
    let ask = |text: &str| handler.handle(request("id-1", &format!("\"{text}\""), LIMIT));
    let failed = failure(ask("fail")).await;
    assert_eq!((failed.code, failed.fault), (Code::Processing, Fault::Handler));
    assert_eq!(failed.type_name.as_deref(), Some("ParseIntError"));
    assert_eq!(failure(ask("panic")).await.message, "it was too much");
    let rejected = failure(ask("reject")).await;
    assert_eq!((rejected.code, rejected.fault), (Code::Rejected, Fault::Final));
    assert!(matches!(end(ask("retry")).await, End::Retry { after: Some(after), .. } if after == 3 * SECOND));
    assert!(matches!(end(ask("drop")).await, End::Drop { reason } if reason == "old"));
    assert_eq!(payloads(ask("many")).await, ["1", "2", "3"]);
    assert_eq!(payloads(ask("meta")).await, [r#"["id-1","a",1,0]"#]);
    assert!(payloads(ask("sleep")).await.is_empty());
}

#[tokio::test]
async fn yields_come_in_order_before_the_end() {
    let (_actor, handler) = actor().await;
    let (yields, end) = replies(&mut handler.handle(request("1", "\"yield\"", LIMIT))).await;
    let texts: Vec<_> = yields.iter().map(|item| item.payload.as_str().to_owned()).collect();
    assert_eq!(texts, (0..40).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(matches!(end, End::Done(items) if items.is_empty()));
}

#[tokio::test]
async fn a_request_that_hangs_times_out_and_disturbs_nobody() {
    let (_actor, handler) = actor().await;
    let hanging = handler.handle(request("1", "\"hang\"", Duration::from_millis(100)));
    let beside = handler.handle(request("2", "\"sleep\"", LIMIT));
    assert!(payloads(beside).await.is_empty());
    let failed = failure(hanging).await;
    assert_eq!((failed.code, failed.fault), (Code::Timeout, Fault::Handler));
    assert_eq!(payloads(handler.handle(request("3", "3", LIMIT))).await, ["3"]);
}

#[tokio::test]
async fn dropping_the_replies_frees_the_slot() {
    let (_actor, handler) = actor().await;
    for _ in 0..8 {
        drop(handler.handle(request("1", "\"hang\"", LIMIT)));
    }
    let hanging: Vec<_> = (0..8).map(|_| handler.handle(request("1", "\"hang\"", LIMIT))).collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(hanging);
    assert_eq!(payloads(handler.handle(request("2", "2", LIMIT))).await, ["2"]);
}

#[tokio::test]
async fn capacity_is_what_the_handshake_says() {
    let (_actor, handler) = actor().await;
    assert_eq!(handler.capacity().borrow().running, 8);
}

#[tokio::test]
async fn a_runtime_that_is_asked_to_stop_finishes_what_runs_and_waits_for_its_last_connection() {
    let (actor, handler) = actor().await;
    let running = handler.handle(request("1", "\"sleep\"", LIMIT));
    tokio::time::sleep(Duration::from_millis(10)).await;
    actor.stop.cancel();
    assert!(payloads(running).await.is_empty());
    // Still serving: the sidecar decides when it is done.
    assert_eq!(payloads(handler.handle(request("2", "2", LIMIT))).await, ["2"]);
    handler.close().await;
    tokio::time::timeout(LIMIT, actor.task).await.expect("the runtime stops").unwrap();
    for name in [READY_NAME, SOCKET_NAME] {
        assert!(!actor.directory.path().join(name).exists(), "{name} is left behind");
    }
}

#[tokio::test]
async fn a_runtime_that_comes_back_is_found_again() {
    let (actor, handler) = actor().await;
    let hanging = handler.handle(request("1", "\"hang\"", LIMIT));
    eventually("the request is sent", || handler.capacity().borrow().running == 8).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    actor.task.abort();
    let _ = actor.task.await;
    let lost = failure(hanging).await;
    assert_eq!(lost.fault, Fault::Infrastructure);
    let mut readiness = handler.readiness();
    readiness.wait_for(|now| matches!(now, Readiness::NotReady(_))).await.unwrap();
    let waiting = handler.handle(request("2", "2", LIMIT));
    let path = actor.directory.path().to_owned();
    let again = tokio::spawn(async move { serve(&path, ServeOptions::default(), behave).await.unwrap() });
    assert_eq!(payloads(waiting).await, ["2"]);
    again.abort();
}

/// One message, as a sidecar of the Go system sends it.
async fn one_shot(actor: &Actor, body: &[u8]) -> serde_json::Value {
    let mut stream = UnixStream::connect(actor.directory.path().join(SOCKET_NAME)).await.unwrap();
    stream.write_u32(body.len() as u32).await.unwrap();
    stream.write_all(body).await.unwrap();
    let length = stream.read_u32().await.unwrap();
    let mut answer = vec![0; length as usize];
    stream.read_exact(&mut answer).await.unwrap();
    serde_json::from_slice(&answer).unwrap()
}

#[tokio::test]
async fn an_older_sidecar_is_answered_with_an_array() {
    let (actor, _handler) = actor().await;
    let body = |payload: &str| {
        format!(
            r#"{{"id":"1","route":{{"actors":["a","b"],"current":0,"metadata":{{"job_id":"1"}}}},"headers":{{"t":1}},"payload":{payload},"extra":5}}"#
        )
    };
    let answer = one_shot(&actor, body(r#"{"x":1}"#).as_bytes()).await;
    let item = serde_json::json!({"payload":{"x":1},"headers":{"t":1},
        "route":{"actors":["a","b"],"current":1,"metadata":{"job_id":"1"}}});
    assert_eq!(answer, serde_json::json!([item]));
    let answer = one_shot(&actor, body("\"yield\"").as_bytes()).await;
    assert_eq!(answer.as_array().unwrap().len(), 40);
    let answer = one_shot(&actor, body("\"fail\"").as_bytes()).await;
    assert_eq!(answer[0]["error"], "processing_error");
    assert_eq!(answer[0]["details"]["type"], "ParseIntError");
    assert_eq!(one_shot(&actor, body("\"sleep\"").as_bytes()).await, serde_json::json!([]));
    let answer = one_shot(&actor, b"{bad").await;
    assert_eq!(answer[0]["error"], "msg_parsing_error");
}

#[tokio::test]
async fn a_reply_over_the_limit_fails_alone() {
    let (actor, _) = actor().await;
    let mut config = asya_handler::socket::SocketConfig::new(actor.directory.path(), "a");
    config.max_reply = 100_000;
    let handler = SocketHandler::new(config);
    ready(&handler).await;
    let large = request("1", &format!("\"{}\"", "x".repeat(400_000)), LIMIT);
    let beside = handler.handle(request("2", "\"sleep\"", LIMIT));
    let failed = failure(handler.handle(large)).await;
    assert_eq!((failed.code, failed.fault), (Code::ReplyTooLarge, Fault::Final));
    assert!(payloads(beside).await.is_empty());
}

#[tokio::test]
async fn large_replies_wait_for_the_byte_budget() {
    let (actor, _) = actor().await;
    let mut config = asya_handler::socket::SocketConfig::new(actor.directory.path(), "a");
    let budget = asya_handler::Budget::new(300 * 1024);
    config.budget = Some(budget.clone());
    let handler = SocketHandler::new(config);
    ready(&handler).await;
    let text = format!("\"{}\"", "x".repeat(200 * 1024));
    let first = end(handler.handle(request("1", &text, LIMIT))).await;
    let mut second = handler.handle(request("2", &text, LIMIT));
    let early = tokio::time::timeout(Duration::from_millis(100), second.recv()).await;
    assert!(early.is_err(), "the second reply must wait for the first one's memory");
    drop(first);
    let (_, end) = replies(&mut second).await;
    assert!(matches!(&end, End::Done(items) if items[0].payload.as_bytes().len() == text.len()));
    drop(end);
    assert_eq!(budget.free(), 300 * 1024);
}
