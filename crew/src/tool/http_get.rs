//! The tool of the actor `http-get`.

use asya_session::Risk;
use serde_json::json;

use super::ToolSpec;

/// What models are told of it.
pub(super) fn spec() -> ToolSpec {
    ToolSpec {
        name: "http_get",
        description: "Gets a page or document by HTTP from one of the servers that are allowed. Answers status, type and \
            text, HTML without its tags; a long text is truncated.",
        parameters: json!({
            "type": "object",
            "properties": {"url": {"type": "string", "description": "Address: https://…"}},
            "required": ["url"],
            "additionalProperties": false
        }),
        risk: Risk::Low,
        asks: false,
    }
}
