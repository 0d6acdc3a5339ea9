//! `Agent`: who answers in a conversation.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    AgentPod, AgentScaling, ApiKey, Approval, Budgets, Concurrency, Model, Observability, Risk, Tools,
};
use crate::{EnvVar, Metadata};

/// Who answers in a conversation, with which model and which tools.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Always [`API_VERSION`](crate::API_VERSION).
    pub api_version: String,
    /// Always [`KIND`](super::KIND).
    pub kind: String,
    /// Name and labels. The name is also that of the actor.
    pub metadata: Metadata,
    /// What is wanted.
    pub spec: AgentSpec,
}

/// What is wanted of an agent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AgentSpec {
    /// Which broker carries its envelopes: a transport that the operator is configured with, for example rabbitmq or sqs.
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    pub transport: String,
    /// What it is for, in a sentence for people.
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_DESCRIPTION)))]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Which model answers. May be left out with definitionRef, whose model is taken then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<Model>,
    /// What the model is told before every conversation.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_PROMPT)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// The same, from a key of a ConfigMap of this namespace. A change is taken up within a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_from: Option<ConfigKey>,
    /// Prompt, tools and model from a key of a ConfigMap of this namespace, as JSON: {"prompt", "tools", "model"}. What this
    /// spec says itself wins. A change is taken up within a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition_ref: Option<DefinitionRef>,
    /// What it may call. Absent means nothing: it only talks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<Tools>,
    /// How bad a tool of it may be at most. An agent that is granted a worse one is not run.
    #[serde(default)]
    pub risk_tier: Risk,
    /// Key of the model's provider. Absent for servers that ask for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKey>,
    /// How much is worked on at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// What the answer to one message may use up. What is absent is left to the agent actor's and the gateway's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budgets: Option<Budgets>,
    /// Who asks people before a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// What is told of its work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observability: Option<Observability>,
    /// How many replicas, when. Without KEDA in the cluster as many run as must, and at least one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scaling: Option<AgentScaling>,
    /// Further environment, for settings of the model's provider that have no field here, as ASYA_LLM_REGION.
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_AGENT_ENV)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// What its pods have besides what they need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<AgentPod>,
}

/// Most characters of a description.
#[cfg(feature = "schema")]
const MAX_DESCRIPTION: u32 = 1024;
/// Most characters of a prompt: it is sent with every call of the model, and stands in the environment of a process, where
/// one variable has at most 128 KiB.
pub const MAX_PROMPT: u32 = 32_768;
/// Most further variables.
#[cfg(feature = "schema")]
const MAX_AGENT_ENV: u32 = 64;
/// Longest name of an object, and of a key of a ConfigMap or Secret.
#[cfg(feature = "schema")]
const MAX_NAME: u32 = 253;

/// A key of a ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ConfigKey {
    /// Name of the ConfigMap.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_NAME)))]
    pub name: String,
    /// Key within it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_NAME)))]
    pub key: String,
}

/// A definition in a ConfigMap of the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DefinitionRef {
    /// Name of the ConfigMap.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_NAME)))]
    pub name: String,
    /// Key within it.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = MAX_NAME)))]
    #[serde(default = "definition_key")]
    pub key: String,
}

fn definition_key() -> String {
    "definition.json".to_owned()
}

impl Agent {
    /// Reads an object in which [`check`](super::rules::check) finds nothing. As in Kubernetes, null is the same as absent.
    ///
    /// # Errors
    /// Where a field has another type than the CRD says, or one is missing.
    pub fn read(object: &Value) -> serde_json::Result<Self> {
        crate::actor::read(object)
    }
}

impl AgentSpec {
    /// The ConfigMap and its key that have to be read before the agent is complete.
    pub fn source(&self) -> Option<(&str, &str)> {
        let prompt = self.prompt_from.as_ref().map(|from| (from.name.as_str(), from.key.as_str()));
        prompt.or_else(|| self.definition_ref.as_ref().map(|from| (from.name.as_str(), from.key.as_str())))
    }
}
