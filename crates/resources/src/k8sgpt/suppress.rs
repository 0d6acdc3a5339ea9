//! What is not told.

use serde::{Deserialize, Serialize};

use super::glob;

/// Findings that make no Result and no message. All fields that are there must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Suppression {
    /// Kind of the object, for example Pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Namespace of the object, in which * stands for any characters. An object without one never fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the object, in which * stands for any characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Analyzer that found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzer: Option<String>,
    /// Regular expression that is found somewhere in the text, for example (?i)evicted.
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_EXPRESSION)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// When this ends, as RFC 3339, for example 2026-12-31T00:00:00Z. Absent means never. A day that no calendar has counts as
    /// past.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = super::stamp::PATTERN)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Why; for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Most characters of a regular expression: it is tried on every finding.
pub const MAX_EXPRESSION: usize = 1024;

/// A failure as a suppression sees it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Kind of the object.
    pub kind: &'a str,
    /// Its namespace, if it has one.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
    /// Who found it.
    pub analyzer: &'a str,
    /// What is wrong.
    pub text: &'a str,
}

impl Suppression {
    /// Whether it says nothing: it would suppress everything, and is passed over instead.
    pub fn is_empty(&self) -> bool {
        [&self.kind, &self.namespace, &self.name, &self.analyzer, &self.text]
            .iter()
            .all(|field| field.is_none())
    }

    /// Whether a failure is suppressed, unless [`until`](Self::until) is past. `found` says whether a regular expression is
    /// found in a text; one that cannot be compiled must be found nowhere.
    pub fn covers(&self, told: &Told<'_>, found: impl FnOnce(&str, &str) -> bool) -> bool {
        let is = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        let like = |pattern: &Option<String>, is: &str| {
            pattern.as_deref().is_none_or(|pattern| glob::matches(pattern, is))
        };
        let in_namespace = match (&self.namespace, told.namespace) {
            (Some(_), None) => false,
            (pattern, namespace) => like(pattern, namespace.unwrap_or_default()),
        };
        !self.is_empty()
            && is(&self.kind, told.kind)
            && in_namespace
            && like(&self.name, told.name)
            && is(&self.analyzer, told.analyzer)
            && self.text.as_deref().is_none_or(|expression| found(expression, told.text))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    const POD: Told<'_> = Told {
        kind: "Pod",
        namespace: Some("shop"),
        name: "web-7d4-x2",
        analyzer: "Pod",
        text: "pod web-7d4-x2 was evicted",
    };

    fn covers(fields: Value, told: &Told<'_>) -> bool {
        let suppression: Suppression = from_value(fields).unwrap();
        suppression.covers(told, |expression, text| text.contains(expression))
    }

    #[test]
    fn every_field_that_is_there_must_fit() {
        let right = [
            json!({ "kind": "Pod" }),
            json!({ "namespace": "sh*", "name": "web-*" }),
            json!({ "analyzer": "Pod", "text": "evicted", "until": "2030-01-01T00:00:00Z" }),
        ];
        for fields in right {
            assert!(covers(fields.clone(), &POD), "{fields}");
        }
        let wrong = [
            json!({ "kind": "pod" }),
            json!({ "kind": "Pod", "namespace": "kube-*" }),
            json!({ "name": "web" }),
            json!({ "analyzer": "Log", "kind": "Pod" }),
            json!({ "text": "OOM" }),
        ];
        for fields in wrong {
            assert!(!covers(fields.clone(), &POD), "{fields}");
        }
    }

    #[test]
    fn a_suppression_that_says_nothing_suppresses_nothing() {
        assert!(!covers(json!({ "until": "2030-01-01T00:00:00Z", "reason": "noise" }), &POD));
    }

    #[test]
    fn an_object_without_namespace_fits_no_namespace() {
        let node = Told { kind: "Node", namespace: None, name: "n1", analyzer: "Node", text: "NotReady" };
        assert!(!covers(json!({ "namespace": "*" }), &node));
        assert!(covers(json!({ "kind": "Node" }), &node));
    }
}
