//! How much an agent may do, and what is told of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::k8sgpt::{schedule::INTERVAL_PATTERN, sink::NAME_PATTERN};
use crate::{k8sgpt::schedule::interval, scaling::DEFAULT_QUEUE_LENGTH};

/// How much is worked on at the same time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Concurrency {
    /// Most sessions for which a model is asked at the same time, over all replicas. Others wait on the queue. Absent means as
    /// many as the replicas take.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MAX_SESSIONS)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_parallel_sessions: Option<u32>,
}

/// Most sessions at the same time that can be asked for.
#[cfg(feature = "schema")]
const MAX_SESSIONS: u32 = 10_000;

/// What the answer to one message may use up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Budgets {
    /// Calls of a model.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<u32>,
    /// Tokens, read and written.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// Actors in the route: each call of a tool adds two, or three with an approval.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<u32>,
    /// Levels of fan-outs below the agent's envelope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u32>,
    /// Time from the message to the answer, without that of approvals, as 90s, 10m or 1h.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = INTERVAL_PATTERN)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wall_clock: Option<String>,
}

/// Who asks people before a change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Approval {
    /// The actor that asks, in this namespace. Absent means approval.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// How long a change of this agent waits at most, as 90s, 10m or 24h: then it is rejected. The actor that proposes it may
    /// say less.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = INTERVAL_PATTERN)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// Whether who asked for a change may not approve it. The actor that proposes it may insist on it by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub four_eyes: bool,
}

/// What is told of an agent's work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Observability {
    /// How questions and answers stand in its log at level debug.
    pub log_prompts: LogPrompts,
    /// Whether answers are streamed to who reads the conversation, piece by piece, while the model writes them.
    pub emit_tokens: bool,
}

impl Default for Observability {
    fn default() -> Self {
        Self { log_prompts: LogPrompts::default(), emit_tokens: true }
    }
}

/// How questions and answers stand in a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LogPrompts {
    /// Their length alone.
    #[default]
    Redacted,
    /// Word by word; who reads the log reads every conversation.
    Full,
}

/// How many replicas of an agent, when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AgentScaling {
    /// Replicas that always run. With 0 the agent sleeps while nobody talks to it.
    pub min_replicas: u32,
    /// Most replicas.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_replicas: u32,
    /// Messages per replica that are aimed at.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub queue_length: u32,
}

/// Most replicas of an agent that says nothing: one waits for a model most of the time, and serves many sessions.
pub const DEFAULT_MAX_REPLICAS: u32 = 10;

impl Default for AgentScaling {
    fn default() -> Self {
        Self { min_replicas: 0, max_replicas: DEFAULT_MAX_REPLICAS, queue_length: DEFAULT_QUEUE_LENGTH }
    }
}

/// The actor that asks people, unless a manifest names another.
pub const APPROVAL_ACTOR: &str = "approval";

impl Approval {
    /// The actor that asks.
    pub fn actor(&self) -> &str {
        self.actor.as_deref().unwrap_or(APPROVAL_ACTOR)
    }
}

/// Seconds of a time such as 90s, 10m or 1h.
pub(super) fn seconds(text: Option<&str>) -> Option<u64> {
    text.and_then(interval).as_ref().map(Duration::as_secs)
}
