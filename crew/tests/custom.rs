//! Custom analyzers: real ones over gRPC, through the actor, a real queue file and the findings.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    num::NonZeroU16,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_analysis::{
    Change, Finding, ObjectRef, custom,
    message::{Observed, Transition},
};
use asya_crew::{
    analysis::{
        Findings,
        custom::{
            Custom, Settings,
            proto::{
                ErrorDetail, Result as Said, RunRequest, RunResponse,
                custom_analyzer_service_server::{CustomAnalyzerService, CustomAnalyzerServiceServer},
            },
            run,
        },
    },
    committed::Committed,
    shipped::Variables,
};
use asya_envelope::{Envelope, Naming, Raw, Route};
use asya_handler::{End, Handler, Reply, Request};
use asya_sidecar::Means;
use asya_transport::{
    Consumer, Outcome, Queues as _, Transport as _,
    local::{Local, LocalOptions},
};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tonic::{Response, Status, transport::Server, transport::server::TcpIncoming};

/// Until then what must come has come.
const LIMIT: Duration = Duration::from_secs(30);

/// What an analyzer does when it is asked.
#[derive(Clone)]
enum Does {
    Say(Option<Said>),
    Fail,
    Hang,
}

struct Analyzer(Arc<Mutex<Does>>);

#[tonic::async_trait]
impl CustomAnalyzerService for Analyzer {
    async fn run(&self, _: tonic::Request<RunRequest>) -> Result<Response<RunResponse>, Status> {
        let does = self.0.lock().unwrap().clone();
        match does {
            Does::Say(result) => Ok(Response::new(RunResponse { result })),
            Does::Fail => Err(Status::internal("it broke")),
            Does::Hang => std::future::pending().await,
        }
    }
}

/// A served analyzer, on a port of its own; away when dropped.
struct Served {
    address: SocketAddr,
    does: Arc<Mutex<Does>>,
    server: JoinHandle<()>,
}

impl Served {
    async fn that(does: Does) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let does = Arc::new(Mutex::new(does));
        let service = CustomAnalyzerServiceServer::new(Analyzer(does.clone()));
        let incoming = TcpIncoming::from(listener);
        let server = Server::builder().add_service(service).serve_with_incoming(incoming);
        let server = tokio::spawn(async move { server.await.unwrap() });
        Self { address, does, server }
    }

    fn does(&self, does: Does) {
        *self.does.lock().unwrap() = does;
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn full(name: &str) -> Does {
    let error = ErrorDetail { text: format!("disk of {name} is full"), ..ErrorDetail::default() };
    Does::Say(Some(Said {
        kind: "Pod".to_owned(),
        name: format!("shop/{name}"),
        error: vec![error],
        ..Said::default()
    }))
}

/// The queue file behind the actor, and the findings in it.
struct World {
    _folder: tempfile::TempDir,
    local: Arc<Local>,
    findings: Box<dyn Handler>,
    answers: tokio::sync::Mutex<Box<dyn Consumer>>,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        local.ensure(&Naming::bare().queue("findings")).await.unwrap();
        let findings = Findings::new(local.store(), Duration::ZERO);
        let findings = Box::new(Committed::new(local.store(), findings, 4));
        let answers = local.consume(&Naming::bare().queue("findings"), NonZeroU16::MIN).await.unwrap();
        Self { _folder: folder, local, findings, answers: answers.into() }
    }

    /// The actor `custom`, asking these.
    fn asks(&self, analyzers: &[(&str, &SocketAddr)]) -> Asking {
        let entries = analyzers.iter().map(
            |(name, address)| json!({"name": name, "url": address.ip().to_string(), "port": address.port()}),
        );
        let entries = serde_json::Value::from_iter(entries).to_string();
        let find = |name: &str| match name {
            "ASYA_CUSTOM_ANALYZERS" => Some(entries.clone()),
            "ASYA_WATCH_RESYNC" => Some("1h".to_owned()),
            "ASYA_CUSTOM_TIMEOUT" => Some("500ms".to_owned()),
            _ => None,
        };
        let settings = Settings::read(&Variables { find: &find, base: Path::new("/") }).unwrap();
        let means = Means { transport: self.local.clone(), metrics: None, payloads: None };
        let (handler, woken) = Custom::handler();
        let running = tokio::spawn(run(settings, Naming::bare(), means, woken));
        Asking { handler: Box::new(handler), running }
    }

    /// The next message that comes out of the actor, and what the findings make of it.
    async fn next(&self) -> (Observed, Vec<Transition>) {
        let delivery = timeout(LIMIT, self.answers.lock().await.next()).await.unwrap().unwrap();
        let mut envelope = Envelope::parse(delivery.body.clone()).unwrap();
        let observed: Observed = serde_json::from_slice(envelope.payload.as_bytes()).unwrap();
        // Somebody has to be told.
        envelope.route = Route::new(["findings", "notify"]);
        let mut told = Vec::new();
        let mut rest = vec![envelope];
        while let Some(envelope) = rest.pop() {
            for next in sent(ask(&*self.findings, &envelope).await) {
                if next.route.current_actor() == Some("notify") {
                    told.push(serde_json::from_slice(next.payload.as_bytes()).unwrap());
                } else {
                    rest.push(next);
                }
            }
        }
        assert!(delivery.settle(Outcome::Forward { messages: Vec::new(), writes: Vec::new() }).await.is_ok());
        (observed, told)
    }

    /// The next change of a finding, of the analyzer `name`.
    async fn changed(&self, name: &str) -> (Change, Finding) {
        loop {
            let (_, told) = self.next().await;
            if let Some(Transition { change, finding }) =
                told.into_iter().find(|told| told.finding.object == custom::analyzer(name))
            {
                return (change, finding);
            }
        }
    }

    /// Takes as many answers as there are analyzers, and says what changed.
    async fn round(&self, analyzers: usize) -> BTreeMap<String, Change> {
        let mut changes = BTreeMap::new();
        for _ in 0..analyzers {
            let (_, told) = self.next().await;
            changes.extend(told.into_iter().map(|told| (told.finding.object.name, told.change)));
        }
        changes
    }
}

