//! The actor, and servers of the official SDK that it calls.

use std::{
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_crew::{
    mcp_call::{McpCall, Settings},
    shipped::Variables,
};
use asya_envelope::{Approved, Envelope, Raw, Route, headers};
use asya_handler::{End, Handler, Progress, Reply, Request};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

/// No condition of these tests takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// The Python with the SDK that `tests/run.sh` makes; without it what needs it is not run, which is said, and fails in CI.
pub(crate) fn python() -> Option<PathBuf> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/venv/bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(std::env::var_os("CI").is_none(), "no {}: tests/run.sh makes it", python.display());
    eprintln!("NOT RUN: no {}; tests/run.sh makes it", python.display());
    None
}

fn script() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp_call/server.py").display().to_string()
}

/// The variable that names the server as a program.
pub(crate) fn command(python: &Path) -> (&'static str, String) {
    ("ASYA_MCP_COMMAND", json!([python.display().to_string(), script()]).to_string())
}

/// The server at a port, until it is dropped.
pub(crate) struct Server {
    _child: Child,
    pub(crate) url: String,
}

impl Server {
    pub(crate) async fn start(python: &Path) -> Self {
        Self::start_at(python, free_port().await).await
    }

    pub(crate) async fn start_at(python: &Path, port: u16) -> Self {
        let mut command = Command::new(python);
        command.arg(script()).arg(port.to_string()).stdout(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().unwrap();
        until("the server listens", async || {
            tokio::net::TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).await.is_ok()
        })
        .await;
        Self { _child: child, url: format!("http://127.0.0.1:{port}/mcp") }
    }
}

pub(crate) async fn free_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

/// The settings that these variables say.
pub(crate) fn settings(values: &[(&str, &str)], base: &Path) -> Settings {
    let find =
        |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Settings::read(&Variables { find: &find, base }).unwrap()
}

/// The actor, which may call every tool unless the variables say less.
pub(crate) fn actor(values: &[(&str, &str)]) -> impl Handler + use<> {
    let values = [values, &[("ASYA_MCP_TOOLS", "*")]].concat();
    McpCall::new(settings(&values, Path::new("/"))).unwrap()
}

/// What becomes of a payload in run `attempt`.
pub(crate) async fn run(actor: &dyn Handler, payload: &Value, attempt: u32) -> End {
    let envelope = Envelope::new("job", Route::new(["mcp", "agent"]), Raw::of(payload));
    let body = envelope.encode();
    ended(actor, Request { envelope, body, actor: "mcp".to_owned(), attempt, timeout: LIMIT }).await
}

/// The answer to a call, and what was told before it of how far it is.
pub(crate) async fn told(actor: &dyn Handler, tool: &str, arguments: Value) -> (Vec<Progress>, Value) {
    let envelope = Envelope::new(
        "job",
        Route::new(["mcp", "agent"]),
        Raw::of(&json!({"tool": tool, "arguments": arguments})),
    );
    let body = envelope.encode();
    let request = Request { envelope, body, actor: "mcp".to_owned(), attempt: 1, timeout: LIMIT };
    let (mut replies, mut told) = (actor.handle(request), Vec::new());
    loop {
        match replies.recv().await {
            Some(Reply::Progress(progress)) => told.push(progress),
            Some(Reply::End(end)) => return (told, answer(end)),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn ended(actor: &dyn Handler, request: Request) -> End {
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

/// A call that somebody approved.
pub(crate) fn approved(payload: &Value) -> Request {
    let mut envelope = Envelope::new("job", Route::new(["mcp", "agent"]), Raw::of(payload));
    let approved = Approved { operation: "op-1".to_owned(), hop: 0 };
    envelope.headers.set(headers::APPROVED, approved.to_raw());
    let body = envelope.encode();
    Request { envelope, body, actor: "mcp".to_owned(), attempt: 1, timeout: LIMIT }
}

/// What is answered.
pub(crate) fn answer(end: End) -> Value {
    let End::Done(items) = end else { panic!("{end:?}") };
    let [item] = &items[..] else { panic!("one item") };
    assert!(item.route.is_none() && item.headers.is_none());
    serde_json::from_str(item.payload.as_str()).unwrap()
}

/// The answer to a call.
pub(crate) async fn call(actor: &dyn Handler, tool: &str, arguments: Value) -> Value {
    answer(run(actor, &json!({"tool": tool, "arguments": arguments}), 1).await)
}

pub(crate) fn error(answer: &Value) -> &str {
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    answer["error"].as_str().unwrap()
}

/// When it is tried again, and why.
pub(crate) fn again(end: End) -> (Duration, String) {
    let End::Retry { after, reason } = end else { panic!("{end:?}") };
    (after.unwrap(), reason)
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("it never came true that {what}"));
}

/// What is logged by this thread.
pub(crate) struct Logs {
    text: Arc<Mutex<Vec<u8>>>,
    _guard: tracing::subscriber::DefaultGuard,
}

impl Logs {
    pub(crate) fn start() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .with_writer(move || Writer(writer.clone()))
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
