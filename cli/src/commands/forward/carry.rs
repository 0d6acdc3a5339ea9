//! Carrying connections to a pod that is ready.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::Value;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::target::Target;
use crate::{
    cluster::{Cluster, ClusterError, error::Asked, resource::PODS},
    output::{Output, note, safe},
};

/// Connections at a time: each is one of the API server's, too.
const CONNECTIONS: usize = 64;
/// How long a connection waits for a pod that is ready: a rollout's gap.
const AWAY: Duration = Duration::from_secs(20);
/// Pause between tries.
const PAUSE: Duration = Duration::from_millis(500);
/// How long the way to a pod may take to open.
const OPEN: Duration = Duration::from_secs(10);

/// A pod that is ready, and its port.
pub(super) struct Ready {
    pub(super) name: String,
    port: u16,
}

/// Carries connections.
pub(super) struct Carrier {
    cluster: Cluster,
    target: Target,
    output: Output,
    /// What was said last of a broken way; `None`: it is not broken.
    said: Mutex<Option<String>>,
}

impl Carrier {
    pub(super) fn new(cluster: Cluster, target: Target, output: Output) -> Self {
        Self { cluster, target, output, said: Mutex::default() }
    }

    /// Takes connections for ever. Those that are open end with this future.
    pub(super) async fn serve(self: &Arc<Self>, listener: TcpListener) -> io::Error {
        let (room, mut open) = (Arc::new(Semaphore::new(CONNECTIONS)), JoinSet::new());
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                return io::Error::other("nobody closes it");
            };
            match listener.accept().await {
                Ok((client, _)) => {
                    let carrier = Arc::clone(self);
                    open.spawn(async move {
                        carrier.carry(client).await;
                        drop(permit);
                    });
                }
                // Too many open files, or a client that has gone: neither is for long.
                Err(error) => {
                    self.say(&format!("a connection is not taken: {error}"));
                    sleep(PAUSE).await;
                }
            }
            while open.try_join_next().is_some() {}
        }
    }

    /// A pod that is ready.
    ///
    /// # Errors
    /// There is none, or pods may not be listed.
    pub(super) async fn pod(&self) -> anyhow::Result<Ready> {
        let namespace = self.cluster.namespace.as_str();
        let pods = self.cluster.list(PODS, Some(namespace), &self.target.labels).await?;
        let (all, mut wrong) = (pods.len(), None);
        for pod in pods.iter().filter(|pod| is_ready(pod)) {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            match self.target.port(pod) {
                Some(port) => return Ok(Ready { name, port }),
                None => wrong = Some(name),
            }
        }
        match wrong {
            Some(name) => anyhow::bail!(
                "pod {name} has no port of the name that {} wants; --port names one",
                self.target
            ),
            None => anyhow::bail!(
                "none of the {all} pods of {} is ready: `kubectl -n {namespace} get pods -l {}` says why",
                self.target,
                self.target.labels
            ),
        }
    }

    async fn carry(&self, mut client: TcpStream) {
        let begun = Instant::now();
        let (mut forwarder, port) = loop {
            match self.open().await {
                Ok(open) => break open,
                Err(error) => {
                    // A right that is missing does not come back by itself.
                    let refused = matches!(error.downcast_ref(), Some(ClusterError::Forbidden(_)));
                    self.say(&format!("{error:#}"));
                    if refused || begun.elapsed() > AWAY {
                        return;
                    }
                    sleep(PAUSE).await;
                }
            }
        };
        let (Some(mut stream), Some(error)) = (forwarder.take_stream(port), forwarder.take_error(port))
        else {
            return;
        };
        let told = async {
            match error.await {
                Some(error) => error,
                // Nothing is wrong; the other branch ends.
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Either side may break off.
            _ = copy_bidirectional(&mut client, &mut stream) => {}
            error = told => self.say(&format!("the pod does not take a connection: {}", error.trim())),
        }
        forwarder.abort();
    }

    async fn open(&self) -> anyhow::Result<(kube::api::Portforwarder, u16)> {
        let Ready { name, port } = self.pod().await?;
        let namespace = self.cluster.namespace.as_str();
        let pods: Api<Pod> = Api::namespaced(self.cluster.client.clone(), namespace);
        let asked = Asked {
            verb: "get, create",
            resource: PODS,
            subresource: Some("portforward"),
            namespace: Some(namespace),
        };
        let forwarder = match timeout(OPEN, pods.portforward(&name, &[port])).await {
            Ok(forwarder) => forwarder.map_err(|error| ClusterError::of_upgrade(&error, asked))?,
            Err(_) => anyhow::bail!("the way to pod {name} did not open within {OPEN:?}"),
        };
        let broken = self.said.lock().unwrap_or_else(PoisonError::into_inner).take();
        if broken.is_some() {
            note(self.output, &safe(&format!("leads to pod {name} again")));
        }
        Ok((forwarder, port))
    }

    /// Says it, unless it was the last thing that was said.
    fn say(&self, words: &str) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_deref() != Some(words) {
            note(self.output, &safe(words));
            *said = Some(words.to_owned());
        }
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let mut ready = conditions.filter(|condition| condition["type"] == "Ready");
    pod["metadata"]["deletionTimestamp"].is_null() && ready.any(|condition| condition["status"] == "True")
}
