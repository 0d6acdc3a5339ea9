//! A gateway without queues: what sidecars would report is reported by the test.

use std::{path::Path, sync::Arc, time::Duration};

use asya_gateway::{
    actors::{Actor, Source},
    auth::{Principal, Role, Roles},
    cluster::Look,
    mcp::{self, Options},
    service::{Error, Reporter, Rules, Service},
    tools::{ToolSet, Tools},
};
use asya_store::{
    EnvelopeStore, StoreOptions,
    envelopes::{Ending, Filter, Report, Status, Step, Summary},
};
use axum::{Extension, Router};
use futures::future::BoxFuture;
use rmcp::{
    ClientHandler, ClientLifecycleMode, ClientServiceExt, RoleClient,
    model::{
        CallToolRequestParams, CallToolResult, ClientConfig, JsonObject, ProgressNotificationParam,
        ProtocolVersion,
    },
    service::{NotificationContext, RunningService},
    transport::{StreamableHttpClientTransport, streamable_http_client::StreamableHttpClientTransportConfig},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long anything may take that a test waits for.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);
/// Largest envelope.
pub(crate) const LARGEST: usize = 64 * 1024;

const TOOLS: &str = "
tools:
  - {name: ocr, description: Reads a page, route: [split, read], parameters: {page: {type: integer, required: true}}}
  - {name: wait, route: [read], wait: true, parameters: {page: {type: integer, default: 1}}}
  - {name: brief, route: [read], wait: true, wait_limit: 0.2}
";

/// Every version that is served.
pub(crate) fn versions() -> [ProtocolVersion; 4] {
    [
        ProtocolVersion::V_2025_03_26,
        ProtocolVersion::V_2025_06_18,
        ProtocolVersion::V_2025_11_25,
        ProtocolVersion::V_2026_07_28,
    ]
}

struct Fixed;

impl Source for Fixed {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        let read = Actor {
            name: "read".to_owned(),
            queue: "asya-read".to_owned(),
            queued: Some(7),
            ..Actor::default()
        };
        Box::pin(async { Ok(vec![read]) })
    }
}

/// One store; as many gateways as a test wants.
pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) tools: watch::Sender<Arc<ToolSet>>,
    pub(crate) stop: CancellationToken,
    /// A look into a cluster.
    pub(crate) cluster: Option<Arc<Look>>,
    folder: TempDir,
}

pub(crate) async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.db");
    let store = EnvelopeStore::open(path.to_str().unwrap(), StoreOptions::default());
    let tools = watch::Sender::new(tool_set(folder.path(), TOOLS));
    let service = Service::new(store.await.unwrap(), tools.subscribe(), Rules::default());
    World { service, tools, stop: CancellationToken::new(), cluster: None, folder }
}

fn tool_set(folder: &Path, text: &str) -> Arc<ToolSet> {
    let file = folder.join("tools.yaml");
    std::fs::write(&file, text).unwrap();
    Tools::load(&file).unwrap().subscribe().borrow().clone()
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) fn person(roles: &[Role]) -> Principal {
    Principal::named("ann", Roles::from_iter(roles.iter().copied()))
}

impl World {
    pub(crate) fn router(&self, who: Principal) -> Router {
        let options = Options {
            origins: vec!["https://page.example".to_owned()],
            hosts: vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
            largest: LARGEST,
            actors: Some(self.actors()),
            cluster: self.cluster.clone(),
            stop: self.stop.clone(),
        };
        mcp::router(self.service.clone(), options).layer(Extension(who))
    }

    pub(crate) fn actors(&self) -> Arc<dyn Source> {
        Arc::new(Fixed)
    }

