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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Scaling {
    /// Whether KEDA decides how many replicas run. While false, workload.replicas counts.
    pub enabled: bool,
    /// Replicas that always run. With 0 the actor sleeps while its queue is empty.
    pub min_replicas: u32,
    /// Most replicas.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_replicas: u32,
    /// Seconds between two looks at the queue.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub polling_interval: u32,
    /// Seconds without work before the last replica goes.
    pub cooldown_period: u32,
    /// Messages per replica that are aimed at.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub queue_length: u32,
    /// Whether the operator wakes the actor from zero itself, within about a second, instead of at the next look at the
    /// queue. Absent means as the operator is configured; on SQS only when true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub push: Option<bool>,
    /// A formula over the triggers instead of the highest of them (KEDA's scaling modifiers).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Advanced>,
    /// Further KEDA triggers beside the queue's own, written as in a ScaledObject.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::triggers"))]
    pub triggers: Vec<Value>,
    /// How fast replicas come and go, written as behavior of a HorizontalPodAutoscaler. Absent means: up at once by 10
    /// pods or 100 % a minute, down by one pod a minute after five minutes with less work.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::open"))]
    pub behavior: Option<Value>,
    /// What happens while a trigger cannot be read, written as fallback of a ScaledObject. Absent means that the number of
    /// replicas stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::open"))]
    pub fallback: Option<Value>,
}

/// A formula over the triggers (KEDA's scaling modifiers).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Advanced {
    /// The formula. Triggers are known by their names, the queue's own as queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub formula: Option<String>,
    /// What the formula's result is divided by to get replicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Above this result the actor is woken from zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation_target: Option<String>,
    /// How the result is compared with the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::metric_type"))]
    pub metric_type: Option<String>,
    /// Whether the workload gets its old number of replicas back when the ScaledObject goes.
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
