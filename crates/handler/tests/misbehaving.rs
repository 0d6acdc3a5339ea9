//! Runtimes that break the protocol, hang or die: every request still ends exactly once.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use asya_handler::{
    Code, End, Fault, Handler, Readiness,
    frame::WriteQueue,
    message::{Message, Part, WorkerKind},
    socket::{READY_NAME, SOCKET_NAME, SocketConfig, SocketHandler},
};
use bytes::Bytes;
use support::{
    LIMIT, end, eventually, failure,
    fake::{Fake, framed, path_of},
    payloads, ready, replies, request,
};
use tokio::{net::UnixListener, time::timeout};

const SHORT: Duration = Duration::from_millis(50);

#[tokio::test]
async fn whatever_breaks_the_protocol_ends_the_worker_and_the_message_after_three_deaths() {
    let over_long = {
        let mut bytes = u32::MAX.to_be_bytes().to_vec();
        bytes.extend([0x14; 9]);
        bytes
    };
    let unknown_request = {
        let mut out = WriteQueue::default();
        Message::Result(999, vec![]).write(&mut out);
        out.take().to_vec()
    };
    let garbage: [(&str, Vec<u8>); 5] = [
        ("short body", framed(b"xx")),
        ("section too long", framed(b"\x12\0\0\0\0\0\0\0\x01\xff\xff\xff\xff")),
        ("error is not JSON", framed(b"\x13\0\0\0\0\0\0\0\x01{bad")),
        ("another's request", unknown_request),
        ("over-long frame", over_long),
    ];
    for (what, bytes) in garbage {
        let fake = Fake::new();
        let handler = fake.client();
        let (mut control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
        let answer = handler.handle(request("1", "1", LIMIT));
        for death in 1..=3 {
            worker.request().await;
            worker.raw(&bytes).await;
            assert!(
                matches!(control.message().await, Message::Kill(target) if target.worker == death),
                "{what}"
            );
            if death < 3 {
                worker = fake.replace(&mut control, death + 1).await;
            }
        }
        let failed = failure(answer).await;
        assert_eq!((failed.code, failed.fault), (Code::WorkerDied, Fault::Final), "{what}");
    }
}

#[tokio::test]
async fn a_frame_over_the_cap_fails_its_request_and_the_others_run_again() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Async, 2, 1).await;
    let large = handler.handle(request("1", "1", LIMIT));
    let other = handler.handle(request("2", "2", LIMIT));
    let (id, _) = worker.request().await;
    worker.request().await;
    let mut bytes = u32::MAX.to_be_bytes().to_vec();
    bytes.push(0x12);
    bytes.extend(id.to_be_bytes());
    worker.raw(&bytes).await;
    let failed = failure(large).await;
    assert_eq!((failed.code, failed.fault), (Code::ReplyTooLarge, Fault::Final));
    assert!(matches!(control.message().await, Message::Kill(_)));
    let mut worker = fake.replace(&mut control, 2).await;
    let (id, payload) = worker.request().await;
    worker.echo(id, payload).await;
    assert_eq!(payloads(other).await, ["2"]);
}

