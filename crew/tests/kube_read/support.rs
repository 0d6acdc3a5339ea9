//! Two namespaces of a real API server, people with rights in one of them, a tool with the rights that its page names, and
//! envelopes that say who asked.

use std::{path::Path, sync::Arc, time::Duration};

use asya_crew::{
    kube::{analyze::AnalyzeCluster, looker::Settings, read::K8sRead},
    shipped::Variables,
};
use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{End, Handler as _, Reply, Request};
use asya_session::desk::SUBJECT;
use asya_subject::{Claims, Keys, Signer};
use jiff::Timestamp;
use kube::{
    Api, Client, Config,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// Nothing that a test waits for takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// What no model may see.
pub(crate) const PASSWORD: &str = "hunter2hunter2";
/// The id of every envelope.
const ID: &str = "e-1";
/// The page that says which rights the tool needs.
const PAGE: &str = include_str!("../../../docs/agents/k8s-read.md");

/// One test's world.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) admin: Client,
    config: Config,
    signer: Signer,
    /// The namespace in which ann may read.
    pub(crate) namespace: String,
    /// The one in which she may not.
    pub(crate) other: String,
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

/// Applies an object, in the namespace that it names or else in `namespace`.
pub(crate) async fn apply(client: &Client, namespace: Option<&str>, object: &Value) {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
    let resource = resource(text("/apiVersion"), text("/kind"));
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let parameters = PatchParams::apply("test").force();
    // The controllers make a namespace's default account when they come to it, and pods need it.
    let patch = Patch::Apply(object);
    let apply = || api.patch(text("/metadata/name"), &parameters, &patch);
    if text("/kind") == "Pod" {
        eventually("a pod is taken", async || apply().await.ok()).await;
    } else {
        apply().await.unwrap();
    }
    if let Some(status) = object.get("status") {
        let status = json!({"status": status});
        api.patch_status(text("/metadata/name"), &PatchParams::default(), &Patch::Merge(status))
            .await
            .unwrap();
    }
}

/// Waits until a look finds something.
async fn eventually<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let began = std::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

impl World {
    /// None: there is no API server.
    pub(crate) async fn new() -> Option<Self> {
        let path = asya_store::testing::server("ASYA_TEST_KUBECONFIG")?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(path).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let admin = Client::try_from(config.clone()).unwrap();
        let namespace = format!("read-{:08x}", rand::random::<u32>());
        let other = format!("{namespace}-other");
        let folder = tempfile::tempdir().unwrap();
        let (signer, _) = Signer::generate().unwrap();
        let keys = Keys::of([signer.jwk().clone()]).unwrap().to_json().to_string();
        std::fs::write(folder.path().join("keys.json"), keys).unwrap();
        let world = Self { folder, admin, config, signer, namespace, other };
        for name in [&world.namespace, &world.other] {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            apply(&world.admin, None, &object).await;
        }
        // The tool: what its page says.
        let (_, yaml) = PAGE.split_once("```yaml\n").unwrap();
        let mut role: Value = serde_saphyr::from_str(yaml.split_once("```").unwrap().0).unwrap();
        role["metadata"]["name"] = world.tool().into();
        apply(&world.admin, None, &role).await;
        let binding = world.binding("ClusterRoleBinding", "ClusterRole", "User", &world.tool());
        apply(&world.admin, None, &binding).await;
        // The people.
        let rules = json!([
            {"apiGroups": [""], "resources": ["pods", "configmaps", "events", "secrets"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["pods/log"], "resourceNames": ["web"], "verbs": ["get"]}]);
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
            "metadata": {"name": world.tool()}, "rules": rules});
        apply(&world.admin, Some(&world.namespace), &role).await;
        let ann = world.binding("RoleBinding", "Role", "User", "oidc:ann");
        apply(&world.admin, Some(&world.namespace), &ann).await;
        let mut group = world.binding("RoleBinding", "Role", "Group", "oidc:sre");
        group["metadata"]["name"] = "sre".into();
        apply(&world.admin, Some(&world.namespace), &group).await;
        Some(world)
    }

    fn binding(&self, kind: &str, role: &str, subject: &str, name: &str) -> Value {
        let group = "rbac.authorization.k8s.io";
        json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": self.tool()},
            "roleRef": {"apiGroup": group, "kind": role, "name": self.tool()},
            "subjects": [{"apiGroup": group, "kind": subject, "name": name}]})
    }

    /// The tool's user.
    pub(crate) fn tool(&self) -> String {
        format!("tool-{}", self.namespace)
    }

    /// A client of this user.
    pub(crate) fn client(&self, user: &str) -> Client {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        config.default_retry = false;
        Client::try_from(config).unwrap()
    }

    /// Settings of a tool that reviews people.
    pub(crate) fn settings(&self, more: &[(&str, &str)]) -> Settings {
        let usual = [
            ("ASYA_SUBJECT_KEYS_FILE", "keys.json"),
            ("ASYA_KUBE_USER_CLAIM", "oidc:{sub}"),
            ("ASYA_KUBE_GROUP_CLAIM", "oidc:{group}"),
        ];
        let find = |name: &str| {
            let mut all = more.iter().chain(&usual);
            all.find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&Variables { find: &find, base: self.folder.path() }).unwrap()
    }

    /// A token that says that a member of `groups` asked.
    pub(crate) fn token(&self, sub: &str, groups: &[&str], root: &str) -> String {
        let now = Timestamp::now().as_second();
        let claims = Claims {
            iss: "gateway".to_owned(),
            aud: asya_subject::AUDIENCE.to_owned(),
            sub: sub.to_owned(),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            session: "s-1".to_owned(),
            root: root.to_owned(),
            iat: now,
            exp: now + 60,
        };
        self.signer.sign(&claims).unwrap()
    }

    /// What k8s-read answers somebody who asks with a token, or without one.
    pub(crate) async fn read_with(
        &self,
        settings: &Settings,
        token: Option<&str>,
        arguments: Value,
    ) -> Value {
        let actor = K8sRead::with(settings, self.client(&self.tool())).unwrap();
        answer(actor.handle(request(token, arguments))).await
    }

    /// What k8s-read answers somebody.
    pub(crate) async fn read(&self, sub: &str, arguments: Value) -> Value {
        self.read_with(&self.settings(&[]), Some(&self.token(sub, &[], ID)), arguments).await
    }

    /// The same, once the API server knows of the rights that were given just now.
    pub(crate) async fn read_soon(&self, sub: &str, arguments: Value) -> Value {
        let unknown = format!("oidc:{sub} may not");
        let known = |answer: &Value| !answer["error"].as_str().is_some_and(|error| error.contains(&unknown));
        self.read_until(sub, arguments, known).await
    }

    /// The first answer that will do.
    pub(crate) async fn read_until(
        &self,
        sub: &str,
        arguments: Value,
        will_do: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually("an answer that will do", async || {
            Some(self.read(sub, arguments.clone()).await).filter(|answer| will_do(answer))
        })
        .await
    }

    /// What analyze answers somebody.
    pub(crate) async fn analyze(&self, sub: &str, arguments: Value) -> Value {
        let actor = AnalyzeCluster::with(&self.settings(&[]), self.client(&self.tool())).unwrap();
        answer(actor.handle(request(Some(&self.token(sub, &[], ID)), arguments))).await
    }

    /// A pod `web` on a node whose kubelet says `log`, with a password wherever one can stand, and broken.
    pub(crate) async fn pod(&self, log: &str) {
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.namespace}, "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet(self.folder.path(), log).await}}}});
        apply(&self.admin, None, &node).await;
        let waiting = json!({"waiting": {"reason": "ImagePullBackOff",
            "message": format!("Back-off pulling image: password={PASSWORD}")}});
        let pod = json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "web", "labels": {"app": "web"},
                "annotations": {"team/db-password": PASSWORD, "note": format!("postgres://app:{PASSWORD}@db/x")}},
            "spec": {"nodeName": self.namespace, "containers": [{"name": "web", "image": "registry.invalid/web:1",
                "args": ["--token", PASSWORD], "env": [{"name": "DB_PASSWORD", "value": PASSWORD}]}]},
            "status": {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False", "reason": "NotPulled"}],
                "containerStatuses": [{"name": "web", "image": "registry.invalid/web:1", "imageID": "", "ready": false,
                    "restartCount": 0, "state": waiting}]}});
        apply(&self.admin, Some(&self.namespace), &pod).await;
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "type": "Warning",
            "reason": "Failed", "message": format!("failed with token={PASSWORD}"), "lastTimestamp": "2126-01-01T00:00:00Z",
            "involvedObject": {"kind": "Pod", "name": "web", "namespace": self.namespace}});
        apply(&self.admin, Some(&self.namespace), &event).await;
    }

    /// Takes away what is in no namespace, and the namespaces.
    pub(crate) async fn end(self) {
        let pods: Api<DynamicObject> =
            Api::namespaced_with(self.admin.clone(), &self.namespace, &resource("v1", "Pod"));
        let _ = pods.delete("web", &DeleteParams::default().grace_period(0)).await;
        let rbac = "rbac.authorization.k8s.io/v1";
        for (api_version, kind, name) in [
            (rbac, "ClusterRoleBinding", self.tool()),
            (rbac, "ClusterRole", self.tool()),
            ("v1", "Node", self.namespace.clone()),
            ("v1", "Namespace", self.namespace.clone()),
            ("v1", "Namespace", self.other.clone()),
        ] {
            let api: Api<DynamicObject> = Api::all_with(self.admin.clone(), &resource(api_version, kind));
            let _ = api.delete(&name, &DeleteParams::default()).await;
        }
    }
}

