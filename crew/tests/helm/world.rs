//! A namespace of a real API server, a person who may change what is in it, the tool's own account, and a repository.

use std::{
    path::{Path, PathBuf},
    process::Output,
    time::Duration,
};

use asya_crew::{
    helm::{Helm, Settings},
    shipped::Variables,
};
use asya_envelope::Envelope;
use asya_handler::End;
use asya_session::{Operation, Verdict};
use jiff::Timestamp;
use kube::{
    Client, Config,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    charts::Repository,
    support::{AGENT, Desks, api, config, onward, payload, run},
};

/// What nobody may see but the cluster.
pub(crate) const PASSWORD: &str = "plain-Word-7";
/// Versions of helm, by the name of their program among the tools of the test cluster. The second one is in the image.
pub(crate) const HELMS: [&str; 2] = ["helm", "helm4"];

pub(crate) struct World {
    pub(crate) desks: Desks,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) repository: Repository,
    program: PathBuf,
    tool: Config,
    folder: tempfile::TempDir,
}

/// The program, and none where there is neither an API server nor helm, which fails where nothing may be left out.
fn program(name: &str) -> Option<PathBuf> {
    let path = Path::new(&asya_store::testing::server("ASYA_TEST_KUBERNETES_TOOLS")?).join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var("CI").is_err(), "NOT TESTED for want of {}", path.display());
    eprintln!("NOT TESTED for want of {}", path.display());
    None
}

