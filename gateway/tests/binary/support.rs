//! Gateways as processes, and requests to them as bytes.

use std::{
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

pub(crate) const LIMIT: Duration = Duration::from_secs(30);
pub(crate) const TOOLS: &str =
    "tools: [{name: hello, route: [greet], progress: true, parameters: {who: {type: string}}}]";
pub(crate) const TOKEN: &str = "0123456789abcdef";

pub(crate) fn gateway() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asya-gateway"));
    command.env_clear().kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A program that ends by itself.
pub(crate) async fn ended(command: &mut Command) -> (i32, String) {
    let Output { status, stderr, stdout } = timeout(LIMIT, command.output()).await.unwrap().unwrap();
    let text = String::from_utf8(stderr).unwrap() + &String::from_utf8(stdout).unwrap();
    (status.code().unwrap(), text)
}

pub(crate) async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A gateway on a queue file and a database in the folder.
pub(crate) fn in_folder(folder: &Path, address: SocketAddr) -> Command {
    let tools = folder.join("tools.yaml");
    if !tools.exists() {
        std::fs::write(&tools, TOOLS).unwrap();
    }
    let mut command = gateway();
    command
        .env("ASYA_GATEWAY_BIND", "127.0.0.1")
        .env("ASYA_GATEWAY_PORT", address.port().to_string())
        .env("ASYA_TRANSPORT", "local")
        .env("ASYA_LOCAL_PATH", folder.join("queue.db"))
        .env("ASYA_DATABASE_URL", folder.join("gateway.db"))
        .env("ASYA_CONFIG_PATH", tools);
    command
}

pub(crate) async fn ask(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else { return String::new() };
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let mut text = String::new();
    // A gateway that is killed meanwhile answers nothing, or a part.
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.read_to_string(&mut text).await;
    text
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> String {
    ask(address, "GET", path, "", "").await
}

pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("it never came true that {what}"));
}

pub(crate) async fn terminate(child: Child) -> Output {
    let pid = child.id().unwrap().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap()
}

/// Calls the tool; the id of its envelope.
pub(crate) async fn call(address: SocketAddr) -> String {
    let body = json!({"name": "hello", "arguments": {"who": "Ada"}}).to_string();
    let answer = ask(address, "POST", "/tools/call", "", &body).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let result: Value = serde_json::from_str(body).unwrap();
    let handle: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    handle["envelope_id"].as_str().unwrap().to_owned()
}

/// Posts a JSON document; the whole answer, nothing when there is none.
pub(crate) async fn post(address: SocketAddr, path: &str, body: &Value) -> String {
    ask(address, "POST", path, "content-type: application/json\r\n", &body.to_string()).await
}

/// The body of an answer as JSON; `null` for anything else.
pub(crate) fn body(answer: &str) -> Value {
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body);
    body.and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default()
}

/// A stream of events, as it comes.
pub(crate) struct Events(Lines<BufReader<TcpStream>>);

impl Events {
    /// Opens it behind the event `after`.
    pub(crate) async fn open(address: SocketAddr, path: &str, after: i64) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nlast-event-id: {after}\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Self(BufReader::new(stream).lines())
    }

    /// The next event's id and data; `None` when the stream has ended, or its gateway is gone.
    pub(crate) async fn next(&mut self) -> Option<(i64, Value)> {
        let mut id = None;
        loop {
            let line = timeout(LIMIT, self.0.next_line()).await.unwrap().ok()??;
            if let Some(text) = line.strip_prefix("id: ") {
                id = text.parse().ok();
            } else if let (Some(text), Some(id)) = (line.strip_prefix("data: "), id) {
                return Some((id, serde_json::from_str(text).unwrap()));
            } else if line == "0" {
                // The last chunk.
                return None;
            }
        }
    }
}

/// Starts a gateway of `in_folder`, whose log nobody reads, and waits until it is ready.
pub(crate) async fn serving(command: &mut Command, address: SocketAddr) -> Child {
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it is ready", async || get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    child
}
