//! The sidecar's end against the Python runtime: real processes that hang, die, fork and print.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use asya_handler::{
    Code, End, Fault, Handler, Reply,
    socket::{SOCKET_NAME, SocketHandler},
};
use support::{LIMIT, client, end, failure, payloads, ready, replies, request};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

const HANDLERS: &str = r#"
import asyncio, os, subprocess, sys, time


def sync(payload):
    """Does what its payload says."""
    if payload == "hang":
        while True:
            time.sleep(60)
    if payload == "exit":
        os._exit(3)
    if payload == "print":
        for _ in range(3):
            sys.stdout.write("x" * 1_000_000 + "\n")
        return "printed"
    if payload == "fork":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"], close_fds=False)
        os._exit(4)
    if payload == "raise":
        raise ValueError("x")
    if payload == "set":
        return {1}
    if payload == "nan":
        return float("nan")
    if payload == "many":
        return [1, 2, 3]
    if payload == "none":
        return None
    if payload == "pid":
        return os.getpid()
    if payload == "sleep":
        time.sleep(0.3)
    return payload


def generator(payload):
    for n in range(payload):
        yield n
    if payload == 3:
        raise KeyError("three")


async def asynchronous(payload):
    if payload == "hang":
        await asyncio.sleep(60)
    if payload == "block":
        while True:
            pass
    await asyncio.sleep(0.05)
    return payload


def batch(payloads):
    if "exit" in payloads:
        os._exit(5)
    return [ValueError("x") if p == "bad" else [p] for p in payloads]
"#;

struct Runtime {
    directory: TempDir,
    child: Child,
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        // By word first: workers have groups of their own and end with their supervisor.
        let _ = Command::new("kill").args(["-TERM", &format!("{}", self.child.id())]).status();
        let until = Instant::now() + Duration::from_secs(3);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../runtime-py/src")
}

impl Runtime {
    fn start(handler: &str, env: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("behave.py"), HANDLERS).unwrap();
        let child = Command::new("python3")
            .args(["-m", "asya_runtime"])
            .env("PYTHONPATH", format!("{}:{}", sources().display(), directory.path().display()))
            .env("ASYA_HANDLER", format!("behave.{handler}"))
            .env("ASYA_SOCKET_DIR", directory.path())
            .envs(env.iter().copied())
            .stdout(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        Self { directory, child }
    }

    async fn with_client(handler: &str, env: &[(&str, &str)]) -> (Self, Arc<SocketHandler>) {
        let runtime = Self::start(handler, env);
        let handler = client(runtime.directory.path());
        ready(&handler).await;
        (runtime, handler)
    }
}

fn ask(handler: &SocketHandler, what: &str, timeout: Duration) -> asya_handler::Replies {
    handler.handle(request(what, &format!("\"{what}\""), timeout))
}

#[tokio::test]
async fn python_answers_in_all_forms() {
    let (_runtime, handler) = Runtime::with_client("sync", &[]).await;
    assert_eq!(payloads(ask(&handler, "x", LIMIT)).await, ["\"x\""]);
    assert_eq!(payloads(ask(&handler, "many", LIMIT)).await, ["1", "2", "3"]);
    assert!(payloads(ask(&handler, "none", LIMIT)).await.is_empty());
    let raised = failure(ask(&handler, "raise", LIMIT)).await;
    assert_eq!((raised.code, raised.fault), (Code::Processing, Fault::Handler));
    assert_eq!((raised.type_name.as_deref(), raised.message.as_str()), (Some("ValueError"), "x"));
    assert!(raised.mro.iter().any(|name| name.ends_with("Exception")), "{:?}", raised.mro);
    assert!(raised.traceback.is_some());
    for unsendable in ["set", "nan"] {
        assert_eq!(failure(ask(&handler, unsendable, LIMIT)).await.code, Code::InvalidResult, "{unsendable}");
    }
    assert_eq!(payloads(ask(&handler, "print", LIMIT)).await, ["\"printed\""]);
}

