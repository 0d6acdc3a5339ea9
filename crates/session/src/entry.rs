//! One thing that was said or done in a session.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::hash;

/// One thing that was said or done. It never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = SessionEntry))]
pub struct Entry {
    /// Its number in the session, from 1, without gaps.
    pub n: u64,
    /// [`hash::link`] of the hash before it and its body.
    pub hash: String,
    /// When it was stored.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// Where its writer stood; `None` for what people say and the gateway notes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What was said or done.
    #[serde(flatten)]
    pub body: Body,
}

/// Where an actor stood when it appended: the same place again is a repeated delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = EntryPlace))]
pub struct Place {
    /// The envelope's id.
    pub envelope: String,
    /// `route.current` there, which only goes up.
    pub hop: u64,
    /// Position among the entries that were appended there, from 0.
    #[serde(default)]
    pub step: u64,
}

/// What was said or done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = EntryBody))]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Body {
    /// A person said something.
    User {
        /// Who: the name of a principal.
        by: String,
        /// The words.
        text: String,
        /// Wishes for the turns that follow.
        #[serde(default)]
        options: Options,
    },
    /// The model said something, or wants tools called.
    Assistant {
        /// The words; may be empty beside calls.
        #[serde(default)]
        text: String,
        /// The tools it wants called, in its order.
        #[serde(default)]
        calls: Vec<Call>,
        /// Provider and model, as in `openai/gpt-4o`.
        model: String,
        /// What the turn used.
        #[serde(default)]
        usage: Usage,
    },
    /// A tool answered.
    Tool {
        /// The id of the call.
        call: String,
        /// The tool's name.
        name: String,
        /// The answer, within bounds and without what looks like a secret.
        text: String,
        /// Whether it failed; the text says how.
        #[serde(default)]
        failed: bool,
    },
    /// What stands for all that came before, where the whole does not fit into a model any more.
    Summary {
        /// The words.
        text: String,
        /// The last entry that it stands for.
        upto: u64,
        /// What making it used.
        #[serde(default)]
        usage: Usage,
    },
    /// The platform notes why a turn ended otherwise than by an answer.
    Notice {
        /// Which of the reasons; has a page where it is a code of errors.
        code: String,
        /// The reason, for a person, with what can be done.
        text: String,
    },
}

/// A call that a model wants made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = AgentCall))]
pub struct Call {
    /// What its answer is matched by.
    pub id: String,
    /// The tool's name, as the model wrote it.
    pub name: String,
    /// Its arguments as the model wrote them: an object, or a string where it wrote no JSON.
    pub arguments: Value,
    /// What the provider wants to see again beside this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// Wishes for a turn. What the agent does not allow is not taken, with a notice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = MessageOptions))]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// A model of the agent's list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Bound of an answer, in tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// From 0, the same words each time, to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
}

/// What calls of models used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Usage {
    /// Calls of a model.
    pub calls: u64,
    /// Tokens that were read.
    pub input: u64,
    /// Tokens that were written.
    pub output: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(more.calls),
            input: self.input.saturating_add(more.input),
            output: self.output.saturating_add(more.output),
        }
    }

    /// All tokens.
    pub fn tokens(self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

impl Body {
    /// The hash of an entry with this body behind one with the hash `before` (empty: behind none).
    pub fn link(&self, before: &str) -> String {
        hash::link(before, &serde_json::to_value(self).expect("a body has only string keys"))
    }

    /// What it used.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Assistant { usage, .. } | Self::Summary { usage, .. } => *usage,
            Self::User { .. } | Self::Tool { .. } | Self::Notice { .. } => Usage::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn entries_are_written_as_clients_know_them() {
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        let entry = |body| Entry { n: 1, hash: "h".to_owned(), at, place: None, body };
        let usage = Usage { calls: 1, input: 2, output: 3 };
        let call =
            Call { id: "c".to_owned(), name: "x".to_owned(), arguments: json!({"a": 1}), signature: None };
        let bodies = [
            (
                Body::User { by: "alice".to_owned(), text: "hi".to_owned(), options: Options::default() },
                json!({"kind": "user", "by": "alice", "text": "hi", "options": {}}),
            ),
            (
                Body::Assistant { text: String::new(), calls: vec![call], model: "p/m".to_owned(), usage },
                json!({"kind": "assistant", "text": "", "model": "p/m", "usage": {"calls": 1, "input": 2, "output": 3},
                    "calls": [{"id": "c", "name": "x", "arguments": {"a": 1}}]}),
            ),
            (
                Body::Tool {
                    call: "c".to_owned(),
                    name: "x".to_owned(),
                    text: "no".to_owned(),
                    failed: true,
                },
                json!({"kind": "tool", "call": "c", "name": "x", "text": "no", "failed": true}),
            ),
            (
                Body::Summary { text: "so far".to_owned(), upto: 4, usage },
                json!({"kind": "summary", "text": "so far", "upto": 4, "usage": {"calls": 1, "input": 2, "output": 3}}),
            ),
            (
                Body::Notice { code: "cancelled".to_owned(), text: "over".to_owned() },
                json!({"kind": "notice", "code": "cancelled", "text": "over"}),
            ),
        ];
        for (body, mut written) in bodies {
            let entry = entry(body);
            written["n"] = json!(1);
            written["hash"] = json!("h");
            written["at"] = json!("2026-01-01T00:00:00Z");
            assert_eq!(serde_json::to_value(&entry).unwrap(), written);
            assert_eq!(serde_json::from_value::<Entry>(written).unwrap(), entry);
        }
    }

    #[test]
    fn what_a_later_version_leaves_out_or_adds_is_no_error_but_a_wish_that_nobody_knows_is() {
        let short: Body =
            serde_json::from_value(json!({"kind": "assistant", "model": "m", "mood": "good"})).unwrap();
        assert_eq!(short.usage(), Usage::default());
        let wish = json!({"kind": "user", "by": "alice", "text": "hi", "options": {"colour": "red"}});
        assert!(serde_json::from_value::<Body>(wish).is_err());
    }

    #[test]
    fn an_entry_follows_on_the_one_before_it_and_on_no_other() {
        let body = Body::Notice { code: "x".to_owned(), text: "y".to_owned() };
        let other = Body::Notice { code: "x".to_owned(), text: "z".to_owned() };
        assert_ne!(body.link(""), body.link(&body.link("")));
        assert_ne!(body.link(""), other.link(""));
    }

    #[test]
    fn what_was_used_never_overflows() {
        let much = Usage { calls: 1, input: u64::MAX, output: 1 };
        assert_eq!(much.and(much), Usage { calls: 2, input: u64::MAX, output: 2 });
        assert_eq!(much.tokens(), u64::MAX);
    }
}
