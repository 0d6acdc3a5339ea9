//! A real gateway on a queue file, in this process, and what stands before it.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_crew::{
    Kind,
    shipped::{Names, State, Variables, Work},
};
use asya_envelope::{Envelope, Naming};
use asya_gateway::{
    actors::{Actor, Source},
    args::Args,
    run::{self, Gateway, background::Queues},
    service::Error,
    settings::Settings,
};
use asya_handler::Handler;
use asya_http::{Http, Method};
use asya_session::{
    Entry,
    desk::{Delta, SUBJECT},
};
use asya_transport::{
    Outcome, Queues as _, Transport as _,
    local::{Local, LocalOptions},
};
use axum::{
    body::Bytes,
    extract::{Request, State as Extract},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use clap::Parser as _;
use futures::future::{BoxFuture, ready};
use serde_json::{Value, json};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::model::Model;

/// No condition of these tests takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The agent's name.
pub(crate) const AGENT: &str = "helper";
/// Largest answer that is read.
const ANSWER: usize = 1024 * 1024;

/// A gateway and a model.
pub(crate) struct World {
    pub(crate) local: Arc<Local>,
    pub(crate) model: Model,
    pub(crate) url: String,
    http: Http,
    _gateway: Gateway,
    _folder: tempfile::TempDir,
}

struct Nobody;

impl Source for Nobody {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        Box::pin(ready(Ok(Vec::new())))
    }
}

