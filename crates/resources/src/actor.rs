//! `AsyncActor`: a handler with a queue in front of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Batch, Binding, DeletionPolicy, EnvVar, HandlerFrom, Kind, Retry, Rollout, Scaling, Security,
    SidecarSpec, Timeout, Workers, Workload,
};

/// One actor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AsyncActor {
    /// Always [`API_VERSION`](crate::API_VERSION).
    pub api_version: String,
    /// Always [`KIND`](crate::KIND).
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: AsyncActorSpec,
}

/// The part of Kubernetes' object metadata that matters here.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Metadata {
    /// The actor's name.
    #[serde(default)]
    pub name: String,
    /// The namespace, if the manifest says one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What is wanted of an actor.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AsyncActorSpec {
    /// Transport by the operator's name for it.
    pub transport: String,
    /// Short form of the environment variable `ASYA_HANDLER` of the runtime container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// Environment of the runtime, before the container's own, which wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Worker processes per replica (`ASYA_WORKERS`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Workers>,
    /// Requests that one worker with an async handler runs at the same time (`ASYA_CONCURRENCY`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// For handlers that take lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Which failures are tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long a run and a drain may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Which actors a handler may insert into a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Routes>,
    /// How many replicas, when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// What runs the handler.
    #[serde(default)]
    pub workload: Workload,
    /// A handler without an image of its own: one file from a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler_from: Option<HandlerFrom>,
    /// An existing workload to attach to, instead of one that the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<Binding>,
    /// The sidecar's container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarSpec>,
    /// True: no replica runs, whatever waits.
    #[serde(default)]
    pub paused: bool,
    /// What becomes of the queue when the actor is deleted; absent = delete it if it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// When pods follow a new runtime or sidecar; absent = as the operator is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What is filled into the runtime's security context.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Security>,
}

/// Which actors a handler may insert into a route.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Routes {
    /// Globs of actor names; empty = none.
    #[serde(default = "everything")]
    pub allow: Vec<String>,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

impl AsyncActorSpec {
    /// What makes the pods.
    pub fn kind(&self) -> Kind {
        self.workload.kind()
    }

    /// Whether KEDA decides how many pods run.
    pub fn scaling_on(&self) -> bool {
        self.scaling.as_ref().is_some_and(|scaling| scaling.enabled)
    }

    /// Least pods: what scaling says, or all of them while it is off.
    pub fn min_replicas(&self) -> u32 {
        self.scaling
            .as_ref()
            .filter(|scaling| scaling.enabled)
            .map_or(self.workload.replicas(), |scaling| scaling.min_replicas)
    }

    /// Most pods: what scaling says, or all of them while it is off.
    pub fn max_replicas(&self) -> u32 {
        self.scaling
            .as_ref()
            .filter(|scaling| scaling.enabled)
            .map_or(self.workload.replicas(), |scaling| scaling.max_replicas)
    }

    /// How long a run and a drain may take, defaults filled in.
    pub fn timeout(&self) -> Timeout {
        self.timeout.clone().unwrap_or_default()
    }

    /// What becomes of the queue when the actor is deleted.
    pub fn deletion_policy(&self) -> DeletionPolicy {
        self.deletion_policy.unwrap_or_default()
    }
}

impl AsyncActor {
    /// Environment of the runtime in order of increasing precedence: short forms, `spec.env`, the container's own.
    pub fn runtime_env(&self) -> Vec<EnvVar> {
        let spec = &self.spec;
        let mut env = Vec::new();
        let mut short = |name: &str, value: Option<String>| {
            env.extend(value.map(|value| EnvVar::plain(name, value)));
        };
        short("ASYA_HANDLER", spec.handler.clone());
        short("ASYA_WORKERS", spec.workers.as_ref().map(ToString::to_string));
        short("ASYA_CONCURRENCY", spec.concurrency.map(|number| number.to_string()));
        short("ASYA_BATCH_MAX", spec.batch.as_ref().map(|batch| batch.max.to_string()));
        short("ASYA_BATCH_WAIT_MS", spec.batch.as_ref().map(|batch| batch.wait_ms.to_string()));
        env.extend(spec.env.iter().cloned());
        env.extend(self.spec.workload.runtime().into_iter().flat_map(|container| container.env.clone()));
        env
    }

    /// Path of the handler, if the manifest says one.
    pub fn handler(&self) -> Option<String> {
        self.runtime_env().into_iter().rev().find(|var| var.name == "ASYA_HANDLER").and_then(|var| var.value)
    }
}
