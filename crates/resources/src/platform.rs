//! What the operator adds around the handler: the sidecar, a bound workload, and how things end.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::EnvVar;

/// The container that is added to the pods and talks to the broker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// Its image. Absent means the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When the image is pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::image_pull_policy"))]
    pub image_pull_policy: Option<String>,
    /// Names of Secrets of the actor's namespace that hold credentials for the image's registry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<String>,
    /// Requests and limits of the container. Absent means the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::resources"))]
    pub resources: Option<Value>,
    /// Further environment of the container. It wins over what the operator sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::bounds::MAX_ENV)))]
    pub env: Vec<EnvVar>,
}

/// A handler without an image of its own: one Python file from a ConfigMap of the actor's namespace. Its module is
/// importable under the key's name without `.py`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HandlerFrom {
    /// Name of the ConfigMap, in the actor's namespace.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub config_map: String,
    /// Key of the file. Absent means handler.py.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub key: Option<String>,
    /// Image with Python, for an actor whose workload has no template. Absent means python:3.13-slim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub image: Option<String>,
}

/// Key of a handler's file in its ConfigMap.
pub const DEFAULT_HANDLER_KEY: &str = "handler.py";
/// Image for handlers without one: small, current, and with what most wheels need.
pub const DEFAULT_PYTHON_IMAGE: &str = "python:3.13-slim";

/// An existing workload of the actor's namespace that gets the sidecar.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Binding {
    /// For example apps/v1.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub api_version: String,
    /// Deployment or StatefulSet.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::bound_kind"))]
    pub kind: String,
    /// Its name.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub name: String,
    /// The container that serves the handler on the socket in /var/run/asya: with the Python runtime, or the Rust crate
    /// asya-handler. Absent means the only one, or the one named asya-runtime. With http no container is changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub container: Option<String>,
    /// The handler is an HTTP server in the pod, such as a model server: each envelope's payload is posted to it, and its
    /// answer is the result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpHandler>,
}

/// An HTTP server of the pod that is called for each envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HttpHandler {
    /// The port that it listens on: at 127.0.0.1, or at all addresses.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 65535)))]
    pub port: u16,
    /// The path that is posted to. Absent means /.
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_PATH)))]
    #[serde(default = "root_path", skip_serializing_if = "is_root_path")]
    pub path: String,
}

/// Longest path of an HTTP handler, in characters: bounds what the rule about it costs the API server.
pub const MAX_PATH: u32 = 1024;

fn root_path() -> String {
    "/".to_owned()
}

fn is_root_path(path: &str) -> bool {
    path == "/"
}

impl HttpHandler {
    /// Where it is for the sidecar, which shares the pod's network.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}{}", self.port, self.path)
    }
}

/// What becomes of the queue when the actor is deleted. A dead-letter queue with messages is always kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum DeletionPolicy {
    /// The queue stays.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Rollout {
    /// The policy.
    pub policy: RolloutPolicy,
}

/// See [`Rollout`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum RolloutPolicy {
    /// Running pods are left alone until something else replaces them; status says that an update is there.
    #[default]
    OnRestart,
    /// A few actors at a time, those at zero last.
    Rolling,
}

/// What is filled into the runtime container's security context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Security {
    /// What is filled in.
    pub preset: SecurityPreset,
}

/// See [`Security`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SecurityPreset {
    /// What the restricted Pod Security Standard asks for, where the manifest leaves it empty.
    Restricted,
    /// Nothing, even in a namespace that enforces the standard.
    None,
}
