//! A namespace of the test cluster for one test, actors as sentences, and waiting for what must come true.

use std::{
    future::Future,
    ops::RangeInclusive,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api, Client, Config,
    api::{
        ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams, WatchEvent,
        WatchParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::{Value, json};
use tokio::{process::Command, sync::OnceCell, task::JoinHandle, time::Instant};

use crate::process::program;

/// How long anything may take that the operator or Kubernetes does by itself.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// A namespace of its own on the test cluster. It is deleted in the background.
pub struct Cluster {
    /// The administrator's client.
    pub client: Client,
    /// The namespace.
    pub namespace: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
}

/// A client with the rights of a kubeconfig.
///
/// # Errors
/// A file that is not one.
pub async fn client(kubeconfig: &PathBuf) -> Result<Client> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    Ok(Client::try_from(config)?)
}

/// The resources that the tests read and write.
///
/// # Panics
/// A kind that no test needs.
pub fn resource(kind: &str) -> ApiResource {
    let (group, version, plural) = match kind {
        "AsyncActor" => ("asya.sh", "v1alpha1", "asyncactors"),
        "Agent" => ("asya.sh", "v1alpha1", "agents"),
        "Deployment" => ("apps", "v1", "deployments"),
        "StatefulSet" => ("apps", "v1", "statefulsets"),
        "Job" => ("batch", "v1", "jobs"),
        "ConfigMap" => ("", "v1", "configmaps"),
        "Secret" => ("", "v1", "secrets"),
        "Service" => ("", "v1", "services"),
        "ServiceAccount" => ("", "v1", "serviceaccounts"),
        "Pod" => ("", "v1", "pods"),
        "Event" => ("events.k8s.io", "v1", "events"),
        "Lease" => ("coordination.k8s.io", "v1", "leases"),
        "ScaledObject" => ("keda.sh", "v1alpha1", "scaledobjects"),
        "ScaledJob" => ("keda.sh", "v1alpha1", "scaledjobs"),
        "TriggerAuthentication" => ("keda.sh", "v1alpha1", "triggerauthentications"),
        "ClusterTriggerAuthentication" => ("keda.sh", "v1alpha1", "clustertriggerauthentications"),
        "Role" => ("rbac.authorization.k8s.io", "v1", "roles"),
        "RoleBinding" => ("rbac.authorization.k8s.io", "v1", "rolebindings"),
        "K8sGPT" => ("core.k8sgpt.ai", "v1alpha1", "k8sgpts"),
        "Result" => ("core.k8sgpt.ai", "v1alpha1", "results"),
        "ClusterRoleBinding" => ("rbac.authorization.k8s.io", "v1", "clusterrolebindings"),
        "CustomResourceDefinition" => ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
        other => panic!("no test needs the kind {other}"),
    };
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Waits until `look` finds something, and says what was missing when it does not in [`LIMIT`].
///
/// # Errors
/// `look`'s own, or that it took too long.
pub async fn eventually<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    look: impl Fn() -> F,
) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let found = look().await;
        match found {
            Ok(Some(found)) => return Ok(found),
            Ok(None) if Instant::now() < deadline => {}
            Ok(None) => bail!("not within {LIMIT:?}: {what}"),
            Err(error) if Instant::now() >= deadline => return Err(error.context(format!("waiting: {what}"))),
            Err(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl Cluster {
    /// A fresh namespace, with our CRDs and KEDA's on the server; `None` when there is no test cluster.
    ///
    /// # Errors
    /// A cluster that does not do as it should.
    pub async fn new(test: &str) -> Result<Option<Self>> {
        static READY: OnceCell<()> = OnceCell::const_new();
        let Some(kubeconfig) = crate::server("ASYA_TEST_KUBECONFIG").map(PathBuf::from) else {
            return Ok(None);
        };
        READY.get_or_try_init(|| install(&kubeconfig)).await?;
        let client = client(&kubeconfig).await?;
        let name = format!("{test}-{:06x}", rand::random::<u32>() & 0xff_ffff);
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .context("making a namespace")?;
        Ok(Some(Self { client, namespace: name, kubeconfig }))
    }

    /// Objects of a kind in this namespace.
    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource(kind))
    }

    /// Applies an object as a person would: kubectl's client-side merge is enough for a test.
    ///
    /// # Errors
    /// The API server's.
    pub async fn apply(&self, object: &Value) -> Result<DynamicObject> {
        let kind = object["kind"].as_str().context("an object has a kind")?;
        let name = object["metadata"]["name"].as_str().context("an object has a name")?;
        let parameters = PatchParams::apply("kubectl").force();
        Ok(self.api(kind).patch(name, &parameters, &Patch::Apply(object)).await?)
    }

    /// Changes an object by a merge patch, as somebody else.
    ///
    /// # Errors
    /// The API server's.
    pub async fn edit(&self, kind: &str, name: &str, patch: &Value) -> Result<DynamicObject> {
        let parameters = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
        Ok(self.api(kind).patch(name, &parameters, &Patch::Merge(patch)).await?)
    }

    /// Changes an object of a built-in kind, lists by their keys, as somebody else with kubectl.
    ///
    /// # Errors
    /// The API server's.
    pub async fn edit_lists(&self, kind: &str, name: &str, patch: &Value) -> Result<DynamicObject> {
        let parameters = PatchParams { field_manager: Some("somebody".to_owned()), ..PatchParams::default() };
        Ok(self.api(kind).patch(name, &parameters, &Patch::Strategic(patch)).await?)
    }

    /// Replaces an object as a whole, as `kubectl replace --force` does without taking it away in between.
    ///
    /// # Errors
    /// The API server's.
    pub async fn replace(&self, kind: &str, name: &str, object: &Value) -> Result<()> {
        let object: DynamicObject = serde_json::from_value(object.clone())?;
        self.api(kind).replace(name, &PostParams::default(), &object).await?;
        Ok(())
    }

    /// Asks for the deletion of an object.
    ///
    /// # Errors
    /// The API server's.
    pub async fn delete(&self, kind: &str, name: &str) -> Result<()> {
        self.api(kind).delete(name, &kube::api::DeleteParams::background()).await?;
        Ok(())
    }

    /// Deletes an object and leaves what it owns, as `kubectl delete --cascade=orphan`.
    ///
    /// # Errors
    /// The API server's.
    pub async fn orphan(&self, kind: &str, name: &str) -> Result<()> {
        let parameters = kube::api::DeleteParams {
            propagation_policy: Some(kube::api::PropagationPolicy::Orphan),
            ..Default::default()
        };
        self.api(kind).delete(name, &parameters).await?;
        Ok(())
    }

    /// An object as JSON, if it exists.
    ///
    /// # Errors
    /// The API server's.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Option<Value>> {
        let object = self.api(kind).get_opt(name).await?;
        Ok(object.map(serde_json::to_value).transpose()?)
    }

    /// Waits until an object exists and is as `wanted` says.
    ///
    /// # Errors
    /// When it does not come true.
    pub async fn until(
        &self,
        kind: &str,
        name: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let sentence = format!("{kind} {name} {what}");
        let found =
            eventually(&sentence, async || Ok(self.get(kind, name).await?.filter(|object| wanted(object))))
                .await;
        match found {
            Ok(found) => Ok(found),
            Err(error) => {
                let last = self.get(kind, name).await?.unwrap_or(Value::Null);
                Err(error.context(format!("{kind} {name} is {:#}", clipped(&last))))
            }
        }
    }

    /// Waits until an object is gone.
    ///
    /// # Errors
    /// When it stays.
    pub async fn until_gone(&self, kind: &str, name: &str) -> Result<()> {
        let sentence = format!("{kind} {name} is gone");
        eventually(&sentence, async || Ok(self.get(kind, name).await?.is_none().then_some(()))).await
    }

    /// Follows the replicas that a workload is told to have, from now on: every number in order, without repetitions.
    ///
    /// # Errors
    /// The API server's.
    pub async fn replica_log(&self, kind: &str, name: &str) -> Result<ReplicaLog> {
        let api = self.api(kind);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, name) = (seen.clone(), name.to_owned());
        let first = api.get_opt(&name).await?;
        let version = match &first {
            Some(object) => object.metadata.resource_version.clone().unwrap_or_default(),
            None => api.list(&ListParams::default()).await?.metadata.resource_version.unwrap_or_default(),
        };
        let mut push = move |object: &DynamicObject| {
            let replicas = object.data["spec"]["replicas"].as_i64();
            if let (Some(replicas), Ok(mut seen)) = (replicas, log.lock())
                && seen.last() != Some(&replicas)
            {
                seen.push(replicas);
            }
        };
        first.iter().for_each(&mut push);
        let parameters = WatchParams::default().fields(&format!("metadata.name={name}"));
        let task = tokio::spawn(async move {
            // One watch from one version: nothing between is missed, as it would be by polling.
            let Ok(events) = api.watch(&parameters, &version).await else { return };
            let mut events = std::pin::pin!(events);
            while let Some(Ok(event)) = events.next().await {
                if let WatchEvent::Added(object) | WatchEvent::Modified(object) = event {
                    push(&object);
                }
            }
        });
        Ok(ReplicaLog { seen, task })
    }

    /// Waits until an actor's status says this word.
    ///
    /// # Errors
    /// When it says another.
    pub async fn until_word(&self, actor: &str, word: &str) -> Result<Value> {
        self.until("AsyncActor", actor, &format!("is {word}"), |found| found["status"]["status"] == word)
            .await
    }

    /// Waits until a condition of an actor has this status and reason.
    ///
    /// # Errors
    /// When it has another.
    pub async fn until_condition(
        &self,
        actor: &str,
        r#type: &str,
        status: &str,
        reason: &str,
    ) -> Result<Value> {
        let what = format!("has {type}={status} {reason}");
        self.until("AsyncActor", actor, &what, |found| {
            condition(found, r#type).is_some_and(|c| c["status"] == status && c["reason"] == reason)
        })
        .await
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // What a failed test left behind is worth a look.
        let Ok(tools) = std::env::var("ASYA_TEST_KUBERNETES_TOOLS") else { return };
        if std::thread::panicking() {
            return;
        }
        // The operator is gone by now, and its finalizer would hold the namespace for ever.
        let script = r#"
            kubectl() { "$1/kubectl" --kubeconfig "$2" -n "$3" "${@:4}"; }
            kubectl "$@" delete namespace "$3" --wait=false
            kubectl "$@" get asyncactors -o name | while read -r actor; do
                kubectl "$@" patch "$actor" --type=merge -p '{"metadata":{"finalizers":null}}'
            done"#;
        let mut command = std::process::Command::new("bash");
        command.args(["-c", script, "end", &tools]).arg(&self.kubeconfig).arg(&self.namespace);
        // Nobody waits for it: the next test need not, and the last one's servers go.
        let silent = || std::process::Stdio::null();
        drop(command.stdin(silent()).stdout(silent()).stderr(silent()).spawn());
    }
}

