//! A question with everything in it, and the three providers that stream as text.

use asya_llm::{Choice, Guarded, Message, Model, Request, Tool, ToolCall};
use serde_json::json;

use super::{Server, model};

pub(crate) fn tool() -> Tool {
    Tool {
        name: "get_pod".to_owned(),
        description: "Reads a pod".to_owned(),
        parameters: json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}),
    }
}

/// A conversation with everything in it.
pub(crate) fn conversation() -> Request {
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "get_pod".to_owned(),
        arguments: json!({"name": "web"}),
        signature: None,
    };
    Request {
        system: "Be brief.".to_owned(),
        messages: vec![
            Message::user("Why?"),
            Message::Assistant { text: String::new(), calls: vec![call] },
            Message::Tool {
                call: "call_1".to_owned(),
                name: "get_pod".to_owned(),
                text: "CrashLoopBackOff".to_owned(),
                failed: false,
            },
        ],
        tools: vec![tool()],
        choice: Choice::Auto,
        max_tokens: Some(100),
        temperature: Some(0.5),
        ..Request::default()
    }
}

pub(crate) fn call() -> ToolCall {
    ToolCall {
        id: "call_abc".to_owned(),
        name: "get_pod".to_owned(),
        arguments: json!({"name": "web é"}),
        signature: None,
    }
}

/// Variables of the three providers, at this server; one call per question.
pub(crate) fn backends(server: &Server) -> [Vec<(&'static str, String)>; 3] {
    let with = |backend: &str| {
        vec![
            ("ASYA_LLM_BACKEND", backend.to_owned()),
            ("ASYA_LLM_MODEL", "m-1".to_owned()),
            ("ASYA_LLM_API_KEY", "test-key".to_owned()),
            ("ASYA_LLM_BASE_URL", server.address.clone()),
            ("ASYA_LLM_TRIES", "1".to_owned()),
        ]
    };
    ["openai", "anthropic", "google"].map(with)
}

/// The model of these variables.
pub(crate) fn of(variables: &[(&'static str, String)]) -> Guarded<Box<dyn Model>> {
    model(&variables.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
}
