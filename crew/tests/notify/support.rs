//! Servers that are told something, and the actor that tells them.

use std::{
    io::Write,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use asya_analysis::{
    Change, Failure, Finding, Lifecycle, ObjectRef, Sequence, Severity,
    message::{Explanation, Told, Transition},
};
use asya_crew::{
    analysis::notify::{Notify, Senders, Settings},
    committed::Committed,
    shipped::Variables,
};
use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{End, Handler, Reply, Request};
use asya_store::Store;
use asya_telemetry::Metrics;
use asya_transport::local::{Local, LocalOptions};
use axum::{
    body::to_bytes,
    extract::{Request as Asked, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

/// No condition of these tests takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// A request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    headers: axum::http::HeaderMap,
    pub(crate) body: String,
    status: u16,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

#[derive(Clone, Default)]
struct Manner {
    status: u16,
    headers: Vec<(&'static str, &'static str)>,
    refuses: Option<&'static str>,
    hangs: bool,
    waits: Option<Arc<tokio::sync::Notify>>,
    repeats: bool,
}

/// A server that is told something.
#[derive(Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    manner: Arc<Mutex<Manner>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let manner = Arc::new(Mutex::new(Manner { status: 200, ..Manner::default() }));
        let server = Self { address, manner, seen: Arc::default() };
        let router = axum::Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn answers(&self, status: u16, headers: &[(&'static str, &'static str)]) {
        *self.manner.lock().unwrap() = Manner { status, headers: headers.to_vec(), ..Manner::default() };
    }

    pub(crate) fn refuses(&self, word: &'static str) {
        self.manner.lock().unwrap().refuses = Some(word);
    }

    pub(crate) fn hangs(&self) {
        self.manner.lock().unwrap().hangs = true;
    }

    /// Answers when the answer of this is told to.
    pub(crate) fn waits(&self) -> Arc<tokio::sync::Notify> {
        let go_on = Arc::new(tokio::sync::Notify::new());
        self.manner.lock().unwrap().waits = Some(go_on.clone());
        go_on
    }

    pub(crate) fn repeats(&self, status: u16) {
        *self.manner.lock().unwrap() = Manner { status, repeats: true, ..Manner::default() };
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// What it took.
    pub(crate) fn taken(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.status == 200).collect()
    }

    /// Goes on until it was told so often.
    pub(crate) async fn until(&self, many: usize, mut go_on: impl AsyncFnMut()) {
        let began = Instant::now();
        while self.seen().len() < many {
            assert!(began.elapsed() < LIMIT, "{:?}", self.seen());
            go_on().await;
        }
    }
}

async fn answer(State(server): State<Server>, asked: Asked) -> Response {
    let (parts, body) = asked.into_parts();
    let body = String::from_utf8(to_bytes(body, 1 << 20).await.unwrap().into()).unwrap();
    let manner = server.manner.lock().unwrap().clone();
    let refused = manner.refuses.is_some_and(|word| body.contains(word));
    let status = if refused { 400 } else { manner.status };
    let headers = parts.headers.clone();
    server.seen.lock().unwrap().push(Seen { headers, body: body.clone(), status });
    if manner.hangs {
        return std::future::pending().await;
    }
    if let Some(go_on) = manner.waits {
        go_on.notified().await;
    }
    let said = if manner.repeats { format!("{:?} {:?}", parts.uri, parts.headers) } else { "ok".to_owned() };
    let mut answer = (StatusCode::from_u16(status).unwrap(), said).into_response();
    for (name, value) in manner.headers {
        answer.headers_mut().insert(name, value.parse().unwrap());
    }
    answer
}

/// The actor and those who tell what it writes down.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    store: Arc<dyn Store>,
    notify: Box<dyn Handler>,
    senders: Senders,
    metrics: Arc<Metrics>,
    pub(crate) now: Timestamp,
    number: u64,
}

impl World {
    /// Sinks of which those whose address is a secret lead to this server.
    pub(crate) fn of(sinks: &str, hook: &Server) -> Self {
        Self::on(None, sinks, hook)
    }

    /// `None`: records are in a queue file.
    pub(crate) fn on(store: Option<Arc<dyn Store>>, sinks: &str, hook: &Server) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        let store = store.unwrap_or_else(|| local.store());
        let metrics = Metrics::new("asya_actor");
        let (notify, senders) = actor(&store, sinks, hook, &metrics, None);
        Self { _folder: folder, store, notify, senders, metrics, now: Timestamp::now(), number: 0 }
    }

    /// Another process in the place of this one, when its claims have run out.
    pub(crate) async fn restart(&mut self, sinks: &str, hook: &Server) {
        (self.notify, self.senders) = actor(&self.store, sinks, hook, &self.metrics, None);
        for record in self.store.list("analysis_sinks", "", 10).await.unwrap() {
            let (table, expect) = ("analysis_sinks", asya_store::Expect::Anything);
            let gone = asya_store::Write { table, key: record.key, value: None, expect };
            self.store.commit(vec![gone]).await.unwrap();
        }
    }

    /// Another process beside this one.
    pub(crate) fn another(&self, sinks: &str, hook: &Server) -> Senders {
        actor(&self.store, sinks, hook, &self.metrics, None).1
    }

    /// The same with the keys of who asks, in this file.
    pub(crate) fn keyed(mut self, sinks: &str, hook: &Server, keys: &Path) -> Self {
        (self.notify, self.senders) = actor(&self.store, sinks, hook, &self.metrics, Some(keys));
        self
    }

    pub(crate) async fn take(&mut self, told: &Told) {
        self.number += 1;
        let envelope = Envelope::new(format!("n-{}", self.number), Route::new(["notify"]), Raw::of(told));
        let end = self.end(envelope).await;
        let End::Platform { envelopes, writes, .. } = end else { panic!("{end:?}") };
        assert!(writes.is_empty() && envelopes.len() == 1);
    }

    /// What is answered to a call of this id and place.
    pub(crate) async fn call(&self, id: &str, place: usize, arguments: &Value) -> Value {
        self.answer(called(id, place, arguments)).await
    }

    /// What goes on.
    pub(crate) async fn answer(&self, envelope: Envelope) -> Value {
        let route = envelope.route.advanced();
        let end = self.end(envelope).await;
        let End::Platform { envelopes, .. } = end else { panic!("{end:?}") };
        assert_eq!(envelopes[0].route, route);
        serde_json::from_slice(envelopes[0].payload.as_bytes()).unwrap()
    }

    /// What becomes of an envelope.
    pub(crate) async fn end(&self, envelope: Envelope) -> End {
        let (body, actor) = (envelope.encode(), "notify".to_owned());
        let request = Request { body, envelope, actor, attempt: 1, timeout: LIMIT };
        let end = self.notify.handle(request).recv().await;
        let Some(Reply::End(end)) = end else { panic!("{end:?}") };
        end
    }

    pub(crate) async fn turn(&mut self) {
        self.senders.turn(self.now).await.unwrap();
    }

    /// Goes on until nothing is to be told.
    pub(crate) async fn quiet(&mut self) {
        let began = Instant::now();
        while !self.store.list("analysis_outbox", "", 1).await.unwrap().is_empty() {
            assert!(began.elapsed() < LIMIT, "{}", self.kept().await);
            self.now += SignedDuration::from_secs(1);
            self.turn().await;
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    pub(crate) async fn waiting(&self, sink: &str) -> usize {
        self.store.list("analysis_outbox", &format!("{sink}/"), 100).await.unwrap().len()
    }

    /// Everything that is kept, as text.
    pub(crate) async fn kept(&self) -> String {
        let mut text = String::new();
        for table in ["analysis_outbox", "analysis_told", "analysis_sinks"] {
            for record in self.store.list(table, "", 1000).await.unwrap() {
                text.push_str(&format!(
                    "{table} {} {}\n",
                    record.key,
                    String::from_utf8_lossy(&record.value)
                ));
            }
        }
        text
    }

    pub(crate) fn counted(&self, line: &str) -> bool {
        self.metrics.encode().contains(line)
    }
}

fn actor(
    store: &Arc<dyn Store>,
    sinks: &str,
    hook: &Server,
    metrics: &Metrics,
    keys: Option<&Path>,
) -> (Box<dyn Handler>, Senders) {
    let (hook, keys) = (hook.url("/services/hidden-hook"), keys.map(|file| file.display().to_string()));
    let find = |name: &str| match name {
        "ASYA_NOTIFY_SINKS" => Some(sinks.to_owned()),
        "HOOK" => Some(hook.clone()),
        "TOKEN" => Some("pass-word-1".to_owned()),
        "ASYA_SUBJECT_KEYS_FILE" => keys.clone(),
        _ => None,
    };
    let settings = Settings::read(&Variables { find: &find, base: Path::new("/") }).unwrap();
    let (notify, mut senders) = Notify::new(store.clone(), settings).unwrap();
    senders.count_by(Some(metrics.actor("notify", "local")));
    (Box::new(Committed::new(store.clone(), notify, 16)), senders)
}

/// The call of an agent, whose turn has come to this place of its route.
pub(crate) fn called(id: &str, place: usize, arguments: &Value) -> Envelope {
    let mut route = Route::new((0..=place + 1).map(|at| if at == place { "notify" } else { "ops" }));
    route.current = place;
    Envelope::new(id, route, Raw::of(arguments))
}

/// What is wrong with this pod.
pub(crate) fn finding(name: &str, number: u64) -> Finding {
    let text = format!("{name} has no image <!channel>");
    Finding {
        cluster: "here".to_owned(),
        object: ObjectRef::of::<Pod>(Some("shop"), name),
        uid: None,
        parent: None,
        backstage: None,
        failures: vec![Failure::new("ImagePullFails", Severity::Error, text)],
        fingerprint: format!("print-of-{name}"),
        lifecycle: Lifecycle::Created,
        first_seen: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
        sequence: Sequence { at: 1, number },
    }
}

pub(crate) fn told(change: Change, finding: Finding) -> Told {
    Told { transition: Transition { change, finding }, explanation: None, late: false }
}

pub(crate) fn explained(told: Told, late: bool) -> Told {
    let explanation = Explanation {
        text: "No image [e1]. Ask @all [e9].".to_owned(),
        provider: "p".to_owned(),
        model: "m".to_owned(),
        language: "english".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        evidence: Vec::new(),
        invented: vec!["e9".to_owned()],
        cut: false,
    };
    Told { explanation: Some(explanation), late, ..told }
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
            .with_max_level(tracing::Level::TRACE)
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