#[tokio::test]
async fn a_result_that_is_not_json_or_has_a_bad_route_is_an_invalid_result() {
    let fake = Fake::new();
    let handler = fake.client();
    let (_control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
    for (meta, payload) in
        [("", "NaN"), ("{bad", "1"), (r#"{"route":{"actors":[]}}"#, "1"), (r#"{"headers":1}"#, "1")]
    {
        let answer = handler.handle(request("1", "1", LIMIT));
        let (id, _) = worker.request().await;
        let part = Part { meta: meta.into(), payload: payload.into() };
        worker.say(Message::Result(id, vec![part])).await;
        assert_eq!(failure(answer).await.code, Code::InvalidResult, "{meta} {payload}");
    }
}

#[tokio::test]
async fn frames_of_unknown_types_are_skipped() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
    control.say(Message::Unknown(0x7f)).await;
    let answer = handler.handle(request("1", "1", LIMIT));
    let (id, payload) = worker.request().await;
    worker.say(Message::Unknown(0x7f)).await;
    worker.echo(id, payload).await;
    assert_eq!(payloads(answer).await, ["1"]);
}

#[tokio::test]
async fn progress_of_a_request_that_has_ended_is_skipped() {
    let fake = Fake::new();
    let handler = fake.client();
    let (_control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
    for n in 1..=2 {
        let answer = handler.handle(request("1", "1", LIMIT));
        let (id, payload) = worker.request().await;
        worker.echo(id, payload).await;
        assert_eq!(payloads(answer).await, ["1"], "request {n}");
        worker
            .raw(&framed(&[&[0x14][..], &id.to_be_bytes(), br#"{"fraction":1,"message":""}"#].concat()))
            .await;
    }
}

#[tokio::test]
async fn only_the_request_that_hung_is_charged_and_what_had_not_begun_runs_elsewhere() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
    // Fast at first, so that requests are sent ahead; on a busy machine it takes more of them to show that.
    let fast = async {
        while handler.capacity().borrow().look_ahead == 0 {
            let answer = handler.handle(request("0", "0", LIMIT));
            let (id, payload) = worker.request().await;
            worker.echo(id, payload).await;
            assert_eq!(payloads(answer).await, ["0"]);
        }
    };
    timeout(LIMIT, fast).await.expect("a fast worker is sent requests ahead");
    let hanging = handler.handle(request("1", "1", SHORT));
    let behind = handler.handle(request("2", "2", SHORT));
    let (id, _) = worker.request().await;
    worker.request().await;
    assert!(matches!(control.message().await, Message::Cancel(of, _) if of == id));
    control.exited(1, "killed").await;
    let failed = failure(hanging).await;
    assert_eq!((failed.code, failed.fault), (Code::Timeout, Fault::Handler));
    let mut worker = fake.replace(&mut control, 2).await;
    let (id, payload) = worker.request().await;
    worker.echo(id, payload).await;
    assert_eq!(payloads(behind).await, ["2"], "its clock had not started");
}

#[tokio::test]
async fn a_supervisor_that_does_not_cancel_is_told_to_kill_and_then_given_up() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Async, 2, 1).await;
    tokio::time::pause();
    let hanging = handler.handle(request("1", "1", Duration::from_secs(300)));
    let beside = handler.handle(request("2", "2", Duration::from_secs(3600)));
    worker.request().await;
    worker.request().await;
    tokio::time::advance(Duration::from_secs(301)).await;
    let failed = failure(hanging).await;
    assert_eq!((failed.code, failed.fault), (Code::Timeout, Fault::Handler));
    tokio::time::resume();
    assert!(matches!(control.message().await, Message::Cancel(1, _)));
    assert!(matches!(control.message().await, Message::Kill(_)));
    control.exited(1, "killed").await;
    let mut worker = fake.replace(&mut control, 2).await;
    let (id, payload) = worker.request().await;
    worker.echo(id, payload).await;
    assert_eq!(payloads(beside).await, ["2"]);
}

#[tokio::test]
async fn all_that_a_dead_worker_had_run_again_one_at_a_time() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Async, 4, 1).await;
    let answers: Vec<_> =
        (0..3).map(|n| handler.handle(request(&n.to_string(), &n.to_string(), LIMIT))).collect();
    for _ in 0..3 {
        worker.request().await;
    }
    control.exited(1, "died").await;
    let mut worker = fake.replace(&mut control, 2).await;
    for _ in 0..3 {
        let (id, payload) = worker.request().await;
        assert!(tokio::time::timeout(SHORT, worker.frame()).await.is_err(), "it must be alone");
        worker.echo(id, payload).await;
    }
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(payloads(answer).await, [n.to_string()]);
    }
}

#[tokio::test]
async fn a_batch_that_hangs_is_taken_apart() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 4).await;
    let answers: Vec<_> =
        (0..3).map(|n| handler.handle(request(&n.to_string(), &n.to_string(), SHORT))).collect();
    for _ in 0..3 {
        worker.request().await;
    }
    assert!(matches!(control.message().await, Message::Cancel(..)));
    control.exited(1, "killed").await;
    let mut worker = fake.replace(&mut control, 2).await;
    // The first one is the one that hangs.
    worker.request().await;
    assert!(matches!(control.message().await, Message::Cancel(..)));
    control.exited(2, "killed").await;
    let mut worker = fake.replace(&mut control, 3).await;
    for _ in 0..2 {
        let (id, payload) = worker.request().await;
        worker.echo(id, payload).await;
    }
    let mut ends = Vec::new();
    for answer in answers {
        ends.push(end(answer).await);
    }
    assert!(matches!(&ends[0], End::Failed(failed) if failed.code == Code::Timeout), "{ends:?}");
    assert!(ends[1..].iter().all(|end| matches!(end, End::Done(items) if items.len() == 1)), "{ends:?}");
}

#[tokio::test]
async fn a_generator_that_has_yielded_is_not_run_again_in_secret() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
    let mut answer = handler.handle(request("1", "1", LIMIT));
    let (id, _) = worker.request().await;
    worker.say(Message::Item(id, Part { meta: Bytes::new(), payload: "7".into() })).await;
    control.exited(1, "died").await;
    let (yields, end) = replies(&mut answer).await;
    assert_eq!(yields.len(), 1);
    assert!(
        matches!(&end, End::Failed(failed) if failed.code == Code::WorkerDied && failed.fault == Fault::Infrastructure)
    );
}

