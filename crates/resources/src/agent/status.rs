//! What the operator says about an agent.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Condition;

/// It can be talked to: all the others hold.
pub const READY: &str = "Ready";
/// Prompt, tools and model are known.
pub const DEFINITION: &str = "DefinitionResolved";
/// The Secrets that it names exist.
pub const SECRETS: &str = "SecretsReady";
/// What it may call fits its risk tier and exists.
pub const POLICY: &str = "PolicyCompliant";
/// Its actor runs, or sleeps until somebody talks to it.
pub const WORKLOAD: &str = "WorkloadReady";

/// Every condition type with its meaning; the table of the documentation.
pub const CONDITIONS: [(&str, &str); 5] = [
    (READY, "it can be talked to: no other condition is False, and its actor is there"),
    (DEFINITION, "prompt, tools and model are known, the ConfigMap included that may hold them"),
    (SECRETS, "the Secrets that it names exist; Unknown where the operator may not look"),
    (
        POLICY,
        "every tool that it is granted exists and is not worse than riskTier; where it is False no actor runs",
    ),
    (WORKLOAD, "its actor runs, or sleeps until somebody talks to it"),
];

/// What the operator says about an agent. What is absent was not seen yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AgentStatus {
    /// What holds and what does not, each with a reason and a sentence.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The model that answers, as provider/name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Tools that it is granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<String>,
    /// SHA-256 of the text that promptFrom or definitionRef named, as it was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
}

impl AgentStatus {
    /// Reads the status of an object as the API server has it. What another version wrote in another way is left out.
    pub fn read(object: &Value) -> Self {
        crate::status::readable(object)
    }

    /// The condition of a type, if it was ever set.
    pub fn condition(&self, r#type: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.r#type == r#type)
    }
}
