//! The node and the pods on it.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{Binding, Node, ObjectReference, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::logs::Logs;
use crate::objects::Objects;
use crate::paths;
use crate::pod::{Ground, Runner};
use crate::serving;

/// What the command line decides.
pub(crate) struct Kubelet {
    pub(crate) client: Client,
    pub(crate) node: String,
    /// Empty: all.
    pub(crate) namespaces: Vec<String>,
    pub(crate) programs: Arc<HashMap<String, Vec<String>>>,
    pub(crate) folder: PathBuf,
    pub(crate) logs: Logs,
    pub(crate) guard: Option<PathBuf>,
    pub(crate) back_off: Duration,
    pub(crate) refresh: Duration,
}

/// The object of each pod that is run here, by uid; kept until the object is gone.
type Running = HashMap<String, watch::Sender<Option<Arc<Pod>>>>;

impl Kubelet {
    /// Runs pods until the future is dropped, which kills their processes.
    ///
    /// # Errors
    /// When the node cannot be registered.
    pub(crate) async fn run(&self) -> Result<()> {
        let serving = serving::serve(&self.folder, self.logs.clone(), self.client.clone());
        let (port, serving) = serving.await.context("serving the API server")?;
        self.register(port).await.context("registering the node")?;
        tokio::select! {
            result = self.follow() => result,
            () = serving => Ok(()),
        }
    }

    async fn follow(&self) -> Result<()> {
        let mut events =
            pin!(watcher(Api::<Pod>::all(self.client.clone()), watcher::Config::default()).default_backoff());
        let mut running = Running::new();
        // Dropping it ends all pods.
        let mut pods = JoinSet::new();
        // The pods of a list that is being read.
        let mut listed = HashSet::new();
        loop {
            match events.try_next().await {
                Ok(Some(watcher::Event::Init)) => listed.clear(),
                Ok(Some(watcher::Event::InitApply(pod))) => {
                    listed.insert(pod.uid().unwrap_or_default());
                    self.seen(Arc::new(pod), &mut running, &mut pods).await;
                }
                Ok(Some(watcher::Event::InitDone)) => {
                    // What went away while nobody watched.
                    for (_, updates) in running.extract_if(|uid, _| !listed.contains(uid)) {
                        updates.send_replace(None);
                    }
                }
                Ok(Some(watcher::Event::Apply(pod))) => {
                    self.seen(Arc::new(pod), &mut running, &mut pods).await;
                }
                Ok(Some(watcher::Event::Delete(pod))) => {
                    if let Some(updates) = running.remove(&pod.uid().unwrap_or_default()) {
                        updates.send_replace(None);
                    }
                }
                Ok(None) => return Ok(()),
                Err(error) => warn!(%error, "the watch of pods is broken, and is made anew"),
            }
            while pods.try_join_next().is_some() {}
        }
    }

    async fn seen(&self, pod: Arc<Pod>, running: &mut Running, pods: &mut JoinSet<()>) {
        let namespace = pod.namespace().unwrap_or_default();
        if !self.namespaces.is_empty() && !self.namespaces.contains(&namespace) {
            return;
        }
        let uid = pod.uid().unwrap_or_default();
        match pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()) {
            None if pod.metadata.deletion_timestamp.is_none() => self.bind(&pod, &namespace).await,
            Some(node) if node == self.node => {
                if let Some(updates) = running.get(&uid) {
                    updates.send_replace(Some(pod));
                } else {
                    let (updates, seen) = watch::channel(Some(Arc::clone(&pod)));
                    running.insert(uid, updates);
                    pods.spawn(self.runner(pod, &namespace, seen).run());
                }
            }
            None | Some(_) => {}
        }
    }

    fn runner(&self, pod: Arc<Pod>, namespace: &str, updates: watch::Receiver<Option<Arc<Pod>>>) -> Runner {
        let uid = pod.uid().unwrap_or_default();
        // Short: a socket's path has at most 107 bytes.
        let short: String = uid.chars().take(8).collect();
        let ground = Ground {
            name: format!("{namespace}_{}", pod.name_any()),
            ip: paths::address(&uid),
            folder: self.folder.join(short),
            claims: self.folder.join("claims").join(namespace),
            logs: self.logs.clone(),
            objects: Objects::new(self.client.clone(), namespace),
            programs: Arc::clone(&self.programs),
            guard: self.guard.clone(),
            back_off: self.back_off,
            refresh: self.refresh,
            pod,
        };
        Runner { ground: Arc::new(ground), api: Api::namespaced(self.client.clone(), namespace), updates }
    }

    /// Claims a pod that no node has, instead of a scheduler. Another kubelet may be first.
    async fn bind(&self, pod: &Pod, namespace: &str) {
        let name = pod.name_any();
        let target = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Node".to_owned()),
            name: Some(self.node.clone()),
            ..ObjectReference::default()
        };
        let metadata =
            ObjectMeta { name: Some(name.clone()), uid: pod.metadata.uid.clone(), ..ObjectMeta::default() };
        let binding = Binding { metadata, target };
        let api = Api::<Pod>::namespaced(self.client.clone(), namespace);
        let created: Result<serde_json::Value, _> =
            api.create_subresource("binding", &name, &PostParams::default(), &binding).await;
        match created {
            Ok(_) => info!(pod = name, namespace, node = self.node, "bound"),
            Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => {}
            Err(error) => warn!(pod = name, namespace, %error, "not bound"),
        }
    }

    async fn register(&self, port: u16) -> Result<()> {
        let api = Api::<Node>::all(self.client.clone());
        let apply = PatchParams::apply("minikubelet").force();
        let head = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.node,
            "labels": {"kubernetes.io/hostname": self.node, "kubernetes.io/os": "linux"}}});
        api.patch(&self.node, &apply, &Patch::Apply(&head)).await?;
        let room = json!({"cpu": "1000", "memory": "1Ti", "pods": "10000", "ephemeral-storage": "1Ti"});
        let mut node = head;
        node["status"] = json!({"capacity": room, "allocatable": room,
            // No host name: the API server would prefer it, and not find it.
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True", "reason": "MiniKubelet", "message": "runs pods as processes"}]});
        api.patch_status(&self.node, &apply, &Patch::Apply(&node)).await?;
        Ok(())
    }

    /// Takes the node back; its pods stay as they were shown last.
    pub(crate) async fn unregister(&self) {
        let api = Api::<Node>::all(self.client.clone());
        if let Err(error) = api.delete(&self.node, &DeleteParams::default()).await {
            warn!(%error, "the node stays registered");
        }
    }
}
