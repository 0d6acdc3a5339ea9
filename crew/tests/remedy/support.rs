//! A namespace of a real API server, a model that says what a test wants, and the actor between them.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use asya_analysis::{
    Change, Failure, Finding, Lifecycle, ObjectRef, Sequence, Severity,
    message::{Explanation, Told, Transition},
};
use asya_crew::{
    analysis::{
        Remedy,
        findings::FINDINGS,
        remedy::{Clusters, Mender, REMEDIES, Settings},
    },
    committed::Committed,
    shipped::Variables,
};
use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{End, Handler as _, Reply, Request};
use asya_resources::k8sgpt::{CRDS, mutation::APPROVAL_POLICY};
use asya_sidecar::Means;
use asya_store::{Expect, Store, Write};
use asya_transport::local::{Local, LocalOptions};
use axum::{extract::State, response::IntoResponse as _, response::Response};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, Config,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
    client::Body,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};

/// Nothing that a test waits for takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);
/// How the objects of these tests are called; a word that is nowhere else.
pub(crate) const NAME: &str = "checkout-api";
/// What no model and nobody who reads Mutations may see.
pub(crate) const PASSWORD: &str = "hunter2hunter2";

type Script = Box<dyn Fn(Value) -> String + Send>;

/// A model that speaks chat completions and answers with what a script makes of the manifest that it is asked about.
#[derive(Clone)]
pub(crate) struct Server {
    address: String,
    script: Arc<Mutex<Script>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/v1", listener.local_addr().unwrap());
        let server = Self { address, script: Arc::new(Mutex::new(Box::new(mended))), asked: Arc::default() };
        let router = axum::Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    pub(crate) fn says(&self, script: impl Fn(Value) -> String + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(server): State<Server>, request: String) -> Response {
    let request: Value = serde_json::from_str(&request).unwrap();
    let question =
        request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    server.asked.lock().unwrap().push(question.clone());
    let manifest = question.split_once("Its manifest:\n").unwrap().1.lines().next().unwrap();
    let text = (server.script.lock().unwrap())(serde_json::from_str(manifest).unwrap());
    let answer =
        json!({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]});
    ([("content-type", "application/json")], answer.to_string()).into_response()
}

/// The first container of a Deployment's manifest.
pub(crate) fn container(manifest: &mut Value) -> &mut Value {
    manifest.pointer_mut("/spec/template/spec/containers/0").unwrap()
}

/// The manifest with the right image.
pub(crate) fn mended(mut manifest: Value) -> String {
    container(&mut manifest)["image"] = json!("registry.example/shop/web:1.2");
    manifest.to_string()
}

/// What becomes of changes that are no dry runs.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    None,
    /// They are never sent, and nobody answers.
    Unsent,
    /// They are done, and nobody answers.
    Unanswered,
}

/// A client that has faults.
pub(crate) fn faulty(client: Client, fault: &Arc<AtomicU8>) -> Client {
    let fault = fault.clone();
    let service = tower::service_fn(move |request: hyper::Request<Body>| {
        let (client, fault) = (client.clone(), fault.load(Ordering::SeqCst));
        async move {
            let changes = request.method() == hyper::Method::PATCH
                && !request.uri().query().unwrap_or_default().contains("dryRun");
            if changes && fault == Fault::Unsent as u8 {
                std::future::pending::<()>().await;
            }
            let answer = client.send(request).await;
            if changes && fault == Fault::Unanswered as u8 {
                std::future::pending::<()>().await;
            }
            answer
        }
    });
    Client::new(service, "default")
}

/// One test's world.
pub(crate) struct World {
    _folder: tempfile::TempDir,
    local: Arc<Local>,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) server: Server,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fault: Arc<AtomicU8>,
    settings: Settings,
    pub(crate) mender: Mender,
    pub(crate) now: Timestamp,
    number: u64,
}

async fn config() -> Option<Config> {
    let path = asya_store::testing::server("ASYA_TEST_KUBECONFIG")?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let kubeconfig = Kubeconfig::read_from(path).unwrap();
    Some(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap())
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let of = GroupVersionKind::gvk(group, version, kind);
    match kind {
        "ValidatingAdmissionPolicy" => ApiResource::from_gvk_with_plural(&of, "validatingadmissionpolicies"),
        _ => ApiResource::from_gvk(&of),
    }
}

