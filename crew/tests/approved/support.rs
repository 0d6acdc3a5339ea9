//! A gateway with its store, a turn of a session that calls a tool, and a namespace of a real API server.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use asya_crew::{
    InProcess,
    approval::{self, Approval},
    asked::{Source, Subjects},
    desk::{self, Desk},
    kube::write::{self, Write},
    shipped::Variables,
};
use asya_envelope::{Envelope, Raw, Route};
use asya_gateway::{
    agents::Agents,
    auth::{Principal, Roles, Tokens},
    rest::internal,
    service::{
        Reporter, Rules, Service,
        chat::{
            Chat, People,
            sessions::{Beginning, Message},
        },
    },
    subjects,
    tools::ToolSet,
};
use asya_handler::{End, Failure, Handler as _, Reply, Request};
use asya_session::{Body, Call, Operation, Phase, Place, Usage, Verdict, desk::Append};
use asya_store::{EnvelopeStore, StoreOptions};
use axum::{
    Extension, Router,
    extract::{Request as Asking, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use jiff::Timestamp;
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
    client::Body as KubeBody,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::sync::watch;

/// Nothing that a test waits for takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// Of [`World::unsent`]: changes are sent once it is another number.
pub(crate) const LATE: u8 = 2;
/// What nobody may see who looks at an operation.
pub(crate) const PASSWORD: &str = "hunter2hunter2";
pub(crate) const AGENT: &str = "operator";

/// What goes wrong between actor and gateway.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    None,
    /// Nothing is answered.
    Away,
    /// Claims are granted, and nobody learns of it.
    ClaimUnanswered,
    /// Outcomes get lost.
    NoOutcome,
}

/// A gateway, and one turn after the other.
pub(crate) struct Desks {
    _folder: tempfile::TempDir,
    pub(crate) service: Service,
    store: EnvelopeStore,
    address: String,
    fault: Arc<AtomicU8>,
}

pub(crate) fn person(name: &str) -> Principal {
    Principal::named(name, Roles::ALL)
}

async fn faulty(State(fault): State<Arc<AtomicU8>>, request: Asking, next: Next) -> Response {
    let fault = fault.load(Ordering::SeqCst);
    let path = request.uri().path().to_owned();
    let away = || StatusCode::SERVICE_UNAVAILABLE.into_response();
    if fault == Fault::Away as u8 || (fault == Fault::NoOutcome as u8 && path.ends_with("/outcome")) {
        return away();
    }
    let answer = next.run(request).await;
    if fault == Fault::ClaimUnanswered as u8 && path.ends_with("/claim") { away() } else { answer }
}

impl Desks {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.db");
        let store = EnvelopeStore::open(path.to_str().unwrap(), StoreOptions::default()).await.unwrap();
        let agents = folder.path().join("agents");
        std::fs::create_dir(&agents).unwrap();
        let agent = json!({"name": AGENT, "models": ["m"]});
        std::fs::write(agents.join(format!("{AGENT}.json")), agent.to_string()).unwrap();
        let agents = Agents::load(&agents).unwrap();
        let keys = subjects::Subjects::kept(None, &*store.records()).await.unwrap();
        let people = People { open: true, tokens: watch::Sender::new(Tokens::default()).subscribe() };
        let tools = watch::Sender::new(Arc::new(ToolSet::default())).subscribe();
        let service = Service::new(store.clone(), tools, Rules::default());
        let service = service.with_chat(Chat::new(agents.subscribe(), keys, people));
        let fault = Arc::new(AtomicU8::new(Fault::None as u8));
        let router = Router::new()
            .nest(internal::BASE, internal::router(service.clone()))
            .layer(Extension(Reporter { namespace: None, account: None }))
            .layer(middleware::from_fn_with_state(fault.clone(), faulty));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { _folder: folder, service, store, address, fault }
    }

    pub(crate) fn has(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::SeqCst);
    }

    /// The variables of an actor of this gateway, and more.
    pub(crate) fn variables<'a>(
        &'a self,
        more: &'a [(&'a str, &'a str)],
    ) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| {
            let mut all = more.iter().copied().chain([("ASYA_GATEWAY_URL", self.address.as_str())]);
            all.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
        }
    }

    pub(crate) fn approval(&self, more: &[(&str, &str)]) -> InProcess<Approval> {
        let find = self.variables(more);
        let variables = Variables { find: &find, base: Path::new("/") };
        Approval::new(approval::Settings::read(&variables).unwrap()).unwrap()
    }

    /// The envelope that the gateway sends next.
    pub(crate) async fn sent(&self) -> Envelope {
        let lease = Duration::from_secs(60);
        let mut claimed = self.store.exchange(&[], Timestamp::now(), lease, 9).await.unwrap();
        assert_eq!(claimed.len(), 1, "{claimed:?}");
        self.store.confirm(&claimed).await.unwrap();
        Envelope::parse(claimed.remove(0).body).unwrap()
    }

    /// Ann asks, and the model of the agent calls a tool: the envelope as it goes on by this route.
    pub(crate) async fn called(&self, route: &[&str], arguments: &Value) -> Envelope {
        let message = Some(Message { text: "mend it".to_owned(), ..Message::default() });
        let beginning = Beginning { agent: AGENT.to_owned(), title: None, message };
        self.service.begin_session(&person("ann"), beginning).await.unwrap();
        let mut envelope = self.sent().await;
        let settings = desk::Settings { gateway: self.address.clone(), token: None };
        let desk = Desk::new(&settings).unwrap();
        let asked = Subjects::new(&Source::Gateway(settings)).unwrap().of(&envelope).await.unwrap();
        let session = desk.transcript(&asked.token, &asked.claims.session, 1).await.unwrap().session;
        let call = Call {
            id: "call-1".to_owned(),
            name: "k8s_write".to_owned(),
            arguments: arguments.clone(),
            signature: None,
        };
        let body = Body::Assistant {
            text: String::new(),
            calls: vec![call],
            model: "m".to_owned(),
            usage: Usage::default(),
        };
        let place = Place { envelope: envelope.id.clone(), hop: 0, step: 0 };
        let append = Append { before: session.hash, place, body };
        desk.append(&asked.token, &session.id, session.head + 1, &append).await.unwrap();
        envelope.route = Route::new([AGENT].iter().chain(route).chain(&[AGENT]).copied());
        envelope.route.current = 1;
        envelope.payload = Raw::of(arguments);
        envelope
    }

    /// The operations in this phase.
    pub(crate) async fn operations(&self, phase: Phase) -> Vec<Operation> {
        let page = self.service.operations(&person("bob"), Some(phase), None, None, 100).await.unwrap();
        page.operations
    }

    /// The one that waits.
    pub(crate) async fn waiting(&self) -> Operation {
        let mut all = self.operations(Phase::Waiting).await;
        assert_eq!(all.len(), 1, "{all:#?}");
        all.remove(0)
    }

    /// Bob decides; the envelope that goes on.
    pub(crate) async fn decided(&self, operation: &Operation, verdict: Verdict) -> Envelope {
        let Operation { proposal, .. } = operation;
        let (hash, comment) = (proposal.hash.clone(), "because".to_owned());
        self.service.decide(&person("bob"), &proposal.id, verdict, hash, comment).await.unwrap();
        self.sent().await
    }

    pub(crate) async fn operation(&self, id: &str) -> Operation {
        self.service.operation(&person("bob"), id).await.unwrap()
    }
}

