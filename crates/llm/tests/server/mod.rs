//! A provider of models on this machine: answers what a script says, as bytes on a real connection.
#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod conversation;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_llm::{Guarded, Model, Settings, budget::Account};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    response::Response,
};
use futures::StreamExt as _;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

/// One answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Written one after the other.
    pub(crate) chunks: Vec<Vec<u8>>,
    /// Before each chunk.
    pub(crate) pause: Duration,
    /// The body does not end.
    pub(crate) hangs: bool,
    /// The connection breaks after the chunks.
    pub(crate) breaks: bool,
}

impl Answer {
    pub(crate) fn new(status: u16, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: vec![("content-type", kind.to_owned())],
            chunks: vec![body.into()],
            pause: Duration::ZERO,
            hangs: false,
            breaks: false,
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::new(status, "application/json", body.to_string())
    }

    /// A stream whose bytes are written in pieces of `size`.
    pub(crate) fn sse(text: &str, size: usize) -> Self {
        let chunks = text.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
        Self { chunks, ..Self::new(200, "text/event-stream; charset=utf-8", "") }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn hanging(self) -> Self {
        Self { hangs: true, ..self }
    }

    pub(crate) fn breaking(self) -> Self {
        Self { breaks: true, ..self }
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) at: tokio::time::Instant,
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The server; ends with it.
pub(crate) struct Server {
    pub(crate) address: String,
    script: Script,
    task: JoinHandle<()>,
}

impl Server {
    /// Gives these answers in turn; the last one again and again.
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        let script =
            Script { answers: Arc::new(Mutex::new(answers.into_iter().collect())), ..Script::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(script.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, script, task }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        *self.script.answers.lock().unwrap() = answers.into_iter().collect();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let answer = {
        let mut answers = script.answers.lock().unwrap();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers[0].clone() }
    };
    script.asked.lock().unwrap().push(Asked {
        path: head.uri.to_string(),
        headers: head.headers,
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        at: tokio::time::Instant::now(),
    });
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(*name, value);
    }
    let pause = answer.pause;
    let chunks = futures::stream::iter(answer.chunks).then(move |chunk| async move {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        // Each chunk goes out on its own.
        tokio::task::yield_now().await;
        Ok::<_, std::io::Error>(Bytes::from(chunk))
    });
    let end = futures::stream::once(async move {
        if answer.hangs {
            std::future::pending::<()>().await;
        }
        if answer.breaks { Err(std::io::Error::other("broken")) } else { Ok(Bytes::new()) }
    });
    response.body(Body::from_stream(chunks.chain(end))).unwrap()
}

/// A model from variables; short pauses, so that tests are.
pub(crate) fn model(variables: &[(&str, &str)]) -> Guarded<Box<dyn Model>> {
    let settings = Settings::read(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    });
    settings.unwrap().unwrap().build(Account::default()).unwrap()
}

/// A proxy that tunnels everything to the server at `to`; what it was asked first.
pub(crate) async fn proxy(to: &str, status: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let to = to.trim_start_matches("http://").to_owned();
    let task = tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        client.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await.unwrap();
        if status.starts_with("200") {
            let mut upstream = tokio::net::TcpStream::connect(to).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
        }
        String::from_utf8(head).unwrap()
    });
    (address, task)
}