async fn apply(client: &Client, namespace: Option<&str>, object: &Value) -> DynamicObject {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
    let resource = resource(text("/apiVersion"), text("/kind"));
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(text("/metadata/name"), &PatchParams::apply("test").force(), &Patch::Apply(object))
        .await
        .unwrap()
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

impl World {
    /// A namespace of its own, with people: alice may approve, eve may only write. None: there is no API server.
    pub(crate) async fn new(more: &[(&str, &str)]) -> Option<Self> {
        let client = Client::try_from(config().await?).unwrap();
        for crd in CRDS {
            apply(&client, None, &serde_saphyr::from_str(crd).unwrap()).await;
        }
        policy(&client).await;
        let namespace = format!("remedy-{:08x}", rand::random::<u32>());
        let made = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        apply(&client, None, &made).await;
        for (user, verbs) in [("alice", vec!["get", "patch", "approve"]), ("eve", vec!["get", "patch"])] {
            let rule = json!({"apiGroups": ["core.k8sgpt.ai"], "resources": ["mutations"], "verbs": verbs});
            let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
                "metadata": {"name": user}, "rules": [rule]});
            apply(&client, Some(&namespace), &role).await;
            let group = "rbac.authorization.k8s.io";
            let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
                "metadata": {"name": user}, "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
                "subjects": [{"apiGroup": group, "kind": "User", "name": user}]});
            apply(&client, Some(&namespace), &binding).await;
        }
        let server = Server::start().await;
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        let store = local.store();
        let usual = [
            ("ASYA_REMEDY_K8SGPT", "prod"),
            ("ASYA_LLM_BACKEND", "openai-compatible"),
            ("ASYA_LLM_MODEL", "m"),
            ("ASYA_LLM_BASE_URL", server.address.as_str()),
        ];
        let find = |name: &str| {
            let mut all = more.iter().chain(&usual);
            all.find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let settings = Settings::read(&Variables { find: &find, base: Path::new("/") }).unwrap();
        let fault = Arc::new(AtomicU8::new(Fault::None as u8));
        let mender = mender(&local, &store, &settings, &client, &faulty(client.clone(), &fault), &namespace);
        let now = Timestamp::now();
        let _folder = folder;
        Some(Self {
            _folder,
            local,
            client,
            namespace,
            server,
            store,
            fault,
            settings,
            mender,
            now,
            number: 0,
        })
    }

    /// Another process on the same database, without faults.
    pub(crate) fn another(&self) -> Mender {
        mender(&self.local, &self.store, &self.settings, &self.client, &self.client, &self.namespace)
    }

    /// A Deployment with a wrong image and a password, and what is found about it.
    pub(crate) async fn broken(&mut self, name: &str) -> Finding {
        let labels = json!({"app": name});
        let env = json!([{"name": "DB_PASSWORD", "value": PASSWORD}]);
        let container = json!({"name": "web", "image": "registry.example/shop/wep:1.2", "env": env});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}});
        apply(&self.client, Some(&self.namespace), &deployment).await;
        self.number += 1;
        let namespace = Some(self.namespace.as_str());
        let object = ObjectRef::of::<Pod>(namespace, &format!("{name}-5d9c-x2x7k"));
        let text = format!("Pod {} cannot pull its image", object.path());
        let at = Timestamp::UNIX_EPOCH;
        let finding = Finding {
            cluster: "here".to_owned(),
            object,
            uid: None,
            parent: Some(ObjectRef::of::<Deployment>(namespace, name)),
            backstage: None,
            failures: vec![Failure::new("ImagePullFails", Severity::Error, text)],
            fingerprint: format!("print-of-{name}"),
            lifecycle: Lifecycle::Created,
            first_seen: at,
            last_seen: at,
            sequence: Sequence { at: 1, number: self.number },
        };
        self.found(&finding).await;
        finding
    }

    /// What the findings' table says.
    pub(crate) async fn found(&self, finding: &Finding) {
        let object = &finding.object;
        let key = format!("here/{}/{}/{}", object.kind, object.namespace.as_deref().unwrap(), object.name);
        let value = serde_json::to_vec(&json!({"finding": finding})).unwrap();
        let write = Write { table: FINDINGS, key, value: Some(value.into()), expect: Expect::Anything };
        self.store.commit(vec![write]).await.unwrap();
    }

    pub(crate) async fn healed(&self, finding: &Finding) {
        self.found(&Finding { lifecycle: Lifecycle::Resolved, ..finding.clone() }).await;
    }

    /// Tells the actor that a finding is open, explained or not; it must go on as it came.
    pub(crate) async fn told(&self, finding: &Finding, explained: bool) {
        let explanation = explained.then(|| Explanation {
            text: "Problem: the image does not exist.".to_owned(),
            provider: "openai".to_owned(),
            model: "m".to_owned(),
            language: "english".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            evidence: Vec::new(),
            invented: Vec::new(),
            cut: false,
        });
        let transition = Transition { change: Change::Opened, finding: finding.clone() };
        let told = Told { transition, explanation, late: false };
        let envelope = Envelope::new("t-1", Route::new(["remedy", "notify"]), Raw::of(&told));
        let actor = Committed::new(self.store.clone(), Remedy::new(self.store.clone(), &self.settings), 4);
        let (body, actor_name) = (envelope.encode(), "remedy".to_owned());
        let request =
            Request { envelope: envelope.clone(), body, actor: actor_name, attempt: 1, timeout: LIMIT };
        match actor.handle(request).recv().await {
            Some(Reply::End(End::Platform { envelopes, .. })) => {
                assert_eq!(envelopes.len(), 1);
                assert_eq!(envelopes[0].payload.as_bytes(), envelope.payload.as_bytes());
                assert_eq!(envelopes[0].route.current_actor(), Some("notify"));
            }
            other => panic!("{other:?}"),
        }
    }

    /// A look some seconds later.
    pub(crate) async fn look(&mut self) {
        self.now += SignedDuration::from_secs(6);
        self.mender.look(self.now).await.unwrap();
    }

    /// Looks until a Mutation has this phase.
    pub(crate) async fn until(&mut self, phase: i64) -> Value {
        let began = std::time::Instant::now();
        loop {
            let mutations = self.mutations().await;
            if let Some(mutation) = mutations.iter().find(|mutation| mutation["status"]["phase"] == phase) {
                return mutation.clone();
            }
            assert!(began.elapsed() < LIMIT, "no phase {phase}: {mutations:#?}");
            self.look().await;
        }
    }

    pub(crate) async fn mutations(&self) -> Vec<Value> {
        let api = self.api_of(&self.client);
        let all = api.list(&ListParams::default()).await.unwrap();
        all.items.into_iter().map(|item| serde_json::to_value(item).unwrap()).collect()
    }

    fn api_of(&self, client: &Client) -> Api<DynamicObject> {
        let resource = resource("core.k8sgpt.ai/v1alpha1", "Mutation");
        Api::namespaced_with(client.clone(), &self.namespace, &resource)
    }

    /// Sets or takes away an approval as a user.
    pub(crate) async fn approve(
        &self,
        user: &str,
        mutation: &Value,
        value: Option<&str>,
    ) -> kube::Result<()> {
        let mut config = config().await.unwrap();
        config.auth_info.impersonate = Some(user.to_owned());
        let client = Client::try_from(config).unwrap();
        let patch = json!({"metadata": {"annotations": {"asya.sh/approve": value}}});
        let name = mutation["metadata"]["name"].as_str().unwrap();
        self.api_of(&client).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
    }

    /// A Deployment as it is.
    pub(crate) async fn deployment(&self, name: &str) -> Value {
        let resource = resource("apps/v1", "Deployment");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        serde_json::to_value(api.get(name).await.unwrap()).unwrap()
    }

    /// The image of a Deployment, and how often its spec was written.
    pub(crate) async fn image(&self, name: &str) -> (String, i64) {
        let deployment = self.deployment(name).await;
        let image = deployment.pointer("/spec/template/spec/containers/0/image").unwrap();
        (image.as_str().unwrap().to_owned(), deployment["metadata"]["generation"].as_i64().unwrap())
    }

    /// What is written down about an object that is mended.
    pub(crate) async fn remedy(&self, key: &str) -> String {
        let record = self.store.get(REMEDIES, key).await.unwrap();
        record.map(|record| String::from_utf8_lossy(&record.value).into_owned()).unwrap_or_default()
    }

    /// Waits until nobody writes to a Deployment any more.
    pub(crate) async fn settled(&self, name: &str) {
        let version = async || self.deployment(name).await["metadata"]["resourceVersion"].clone();
        eventually("its controller has seen it", async || {
            let deployment = self.deployment(name).await;
            (deployment["status"]["replicas"] == 1 && deployment["status"]["observedGeneration"] == 1)
                .then_some(())
        })
        .await;
        eventually("nobody writes to it", async || {
            let before = version().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            (version().await == before).then_some(())
        })
        .await;
    }

    /// Somebody who may write changes what a Mutation proposes.
    pub(crate) async fn respec(&self, mutation: &Value, spec: &Value) {
        let name = mutation["metadata"]["name"].as_str().unwrap();
        let patch = Patch::Merge(json!({"spec": spec}));
        self.api_of(&self.client).patch(name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Somebody else changes a Deployment.
    pub(crate) async fn scale(&self, name: &str, replicas: u32) {
        let resource = resource("apps/v1", "Deployment");
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
        let patch = json!({"spec": {"replicas": replicas}});
        api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }
}

/// Installs the policy.
pub(crate) async fn policy(client: &Client) {
    for object in serde_saphyr::from_multiple::<Value>(APPROVAL_POLICY).unwrap() {
        apply(client, None, &object).await;
    }
}

/// Takes the binding of the policy away, and waits until it is.
pub(crate) async fn without_policy(client: &Client) {
    let resource = resource("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding");
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    api.delete("asya-remedy-approval", &Default::default()).await.unwrap();
    eventually("the binding goes", async || {
        api.get_opt("asya-remedy-approval").await.unwrap().is_none().then_some(())
    })
    .await;
}

fn mender(
    local: &Arc<Local>,
    store: &Arc<dyn Store>,
    settings: &Settings,
    home: &Client,
    target: &Client,
    namespace: &str,
) -> Mender {
    let means = Means { transport: local.clone(), metrics: None, payloads: None };
    let clusters = Clusters { target: target.clone(), home: home.clone(), namespace: namespace.to_owned() };
    Mender::new(store.clone(), settings.clone(), clusters, &means).unwrap()
}