    /// A gateway of its own over the same store; answers its address.
    pub(crate) async fn gateway(&self, who: Principal) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (router, stop) = (self.router(who), self.stop.clone());
        tokio::spawn(async move {
            axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await.unwrap();
        });
        format!("http://{address}/mcp")
    }

    pub(crate) fn change_tools(&self, text: &str) {
        self.tools.send_replace(tool_set(self.folder.path(), text));
    }

    /// The only envelope there is, as soon as there is one.
    pub(crate) async fn envelope(&self) -> Summary {
        self.until(|envelopes| envelopes.first().cloned()).await
    }

    /// Waits until the envelope was cancelled.
    pub(crate) async fn cancelled(&self, id: &str) {
        let summary = self.ended(id).await;
        assert_eq!(summary.status, Status::Failed);
        assert_eq!(summary.code.as_deref(), Some("cancelled"));
    }

    pub(crate) async fn ended(&self, id: &str) -> Summary {
        self.until(|envelopes| {
            envelopes.iter().find(|summary| summary.id == id && summary.status.is_final()).cloned()
        })
        .await
    }

    async fn until<T>(&self, found: impl Fn(&[Summary]) -> Option<T>) -> T {
        let looking = async {
            loop {
                let page = self.service.store().list(&Filter::default(), None, 100).await.unwrap();
                if let Some(found) = found(&page.envelopes) {
                    return found;
                }
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(LIMIT, looking).await.unwrap()
    }

    /// What the sidecar of the actor at `current` of `actors` reports.
    pub(crate) async fn report(&self, id: &str, actors: &[&str], current: usize, step: Step) {
        let report = Report {
            actors: actors.iter().map(|&actor| actor.to_owned()).collect(),
            current,
            actor: Some(actors[current].to_owned()),
            step,
            message: Some(format!("{} works", actors[current])),
            fraction: None,
            attempt: 1,
            seq: 0,
            duration: None,
            size: None,
            offspring: Default::default(),
        };
        self.service.progress(&Reporter { namespace: None, account: None }, id, &report).await.unwrap();
    }

    pub(crate) async fn succeed(&self, id: &str, result: &Value) {
        let ending = Ending::Succeeded { result: Some(asya_envelope::Raw::of(result)), stored_at: None };
        self.service.finish(&Reporter { namespace: None, account: None }, id, &ending).await.unwrap();
    }

    pub(crate) async fn fail(&self, id: &str) {
        let ending = Ending::Failed {
            error: "no page 7".to_owned(),
            code: Some("processing_error".to_owned()),
            details: None,
            actor: Some("read".to_owned()),
            current: Some(1),
            actors: Vec::new(),
        };
        self.service.finish(&Reporter { namespace: None, account: None }, id, &ending).await.unwrap();
    }
}

/// A client that keeps what it is told.
pub(crate) struct Client {
    version: ProtocolVersion,
    progress: mpsc::UnboundedSender<ProgressNotificationParam>,
    changes: mpsc::UnboundedSender<()>,
}

/// What a client was told.
pub(crate) struct Told {
    pub(crate) progress: mpsc::UnboundedReceiver<ProgressNotificationParam>,
    pub(crate) changes: mpsc::UnboundedReceiver<()>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        ClientConfig::default().with_protocol_version(self.version.clone())
    }

    async fn on_progress(&self, told: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        let _ = self.progress.send(told);
    }

    async fn on_tool_list_changed(&self, _: NotificationContext<RoleClient>) {
        let _ = self.changes.send(());
    }
}

pub(crate) type Connection = RunningService<RoleClient, Client>;

pub(crate) fn client(version: &ProtocolVersion) -> (Client, ClientLifecycleMode, Told) {
    let (progress, told_progress) = mpsc::unbounded_channel();
    let (changes, told_changes) = mpsc::unbounded_channel();
    let lifecycle = if *version == ProtocolVersion::V_2026_07_28 {
        ClientLifecycleMode::Discover { preferred_versions: vec![version.clone()] }
    } else {
        ClientLifecycleMode::Initialize
    };
    let told = Told { progress: told_progress, changes: told_changes };
    (Client { version: version.clone(), progress, changes }, lifecycle, told)
}

pub(crate) async fn connect(address: &str, version: &ProtocolVersion) -> (Connection, Told) {
    let (client, lifecycle, told) = client(version);
    let transport = StreamableHttpClientTransport::from_config(
        StreamableHttpClientTransportConfig::with_uri(address.to_owned()),
    );
    (client.serve_with_lifecycle(transport, lifecycle).await.unwrap(), told)
}

pub(crate) fn tool(name: &str, arguments: Value) -> CallToolRequestParams {
    let arguments: JsonObject = serde_json::from_value(arguments).unwrap();
    CallToolRequestParams::new(name.to_owned()).with_arguments(arguments)
}

pub(crate) fn page(number: u32) -> Value {
    json!({"page": number})
}

/// The text of an answer.
pub(crate) fn text(answer: &CallToolResult) -> String {
    answer.content[0].as_text().unwrap().text.clone()
}

pub(crate) async fn next<T>(told: &mut mpsc::UnboundedReceiver<T>) -> T {
    timeout(LIMIT, told.recv()).await.unwrap().unwrap()
}