impl World {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        for actor in [AGENT, "look", "happy-end", "error-end"] {
            local.ensure(&Naming::bare().queue(actor)).await.unwrap();
        }
        let agents = folder.path().join("agents");
        std::fs::create_dir(&agents).unwrap();
        std::fs::write(agents.join(format!("{AGENT}.json")), json!({"name": AGENT}).to_string()).unwrap();
        let text = |path: &Path| Some(path.display().to_string());
        let mut options = Args::try_parse_from(["asya-gateway"]).unwrap().options;
        (options.bind, options.port) = (Some("127.0.0.1".to_owned()), Some("0".to_owned()));
        options.database_url = Some(format!("sqlite:{}", folder.path().join("gateway.db").display()));
        options.agents_dir = text(&agents);
        (options.transport, options.local_path) = (Some("local".to_owned()), text(folder.path()));
        let settings = Settings::read(&options).unwrap();
        let queues = Queues::Open {
            transport: local.clone(),
            name: "local",
            actors: Arc::new(Nobody),
            dead_letters: local.clone(),
        };
        let gateway = run::start(settings, queues, CancellationToken::new()).await.unwrap();
        let url = format!("http://{}", gateway.address);
        let (http, model) = (Http::new(&url).unwrap(), Model::start().await);
        Self { local, model, url, http, _gateway: gateway, _folder: folder }
    }

    /// The agent, as the program makes it, with the gateway at this address.
    pub(crate) fn agent(&self, gateway: &str) -> Arc<dyn Handler> {
        self.made(gateway, true)
    }

    /// The same, which shows no words while they come: its requests can be counted.
    pub(crate) fn silent(&self, gateway: &str) -> Arc<dyn Handler> {
        self.made(gateway, false)
    }

    fn made(&self, gateway: &str, emit: bool) -> Arc<dyn Handler> {
        let tools = json!([{"name": "look", "description": "Looks a key up", "actor": "look",
            "parameters": {"type": "object", "required": ["key"]}}]);
        let variables = |name: &str| {
            Some(match name {
                "ASYA_GATEWAY_URL" => gateway.to_owned(),
                "ASYA_LLM_BACKEND" => "openai-compatible".to_owned(),
                "ASYA_LLM_BASE_URL" => self.model.url.clone(),
                "ASYA_LLM_MODEL" => "scripted".to_owned(),
                "ASYA_AGENT_TOOLS" => tools.to_string(),
                "ASYA_AGENT_EMIT_TOKENS" => emit.to_string(),
                _ => return None,
            })
        };
        let variables = Variables { find: &variables, base: Path::new("/") };
        let work = Work::read(Kind::Agent, &variables).unwrap().unwrap();
        let names = Names {
            actor: AGENT.to_owned(),
            naming: Naming::bare(),
            happy_end: "happy-end".to_owned(),
            error_end: "error-end".to_owned(),
        };
        work.start(State::None, names).unwrap().0
    }

    async fn api(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let (status, answer) = self
            .http
            .send(method, &format!("{}{path}", self.url), None, ("x-test", "1"), body, ANSWER)
            .await
            .unwrap();
        assert!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&answer));
        serde_json::from_slice(&answer).unwrap_or_default()
    }

    /// A session in which this was said.
    pub(crate) async fn session(&self, message: &str) -> String {
        let body = json!({"agent": AGENT, "message": message});
        let session = self.api(Method::POST, "/api/v1/sessions", Some(body)).await;
        session["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn say(&self, session: &str, text: &str) {
        let path = format!("/api/v1/sessions/{session}/messages");
        self.api(Method::POST, &path, Some(json!({"text": text}))).await;
    }

    pub(crate) async fn cancel(&self, session: &str) {
        self.api(Method::POST, &format!("/api/v1/sessions/{session}/cancel"), None).await;
    }

    pub(crate) async fn state(&self, session: &str) -> String {
        let session = self.api(Method::GET, &format!("/api/v1/sessions/{session}"), None).await;
        session["state"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn entries(&self, session: &str) -> Vec<Entry> {
        let answer = self.api(Method::GET, &format!("/api/v1/sessions/{session}/entries"), None).await;
        serde_json::from_value(answer["entries"].clone()).unwrap()
    }

    /// The next envelope for an actor, taken off its queue.
    pub(crate) async fn take(&self, actor: &str) -> Envelope {
        let mut deliveries =
            self.local.consume(&Naming::bare().queue(actor), 1.try_into().unwrap()).await.unwrap();
        let delivery = timeout(LIMIT, deliveries.next()).await.unwrap().unwrap();
        let envelope = Envelope::parse(delivery.body.clone()).unwrap();
        let settled = delivery.settle(Outcome::forward(Vec::new())).await;
        assert!(settled.is_ok());
        envelope
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("it never came true that {what}"));
}

/// What stands between an agent and the gateway, and falls silent at the request of a number.
#[derive(Clone)]
pub(crate) struct Line {
    pub(crate) url: String,
    to: String,
    http: Http,
    state: Arc<Mutex<Cut>>,
    shown: Arc<Mutex<Vec<Delta>>>,
    silent: watch::Sender<bool>,
}

/// When a line falls silent.
#[derive(Clone, Copy)]
pub(crate) struct Cut {
    /// Requests that pass before it.
    pub(crate) after: usize,
    /// Whether the gateway does what the last one asks, though nobody hears of it.
    pub(crate) done: bool,
}

impl Line {
    pub(crate) async fn start(to: &str, cut: Cut) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (http, state) = (Http::new(to).unwrap(), Arc::new(Mutex::new(cut)));
        let silent = watch::Sender::new(false);
        let line = Self { url, to: to.to_owned(), http, state, shown: Arc::default(), silent };
        let router = axum::Router::new().fallback(pass).with_state(line.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        line
    }

    /// Pieces of answers that passed.
    pub(crate) fn shown(&self) -> Vec<Delta> {
        self.shown.lock().unwrap().clone()
    }

    /// Waits until it has fallen silent.
    pub(crate) async fn silence(&self) {
        self.silent.subscribe().wait_for(|silent| *silent).await.unwrap();
    }
}

async fn pass(Extract(line): Extract<Line>, request: Request) -> Response {
    let cut = {
        let mut cut = line.state.lock().unwrap();
        let now = *cut;
        cut.after = cut.after.saturating_sub(1);
        now
    };
    let is_last = cut.after == 0;
    if !is_last || cut.done {
        let (parts, body) = request.into_parts();
        let body: Bytes = axum::body::to_bytes(body, ANSWER).await.unwrap();
        let subject = parts.headers.get(SUBJECT).map_or("", |value| value.to_str().unwrap()).to_owned();
        if parts.uri.path().ends_with("/stream") {
            line.shown.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
        }
        let address = format!("{}{}", line.to, parts.uri);
        let passed = line.http.send(parts.method, &address, None, (SUBJECT, &subject), body.to_vec(), ANSWER);
        let (status, answer) = passed.await.unwrap();
        if !is_last {
            let status = StatusCode::from_u16(status.as_u16()).unwrap();
            return (status, [("content-type", "application/json")], answer).into_response();
        }
    }
    line.silent.send_replace(true);
    std::future::pending().await
}
