//! What of an object is not kept, for a cluster has thousands of them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

/// What `kubectl apply` remembers; half of an object's size and of no use here.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Members of a status that are read.
const STATUS: [&str; 10] = [
    "conditions",
    "containerStatuses",
    "initContainerStatuses",
    "observedGeneration",
    "phase",
    "podIP",
    "readyReplicas",
    "reason",
    "replicas",
    "updatedReplicas",
];
/// Members of its conditions and containers that are read.
const PARTS: [&str; 9] = [
    "lastState",
    "lastTransitionTime",
    "message",
    "name",
    "reason",
    "restartCount",
    "state",
    "status",
    "type",
];

/// Drops what no one reads.
pub fn slim_metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.remove(LAST_APPLIED);
    }
}

/// Drops what no one reads of a status.
pub fn slim_status(status: &mut Value) {
    let Some(status) = status.as_object_mut() else { return };
    status.retain(|name, _| STATUS.contains(&name.as_str()));
    for list in status.values_mut().filter_map(Value::as_array_mut) {
        for part in list.iter_mut().filter_map(Value::as_object_mut) {
            part.retain(|name, _| PARTS.contains(&name.as_str()));
        }
        list.shrink_to_fit();
    }
}