/// One run of an actor.
pub(crate) async fn run(actor: &InProcess<Approval>, envelope: &Envelope) -> End {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: envelope.route.current_actor().unwrap().to_owned(),
        attempt: 1,
        timeout: LIMIT,
    };
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

/// The failure that a run ended with.
pub(crate) fn failure(end: End) -> Failure {
    match end {
        End::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

/// The envelope with the one item that came of it.
pub(crate) fn onward(envelope: &Envelope, end: End) -> Envelope {
    let End::Done(mut items) = end else { panic!("{end:?}") };
    assert_eq!(items.len(), 1);
    let item = items.remove(0);
    let mut onward = envelope.clone();
    onward.route = item.route.unwrap_or_else(|| envelope.route.advanced());
    onward.payload = item.payload;
    onward
}

pub(crate) fn payload(envelope: &Envelope) -> Value {
    serde_json::from_slice(envelope.payload.as_bytes()).unwrap()
}

/// A namespace with a Deployment in it, a person who may change it, and the tool's own account.
pub(crate) struct World {
    pub(crate) desks: Desks,
    pub(crate) client: Client,
    pub(crate) tool: Config,
    pub(crate) namespace: String,
    pub(crate) unsent: Arc<AtomicU8>,
}

pub(crate) async fn config() -> Option<Config> {
    let path = asya_store::testing::server("ASYA_TEST_KUBECONFIG")?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    Some(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap())
}

pub(crate) fn api(client: &Client, namespace: &str, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
    if ["Namespace", "Node", "ClusterRole", "ClusterRoleBinding"].contains(&kind) {
        return Api::all_with(client.clone(), &resource);
    }
    Api::namespaced_with(client.clone(), namespace, &resource)
}

impl World {
    /// None: there is no API server.
    pub(crate) async fn new() -> Option<Self> {
        let config = config().await?;
        let client = Client::try_from(config.clone()).unwrap();
        let namespace = format!("write-{:08x}", rand::random::<u32>());
        let mut tool = config;
        tool.auth_info.impersonate = Some(format!("tool-{namespace}"));
        let unsent = Arc::new(AtomicU8::new(0));
        let world = Self { desks: Desks::new().await, client, tool, namespace, unsent };
        let named =
            |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
        world.apply(&named("Namespace", &world.namespace)).await;
        let verbs = json!(["get", "list", "create", "patch", "delete"]);
        let rules = json!([
            {"apiGroups": ["apps"], "resources": ["deployments", "statefulsets", "daemonsets"], "verbs": verbs},
            {"apiGroups": ["apps"], "resources": ["replicasets", "controllerrevisions"], "verbs": ["list"]},
            {"apiGroups": [""], "resources": ["configmaps", "services"], "verbs": verbs},
        ]);
        for user in ["ann", "tool"] {
            let user = world.user(user);
            world.grant(&user, &rules).await;
        }
        let group = "rbac.authorization.k8s.io/v1";
        let name = world.user("tool");
        let rules = json!([{"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]},
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}]);
        world.apply(&json!({"apiVersion": group, "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules})).await;
        let subjects: Vec<Value> = [&name, &world.user("ann")]
            .map(|name| json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}))
            .to_vec();
        world
            .apply(&json!({"apiVersion": group, "kind": "ClusterRoleBinding", "metadata": {"name": name},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
                "subjects": subjects}))
            .await;
        world.deployment("web", 1).await;
        Some(world)
    }

    /// The user of the cluster whom `ASYA_KUBE_USER_CLAIM` of [`World::write`] means.
    pub(crate) fn user(&self, name: &str) -> String {
        format!("{name}-{}", self.namespace)
    }

    async fn grant(&self, user: &str, rules: &Value) {
        let group = "rbac.authorization.k8s.io";
        self.apply(
            &json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": user},
            "rules": rules}),
        )
        .await;
        self.apply(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": user},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}]}))
            .await;
    }

    pub(crate) async fn apply(&self, object: &Value) -> Value {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
        let api = api(&self.client, &self.namespace, text("/apiVersion"), text("/kind"));
        let params = PatchParams::apply("somebody").force();
        let applied = api.patch(text("/metadata/name"), &params, &Patch::Apply(object)).await.unwrap();
        serde_json::to_value(applied).unwrap()
    }

    pub(crate) async fn deployment(&self, name: &str, replicas: u32) -> Value {
        let labels = json!({"app": name});
        let env = json!([{"name": "DB_PASSWORD", "value": PASSWORD}]);
        let containers = json!([{"name": "web", "image": "registry.example/web:1", "env": env}]);
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": containers}});
        self.apply(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}}))
            .await
    }

    pub(crate) async fn get(&self, api_version: &str, kind: &str, name: &str) -> Option<Value> {
        let found = api(&self.client, &self.namespace, api_version, kind).get_opt(name).await.unwrap();
        found.map(|found| serde_json::to_value(found).unwrap())
    }

    pub(crate) async fn web(&self) -> Value {
        self.get("apps/v1", "Deployment", "web").await.unwrap()
    }

    /// Somebody else changes it as this merge patch says.
    pub(crate) async fn changed(&self, patch: &Value) {
        let api = api(&self.client, &self.namespace, "apps/v1", "Deployment");
        api.patch("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// Somebody writes a status, as controllers do all the time.
    pub(crate) async fn status_moves(&self) {
        let patch = json!({"status": {"observedGeneration": 1, "replicas": 7}});
        let api = api(&self.client, &self.namespace, "apps/v1", "Deployment");
        api.patch_status("web", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// The actor, with these settings before those that open the namespace to everybody who may.
    pub(crate) fn write(&self, more: &[(&str, &str)]) -> Write {
        let claim = self.user("{sub}");
        let mut all = more.to_vec();
        all.extend([
            ("ASYA_KUBE_USER_CLAIM", claim.as_str()),
            ("ASYA_KUBE_NAMESPACES", self.namespace.as_str()),
        ]);
        let find = self.desks.variables(&all);
        let settings = write::Settings::read(&Variables { find: &find, base: Path::new("/") }).unwrap();
        let (client, unsent) = (Client::try_from(self.tool.clone()).unwrap(), self.unsent.clone());
        // Changes that are no dry runs are never sent while they are to be unsent, or later if they are to be late.
        let service = tower::service_fn(move |request: hyper::Request<KubeBody>| {
            let (client, unsent) = (client.clone(), unsent.clone());
            async move {
                let writes = [hyper::Method::PATCH, hyper::Method::DELETE].contains(request.method())
                    || (*request.method() == hyper::Method::POST
                        && request.uri().path().ends_with("/configmaps"));
                if writes && !request.uri().query().unwrap_or_default().contains("dryRun") {
                    while unsent.load(Ordering::SeqCst) == LATE {
                        tokio::time::sleep(PAUSE).await;
                    }
                    if unsent.load(Ordering::SeqCst) > 0 {
                        std::future::pending::<()>().await;
                    }
                }
                client.send(request).await
            }
        });
        Write::new(settings, Some(Client::new(service, "default"))).unwrap()
    }

    /// The first run with these arguments: the envelope before and what comes of it.
    pub(crate) async fn planned(&self, write: &Write, arguments: &Value) -> Envelope {
        let envelope = self.desks.called(&["k8s-write"], arguments).await;
        let end = write.take(&envelope, Timestamp::now()).await.unwrap();
        onward(&envelope, end)
    }

    /// Proposed and handed over.
    pub(crate) async fn proposed(&self, write: &Write, arguments: &Value) -> Operation {
        let planned = self.planned(write, arguments).await;
        assert_eq!(
            planned.route.actors,
            [AGENT, "k8s-write", "approval", "k8s-write", AGENT],
            "{}",
            payload(&planned)
        );
        let end = run(&self.desks.approval(&[]), &planned).await;
        assert!(matches!(&end, End::Platform { envelopes, .. } if envelopes.is_empty()), "{end:?}");
        self.desks.waiting().await
    }

    /// What the model is told after the second run.
    pub(crate) async fn carried(&self, write: &Write, approved: &Envelope) -> Value {
        let end = write.take(approved, Timestamp::now()).await.unwrap();
        let onward = onward(approved, end);
        assert_eq!(onward.route.current_actor(), Some(AGENT));
        payload(&onward)
    }
}

/// Waits until a look finds something.
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
