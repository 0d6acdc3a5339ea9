//! Findings and Results of one test: a queue file, and a namespace of the test API server.

use std::{sync::Arc, time::Duration};

use asya_analysis::{
    Evaluation, Failure, GroupKind, ObjectRef, Observation, Report, Sequence, Severity,
    message::{Explanation, Observed, Told, Transition},
};
use asya_crew::{
    InProcess,
    analysis::{
        Findings, Results,
        findings::FINDINGS,
        results::{Resync, Settings},
    },
    committed::Committed,
};
use asya_envelope::{Envelope, Naming, Raw, Route};
use asya_handler::{End, Handler, Reply, Request};
use asya_resources::k8sgpt::{Backend, CRDS};
use asya_store::{Expect, Store, Write, testing::server};
use asya_transport::{
    Transport as _,
    local::{Local, LocalOptions},
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, Config,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        PostParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// No condition of these tests takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// What is seen of an object.
#[derive(Clone, Copy)]
pub(crate) enum Seen<'a> {
    /// It has failures with these codes.
    Broken(&'a [&'a str]),
    /// It is gone.
    Gone,
}

pub(crate) struct World {
    _folder: tempfile::TempDir,
    pub(crate) local: Arc<Local>,
    pub(crate) store: Arc<dyn Store>,
    findings: InProcess<Committed<Findings>>,
    results: Option<(InProcess<Committed<Results>>, Resync)>,
    config: Config,
    pub(crate) client: Client,
    pub(crate) namespace: String,
    uid: Option<String>,
}

pub(crate) fn pod(name: &str) -> ObjectRef {
    ObjectRef::of::<Pod>(Some("shop"), name)
}

impl World {
    /// A namespace of its own on the test API server, with the CRDs; nothing, said loudly, when there is no server.
    pub(crate) async fn new() -> Option<Self> {
        static READY: OnceCell<()> = OnceCell::const_new();
        let kubeconfig = Kubeconfig::read_from(server("ASYA_TEST_KUBECONFIG")?).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config.clone()).unwrap();
        READY.get_or_init(|| install(client.clone())).await;
        let namespace = format!("results-{:x}", rand::random::<u64>());
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &object).await.unwrap();
        let mut world = Self::with(config, client, namespace);
        // The garbage collector of the cluster takes away what has an owner that is not there.
        let sample = json!({"apiVersion": "core.k8sgpt.ai/v1alpha1", "kind": "K8sGPT", "metadata": {"name": "sample"}});
        let sample = serde_json::from_value(sample).unwrap();
        let owner = world.objects("K8sGPT", "k8sgpts").create(&PostParams::default(), &sample).await.unwrap();
        world.uid = owner.metadata.uid;
        let results =
            Results::within(world.store.clone(), world.settings(), world.client.clone(), &world.namespace);
        let resync = results.resync();
        world.results = Some((Committed::new(world.store.clone(), results, 8), resync));
        Some(world)
    }

    /// Findings alone.
    pub(crate) fn without_a_server() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::new("http://127.0.0.1:9".parse().unwrap());
        let client = Client::try_from(config.clone()).unwrap();
        Self::with(config, client, "default".to_owned())
    }

    fn with(config: Config, client: Client, namespace: String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        let store = local.store();
        let findings = Committed::new(store.clone(), Findings::new(store.clone(), Duration::ZERO), 4);
        Self { _folder: folder, local, store, findings, results: None, config, client, namespace, uid: None }
    }

    /// What findings sends on when this is seen of an object.
    pub(crate) async fn found(&self, number: u64, object: &ObjectRef, seen: Seen<'_>) -> Option<Envelope> {
        self.found_in("here", number, object, seen).await
    }

    pub(crate) async fn found_in(
        &self,
        cluster: &str,
        number: u64,
        object: &ObjectRef,
        seen: Seen<'_>,
    ) -> Option<Envelope> {
        let observation = match seen {
            Seen::Gone => Observation::Gone(object.clone()),
            Seen::Broken(codes) => Observation::Evaluated(evaluation(object, codes)),
        };
        let (cluster, sequence) = (cluster.to_owned(), Sequence { at: 1, number });
        let observed = Observed { cluster, sequence, observation };
        let route = Route::new(["findings", "results", "notify"]);
        sent(ask(&self.findings, &Envelope::new(format!("seen-{number}"), route, Raw::of(&observed))).await)
    }

    /// What results makes of a message.
    pub(crate) async fn ask(&self, envelope: &Envelope) -> End {
        ask(&self.results.as_ref().unwrap().0, envelope).await
    }

    /// Tells results, which must send the same on.
    pub(crate) async fn told(&self, envelope: &Envelope) {
        let onward = sent(self.ask(envelope).await).unwrap();
        assert_eq!(onward.payload.as_bytes(), envelope.payload.as_bytes());
        assert_eq!(onward.route.current_actor(), Some("notify"));
    }

    pub(crate) async fn resync(&self) -> usize {
        self.results.as_ref().unwrap().1.look().await.unwrap()
    }

    /// Whose Results the tests write.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            k8sgpt: "sample".to_owned(),
            namespace: None,
            uid: self.uid.clone(),
            backend: Some(Backend::LocalAi),
            backstage: true,
            secret: None,
        }
    }

    fn objects(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("core.k8sgpt.ai", "v1alpha1", kind);
        let kind = ApiResource::from_gvk_with_plural(&kind, plural);
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind)
    }

    fn api(&self) -> Api<DynamicObject> {
        self.objects("Result", "results")
    }

    /// All Results of the namespace.
    pub(crate) async fn results(&self) -> Vec<Value> {
        let list = self.api().list(&ListParams::default()).await.unwrap();
        list.items.into_iter().map(|item| serde_json::to_value(item).unwrap()).collect()
    }

    /// The Result of the namespace, which must be the only one.
    pub(crate) async fn only(&self) -> Value {
        let mut results = self.results().await;
        assert_eq!(results.len(), 1, "{results:#?}");
        results.pop().unwrap()
    }

    pub(crate) async fn delete(&self, name: &str) {
        self.api().delete(name, &DeleteParams::default()).await.unwrap();
    }

    /// Changes a Result as somebody with kubectl.
    pub(crate) async fn edit(&self, name: &str, patch: &Value) {
        let how = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
        self.api().patch(name, &how, &Patch::Merge(patch)).await.unwrap();
    }

    /// A client of somebody else, who has no rights.
    pub(crate) fn client_as(&self, user: &str) -> Client {
        let mut config = self.config.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        Client::try_from(config).unwrap()
    }

    /// What findings does with a record a day after its object was healed.
    pub(crate) async fn forget(&self, key: &str) {
        let (key, expect) = (key.to_owned(), Expect::Anything);
        self.store.commit(vec![Write { table: FINDINGS, key, value: None, expect }]).await.unwrap();
    }

    /// The next message to an actor.
    pub(crate) async fn take(&self, actor: &str) -> Envelope {
        let queue = Naming::bare().queue(actor);
        let mut deliveries = self.local.consume(&queue, 1.try_into().unwrap()).await.unwrap();
        let next = tokio::time::timeout(LIMIT, deliveries.next()).await;
        Envelope::parse(next.unwrap().unwrap().body.clone()).unwrap()
    }
}

