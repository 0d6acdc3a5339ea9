//! The tool of the actor `k8s-read`.

use asya_session::Risk;
use serde_json::json;

use super::ToolSpec;

pub(super) fn spec() -> ToolSpec {
    let text = |about: &str| json!({"type": "string", "description": about});
    ToolSpec {
        name: "k8s_read",
        description: "Reads the Kubernetes cluster and changes nothing. get: one object; list: the objects of a kind; describe: \
                      one object with owners, conditions and events; logs: the end of a pod's log; events: the newest; top: \
                      what pods or nodes use. Of Secrets there are names and keys only; what looks like a secret elsewhere is \
                      ***.",
        parameters: json!({
            "type": "object",
            "properties": {
                "verb": {"type": "string", "enum": ["get", "list", "describe", "logs", "events", "top"]},
                "kind": text("Kind, as pod, deployment, svc, asyncactors.asya.sh; for get, list, describe, events, top"),
                "name": text("Name of the object; for logs that of the pod"),
                "namespace": text("Namespace; none: all, where a list or events are asked for"),
                "container": text("logs: the container, where the pod has several"),
                "previous": {"type": "boolean", "description": "logs: of the container before its last restart"},
                "tail": {"type": "integer", "minimum": 1, "maximum": 2000,
                    "description": "logs: lines from the end; 100 when it is not given"},
                "selector": text("list, top: label selector, as app=web,tier!=test"),
                "limit": {"type": "integer", "minimum": 1, "maximum": 1000,
                    "description": "list, events, top: most of them; 100 when it is not given"}
            },
            "required": ["verb"],
            "additionalProperties": false
        }),
        risk: Risk::Low,
        asks: false,
    }
}

#[cfg(all(test, feature = "kube-tools"))]
mod tests {
    #[test]
    fn a_model_is_told_the_verbs_that_there_are() {
        let spec = super::spec();
        assert_eq!(
            spec.parameters["properties"]["verb"]["enum"],
            serde_json::json!(crate::kube::read::verbs())
        );
    }
}
