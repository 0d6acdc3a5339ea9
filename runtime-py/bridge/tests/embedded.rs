//! What is different inside the process: time, threads, back-pressure, and handlers that never come back.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use asya_bridge::{EmbeddedConfig, EmbeddedHandler, StartError};
use asya_handler::{Code, End, Fault, Handler, Readiness, Reply, reply::REPLIES_BUFFERED};
use support::{LIMIT, embedded, embedded_with, end, failure, payloads, replies, request};

const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn an_async_handler_that_hangs_is_cancelled_and_the_others_go_on() {
    let handler = embedded("later", &[("ASYA_CONCURRENCY", "4")]).await;
    assert_eq!(handler.capacity().borrow().running, 4);
    let hanging = handler.handle(request("\"hang\"", SHORT));
    let beside: Vec<_> = (0..12).map(|n| handler.handle(request(&n.to_string(), LIMIT))).collect();
    for (n, answer) in beside.into_iter().enumerate() {
        assert_eq!(payloads(answer).await, [n.to_string()]);
    }
    let failed = failure(hanging).await;
    assert_eq!((failed.code, failed.fault), (Code::Timeout, Fault::Handler));
    assert_eq!(*handler.readiness().borrow(), Readiness::Ready);
    // Also one that makes something of being cancelled.
    assert_eq!(failure(handler.handle(request("\"stubborn\"", SHORT))).await.code, Code::Timeout);
    handler.close().await;
}

#[tokio::test]
async fn no_more_async_requests_run_at_once_than_may_and_waiting_ones_have_no_clock() {
    let handler = embedded("later", &[("ASYA_CONCURRENCY", "1")]).await;
    let first = handler.handle(request("\"hang\"", Duration::from_secs(1)));
    let second = handler.handle(request("2", Duration::from_millis(500)));
    let begun = Instant::now();
    assert_eq!(payloads(second).await, ["2"]);
    assert!(begun.elapsed() > Duration::from_millis(800), "it waited longer than it may run");
    assert_eq!(failure(first).await.code, Code::Timeout);
}

#[tokio::test]
async fn a_sync_handler_that_hangs_ends_once_as_timeout_and_is_stuck_until_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    let path = format!("{:?}", release.to_str().unwrap());
    let handler = embedded("slow", &[]).await;
    let begun = Instant::now();
    let failed = failure(handler.handle(request(&path, SHORT))).await;
    assert_eq!((failed.code, failed.fault), (Code::Timeout, Fault::Handler));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let mut readiness = handler.readiness();
    let stuck = readiness.wait_for(|now| matches!(now, Readiness::Stuck(_)));
    drop(tokio::time::timeout(LIMIT, stuck).await.expect("/healthz fails by this").unwrap());
    let behind = handler.handle(request(&path, SHORT));
    std::fs::write(&release, "").unwrap();
    readiness.wait_for(|now| *now == Readiness::Ready).await.unwrap();
    assert_eq!(payloads(behind).await, ["\"came back\""]);
    handler.close().await;
}