impl World {
    /// None: there is no API server, or no helm.
    pub(crate) async fn new(helm: &str) -> Option<Self> {
        let (config, program) = (config().await?, program(helm)?);
        let client = Client::try_from(config.clone()).unwrap();
        let namespace = format!("helm-{:08x}", rand::random::<u32>());
        let folder = tempfile::tempdir().unwrap();
        let user = format!("tool-{namespace}");
        let mut tool = config;
        tool.auth_info.impersonate = Some(user.clone());
        let world = Self {
            desks: Desks::new().await,
            client,
            namespace,
            repository: Repository::start(&program).await,
            program,
            tool,
            folder,
        };
        let admin = std::fs::read_to_string(std::env::var("ASYA_TEST_KUBECONFIG").unwrap()).unwrap();
        let mut kubeconfig: Value = serde_saphyr::from_str(&admin).unwrap();
        kubeconfig["users"][0]["user"]["as"] = user.into();
        std::fs::write(world.kubeconfig(), kubeconfig.to_string()).unwrap();
        world
            .apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": world.namespace}}))
            .await;
        let verbs = json!(["get", "list", "watch", "create", "update", "patch", "delete"]);
        let rules = json!([
            {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs},
            {"apiGroups": ["batch"], "resources": ["jobs"], "verbs": verbs},
            {"apiGroups": [""], "resources": ["configmaps", "secrets", "pods"], "verbs": verbs},
        ]);
        for name in ["ann", "tool"] {
            world.grant(&world.user(name), &rules).await;
        }
        let name = world.user("tool");
        let group = "rbac.authorization.k8s.io";
        let rules = json!([{"apiGroups": ["authorization.k8s.io"], "resources": ["subjectaccessreviews"], "verbs": ["create"]}]);
        world
            .apply(&json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRole", "metadata": {"name": name},
                "rules": rules}))
            .await;
        world
            .apply(&json!({"apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
                "subjects": [{"apiGroup": group, "kind": "User", "name": name}]}))
            .await;
        Some(world)
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub(crate) fn user(&self, name: &str) -> String {
        format!("{name}-{}", self.namespace)
    }

    async fn grant(&self, user: &str, rules: &Value) {
        let group = "rbac.authorization.k8s.io";
        self.apply(&json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": {"name": user}, "rules": rules}))
            .await;
        self.apply(
            &json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": user},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": user},
            "subjects": [{"apiGroup": group, "kind": "User", "name": user}]}),
        )
        .await;
    }

    pub(crate) async fn apply(&self, object: &Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap();
        let api = api(&self.client, &self.namespace, text("/apiVersion"), text("/kind"));
        let params = PatchParams::apply("somebody").force();
        api.patch(text("/metadata/name"), &params, &Patch::Apply(object)).await.unwrap();
    }

    pub(crate) async fn get(&self, api_version: &str, kind: &str, name: &str) -> Option<Value> {
        let found = api(&self.client, &self.namespace, api_version, kind).get_opt(name).await.unwrap();
        found.map(|found| serde_json::to_value(found).unwrap())
    }

    /// Helm in the hands of an administrator.
    pub(crate) fn by_hand(&self, arguments: &[&str]) -> Output {
        std::process::Command::new(&self.program)
            .args(arguments)
            .args(["--namespace", &self.namespace])
            .env("HOME", self.folder.path())
            .env("KUBECONFIG", std::env::var("ASYA_TEST_KUBECONFIG").unwrap())
            .output()
            .unwrap()
    }

    /// The revisions of a release: number, status, description.
    pub(crate) fn history(&self, release: &str) -> Vec<(u64, String, String)> {
        let said = self.by_hand(&["history", release, "--output", "json"]);
        let all: Vec<Value> = serde_json::from_slice(&said.stdout).unwrap_or_default();
        let text = |one: &Value, field: &str| one[field].as_str().unwrap().to_owned();
        let one =
            |one: &Value| (one["revision"].as_u64().unwrap(), text(one, "status"), text(one, "description"));
        all.iter().map(one).collect()
    }

    /// The actor, with these settings before those that open the namespace and the repository.
    pub(crate) fn actor(&self, more: &[(&str, &str)]) -> Helm {
        let claim = self.user("{sub}");
        let charts = ["redis", "hooked", "looks", "random", "elsewhere", "rights", "node", "secret-*"];
        let repositories = json!([{"name": "own", "url": self.repository.url, "charts": charts}]).to_string();
        let (program, folder) = (self.program.to_string_lossy(), self.folder.path().to_string_lossy());
        let kubeconfig = self.kubeconfig();
        let kubeconfig = kubeconfig.to_string_lossy();
        let mut all = more.to_vec();
        all.extend([
            ("ASYA_KUBE_USER_CLAIM", claim.as_str()),
            ("ASYA_HELM_NAMESPACES", self.namespace.as_str()),
            ("ASYA_HELM_REPOSITORIES", repositories.as_str()),
            ("ASYA_HELM_PROGRAM", &program),
            ("ASYA_HELM_FOLDER", &folder),
            ("KUBECONFIG", &kubeconfig),
        ]);
        let find = self.desks.variables(&all);
        let settings = Settings::read(&Variables { find: &find, base: Path::new("/") }).unwrap();
        Helm::new(settings, Some(Client::try_from(self.tool.clone()).unwrap())).unwrap()
    }

    /// Arguments about redis in this namespace.
    pub(crate) fn redis(&self, verb: &str, more: &Value) -> Value {
        let mut all = json!({"verb": verb, "release": "redis", "namespace": self.namespace});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    }

    /// What a first run with these arguments answers or proposes.
    pub(crate) async fn planned(&self, actor: &Helm, arguments: &Value) -> Envelope {
        let envelope = self.desks.called(&["helm"], arguments).await;
        let end = actor.take(&envelope, Timestamp::now()).await.unwrap();
        onward(&envelope, end)
    }

    /// What a first run answers that proposes nothing.
    pub(crate) async fn told(&self, actor: &Helm, arguments: &Value) -> Value {
        let planned = self.planned(actor, arguments).await;
        assert_eq!(planned.route.current_actor(), Some(AGENT), "{}", payload(&planned));
        payload(&planned)
    }

    /// Proposed and handed over.
    pub(crate) async fn proposed(&self, actor: &Helm, arguments: &Value) -> Operation {
        let planned = self.planned(actor, arguments).await;
        assert_eq!(planned.route.actors, [AGENT, "helm", "approval", "helm", AGENT], "{}", payload(&planned));
        let end = run(&self.desks.approval(&[]), &planned).await;
        assert!(matches!(&end, End::Platform { envelopes, .. } if envelopes.is_empty()), "{end:?}");
        self.desks.waiting().await
    }

    /// Proposed and approved: the operation, and the envelope that carries it out.
    pub(crate) async fn approved(&self, actor: &Helm, arguments: &Value) -> (Operation, Envelope) {
        let operation = self.proposed(actor, arguments).await;
        let envelope = self.desks.decided(&operation, Verdict::Approve).await;
        (operation, envelope)
    }

    /// What the model is told after the second run.
    pub(crate) async fn carried(&self, actor: &Helm, approved: &Envelope, after: Duration) -> Value {
        let now = Timestamp::now() + jiff::SignedDuration::try_from(after).unwrap();
        let end = actor.take(approved, now).await.unwrap();
        let onward = onward(approved, end);
        assert_eq!(onward.route.current_actor(), Some(AGENT));
        payload(&onward)
    }

    /// All of it, which must succeed.
    pub(crate) async fn does(&self, actor: &Helm, arguments: &Value) -> Operation {
        let (operation, envelope) = self.approved(actor, arguments).await;
        let told = self.carried(actor, &envelope, Duration::ZERO).await;
        assert_eq!(told["done"], true, "{told:#}");
        assert!(!told.to_string().contains(PASSWORD), "{told:#}");
        operation
    }
}