async fn install(client: Client) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in CRDS {
        let crd: CustomResourceDefinition = serde_saphyr::from_str(crd).unwrap();
        let how = PatchParams::apply("tests").force();
        crds.patch(crd.metadata.name.as_deref().unwrap(), &how, &Patch::Apply(&crd)).await.unwrap();
    }
    for (kind, plural) in [("Result", "results"), ("K8sGPT", "k8sgpts")] {
        let kind = GroupVersionKind::gvk("core.k8sgpt.ai", "v1alpha1", kind);
        let kind = ApiResource::from_gvk_with_plural(&kind, plural);
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &kind);
        let served = async {
            while objects.list(&ListParams::default()).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(LIMIT, served).await.unwrap();
    }
}

fn evaluation(object: &ObjectRef, codes: &[&str]) -> Evaluation {
    let mut report = Report::default();
    for code in codes {
        let failure = Failure::new(code, Severity::Error, format!("{} has it", object.name))
            .seen(object, ".status.phase", "Pending".to_owned())
            .seen(object, ".status.reason", None)
            .hides([object.name.as_str()]);
        report.fail(failure);
    }
    let is_well = codes.is_empty();
    let parent = ObjectRef {
        kind: GroupKind::named("apps/v1", "Deployment"),
        namespace: object.namespace.clone(),
        name: "web".to_owned(),
    };
    Evaluation {
        object: object.clone(),
        uid: Some("u-1".to_owned()),
        resource_version: None,
        parent: (!is_well).then_some(parent),
        backstage: (!is_well).then(|| "cart".to_owned()),
        report,
    }
}

/// The same message as explain sends it on.
pub(crate) fn explained(envelope: &Envelope, text: &str) -> Envelope {
    let transition: Transition = serde_json::from_slice(envelope.payload.as_bytes()).unwrap();
    let explanation = Explanation {
        text: text.to_owned(),
        provider: "localai".to_owned(),
        model: "m".to_owned(),
        language: "english".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        evidence: Vec::new(),
        invented: vec!["e9".to_owned()],
        cut: false,
    };
    let mut told = envelope.clone();
    told.payload = Raw::of(&Told { transition, explanation: Some(explanation), late: true });
    told
}

/// What an actor says to a message.
pub(crate) async fn ask(actor: &dyn Handler, envelope: &Envelope) -> End {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: "results".to_owned(),
        attempt: 1,
        timeout: LIMIT,
    };
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn sent(end: End) -> Option<Envelope> {
    let End::Platform { mut envelopes, writes, .. } = end else { panic!("{end:?}") };
    assert!(envelopes.len() <= 1 && writes.is_empty());
    envelopes.pop()
}