#[tokio::test]
async fn items_that_are_too_large_together_end_their_request_alone() {
    let fake = Fake::new();
    let mut config = SocketConfig::new(fake.directory.path(), "a");
    config.max_reply = 1000;
    let handler = SocketHandler::new(config);
    let (mut control, mut worker) = fake.streaming(WorkerKind::Async, 2, 1).await;
    let mut large = handler.handle(request("1", "1", LIMIT));
    let other = handler.handle(request("2", "2", LIMIT));
    let (id, _) = worker.request().await;
    let (beside, payload) = worker.request().await;
    for _ in 0..2 {
        let part = Part { meta: Bytes::new(), payload: format!("\"{}\"", "x".repeat(600)).into() };
        worker.say(Message::Item(id, part)).await;
    }
    let (yields, end) = replies(&mut large).await;
    assert_eq!(yields.len(), 1);
    assert!(matches!(&end, End::Failed(failed) if failed.code == Code::ReplyTooLarge), "{end:?}");
    assert!(matches!(control.message().await, Message::Cancel(of, _) if of == id));
    worker.echo(beside, payload).await;
    assert_eq!(payloads(other).await, ["2"]);
}

#[tokio::test]
async fn first_items_that_are_kept_to_the_end_leave_the_budget_to_those_that_follow() {
    const LARGE: usize = 100 * 1024;
    let fake = Fake::new();
    let mut config = SocketConfig::new(fake.directory.path(), "a");
    config.budget = Some(asya_handler::Budget::new(LARGE + 1024));
    let handler = SocketHandler::new(config);
    let (_control, mut worker) = fake.streaming(WorkerKind::Async, 2, 1).await;
    let mut answers = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..2 {
        answers.push(handler.handle(request("1", "1", LIMIT)));
        let (id, _) = worker.request().await;
        let part = Part { meta: Bytes::new(), payload: format!("\"{}\"", "x".repeat(LARGE)).into() };
        for message in [Message::Item(id, part.clone()), Message::Item(id, part), Message::Result(id, vec![])]
        {
            tokio::time::timeout(LIMIT, worker.say(message)).await.expect("the items are read");
        }
    }
    // Each keeps its first item, as the engine does, and goes on to the next.
    for answer in &mut answers {
        for nth in 0..2 {
            let reply = tokio::time::timeout(LIMIT, answer.recv()).await.expect("the items come");
            let Some(asya_handler::Reply::Yield(item)) = reply else { panic!("{reply:?}") };
            if nth == 0 {
                kept.push(item);
            }
        }
    }
    for answer in answers {
        assert!(payloads(answer).await.is_empty());
    }
}

#[tokio::test]
async fn a_concurrency_beyond_all_measure_is_cut_to_what_a_transport_can_give() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, _worker) = fake.streaming(WorkerKind::Async, usize::MAX, 1).await;
    let _second = fake.replace(&mut control, 2).await;
    eventually("both workers count", || handler.capacity().borrow().running == 2 * 65_535).await;
}

#[tokio::test]
async fn a_retired_worker_hands_its_requests_on_uncharged() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
    let answer = handler.handle(request("1", "1", LIMIT));
    for id in 2..8 {
        worker.request().await;
        control.exited(id - 1, "retired").await;
        worker = fake.replace(&mut control, id).await;
    }
    let (id, payload) = worker.request().await;
    worker.echo(id, payload).await;
    assert_eq!(payloads(answer).await, ["1"]);
}

#[tokio::test]
async fn answers_that_were_written_before_the_worker_died_count() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Async, 2, 1).await;
    let answer = handler.handle(request("1", "1", LIMIT));
    let (id, payload) = worker.request().await;
    control.exited(1, "died").await;
    worker.echo(id, payload).await;
    // Both are in the sockets before the sidecar looks: the test and it share one thread.
    assert_eq!(payloads(answer).await, ["1"]);
}

#[tokio::test]
async fn a_worker_that_closes_silently_is_waited_for_and_replaced() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
    let answer = handler.handle(request("1", "1", LIMIT));
    worker.request().await;
    drop(worker);
    assert!(matches!(control.message().await, Message::Kill(_)), "nobody said that it is dead");
    let mut worker = fake.replace(&mut control, 2).await;
    let (id, payload) = worker.request().await;
    worker.echo(id, payload).await;
    assert_eq!(payloads(answer).await, ["1"]);
}

#[tokio::test]
async fn dropped_replies_cancel_the_request() {
    let fake = Fake::new();
    let handler = fake.client();
    let (mut control, mut worker) = fake.streaming(WorkerKind::Async, 1, 1).await;
    let answer = handler.handle(request("1", "1", LIMIT));
    let (id, _) = worker.request().await;
    drop(answer);
    assert!(matches!(control.message().await, Message::Cancel(of, target) if of == id && target.worker == 1));
}

