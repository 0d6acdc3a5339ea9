//! Servers on this machine, and the actor that asks them.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_crew::{
    http_call::{HttpCall, Settings},
    shipped::Variables,
};
use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{End, Failure, Handler, Reply, Request};
use axum::{
    body::{Body, to_bytes},
    extract::{Request as Asked, State},
    response::{IntoResponse as _, Response},
};
use serde_json::Value;

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A server that answers as the path says.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_at("127.0.0.1:0").await
    }

    pub(crate) async fn start_at(address: &str) -> Self {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let router = axum::Router::new().fallback(answer).with_state(seen.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, seen }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn answer(State(notes): State<Arc<Mutex<Vec<Seen>>>>, asked: Asked) -> Response {
    let (parts, body) = asked.into_parts();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    notes.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers,
        body: String::from_utf8(body.into()).unwrap(),
    });
    let path = parts.uri.path().to_owned();
    let mut steps = path.split('/').skip(1);
    let number = |text: Option<&str>| text.unwrap().parse::<u16>().unwrap();
    match steps.next() {
        Some("status") => {
            (axum::http::StatusCode::from_u16(number(steps.next())).unwrap(), "no").into_response()
        }
        Some("wait") => (
            axum::http::StatusCode::from_u16(number(steps.next())).unwrap(),
            [("retry-after", steps.next().unwrap().to_owned())],
        )
            .into_response(),
        Some("to") => {
            let status = axum::http::StatusCode::from_u16(number(steps.next())).unwrap();
            (status, [("location", parts.uri.query().unwrap().to_owned())]).into_response()
        }
        Some("hang") => std::future::pending().await,
        Some("big") => "x".repeat(5000).into_response(),
        // Without a length, so that only reading tells.
        Some("stream") => {
            let pieces = (0..50).map(|_| Ok::<_, std::io::Error>("x".repeat(1000)));
            Body::from_stream(futures::stream::iter(pieces)).into_response()
        }
        Some("broken") => {
            let pieces = [Ok("half"), Err(std::io::Error::other("it broke"))];
            Body::from_stream(futures::stream::iter(pieces)).into_response()
        }
        _ => ([("content-type", "application/json"), ("x-rate", "7")], r#"{"n":1.00}"#).into_response(),
    }
}

pub(crate) fn settings(values: &[(&str, &str)], base: &Path) -> Settings {
    let find =
        |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Settings::read(&Variables { find: &find, base }).unwrap()
}

pub(crate) fn actor(values: &[(&str, &str)]) -> impl Handler {
    HttpCall::new(settings(values, Path::new("/"))).unwrap()
}

pub(crate) fn envelope(payload: Value) -> Envelope {
    Envelope::new("job 7", Route::new(["call", "next"]), Raw::of(&payload))
}

pub(crate) async fn run(actor: &dyn Handler, envelope: &Envelope, attempt: u32) -> End {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: "call".to_owned(),
        attempt,
        timeout: Duration::from_secs(20),
    };
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn call(values: &[(&str, &str)], payload: Value) -> End {
    run(&actor(values), &envelope(payload), 1).await
}

pub(crate) fn payload(end: End) -> String {
    let End::Done(items) = end else { panic!("{end:?}") };
    let [item] = &items[..] else { panic!("one item") };
    item.payload.as_str().to_owned()
}

pub(crate) fn failure(end: End) -> Failure {
    let End::Failed(failure) = end else { panic!("{end:?}") };
    failure
}
