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
    /// KEDA's advanced settings, for the operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advanced: Option<Value>,
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
            advanced: None,
        }
    }
}