/// A call, as the engine gives it to the actor.
pub(crate) fn request(token: Option<&str>, arguments: Value) -> Request {
    let mut envelope = Envelope::new(ID, Route::new(["k8s-read", "agent"]), Raw::of(&arguments));
    if let Some(token) = token {
        envelope.headers.set(SUBJECT, Raw::of(&token));
    }
    let (body, actor) = (envelope.encode(), "k8s-read".to_owned());
    Request { envelope, body, actor, attempt: 1, timeout: LIMIT }
}

/// The payload that goes on.
pub(crate) async fn answer(mut replies: asya_handler::Replies) -> Value {
    match tokio::time::timeout(LIMIT, replies.recv()).await.unwrap() {
        Some(Reply::End(End::Done(items))) => serde_json::from_slice(items[0].payload.as_bytes()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A kubelet that says the same log of every container; its port. The API server does not look at its certificate.
async fn kubelet(folder: &Path, log: &str) -> u16 {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=kubelet", "-keyout", "key.pem", "-out", "crt.pem"])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let crt = CertificateDer::from_pem_file(folder.join("crt.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).unwrap();
    let config =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![crt], key).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let log = log.to_owned();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n")
                && stream.read_buf(&mut request).await.unwrap_or_default() > 0
            {}
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", log.len());
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(log.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    port
}
