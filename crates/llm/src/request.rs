//! A question to a model, and its hash.

use ring::digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::message::{Choice, Message, Tool};

/// A question. What is not set is the provider's setting.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    /// A model other than the configured one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the model is told to be; empty: nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub system: String,
    /// The conversation, oldest first.
    pub messages: Vec<Message>,
    /// The tools that may be called.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Whether they may be.
    #[serde(skip_serializing_if = "is_auto")]
    pub choice: Choice,
    /// Bound of the answer, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// From 0, the same words each time, to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Words that end the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

fn is_auto(choice: &Choice) -> bool {
    *choice == Choice::Auto
}

impl Request {
    /// One question without tools.
    pub fn ask(system: impl Into<String>, text: impl Into<String>) -> Self {
        Self { system: system.into(), messages: vec![Message::user(text)], ..Self::default() }
    }

    /// SHA-256, in hexadecimal, of the request as canonical JSON: keys sorted, nothing that is not set. Two requests
    /// that mean the same have the same hash, in every version of this crate that has the same fields.
    pub fn hash(&self) -> String {
        let value = serde_json::to_value(self).expect("a request has only string keys");
        let mut text = String::new();
        canonical(&value, &mut text);
        hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
    }
}

/// JSON with sorted keys, whatever order the map keeps.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, value)) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(value, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_hash_ignores_the_order_of_keys_and_what_is_not_set() {
        let tool = |schema: &str| Tool {
            name: "get".to_owned(),
            description: String::new(),
            parameters: serde_json::from_str(schema).unwrap(),
        };
        let mut one = Request::ask("be brief", "why?");
        one.tools = vec![tool(r#"{"type":"object","required":["a"]}"#)];
        let mut other = one.clone();
        other.tools = vec![tool(r#"{"required":["a"],"type":"object"}"#)];
        assert_eq!(one.hash(), other.hash());
        assert_eq!(one.hash().len(), 64);
        let read: Request = serde_json::from_value(json!({
            "system": "be brief", "messages": [{"role": "user", "text": "why?"}],
            "tools": [{"name": "get", "description": "", "parameters": {"type": "object", "required": ["a"]}}]
        }))
        .unwrap();
        assert_eq!(read.hash(), one.hash());
    }

    #[test]
    fn whatever_changes_the_answer_changes_the_hash() {
        let base = Request::ask("be brief", "why?");
        let changes: [fn(&mut Request); 8] = [
            |r| r.model = Some("m".to_owned()),
            |r| r.system.push('!'),
            |r| r.messages.push(Message::user("more")),
            |r| r.choice = Choice::Required,
            |r| r.max_tokens = Some(1),
            |r| r.temperature = Some(0.0),
            |r| r.top_p = Some(0.5),
            |r| r.stop.push("x".to_owned()),
        ];
        let mut seen = std::collections::BTreeSet::from([base.hash()]);
        for change in changes {
            let mut request = base.clone();
            change(&mut request);
            assert!(seen.insert(request.hash()), "{request:?}");
        }
    }

    #[test]
    fn the_hash_of_a_known_request_never_changes() {
        // Recordings are kept in files: a change of this value makes all of them useless.
        let expected = hex(digest::digest(
            &digest::SHA256,
            br#"{"messages":[{"role":"user","text":"why?"}],"system":"be brief"}"#,
        )
        .as_ref());
        assert_eq!(Request::ask("be brief", "why?").hash(), expected);
    }
}
