//! How many replicas, when.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Most replicas of an actor that says nothing: the contract's default.
pub const DEFAULT_MAX_REPLICAS: u32 = 50;
/// Seconds between two looks at the queue: the contract's default.
pub const DEFAULT_POLLING_INTERVAL: u32 = 10;
/// Seconds without work before the last replica goes: the contract's default.
pub const DEFAULT_COOLDOWN_PERIOD: u32 = 60;
/// Messages per replica that are aimed at: the contract's default.
pub const DEFAULT_QUEUE_LENGTH: u32 = 5;

/// Scaling by the depth of the queue. Defaults are those of the contract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scaling {
    /// Off: `workload.replicas` counts.
    pub enabled: bool,
    /// Replicas that always run.
    pub min_replicas: u32,
    /// Most replicas.
    pub max_replicas: u32,
    /// Seconds between two looks at the queue.
    pub polling_interval: u32,
    /// Seconds without work before the last replica goes.
    pub cooldown_period: u32,
    /// Messages per replica that are aimed at.
    pub queue_length: u32,
    /// Whether the operator wakes the actor from zero itself, within about a second; absent = as the operator is
    /// configured. On SQS only when true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
    /// A formula over the triggers, and what goes with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
    /// Further KEDA triggers, as they are, beside the queue's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub triggers: Vec<Value>,
    /// The HorizontalPodAutoscaler's `behavior`, as it is; absent = the contract's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behavior: Option<Value>,
    /// KEDA's `fallback`, as it is; absent = none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Value>,
}

/// A formula over the triggers (KEDA's scaling modifiers).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Advanced {
    /// The formula; triggers are known by their names, the queue's own as `queue`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// What the formula's result is divided by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Above this the actor is woken from zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_target: Option<String>,
    /// `AverageValue`, `Value` or `Utilization`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric_type: Option<String>,
    /// Whether the workload gets its old number of replicas back when scaling is turned off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_to_original_replica_count: Option<bool>,
}

impl Default for Scaling {
    fn default() -> Self {
        Self {
            enabled: false,
            min_replicas: 0,
            max_replicas: DEFAULT_MAX_REPLICAS,
            polling_interval: DEFAULT_POLLING_INTERVAL,
            cooldown_period: DEFAULT_COOLDOWN_PERIOD,
            queue_length: DEFAULT_QUEUE_LENGTH,
            push: None,
            advanced: None,
            triggers: Vec::new(),
            behavior: None,
            fallback: None,
        }
    }
}