#[tokio::test]
async fn closing_does_not_wait_for_a_handler_that_hangs() {
    let handler = embedded("slow", &[]).await;
    let failed = failure(handler.handle(request("\"/nowhere/at/all\"", SHORT))).await;
    assert_eq!(failed.code, Code::Timeout);
    tokio::time::timeout(Duration::from_secs(5), handler.close()).await.expect("it closes");
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_is_never_run() {
    let folder = tempfile::tempdir().unwrap();
    let release = folder.path().join("release");
    let path = format!("{:?}", release.to_str().unwrap());
    let handler = embedded("slow", &[]).await;
    let first = handler.handle(request(&path, LIMIT));
    let second = handler.handle(request("\"/nowhere/at/all\"", LIMIT));
    drop(second);
    let third = handler.handle(request(&path, LIMIT));
    std::fs::write(&release, "").unwrap();
    assert_eq!(payloads(first).await, ["\"came back\""]);
    assert_eq!(payloads(third).await, ["\"came back\""], "the second would never have come back");
    handler.close().await;
}

#[tokio::test]
async fn a_generator_is_held_back_until_its_items_are_taken() {
    for name in ["lines", "astream"] {
        let handler = embedded(name, &[]).await;
        let mut answer = handler.handle(request("1000", LIMIT));
        assert!(matches!(answer.recv().await, Some(Reply::Yield(_))), "{name} yields");
        tokio::time::sleep(SHORT).await;
        // Twice the buffer: what is in the channel, and what waits before it.
        let made: usize = std::env::var("BEHAVE_MADE").unwrap().parse().unwrap();
        assert!(made <= 2 * REPLIES_BUFFERED + 3, "{name} has made {made}");
        let (rest, done) = replies(&mut answer).await;
        assert_eq!(rest.len(), 999);
        assert!(matches!(done, End::Done(items) if items.is_empty()));
        // A generator that nobody listens to any more ends, and its place is free.
        drop(handler.handle(request("1000000000", LIMIT)));
        assert_eq!(replies(&mut handler.handle(request("2", LIMIT))).await.0.len(), 2, "{name}");
        handler.close().await;
    }
}

#[tokio::test]
async fn a_stream_that_never_waits_can_be_cancelled() {
    let handler = embedded("torrent", &[("ASYA_CONCURRENCY", "1")]).await;
    let mut left = handler.handle(request("1000000000", LIMIT));
    assert!(matches!(left.recv().await, Some(Reply::Yield(_))));
    // It is between two items and not held back.
    drop(left);
    assert_eq!(replies(&mut handler.handle(request("2", LIMIT))).await.0.len(), 2, "its place is free");
    handler.close().await;
}

#[tokio::test]
async fn a_generator_that_is_held_back_too_long_times_out() {
    let handler = embedded("lines", &[]).await;
    let mut answer = handler.handle(request("1000", SHORT));
    tokio::time::sleep(3 * SHORT).await;
    let (yields, failed) = replies(&mut answer).await;
    assert!(yields.len() < 1000);
    assert!(matches!(failed, End::Failed(failed) if failed.code == Code::Timeout));
    assert_eq!(replies(&mut handler.handle(request("2", LIMIT))).await.0.len(), 2, "it is free again");
    handler.close().await;
}

#[tokio::test]
async fn replies_over_the_limit_are_refused() {
    for name in ["lines", "plain"] {
        let config = EmbeddedConfig { max_reply: 100_000, ..EmbeddedConfig::default() };
        let handler = embedded_with(name, &[], config).await;
        let payload =
            if name == "lines" { "1000".to_owned() } else { format!("\"{}\"", "x".repeat(200_000)) };
        let (yields, failed) = replies(&mut handler.handle(request(&payload, LIMIT))).await;
        assert!(yields.len() < 11);
        assert!(matches!(failed, End::Failed(failed) if failed.code == Code::ReplyTooLarge), "{name}");
        assert!(matches!(end(handler.handle(request("1", LIMIT))).await, End::Done(_)), "{name}");
        handler.close().await;
    }
}

#[tokio::test]
async fn an_exception_that_is_not_an_error_does_not_end_the_thread() {
    for _ in 0..2 {
        let handler = embedded("bare", &[]).await;
        for _ in 0..2 {
            let failed = failure(handler.handle(request("1", LIMIT))).await;
            assert_eq!(
                (failed.code, failed.type_name.as_deref()),
                (Code::Processing, Some("KeyboardInterrupt"))
            );
        }
    }
}

#[tokio::test]
async fn a_handler_stays_on_one_thread_and_keeps_its_local_data() {
    let handler = embedded("thread", &[]).await;
    for n in 1..4 {
        let told = payloads(handler.handle(request("0", LIMIT))).await;
        assert_eq!(told[1], n.to_string());
    }
}

#[tokio::test]
async fn deep_recursion_is_an_exception_and_not_a_crash() {
    let handler = embedded("deep", &[]).await;
    assert_eq!(payloads(handler.handle(request("900", LIMIT))).await, ["900"]);
    let failed = failure(handler.handle(request("100000", LIMIT))).await;
    assert_eq!(failed.type_name.as_deref(), Some("RecursionError"));
}

#[tokio::test]
async fn batches_are_called_together_and_fail_by_item() {
    let env = [("ASYA_BATCH_MAX", "4"), ("ASYA_BATCH_WAIT_MS", "200")];
    let handler = embedded("batch", &env).await;
    assert_eq!(handler.capacity().borrow().running, 4);
    let answers: Vec<_> = ["a", "bad", "b", "none"]
        .into_iter()
        .map(|what| (what, handler.handle(request(&format!("\"{what}\""), LIMIT))))
        .collect();
    for (what, answer) in answers {
        match end(answer).await {
            End::Done(items) => assert_eq!(items.len(), usize::from(what != "none"), "{what}"),
            End::Failed(failed) => assert_eq!((what, failed.message.as_str()), ("bad", "bad")),
            other => panic!("{what}: {other:?}"),
        }
    }
    // The whole call fails: each runs once more, alone.
    let whole = handler.handle(request("\"whole\"", LIMIT));
    let innocent = handler.handle(request("\"a\"", LIMIT));
    assert_eq!(failure(whole).await.message, "whole");
    assert_eq!(payloads(innocent).await, ["[\"a\"]"], "a list in a batch is one payload");
    handler.close().await;
}

#[tokio::test]
async fn fast_sync_handlers_are_given_requests_ahead() {
    let handler = embedded("plain", &[]).await;
    assert_eq!(handler.capacity().borrow().look_ahead, 0);
    // The tests share one interpreter: a run that waits for another test's is not fast, so it may take more of them.
    let begun = Instant::now();
    while handler.capacity().borrow().look_ahead == 0 {
        payloads(handler.handle(request("1", LIMIT))).await;
        assert!(begun.elapsed() < LIMIT, "none are given ahead");
    }
    assert_eq!(handler.capacity().borrow().look_ahead, 15);
    handler.close().await;
}

#[tokio::test]
async fn after_closing_requests_end_without_being_run() {
    let handler = embedded("plain", &[]).await;
    let before = handler.handle(request("1", LIMIT));
    handler.close().await;
    assert_eq!(payloads(before).await, ["1"]);
    let failed = failure(handler.handle(request("1", LIMIT))).await;
    assert_eq!(failed.fault, Fault::Infrastructure);
}

#[tokio::test]
async fn what_cannot_be_loaded_is_named() {
    let start = async |name: &str| {
        let handler = EmbeddedHandler::start(EmbeddedConfig {
            path: vec![support::sources(), support::handlers()],
            variables: vec![("ASYA_HANDLER".to_owned(), name.to_owned())],
            ..EmbeddedConfig::default()
        });
        tokio::time::timeout(LIMIT, handler.failed()).await.expect("it says so")
    };
    let _alone = support::LOADING.lock().await;
    let error = start("behave.nobody").await;
    assert!(matches!(&error, StartError::Handler(text) if text.contains("has no 'nobody'")), "{error}");
    let error = start("no_such_module_here.handle").await;
    assert!(matches!(&error, StartError::Handler(text) if text.contains("no_such_module_here")), "{error}");
    let error = start("").await;
    assert!(matches!(&error, StartError::Configuration(text) if text.contains("ASYA_HANDLER")), "{error}");
}