struct Asking {
    handler: Box<dyn Handler>,
    running: JoinHandle<()>,
}

impl Asking {
    async fn now(&self) {
        ask(&*self.handler, &Envelope::new("wake", Route::new(["custom"]), Raw::of(&()))).await;
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn ask(actor: &dyn Handler, envelope: &Envelope) -> End {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: "test".to_owned(),
        attempt: 1,
        timeout: Duration::from_secs(10),
    };
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

fn sent(end: End) -> Vec<Envelope> {
    let End::Platform { envelopes, .. } = end else { panic!("{end:?}") };
    envelopes
}

#[tokio::test]
async fn what_an_analyzer_says_opens_changes_and_closes_its_finding() {
    let (world, disk) = (World::new().await, Served::that(full("web")).await);
    let asking = world.asks(&[("disk", &disk.address)]);
    let (change, finding) = world.changed("disk").await;
    assert_eq!((change, finding.failures[0].text.as_str()), (Change::Opened, "disk of web is full"));
    let about = ObjectRef::of::<k8s_openapi::api::core::v1::Pod>(Some("shop"), "web");
    assert_eq!(finding.failures[0].evidence[0].object, about);
    disk.does(full("pay"));
    asking.now().await;
    assert_eq!(world.changed("disk").await.0, Change::Changed);
    asking.now().await;
    assert_eq!(world.round(1).await, BTreeMap::new(), "the same again");
    disk.does(Does::Say(None));
    asking.now().await;
    assert_eq!(world.changed("disk").await.0, Change::Resolved);
}

#[tokio::test]
async fn one_that_fails_hangs_or_is_away_keeps_its_finding() {
    let (world, disk, fine) =
        (World::new().await, Served::that(full("web")).await, Served::that(full("other")).await);
    let asking = world.asks(&[("disk", &disk.address), ("fine", &fine.address)]);
    assert_eq!(world.round(3).await.len(), 2, "the names, and an answer of each");
    for does in [Does::Fail, Does::Hang] {
        disk.does(does);
        fine.does(Does::Say(None));
        asking.now().await;
        assert_eq!(world.round(2).await, BTreeMap::from([("fine".to_owned(), Change::Resolved)]));
        fine.does(full("other"));
        disk.does(full("web"));
        asking.now().await;
        assert_eq!(world.round(2).await, BTreeMap::from([("fine".to_owned(), Change::Opened)]));
    }
    drop(disk);
    asking.now().await;
    assert_eq!(world.round(2).await, BTreeMap::new());
}

#[tokio::test]
async fn one_that_hangs_holds_up_no_other() {
    let (world, slow, fine) =
        (World::new().await, Served::that(Does::Hang).await, Served::that(full("web")).await);
    let _asking = world.asks(&[("slow", &slow.address), ("fine", &fine.address)]);
    let mut answered = Vec::new();
    for _ in 0..3 {
        answered.extend(world.next().await.0.observation.object().map(|object| object.name.clone()));
    }
    assert_eq!(answered, ["fine", "slow"], "the first in the settings hangs");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_none() {
    let (world, disk) = (World::new().await, Served::that(full("web")).await);
    let asking = world.asks(&[("disk", &disk.address)]);
    assert_eq!(world.changed("disk").await.0, Change::Opened);
    disk.does(full(&"x".repeat(200_000)));
    asking.now().await;
    let (observed, told) = world.next().await;
    assert!(told.is_empty() && format!("{observed:?}").contains("OutOfRange"), "{observed:?}");
}

#[tokio::test]
async fn one_that_is_removed_from_the_settings_has_its_finding_closed_and_no_other() {
    let (world, disk, fine) =
        (World::new().await, Served::that(full("web")).await, Served::that(full("other")).await);
    let asking = world.asks(&[("disk", &disk.address), ("fine", &fine.address)]);
    assert_eq!(world.round(3).await.len(), 2);
    drop(asking);
    let asking = world.asks(&[("fine", &fine.address)]);
    let (_, told) = world.next().await;
    let told: Vec<_> = told.iter().map(|told| (told.change, told.finding.object.name.as_str())).collect();
    assert_eq!(told, [(Change::Resolved, "disk")]);
    drop(asking);
    assert_eq!(world.round(1).await, BTreeMap::new(), "the other one is as it was");
    let _asking = world.asks(&[]);
    let (_, told) = world.next().await;
    assert_eq!(told[0].finding.object.name, "fine", "none at all");
}
