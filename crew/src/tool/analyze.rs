//! The tool of the actor `analyze`.

use asya_session::Risk;
use serde_json::json;

use super::ToolSpec;

pub(super) fn spec() -> ToolSpec {
    ToolSpec {
        name: "analyze",
        description: "Looks for what is broken in the Kubernetes cluster now: objects with what is wrong, how severe it is, and \
                      the fields where one can see it. Changes nothing. What could not be read is told as not verified, never \
                      as healthy. A good first call when nobody knows what is wrong.",
        parameters: json!({
            "type": "object",
            "properties": {
                "namespace": {"type": "string", "description": "Namespace; none: all that may be read"},
                "filters": {"type": "array", "maxItems": 100, "items": {"type": "string"},
                    "description": "Analyzers that run, as Pod, Deployment, Service, Ingress; none: the usual ones"}
            },
            "additionalProperties": false
        }),
        risk: Risk::Low,
        asks: false,
    }
}
