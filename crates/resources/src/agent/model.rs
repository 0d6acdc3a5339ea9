//! Which model answers.

use serde::{Deserialize, Serialize};

use crate::k8sgpt::Backend;

/// Which model answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Model {
    /// Who runs it. A server of one's own that speaks OpenAI's protocol and wants no key is localai.
    pub provider: Backend,
    /// Its name, as the provider has it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_MODEL)))]
    pub name: String,
    /// Address of the provider, where it has another than the usual or none: http://vllm.models.svc:8000/v1.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_URL)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Other models of this provider that a message may ask for.
    #[cfg_attr(
        feature = "schema",
        schemars(length(max = MAX_ALTERNATIVES), inner(length(min = 1, max = MAX_MODEL)))
    )]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<String>,
    /// Most tokens of one answer.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// From 0, the same words each time, to 2.
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 2.0)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
}

/// Longest name of a model.
#[cfg(feature = "schema")]
const MAX_MODEL: u32 = 256;
/// Longest address.
#[cfg(feature = "schema")]
const MAX_URL: u32 = 2048;
/// Most other models.
#[cfg(feature = "schema")]
const MAX_ALTERNATIVES: u32 = 32;
/// Longest name of an object, and of a key of a Secret.
#[cfg(feature = "schema")]
const MAX_NAME: u32 = 253;

/// Key of a model's provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// The key of a Secret of this namespace that holds it.
    pub secret_ref: SecretKey,
}

/// A key of a Secret of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SecretKey {
    /// Name of the Secret.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_NAME)))]
    pub name: String,
    /// Key within it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_NAME)))]
    pub key: String,
}
