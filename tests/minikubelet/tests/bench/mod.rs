//! A namespace of its own, and a kubelet of its own for it.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod actor;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Pod, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams,
};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

/// For anything that is waited for; pods need a few seconds where the machine is busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// What each pod has between its deletion and SIGKILL.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

static COUNT: AtomicUsize = AtomicUsize::new(0);

pub(crate) struct Bench {
    client: Client,
    kubeconfig: String,
    namespace: String,
    arguments: Vec<String>,
    kubelet: Child,
    folder: TempDir,
}

/// Waits until the condition holds.
///
/// # Panics
/// When it does not within [`LIMIT`].
pub(crate) async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds().await {
        assert!(Instant::now() < end, "not within {LIMIT:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
}

impl Bench {
    pub(crate) async fn start(arguments: &[&str]) -> Option<Self> {
        let kubeconfig = asya_tests::server("ASYA_TEST_KUBECONFIG")?;
        rustls::crypto::ring::default_provider().install_default().ok();
        let config = Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
        let client = Client::try_from(config).unwrap();
        let namespace =
            format!("minikubelet-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let object = json!({"metadata": {"name": namespace}});
        let namespaces = Api::<Namespace>::all(client.clone());
        namespaces.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &namespace);
        until("pods are admitted", async || accounts.get_opt("default").await.unwrap().is_some()).await;
        let folder = tempfile::Builder::new().prefix("mk").tempdir_in("/tmp").unwrap();
        let arguments: Vec<_> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let kubelet = kubelet(&kubeconfig, &namespace, folder.path(), &arguments);
        Some(Self { client, kubeconfig, namespace, arguments, kubelet, folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    pub(crate) fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    pub(crate) fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes an object of any kind in the namespace.
    pub(crate) async fn apply(&self, object: Value) {
        let types = object["apiVersion"].as_str().zip(object["kind"].as_str()).unwrap();
        let (group, version) = types.0.split_once('/').unwrap_or(("", types.0));
        let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, types.1));
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, &kind);
        let name = object["metadata"]["name"].as_str().unwrap();
        api.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap();
    }

    pub(crate) fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(crate) fn autoscalers(&self) -> Api<HorizontalPodAutoscaler> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Makes a pod, and returns its name.
    pub(crate) async fn create(&self, mut spec: Value) -> String {
        spec["terminationGracePeriodSeconds"] = json!(GRACE.as_secs());
        let pod = serde_json::from_value(json!({"metadata": {"generateName": "p-"}, "spec": spec})).unwrap();
        self.pods().create(&PostParams::default(), &pod).await.unwrap().name_any()
    }

    /// The pod as soon as the condition holds.
    pub(crate) async fn when(&self, name: &str, holds: impl Fn(&Pod) -> bool) -> Pod {
        let end = Instant::now() + LIMIT;
        loop {
            let pod = self.pods().get(name).await.unwrap();
            if holds(&pod) {
                return pod;
            }
            assert!(Instant::now() < end, "{name} did not get there: {:#?}", pod.status);
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The pod as soon as a condition of its status has this value.
    pub(crate) async fn condition(&self, name: &str, condition: &str, value: &str) -> Pod {
        self.when(name, |pod| {
            let mut all = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            all.any(|one| one.type_ == condition && one.status == value)
        })
        .await
    }

    /// Deletes a pod and waits until its object is gone.
    pub(crate) async fn delete(&self, name: &str) {
        let pods = self.pods();
        pods.delete(name, &DeleteParams::default()).await.unwrap();
        until("the pod is gone", async || pods.get_opt(name).await.unwrap().is_none()).await;
    }

    pub(crate) async fn secret(&self, name: &str, key: &str, value: &str) {
        let object = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": {key: value}});
        let api = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        api.patch(name, &PatchParams::apply("test"), &Patch::Apply(object)).await.unwrap();
    }

    /// A ConfigMap with one entry of bytes.
    pub(crate) async fn binary(&self, name: &str, key: &str, content: Vec<u8>) {
        let data = [(key.to_owned(), ByteString(content))].into();
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let map = ConfigMap { binary_data: Some(data), metadata, ..ConfigMap::default() };
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &map).await.unwrap();
    }

    pub(crate) async fn config_map(&self, name: &str, key: &str, value: &str) {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {key: value}});
        let api = Api::<ConfigMap>::namespaced(self.client.clone(), &self.namespace);
        api.patch(name, &PatchParams::apply("test"), &Patch::Apply(object)).await.unwrap();
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) {
        self.kubelet.kill().await.unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.kubelet = kubelet(&self.kubeconfig, &self.namespace, self.folder.path(), &self.arguments);
    }

    /// Ends all pods, which needs the kubelet, and the kubelet; the namespace goes away by itself.
    pub(crate) async fn end(self) {
        let pods = self.pods();
        pods.delete_collection(&DeleteParams::default(), &ListParams::default()).await.unwrap();
        until("all pods are gone", async || {
            pods.list(&ListParams::default()).await.unwrap().items.is_empty()
        })
        .await;
        let namespaces = Api::<Namespace>::all(self.client.clone());
        namespaces.delete(&self.namespace, &DeleteParams::default()).await.unwrap();
    }
}

fn kubelet(kubeconfig: &str, namespace: &str, folder: &Path, arguments: &[String]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minikubelet"));
    command.args(["--kubeconfig", kubeconfig, "--node", namespace, "--namespace", namespace]);
    command.args(["--back-off", "1", "--refresh", "1", "--dir"]).arg(folder).args(arguments);
    let log = std::fs::File::create(folder.join("kubelet.log")).unwrap();
    command.stderr(log).kill_on_drop(true).spawn().unwrap()
}
