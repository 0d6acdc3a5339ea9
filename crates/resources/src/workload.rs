//! What runs the handler.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::RUNTIME_CONTAINER;

/// Interpreter that runs the handler, unless told otherwise.
pub const DEFAULT_PYTHON: &str = "python3";
/// Replicas while scaling is off, unless told otherwise: the contract's default.
pub const DEFAULT_REPLICAS: u32 = 1;

/// The pods that run the handler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Workload {
    /// Deployment, StatefulSet or Job. Absent means Deployment. It cannot change: delete and recreate the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// Older spelling of kind. Both may stand there if they agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<Kind>,
    /// Replicas while scaling is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = DEFAULT_REPLICAS)))]
    pub replicas: Option<u32>,
    /// Python interpreter of the image that runs the handler, by name or path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("default" = DEFAULT_PYTHON)))]
    pub python_executable: Option<String>,
    /// The pod, as in a Deployment. One container must be named asya-runtime: it runs the handler and gets its command from
    /// the operator. Everything that Kubernetes knows may stand here.
    #[serde(default, skip_serializing_if = "PodTemplate::is_absent")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::template"))]
    pub template: PodTemplate,
    /// Claims of each replica of a StatefulSet, written as in a StatefulSet. They cannot change: delete and recreate the
    /// actor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::claims"))]
    pub volume_claim_templates: Vec<Value>,
    /// Service that gives the replicas of a StatefulSet their names. Absent means a headless one with the actor's name,
    /// which the operator makes. It cannot change: delete and recreate the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// What becomes of the claims of a StatefulSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::retention"))]
    pub persistent_volume_claim_retention_policy: Option<Value>,
    /// When a Job ends; only with kind Job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    /// Whether all containers get the pod's cloud identity, and not the sidecar alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Kind {
    /// Replicas that are all alike.
    #[default]
    Deployment,
    /// Replicas with a name and claims of their own.
    StatefulSet,
    /// One pod per few envelopes, through KEDA's ScaledJob.
    Job,
}

/// When one Job of an actor ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Job {
    /// Envelopes that it takes before it ends.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub messages: u32,
    /// Seconds without an envelope after which it ends with fewer.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub idle_timeout: u32,
    /// Seconds that a finished Job is kept. Absent means that KEDA keeps the last 100.
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodTemplate {
    /// The pod's metadata, as it came.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub metadata: Value,
    /// The pod's spec.
    #[serde(default, skip_serializing_if = "PodSpec::is_absent")]
    pub spec: PodSpec,
}

/// A pod's spec; everything but the containers is kept as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PodSpec {
    /// The containers.
    #[serde(default)]
    pub containers: Vec<Container>,
    /// All other fields.
    #[serde(flatten)]
    pub rest: serde_json::Map<String, Value>,
}

/// A container; everything but name and environment is kept as it came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EnvVar {
    /// Its name.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub name: String,
    /// Its value. Numbers and true or false must stand in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Where the value is to be found instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<EnvSource>,
}

/// Where the value of an environment variable is to be found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct EnvSource {
    /// A key of a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
    /// A key of a ConfigMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
    /// A field of the pod, for example metadata.name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field_ref: Option<FieldSelector>,
    /// A resource of the container, for example limits.cpu.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_field_ref: Option<ResourceSelector>,
    /// A key of a file in a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::open"))]
    pub file_key_ref: Option<Value>,
}

/// A key of a Secret or ConfigMap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct KeySelector {
    /// Name of the object.
    #[serde(default)]
    pub name: String,
    /// Key within it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub key: String,
    /// True when it may be missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A field of the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FieldSelector {
    /// Version of the schema that the path is of. Absent means v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// For example metadata.name.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub field_path: String,
}

/// A resource of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ResourceSelector {
    /// Name of the container. Absent means this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_name: Option<String>,
    /// What the value is divided by, for example 1Mi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::quantity"))]
    pub divisor: Option<Value>,
    /// For example limits.cpu.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
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
        self.python_executable.as_deref().filter(|name| !name.is_empty()).unwrap_or(DEFAULT_PYTHON)
    }

    /// Whether the manifest says nothing about it.
    pub fn is_absent(&self) -> bool {
        *self == Self::default()
    }

    /// The container that runs the handler.
    pub fn runtime(&self) -> Option<&Container> {
        self.template.spec.containers.iter().find(|container| container.name == RUNTIME_CONTAINER)
    }
}

impl PodTemplate {
    /// Whether the manifest says nothing about it.
    pub fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

impl PodSpec {
    /// Whether the manifest says nothing about it.
    pub fn is_absent(&self) -> bool {
        *self == Self::default()
    }
}

impl EnvVar {
    /// A variable whose value is known.
    pub fn plain(name: &str, value: impl Into<String>) -> Self {
        Self { name: name.to_owned(), value: Some(value.into()), value_from: None }
    }
}