#[tokio::test]
async fn bad_handshakes_are_tried_again_until_one_is_good() {
    let fake = Fake::new();
    let handler = fake.client();
    for bad in [&b"{}"[..], b"", b"\0asya/2 {bad", b"\0asya/3 {}"] {
        let mut peer = fake.accept().await;
        peer.frame().await.unwrap();
        peer.raw(&framed(bad)).await;
    }
    drop(fake.accept().await);
    assert!(matches!(&*handler.readiness().borrow(), Readiness::NotReady(_)));
    fake.one_shot().await;
    ready(&handler).await;
}

#[tokio::test]
async fn no_runtime_is_talked_to_before_it_says_that_it_is_ready() {
    let fake = Fake::new();
    std::fs::remove_file(path_of(&fake, READY_NAME)).unwrap();
    let _handler = fake.client();
    assert!(tokio::time::timeout(2 * SHORT, fake.listener.accept()).await.is_err());
    std::fs::write(path_of(&fake, READY_NAME), "ready").unwrap();
    fake.accept().await;
}

#[tokio::test]
async fn a_one_shot_runtime_gets_the_body_unchanged_and_one_at_a_time() {
    let fake = Fake::new();
    let handler = fake.client();
    fake.one_shot().await;
    ready(&handler).await;
    assert_eq!(handler.capacity().borrow().running, 1);
    let first = request("1", r#"{"n":1e400}"#, LIMIT);
    let body = first.body.clone();
    let first = handler.handle(first);
    let second = handler.handle(request("2", "2", LIMIT));
    let mut peer = fake.accept().await;
    assert_eq!(peer.frame().await.unwrap(), body);
    assert!(tokio::time::timeout(SHORT, fake.listener.accept()).await.is_err(), "one at a time");
    peer.raw(&framed(br#"[{"payload":1,"route":{"actors":["a","b"],"current":1}},{"payload":1.0}]"#)).await;
    assert_eq!(payloads(first).await, ["1", "1.0"]);
    // An older runtime that cannot encode a result closes without a word.
    drop(peer);
    let mut peer = fake.accept().await;
    peer.frame().await.unwrap();
    drop(peer);
    let failed = failure(second).await;
    assert_eq!((failed.code, failed.fault), (Code::Connection, Fault::Handler));
}

#[tokio::test]
async fn a_one_shot_runtime_that_hangs_keeps_its_slot_and_is_stuck_after_another_timeout() {
    let fake = Fake::new();
    let handler = fake.client();
    fake.one_shot().await;
    ready(&handler).await;
    let hanging = handler.handle(request("1", "1", SHORT));
    let mut zombie = fake.accept().await;
    zombie.frame().await.unwrap();
    assert_eq!(failure(hanging).await.code, Code::Timeout);
    let next = handler.handle(request("2", "2", LIMIT));
    let mut readiness = handler.readiness();
    readiness.wait_for(|now| matches!(now, Readiness::Stuck(_))).await.unwrap();
    zombie.raw(&framed(b"[]")).await;
    drop(zombie);
    let mut peer = fake.accept().await;
    peer.frame().await.unwrap();
    peer.raw(&framed(b"[]")).await;
    assert!(payloads(next).await.is_empty());
    eventually("it is ready again", || *readiness.borrow() == Readiness::Ready).await;
}

#[tokio::test]
async fn a_one_shot_runtime_that_is_replaced_is_asked_again_what_it_speaks() {
    let mut fake = Fake::new();
    let handler = fake.client();
    fake.one_shot().await;
    ready(&handler).await;
    std::fs::remove_file(path_of(&fake, SOCKET_NAME)).unwrap();
    fake.listener = UnixListener::bind(path_of(&fake, SOCKET_NAME)).unwrap();
    let answer = handler.handle(request("1", "1", LIMIT));
    let (_control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
    let (id, payload) = worker.request().await;
    worker.echo(id, payload).await;
    assert_eq!(payloads(answer).await, ["1"]);
}

#[tokio::test]
async fn a_replaced_runtime_is_found_although_its_predecessor_s_connection_is_still_open() {
    let mut fake = Fake::new();
    let handler = fake.client();
    let _left_behind = fake.streaming(WorkerKind::Sync, 1, 1).await;
    ready(&handler).await;
    std::fs::remove_file(path_of(&fake, SOCKET_NAME)).unwrap();
    std::fs::remove_file(path_of(&fake, "w1.sock")).unwrap();
    fake.listener = UnixListener::bind(path_of(&fake, SOCKET_NAME)).unwrap();
    let (_control, mut worker) = fake.streaming(WorkerKind::Sync, 1, 1).await;
    let answer = handler.handle(request("1", "1", LIMIT));
    let (id, payload) = worker.request().await;
    worker.echo(id, payload).await;
    assert_eq!(payloads(answer).await, ["1"]);
}
