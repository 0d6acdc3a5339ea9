//! What the operator adds around the handler: the sidecar, a bound workload, and how things end.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::EnvVar;

/// The container that the operator adds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// Its image; absent = the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// `Always`, `IfNotPresent` or `Never`; absent = the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Names of Secrets of the actor's namespace with credentials for the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<String>,
    /// Kubernetes' `ResourceRequirements`; absent = the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Value>,
    /// Further environment, which wins over what the operator sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
}

/// A handler without an image of its own: one Python file from a ConfigMap of the actor's namespace. Its module is
/// importable under the key's name without `.py`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HandlerFrom {
    /// Name of the ConfigMap.
    pub config_map: String,
    /// Key of the file; absent = [`DEFAULT_HANDLER_KEY`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Image with Python for a workload without a template; absent = [`DEFAULT_PYTHON_IMAGE`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
}

/// Key of a handler's file in its ConfigMap.
pub const DEFAULT_HANDLER_KEY: &str = "handler.py";
/// Image for handlers without one: small, current, and with what most wheels need.
pub const DEFAULT_PYTHON_IMAGE: &str = "python:3.13-slim";

/// An existing workload that gets the sidecar: binding mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// For example `apps/v1`.
    pub api_version: String,
    /// `Deployment` or `StatefulSet`.
    pub kind: String,
    /// Its name, in the actor's namespace.
    pub name: String,
    /// The container that serves the handler; absent = the one named `asya-runtime`, or the only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// For a container that serves HTTP instead of the socket: called once per envelope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTarget>,
}

/// Where a bound container serves HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpTarget {
    /// Its port.
    pub port: u16,
    /// The path; absent = `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// What becomes of the queue when the actor is deleted. A dead-letter queue with messages is always kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeletionPolicy {
    /// It stays.
    Retain,
    /// It goes if nothing waits on it and nothing is in work.
    #[default]
    DeleteIfEmpty,
    /// It goes with all its messages.
    Delete,
}

/// When running pods follow a new runtime, sidecar or transport setting. A change of the actor's own spec rolls at
/// once, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    /// The policy.
    pub policy: RolloutPolicy,
}

/// See [`Rollout`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RolloutPolicy {
    /// Running pods are left alone until something else replaces them; status says that an update is there.
    #[default]
    OnRestart,
    /// A few actors at a time, those at zero last.
    Rolling,
}

/// What is filled into the runtime container's security context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Security {
    /// The preset.
    pub preset: SecurityPreset,
}

/// See [`Security`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SecurityPreset {
    /// What the restricted Pod Security Standard asks for, where the manifest leaves it empty.
    Restricted,
    /// Nothing, even in a namespace that enforces the standard.
    None,
}
