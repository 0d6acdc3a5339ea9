//! The tool of the actor `k8s-write`.

use asya_session::Risk;
use serde_json::json;

use super::ToolSpec;

/// Its name for models.
pub const NAME: &str = "k8s_write";

/// What it is.
pub(super) fn spec() -> ToolSpec {
    let text = |about: &str| json!({"type": "string", "description": about});
    let marks = |about: &str| json!({"type": "object", "additionalProperties": {"type": ["string", "null"]}, "description": about});
    ToolSpec {
        name: NAME,
        description: "Changes one object of the cluster. A person is shown what would change and has to approve it; the answer \
                      says whether it was done. With dry_run it only answers what would change, and nobody is asked. \
                      Nothing is run in containers and nothing is copied: there is no exec, port-forward or cp.",
        parameters: json!({
            "type": "object",
            "properties": {
                "verb": {"type": "string", "enum": [
                    "apply", "scale", "rollout-restart", "rollout-undo", "pause", "resume", "label", "annotate", "delete",
                    "cordon", "uncordon", "set-image"]},
                "kind": text("Kind, as deployment, svc, certificates.cert-manager.io; not with apply"),
                "name": text("Name of the object; not with apply"),
                "namespace": text("Its namespace"),
                "replicas": {"type": "integer", "minimum": 0, "description": "scale: how many"},
                "manifest": text("apply: one object as YAML, without status; of metadata only name, namespace, labels and \
                                  annotations. Fields that are left out stay as they are"),
                "labels": marks("label: names and values; null takes one off"),
                "annotations": marks("annotate: names and values; null takes one off"),
                "container": text("set-image: the container; needed where there are several"),
                "image": text("set-image: the image"),
                "dry_run": {"type": "boolean", "description": "Only say what would change"}
            },
            "required": ["verb"],
            "additionalProperties": false
        }),
        risk: Risk::High,
        asks: true,
    }
}
