//! The same handler twice: behind a socket, and in this process.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use asya_bridge::{EmbeddedConfig, EmbeddedHandler};
use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{
    End, Failure, Handler, Item, Readiness, Replies, Reply, Request,
    socket::{SocketConfig, SocketHandler},
};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::Mutex;

/// Longer than anything that works takes on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);
/// The interpreter that this program embeds.
pub const PYTHON: &str = env!("ASYA_BRIDGE_PYTHON");
/// Every variable that handlers of other tests may have left in this process.
const DEFAULTS: [(&str, &str); 6] = [
    ("ASYA_HANDLER_MODE", "payload"),
    ("ASYA_ENABLE_VALIDATION", "true"),
    ("ASYA_RESULT", "many"),
    ("ASYA_CONCURRENCY", "10"),
    ("ASYA_BATCH_MAX", "1"),
    ("ASYA_BATCH_WAIT_MS", "5"),
];
/// The environment of a process is one.
pub static LOADING: Mutex<()> = Mutex::const_new(());

pub fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../src").canonicalize().unwrap()
}

pub fn handlers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A runtime process with its client.
pub struct Socket {
    pub handler: Arc<SocketHandler>,
    child: Child,
    _directory: TempDir,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let until = Instant::now() + Duration::from_secs(3);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn socket(name: &str, variables: &[(&str, &str)]) -> Socket {
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new(PYTHON)
        .args(["-m", "asya_runtime"])
        .env("PYTHONPATH", format!("{}:{}", sources().display(), handlers().display()))
        .env("ASYA_HANDLER", format!("behave.{name}"))
        .env("ASYA_SOCKET_DIR", directory.path())
        .envs(DEFAULTS)
        .envs(variables.iter().copied())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap();
    let handler = SocketHandler::new(SocketConfig::new(directory.path(), "a"));
    ready(&*handler).await;
    Socket { handler, child, _directory: directory }
}

pub async fn embedded(name: &str, variables: &[(&str, &str)]) -> Arc<EmbeddedHandler> {
    embedded_with(name, variables, EmbeddedConfig::default()).await
}

pub async fn embedded_with(
    name: &str,
    variables: &[(&str, &str)],
    config: EmbeddedConfig,
) -> Arc<EmbeddedHandler> {
    let _alone = LOADING.lock().await;
    let name = format!("behave.{name}");
    let named = [("ASYA_HANDLER", name.as_str())];
    let all = DEFAULTS.iter().chain(&named).chain(variables).copied();
    let handler = EmbeddedHandler::start(EmbeddedConfig {
        path: vec![sources(), handlers()],
        variables: all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        ..config
    });
    tokio::select! {
        () = ready(&*handler) => {}
        error = handler.failed() => panic!("{error}"),
    }
    handler
}

pub async fn ready(handler: &dyn Handler) {
    let mut readiness = handler.readiness();
    let seen = tokio::time::timeout(LIMIT, readiness.wait_for(|now| *now == Readiness::Ready)).await;
    seen.expect("the handler becomes ready").expect("the handler lives");
}

pub fn request(payload: &str, timeout: Duration) -> Request {
    let payload = Raw::parse(Bytes::copy_from_slice(payload.as_bytes())).unwrap();
    let mut envelope = Envelope::new("one", Route::new(["a", "b"]), payload);
    envelope.headers.set("trace", Raw::parse(Bytes::from_static(b"1.0")).unwrap());
    Request { body: envelope.encode(), envelope, actor: "a".to_owned(), attempt: 2, timeout }
}

/// All replies but progress, and the end.
pub async fn replies(replies: &mut Replies) -> (Vec<Item>, End) {
    let mut yields = Vec::new();
    loop {
        match tokio::time::timeout(LIMIT, replies.recv()).await.expect("a reply comes").expect("an end comes")
        {
            Reply::Yield(item) => yields.push(item),
            Reply::Progress(_) => {}
            Reply::End(end) => {
                assert!(replies.recv().await.is_none(), "nothing follows the end");
                return (yields, end);
            }
        }
    }
}

pub async fn end(mut answer: Replies) -> End {
    replies(&mut answer).await.1
}

pub async fn failure(answer: Replies) -> Failure {
    match end(answer).await {
        End::Failed(failure) => failure,
        other => panic!("must fail: {other:?}"),
    }
}

pub async fn payloads(answer: Replies) -> Vec<String> {
    match end(answer).await {
        End::Done(items) => items.iter().map(|item| item.payload.as_str().to_owned()).collect(),
        other => panic!("must succeed: {other:?}"),
    }
}

/// Waits until `done`, with a limit.
pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("{what} did not happen"));
}
