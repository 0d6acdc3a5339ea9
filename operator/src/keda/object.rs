//! The ScaledObject of a Deployment or StatefulSet.

use asya_resources::{Advanced, Kind};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{API_VERSION, metadata};
use crate::actor::Actor;

/// Annotation with which KEDA holds a workload at a number of replicas. Those of other people are left alone.
const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";
/// What KEDA puts before the name of a ScaledObject.
const PREFIX: &str = "keda-hpa-";
/// Longest value of a label.
const LONGEST_LABEL: usize = 63;
/// Bytes of a hash that keep shortened names apart within a namespace.
const HASH_BYTES: usize = 4;

pub(super) fn scaled_object(actor: &Actor, triggers: &[Value]) -> Value {
    let scaling = actor.spec.scaling.clone().unwrap_or_default();
    let mut metadata = metadata(actor, &actor.name);
    if actor.spec.paused {
        metadata["annotations"] = json!({PAUSED: "0"});
    }
    let mut autoscaler = json!({"behavior": scaling.behavior.clone().unwrap_or_else(behavior)});
    if let Some(name) = autoscaler_name(&actor.name) {
        autoscaler["name"] = name.into();
    }
    let mut advanced = json!({"horizontalPodAutoscalerConfig": autoscaler});
    if let Some(wanted) = &scaling.advanced {
        if let Some(restore) = wanted.restore_to_original_replica_count {
            advanced["restoreToOriginalReplicaCount"] = restore.into();
        }
        if let Some(modifiers) = modifiers(wanted) {
            advanced["scalingModifiers"] = modifiers;
        }
    }
    let mut spec = json!({
        "scaleTargetRef": target(actor),
        "minReplicaCount": scaling.min_replicas,
        "maxReplicaCount": scaling.max_replicas,
        "pollingInterval": scaling.polling_interval,
        "cooldownPeriod": scaling.cooldown_period,
        "advanced": advanced,
        "triggers": triggers,
    });
    if let Some(fallback) = scaling.fallback {
        spec["fallback"] = fallback;
    }
    json!({"apiVersion": API_VERSION, "kind": "ScaledObject", "metadata": metadata, "spec": spec})
}

/// A name for the HorizontalPodAutoscaler of an actor with a long name: KEDA refuses one that it could not use as the
/// value of a label. Others get `keda-hpa-<actor>` from KEDA.
fn autoscaler_name(actor: &str) -> Option<String> {
    if PREFIX.len() + actor.len() <= LONGEST_LABEL {
        return None;
    }
    let digest = Sha256::digest(actor);
    let hash: String = digest.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
    let room = LONGEST_LABEL - PREFIX.len() - hash.len() - 1;
    // Names are ASCII: the API server takes no others.
    let start = actor.get(..room)?.trim_end_matches(['-', '.']);
    Some(format!("{PREFIX}{start}-{hash}"))
}

/// What is scaled: the operator's own workload or the bound one.
fn target(actor: &Actor) -> Value {
    match (&actor.spec.workload_ref, actor.spec.kind()) {
        (Some(bound), _) => json!({"apiVersion": bound.api_version, "kind": bound.kind, "name": bound.name}),
        (None, Kind::StatefulSet) => {
            json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": actor.name})
        }
        (None, Kind::Deployment | Kind::Job) => {
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": actor.name})
        }
    }
}

/// The contract's: up at once, down one pod a minute after five quiet minutes.
fn behavior() -> Value {
    json!({
        "scaleDown": {
            "stabilizationWindowSeconds": 300,
            "selectPolicy": "Max",
            "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}],
        },
        "scaleUp": {
            "stabilizationWindowSeconds": 0,
            "selectPolicy": "Max",
            "policies": [
                {"type": "Pods", "value": 10, "periodSeconds": 60},
                {"type": "Percent", "value": 100, "periodSeconds": 60},
            ],
        },
    })
}

fn modifiers(wanted: &Advanced) -> Option<Value> {
    let fields = [
        ("formula", &wanted.formula),
        ("target", &wanted.target),
        ("activationTarget", &wanted.activation_target),
        ("metricType", &wanted.metric_type),
    ];
    let given: Map<String, Value> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), Value::from(value.clone()?))))
        .collect();
    (!given.is_empty()).then_some(Value::Object(given))
}
