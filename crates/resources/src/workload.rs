//! What runs the handler.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RUNTIME_CONTAINER;

/// Interpreter that runs the handler, unless told otherwise.
pub const DEFAULT_PYTHON: &str = "python3";
/// Replicas while scaling is off, unless told otherwise: the contract's default.
pub const DEFAULT_REPLICAS: u32 = 1;

/// The workload behind an actor.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// `Deployment` (default), `StatefulSet` or `Job`. Read it with [`Workload::kind`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Older spelling of `kind`; both may stand there if they agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Kind>,
    /// Replicas while scaling is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Interpreter that runs the handler; absent = [`DEFAULT_PYTHON`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub python_executable: Option<String>,
    /// The pod.
    #[serde(default)]
    pub template: PodTemplate,
    /// A StatefulSet's claims, as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub volume_claim_templates: Vec<Value>,
    /// A StatefulSet's service; absent = a headless one with the actor's name, which the operator makes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// What becomes of a StatefulSet's claims, as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistent_volume_claim_retention_policy: Option<Value>,
    /// How a Job ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// Whether the handler's container gets the pod's cloud identity too.
    #[serde(default)]
    pub share_cloud_identity: bool,
}

impl Kind {
    /// As it is written in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::Job => "Job",
        }
    }
}

/// What makes an actor's pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Replicas that are all alike.
    #[default]
    Deployment,
    /// Replicas with a name and claims of their own.
    StatefulSet,
    /// One pod per few envelopes, through KEDA's ScaledJob.
    Job,
}

/// How one Job of an actor ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Job {
    /// Envelopes that it takes.
    pub messages: u32,
    /// Seconds without an envelope after which it ends with fewer.
    pub idle_timeout: u32,
    /// Seconds that a finished Job is kept; absent = as KEDA cleans up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds_after_finished: Option<u32>,
}

/// Seconds that a Job waits for its next envelope: long enough for a redelivery, short enough to cost little.
pub const DEFAULT_JOB_IDLE_TIMEOUT: u32 = 30;

impl Default for Job {
    fn default() -> Self {
        Self { messages: 1, idle_timeout: DEFAULT_JOB_IDLE_TIMEOUT, ttl_seconds_after_finished: None }
    }
}

/// A pod template; only what is read here has a type.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PodTemplate {
    /// The pod's metadata, as it came.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub metadata: Value,
    /// The pod's spec.
    #[serde(default)]
    pub spec: PodSpec,
}

/// A pod's spec; everything but the containers is kept as it came.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PodSpec {
    /// The containers.
    #[serde(default)]
    pub containers: Vec<Container>,
    /// All other fields.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// A container; everything but name and environment is kept as it came.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Container {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its environment.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// All other fields.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// One environment variable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value, if it stands in the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the value is to be found instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvSource>,
}

/// Where the value of an environment variable is to be found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvSource {
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
    /// A field of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldSelector>,
    /// A resource of the container; has no meaning outside a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_field_ref: Option<ResourceSelector>,
}

/// A key of a Secret or ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySelector {
    /// Name of the object.
    #[serde(default)]
    pub name: String,
    /// Key within it.
    pub key: String,
    /// True when it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A field of the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldSelector {
    /// For example `metadata.name`.
    pub field_path: String,
}

/// A resource of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceSelector {
    /// For example `limits.cpu`.
    pub resource: String,
}

impl Workload {
    /// What makes the pods, in either spelling.
    pub fn kind(&self) -> Kind {
        self.kind.or(self.r#type).unwrap_or_default()
    }

    /// Replicas while scaling is off.
    pub fn replicas(&self) -> u32 {
        self.replicas.unwrap_or(DEFAULT_REPLICAS)
    }

    /// Interpreter that runs the handler.
    pub fn python(&self) -> &str {
        self.python_executable.as_deref().unwrap_or(DEFAULT_PYTHON)
    }

    /// The container that runs the handler.
    pub fn runtime(&self) -> Option<&Container> {
        self.template.spec.containers.iter().find(|container| container.name == RUNTIME_CONTAINER)
    }
}

impl EnvVar {
    /// A variable whose value is known.
    pub fn plain(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into()), value_from: None }
    }
}
