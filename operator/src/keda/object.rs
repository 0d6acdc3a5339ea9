//! The ScaledObject of a Deployment or StatefulSet.

use asya_resources::{Advanced, Kind};
use serde_json::{Map, Value, json};

use super::{API_VERSION, metadata};
use crate::actor::Actor;

/// Annotation with which KEDA holds a workload at a number of replicas. Those of other people are left alone.
const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";

pub(super) fn scaled_object(actor: &Actor, triggers: &[Value]) -> Value {
    let scaling = actor.spec.scaling.clone().unwrap_or_default();
    let mut metadata = metadata(actor, &actor.name);
    if actor.spec.paused {
        metadata["annotations"] = json!({PAUSED: "0"});
    }
    let mut advanced = json!({
        "horizontalPodAutoscalerConfig": {"behavior": scaling.behavior.clone().unwrap_or_else(behavior)},
    });
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
