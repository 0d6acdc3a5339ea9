//! What is said to a model, and the tools it may use.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One turn of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Message {
    /// What a person, or a program in a person's place, says.
    User {
        /// The words.
        text: String,
    },
    /// What the model said before.
    Assistant {
        /// The words; may be empty beside calls.
        #[serde(default)]
        text: String,
        /// The tools it called, in its order.
        #[serde(default)]
        calls: Vec<ToolCall>,
    },
    /// What a tool answered.
    Tool {
        /// The id of the call.
        call: String,
        /// The name of the tool.
        name: String,
        /// The answer; JSON or plain words.
        text: String,
        /// Whether the tool failed; the text says how.
        #[serde(default)]
        failed: bool,
    },
}

impl Message {
    /// A person's words.
    pub fn user(text: impl Into<String>) -> Self {
        Self::User { text: text.into() }
    }
}

/// A tool that the model may call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name: letters, digits, `_` and `-`, at most 64, as every provider takes them.
    pub name: String,
    /// What it does, for the model.
    pub description: String,
    /// JSON Schema of its arguments: an object.
    pub parameters: Value,
}

/// A call that the model makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What its answer is matched by.
    pub id: String,
    /// The name of the tool, as the model wrote it: it may be one that does not exist.
    pub name: String,
    /// An object. Where the model wrote no valid JSON, its text as a string, which no schema of a tool accepts, so that
    /// the model can be told.
    pub arguments: Value,
    /// What the provider wants to see again beside this call (Gemini's thought signature).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

impl ToolCall {
    /// A call whose arguments are still JSON text; nothing written is no arguments.
    pub(crate) fn parse(id: String, name: String, arguments: &str) -> Self {
        let arguments = match arguments.trim() {
            "" => Value::Object(serde_json::Map::new()),
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        };
        Self { id, name, arguments, signature: None }
    }
}

/// Whether the model may, must, or must not call tools.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// As it likes.
    #[default]
    Auto,
    /// At least one.
    Required,
    /// None.
    None,
    /// This one.
    Named(String),
}
