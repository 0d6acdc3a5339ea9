//! What makes the pods.

use asya_resources::Kind;
use serde_json::{Map, Value, json};

use super::{
    environment,
    names::{MANAGED_BY_LABEL, MANAGER, METRICS_PORT},
    pod::selector,
};
use crate::actor::Actor;

/// Labels of the objects of an actor.
fn labels(actor: &Actor) -> Map<String, Value> {
    let managed = (MANAGED_BY_LABEL, MANAGER);
    selector(actor).into_iter().chain([managed]).map(|(key, value)| (key.to_owned(), json!(value))).collect()
}

fn metadata(actor: &Actor) -> Value {
    json!({
        "name": actor.name,
        "namespace": actor.namespace,
        "labels": labels(actor),
        "ownerReferences": [actor.owner_reference()],
    })
}

fn match_labels(actor: &Actor) -> Map<String, Value> {
    selector(actor).into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect()
}

/// The Deployment or StatefulSet; `None` for a Job. Replicas are left to the autoscaler while scaling is on.
pub fn workload(actor: &Actor, template: &Value) -> Option<Value> {
    let kind = actor.spec.kind();
    let mut spec = json!({"selector": {"matchLabels": match_labels(actor)}, "template": template});
    if !actor.spec.scaling_on() {
        spec["replicas"] = json!(if actor.spec.paused { 0 } else { actor.spec.workload.replicas() });
    }
    match kind {
        Kind::Deployment => {}
        Kind::StatefulSet => {
            let own = &actor.spec.workload;
            spec["serviceName"] = json!(own.service_name.as_ref().unwrap_or(&actor.name));
            spec["podManagementPolicy"] = json!("Parallel");
            if !own.volume_claim_templates.is_empty() {
                spec["volumeClaimTemplates"] = json!(own.volume_claim_templates);
            }
            if let Some(policy) = &own.persistent_volume_claim_retention_policy {
                spec["persistentVolumeClaimRetentionPolicy"] = policy.clone();
            }
        }
        Kind::Job => return None,
    }
    Some(json!({
        "apiVersion": "apps/v1",
        "kind": kind.as_str(),
        "metadata": metadata(actor),
        "spec": spec,
    }))
}

/// The headless Service of a StatefulSet that names none.
pub fn service(actor: &Actor) -> Option<Value> {
    if actor.spec.kind() != Kind::StatefulSet || actor.spec.workload.service_name.is_some() {
        return None;
    }
    let mut spec = json!({
        "clusterIP": "None",
        "publishNotReadyAddresses": true,
        "selector": match_labels(actor),
    });
    if let Some(port) = environment::port(actor) {
        spec["ports"] =
            json!([{"name": METRICS_PORT, "port": port, "targetPort": METRICS_PORT, "protocol": "TCP"}]);
    }
    Some(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata(actor), "spec": spec}))
}
