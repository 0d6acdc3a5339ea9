//! The tool of the actor `notify`.

use asya_session::Risk;
use serde_json::json;

use super::ToolSpec;

pub(super) fn spec() -> ToolSpec {
    let text = |about: &str, most: usize| json!({"type": "string", "minLength": 1, "maxLength": most, "description": about});
    ToolSpec {
        name: "notify",
        description: "Sends people or another system a message: to a chat, a pager or a webhook, by the name that its \
                      operators gave it. It is sent soon after the answer, once, and cannot be taken back; it says who \
                      sent it. Nobody answers it. Where no such sink takes messages the answer names those that do.",
        parameters: json!({
            "type": "object",
            "properties": {
                "sink": text("Name of the sink", 40),
                "title": text("What it is about, in one line", 200),
                "text": text("The message. Plain text: links and mentions are not followed", 4000)
            },
            "required": ["sink", "text"],
            "additionalProperties": false
        }),
        risk: Risk::Medium,
        asks: false,
    }
}

#[cfg(all(test, feature = "notify"))]
mod tests {
    use crate::analysis::notify::message::{TEXT, TITLE};

    #[test]
    fn a_model_is_told_the_bounds_that_there_are() {
        let properties = &super::spec().parameters["properties"];
        assert_eq!(
            (&properties["title"]["maxLength"], &properties["text"]["maxLength"]),
            (&TITLE.into(), &TEXT.into())
        );
    }
}