/// The replicas that a workload was told to have.
pub struct ReplicaLog {
    seen: Arc<Mutex<Vec<i64>>>,
    task: JoinHandle<()>,
}

impl ReplicaLog {
    /// All numbers in order, without repetitions, as soon as `last` has come: the watch may be behind what is read.
    pub async fn until(&self, last: i64) -> Vec<i64> {
        let begun = Instant::now();
        loop {
            let seen = self.seen.lock().map(|seen| seen.clone()).unwrap_or_default();
            if seen.last() == Some(&last) || begun.elapsed() > LIMIT {
                return seen;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

impl Drop for ReplicaLog {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A condition of an actor.
pub fn condition<'a>(actor: &'a Value, r#type: &str) -> Option<&'a Value> {
    actor["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == r#type)
}

fn clipped(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    value
}

async fn install(kubeconfig: &PathBuf) -> Result<()> {
    let applied = Command::new(program("asya-operator")?)
        .args(["crds", "apply"])
        .env("KUBECONFIG", kubeconfig)
        .output()
        .await
        .context("running asya-operator crds apply")?;
    anyhow::ensure!(applied.status.success(), "crds apply: {}", String::from_utf8_lossy(&applied.stderr));
    keda_crds("apply", &["--server-side", "--force-conflicts"]).await
}

/// Applies or deletes KEDA's own CRDs.
///
/// # Errors
/// kubectl's.
pub async fn keda_crds(verb: &str, options: &[&str]) -> Result<()> {
    let folder =
        crate::server("ASYA_TEST_KEDA_CRDS").context("ASYA_TEST_KEDA_CRDS is set with the cluster")?;
    let mut arguments = vec!["kubectl", verb];
    for name in ["scaledobjects", "scaledjobs", "triggerauthentications"] {
        arguments
            .extend(["-f".to_owned(), format!("{folder}/keda.sh_{name}.yaml")].map(|text| &*text.leak()));
    }
    arguments.extend(options);
    control(&arguments).await.map(drop)
}

/// Runs the test cluster's control script.
///
/// # Errors
/// Its own words.
pub async fn control(arguments: &[&str]) -> Result<String> {
    let script = crate::server("ASYA_TEST_KUBERNETES_CTL").context("ASYA_TEST_KUBERNETES_CTL is set")?;
    let output = Command::new(script).args(arguments).output().await?;
    let words = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{arguments:?}: {words}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// An actor to be, as a sentence: `actor("ocr").scaling(0..=20).json()`.
#[derive(Clone, Debug)]
pub struct Actor(Value);

/// An actor on RabbitMQ with one container and nothing else.
pub fn actor(name: &str) -> Actor {
    Actor(json!({
        "apiVersion": "asya.sh/v1alpha1",
        "kind": "AsyncActor",
        "metadata": {"name": name},
        "spec": {
            "transport": "rabbitmq",
            "workload": {"template": {"spec": {"containers": [{
                "name": "asya-runtime",
                "image": "python:3.13-slim",
                "env": [{"name": "ASYA_HANDLER", "value": "handlers.echo"}],
            }]}}},
        },
    }))
}

impl Actor {
    /// Scaled by KEDA between these numbers.
    #[must_use]
    pub fn scaling(mut self, replicas: RangeInclusive<u32>) -> Self {
        self.0["spec"]["scaling"] =
            json!({"enabled": true, "minReplicas": replicas.start(), "maxReplicas": replicas.end()});
        self
    }

    /// With a fixed number of replicas.
    #[must_use]
    pub fn replicas(mut self, replicas: u32) -> Self {
        self.0["spec"]["scaling"] = json!({"enabled": false});
        self.0["spec"]["workload"]["replicas"] = json!(replicas);
        self
    }

    /// With this field of the spec.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.0["spec"][field] = value;
        self
    }

    /// With this variable in the handler's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        let env = &mut self.0["spec"]["workload"]["template"]["spec"]["containers"][0]["env"];
        if let Some(env) = env.as_array_mut() {
            env.push(json!({"name": name, "value": value}));
        }
        self
    }

    /// The manifest.
    pub fn json(&self) -> Value {
        self.0.clone()
    }
}