#[tokio::test]
async fn a_worker_that_hangs_is_killed_and_replaced_while_the_other_goes_on() {
    let (_runtime, handler) = Runtime::with_client("sync", &[("ASYA_WORKERS", "2")]).await;
    handler.capacity().wait_for(|capacity| capacity.running == 2).await.unwrap();
    let hanging = ask(&handler, "hang", Duration::from_millis(500));
    let begun = Instant::now();
    let mut during = 0;
    let failed = tokio::spawn(failure(hanging));
    while !failed.is_finished() {
        assert_eq!(payloads(ask(&handler, "x", LIMIT)).await, ["\"x\""]);
        during += 1;
    }
    let failed = failed.await.unwrap();
    assert_eq!((failed.code, failed.fault), (Code::Timeout, Fault::Handler));
    assert!(during > 10, "the other worker must go on: {during}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    // Both work again.
    let both = [ask(&handler, "sleep", LIMIT), ask(&handler, "sleep", LIMIT)];
    for answer in both {
        assert_eq!(payloads(answer).await, ["\"sleep\""]);
    }
}

#[tokio::test]
async fn a_message_that_kills_workers_ends_at_the_third_death_and_disturbs_nobody() {
    for deadly in ["exit", "fork"] {
        let (_runtime, handler) = Runtime::with_client("sync", &[]).await;
        let failed = failure(ask(&handler, deadly, LIMIT)).await;
        assert_eq!((failed.code, failed.fault), (Code::WorkerDied, Fault::Final), "{deadly}: {failed}");
        assert_eq!(payloads(ask(&handler, "x", LIMIT)).await, ["\"x\""], "{deadly}");
    }
}

#[tokio::test]
async fn the_innocent_survive_a_worker_that_died_with_them() {
    let (_runtime, handler) = Runtime::with_client("sync", &[]).await;
    // Fast, so that requests are sent ahead.
    for _ in 0..50 {
        payloads(ask(&handler, "x", LIMIT)).await;
    }
    let answers: Vec<_> =
        ["a", "b", "exit", "c", "d"].into_iter().map(|what| (what, ask(&handler, what, LIMIT))).collect();
    for (what, answer) in answers {
        match end(answer).await {
            End::Done(items) => assert_eq!(items[0].payload.as_str(), format!("\"{what}\"")),
            End::Failed(failed) => assert_eq!((what, failed.code), ("exit", Code::WorkerDied)),
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn generators_yield_at_once_and_may_fail_half_way() {
    let (_runtime, handler) = Runtime::with_client("generator", &[]).await;
    let (yields, done) = replies(&mut handler.handle(request("1", "5", LIMIT))).await;
    assert_eq!(
        yields.iter().map(|item| item.payload.as_str()).collect::<Vec<_>>(),
        ["0", "1", "2", "3", "4"]
    );
    assert!(matches!(done, End::Done(items) if items.is_empty()));
    let (yields, failed) = replies(&mut handler.handle(request("1", "3", LIMIT))).await;
    assert_eq!(yields.len(), 3);
    assert!(matches!(failed, End::Failed(failed) if failed.type_name.as_deref() == Some("KeyError")));
}

#[tokio::test]
async fn async_handlers_run_side_by_side_and_are_cancelled_alone() {
    let env = [("ASYA_CONCURRENCY", "20")];
    let (_runtime, handler) = Runtime::with_client("asynchronous", &env).await;
    assert_eq!(handler.capacity().borrow().running, 20);
    let hanging = ask(&handler, "hang", Duration::from_millis(200));
    let begun = Instant::now();
    let answers: Vec<_> = (0..19).map(|n| handler.handle(request("1", &n.to_string(), LIMIT))).collect();
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(payloads(answer).await, [n.to_string()]);
    }
    assert!(begun.elapsed() < Duration::from_millis(900), "they ran side by side: {:?}", begun.elapsed());
    assert_eq!(failure(hanging).await.code, Code::Timeout);
    // One that blocks the loop takes the worker with it; the others run again.
    let blocking = ask(&handler, "block", Duration::from_millis(300));
    let beside = ask(&handler, "x", LIMIT);
    assert_eq!(failure(blocking).await.code, Code::Timeout);
    assert_eq!(payloads(beside).await, ["\"x\""]);
}

#[tokio::test]
async fn batches_fail_by_item() {
    let env = [("ASYA_BATCH_MAX", "4"), ("ASYA_BATCH_WAIT_MS", "50")];
    let (_runtime, handler) = Runtime::with_client("batch", &env).await;
    assert_eq!(handler.capacity().borrow().running, 4);
    let answers: Vec<_> =
        ["a", "bad", "b"].into_iter().map(|what| (what, ask(&handler, what, LIMIT))).collect();
    for (what, answer) in answers {
        match end(answer).await {
            End::Done(_) => assert_ne!(what, "bad"),
            End::Failed(failed) => {
                assert_eq!((what, failed.type_name.as_deref()), ("bad", Some("ValueError")));
            }
            other => panic!("{what}: {other:?}"),
        }
    }
    let deadly = ask(&handler, "exit", LIMIT);
    let innocent = ask(&handler, "c", LIMIT);
    assert_eq!(failure(deadly).await.code, Code::WorkerDied);
    assert!(matches!(end(innocent).await, End::Done(_)));
}

#[tokio::test]
async fn python_answers_older_sidecars_too() {
    let (runtime, handler) = Runtime::with_client("sync", &[]).await;
    handler.close().await;
    let body = br#"{"id":"1","route":{"actors":["a","b"],"current":0},"payload":"many"}"#;
    let mut stream = UnixStream::connect(runtime.directory.path().join(SOCKET_NAME)).await.unwrap();
    stream.write_u32(body.len().try_into().unwrap()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = vec![0; stream.read_u32().await.unwrap() as usize];
    stream.read_exact(&mut answer).await.unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(answer.as_array().unwrap().len(), 3);
    assert_eq!(answer[2]["route"]["current"], 1);
}

#[tokio::test]
async fn sigterm_lets_work_finish_and_needs_no_retry() {
    let (mut runtime, handler) = Runtime::with_client("sync", &[]).await;
    let mut running = ask(&handler, "sleep", LIMIT);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        Command::new("kill").args(["-TERM", &runtime.child.id().to_string()]).status().unwrap().success()
    );
    let answer = tokio::time::timeout(LIMIT, running.recv()).await.unwrap();
    assert!(matches!(answer, Some(Reply::End(End::Done(_)))), "{answer:?}");
    handler.close().await;
    let until = Instant::now() + LIMIT;
    while runtime.child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < until, "the supervisor ends when its last connection has closed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
