//! Patterns, as cases write them: of words, and of calls.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context as _, Result};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::Value;

/// A regular expression. Case does not count, and `.` is any character, ends of lines too.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self> {
        let built = RegexBuilder::new(text).case_insensitive(true).dot_matches_new_line(true).build();
        Ok(Self(built.with_context(|| format!("the pattern {text:?}"))?))
    }

    /// Whether it is somewhere in a text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The expression.
    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(|error| D::Error::custom(format!("{error:#}")))
    }
}

/// Calls: of a tool, with arguments that match whole. What it does not name may be anything, or missing.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CallPattern {
    tool: String,
    #[serde(flatten)]
    arguments: BTreeMap<String, Whole>,
}

/// A pattern of a whole value: `web` is not in `web-2`.
#[derive(Clone, Debug)]
struct Whole(Pattern);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        let pattern = Pattern::new(&format!("^(?:{text})$"));
        pattern.map(Self).map_err(|error| D::Error::custom(format!("{error:#}")))
    }
}

impl CallPattern {
    /// Whether it is one of them.
    pub(crate) fn fits(&self, tool: &str, arguments: &Value) -> bool {
        let is = |(name, whole): (&String, &Whole)| match &arguments[name] {
            Value::Null => false,
            Value::String(text) => whole.0.is_in(text),
            other => whole.0.is_in(&other.to_string()),
        };
        self.tool == tool && self.arguments.iter().all(is)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_fits_by_its_tool_and_by_whole_arguments() {
        let pattern: CallPattern = serde_json::from_value(
            json!({"tool": "k8s_write", "verb": "scale", "kind": "deploy.*", "replicas": 3}),
        )
        .unwrap();
        let call = |arguments: Value| pattern.fits("k8s_write", &arguments);
        assert!(call(json!({"verb": "scale", "kind": "Deployment", "replicas": 3, "name": "web"})));
        assert!(call(json!({"verb": "scale", "kind": "deployments", "replicas": "3"})));
        assert!(!call(json!({"verb": "scale", "kind": "Deployment", "replicas": 30})));
        assert!(!call(json!({"verb": "scale", "kind": "StatefulSet", "replicas": 3})));
        assert!(!call(json!({"verb": "scale", "kind": "Deployment"})), "what is named must be there");
        assert!(!call(json!("scale")), "arguments that are no object fit nothing");
        assert!(!pattern.fits("k8s_read", &json!({"verb": "scale", "kind": "deploy", "replicas": 3})));
    }

    #[test]
    fn a_pattern_that_is_none_is_told() {
        let error = serde_json::from_value::<Pattern>(json!("a(b")).unwrap_err().to_string();
        assert!(error.contains("a(b"), "{error}");
        assert!(Pattern::new("image.*pull").unwrap().is_in("IMAGE\ncannot be pulled"));
    }
}
