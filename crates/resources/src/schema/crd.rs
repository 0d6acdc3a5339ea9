//! The CustomResourceDefinition.

use serde_json::{Map, Value, json};

use super::{spec, status, structural::add_rule};
use crate::{KIND, rules};

/// The CRD as an object for the API server.
pub fn definition() -> Value {
    let mut schema = json!({
        "type": "object",
        "description": "A Python handler with a queue in front of it, scaled by the queue's depth.",
        "required": ["spec"],
        "properties": {
            "apiVersion": { "type": "string", "description": "Always asya.sh/v1alpha1." },
            "kind": { "type": "string", "description": "Always AsyncActor." },
            "metadata": { "type": "object" },
            "spec": spec(),
            "status": status(),
        },
    });
    for_server(&mut schema);
    for validation in rules::validations() {
        add_rule(&mut schema, &validation);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": "asyncactors.asya.sh" },
        "spec": {
            "group": "asya.sh",
            "names": {
                "kind": KIND,
                "listKind": "AsyncActorList",
                "plural": "asyncactors",
                "singular": "asyncactor",
                "shortNames": ["asyncactor", "asya", "asyas"],
            },
            "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha1",
                "served": true,
                "storage": true,
                "additionalPrinterColumns": columns(),
                "schema": { "openAPIV3Schema": schema },
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.workload.replicas",
                        "statusReplicasPath": ".status.totalReplicas",
                        "labelSelectorPath": ".status.selector",
                    },
                },
            }],
        },
    })
}

/// What `kubectl get` shows; the second part with `-o wide`.
fn columns() -> Value {
    let column = |name: &str, kind: &str, path: &str| json!({ "name": name, "type": kind, "jsonPath": path });
    let wide = |name: &str, kind: &str, path: &str| {
        let mut column = column(name, kind, path);
        column["priority"] = json!(1);
        column
    };
    json!([
        column("Status", "string", ".status.status"),
        column("Running", "integer", ".status.replicas"),
        column("Failing", "integer", ".status.failingPods"),
        column("Total", "integer", ".status.totalReplicas"),
        column("Desired", "integer", ".status.desiredReplicas"),
        column("Min", "integer", ".spec.scaling.minReplicas"),
        column("Max", "integer", ".spec.scaling.maxReplicas"),
        // The text in lastScaleFormatted would grow old without a write.
        column("Last-Scale", "date", ".status.lastScaleTime"),
        column("Age", "date", ".metadata.creationTimestamp"),
        // kind may stand in spec under two names, or not at all.
        wide("Workload", "string", ".status.workloadRef.kind"),
        wide("Transport", "string", ".status.transportStatus"),
        wide("Scaling", "string", ".status.scalingMode"),
        wide("Queued", "integer", ".status.queuedMessages"),
        wide("Processing", "integer", ".status.processingMessages"),
    ])
}

/// Takes away what only editors know.
pub(super) fn for_server(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    node.remove("errorMessage");
    for child in
        node.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
    {
        for_server(child);
    }
    for child in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(child) {
            for_server(child);
        }
    }
}
