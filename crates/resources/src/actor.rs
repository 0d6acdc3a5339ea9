//! `AsyncActor`: a handler with a queue in front of it.

use std::collections::BTreeMap;

#[cfg(feature = "schema")]
use crate::bounds::MAX_ENV;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    Batch, Binding, DeletionPolicy, EnvVar, HandlerFrom, HttpHandler, Kind, Retry, Rollout, Scaling,
    Security, SidecarSpec, Timeout, Workers, Workload,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AsyncActorSpec {
    /// Which broker carries the envelopes: a transport that the operator is configured with, for example rabbitmq or
    /// sqs.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub transport: String,
    /// What is called for each envelope, as module.function or module.Class.method. Short form of the environment
    /// variable ASYA_HANDLER of the runtime container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub handler: Option<String>,
    /// Environment of the runtime container. A variable that the container in the template sets itself wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_ENV)))]
    pub env: Vec<EnvVar>,
    /// Worker processes per replica: a number, or auto for as many as there are CPUs. The runtime's own default is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<Workers>,
    /// Requests that one worker with an async handler runs at the same time, or that an HTTP server gets.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Calls the handler with lists of payloads instead of one at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<Batch>,
    /// Which failures of the handler are tried again, and how often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// How long a run and a drain may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Timeout>,
    /// Which actors the handler may insert into a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Routes>,
    /// How many replicas, when. Without it scaling is off and workload.replicas counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<Scaling>,
    /// The pods that run the handler. May be left out with handler (and handlerFrom) or workloadRef.
    #[serde(default, skip_serializing_if = "Workload::is_absent")]
    pub workload: Workload,
    /// Takes the handler from a ConfigMap, so that no image needs to be built: one Python file on a stock image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handler_from: Option<HandlerFrom>,
    /// Runs the handler inside the sidecar's own process: one container per pod and no socket. Its image must be built on
    /// asya-sidecar-py. The handler's code can then read the transport's credentials, and a crash of it ends the container.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub embedded: bool,
    /// Attaches to an existing workload instead of making one. It gets the sidecar, the socket's volume and labels; its
    /// command, replicas (unless scaling is on) and selector stay as they are. Deleting the actor takes all of it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<Binding>,
    /// The container that is added to the pods and talks to the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecar: Option<SidecarSpec>,
    /// While true no replica runs, whatever waits.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// What becomes of the queue when the actor is deleted. Absent means DeleteIfEmpty. A dead-letter queue with messages
    /// is always kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
    /// When running pods follow a new runtime, sidecar or transport setting. Absent means as the operator is configured.
    /// A change of the actor's own spec rolls at once, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// What the operator fills into the security context of the runtime container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Security>,
}

/// Which actors the handler may insert into a route.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Routes {
    /// Patterns of actor names in which * stands for any characters. Absent means every actor, an empty list none.
    #[serde(default = "everything", skip_serializing_if = "is_everything")]
    pub allow: Vec<String>,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

fn is_everything(allow: &[String]) -> bool {
    allow == everything()
}

pub(crate) fn read<T: DeserializeOwned>(value: &Value) -> serde_json::Result<T> {
    let mut value = value.clone();
    without_null(&mut value);
    serde_json::from_value(value)
}

fn without_null(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_null);
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

impl AsyncActorSpec {
    /// Reads the spec of an object in which [`check`](crate::check()) finds no error, as [`AsyncActor::read`] does.
    ///
    /// # Errors
    /// Where it is not one; never without an error of `check`.
    pub fn read(spec: &Value) -> serde_json::Result<Self> {
        read(spec)
    }

    /// The HTTP server that handles envelopes, if one does.
    pub fn http(&self) -> Option<&HttpHandler> {
        self.workload_ref.as_ref()?.http.as_ref()
    }

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
    /// Reads an object in which [`check`](crate::check()) finds no error. As in Kubernetes, null is the same as absent.
    ///
    /// # Errors
    /// Where the object is not one; never without an error of `check`.
    pub fn read(object: &Value) -> serde_json::Result<Self> {
        read(object)
    }

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
