//! Label selectors, as Kubernetes matches them, in one order.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::{Deserialize, Serialize};

/// One condition on a label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Requirement {
    In(String, BTreeSet<String>),
    NotIn(String, BTreeSet<String>),
    Exists(String),
    DoesNotExist(String),
    /// An operator that this program does not know: matches nothing.
    Unknown(String, String),
}

/// A label selector. Without a condition it matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Selector(BTreeSet<Requirement>);

impl Selector {
    /// The selector that matches everything.
    #[must_use]
    pub const fn everything() -> Self {
        Self(BTreeSet::new())
    }

    /// All of these labels, as the selector of a Service means it.
    #[must_use]
    pub fn labels(labels: &BTreeMap<String, String>) -> Self {
        Self(labels.iter().map(|(key, value)| Requirement::In(key.clone(), [value.clone()].into())).collect())
    }

    /// Whether it has no condition.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `labels` fulfil every condition.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            Requirement::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Requirement::Exists(key) => labels.contains_key(key),
            Requirement::DoesNotExist(key) => !labels.contains_key(key),
            Requirement::Unknown(..) => false,
        })
    }
}

impl From<&LabelSelector> for Selector {
    fn from(selector: &LabelSelector) -> Self {
        let mut conditions = selector.match_labels.as_ref().map(Self::labels).unwrap_or_default();
        for expression in selector.match_expressions.iter().flatten() {
            let key = expression.key.clone();
            let values = expression.values.iter().flatten().cloned().collect();
            conditions.0.insert(match expression.operator.as_str() {
                "In" => Requirement::In(key, values),
                "NotIn" => Requirement::NotIn(key, values),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::DoesNotExist(key),
                other => Requirement::Unknown(key, other.to_owned()),
            });
        }
        conditions
    }
}

/// A text that is no label selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no condition of a label selector, as `app=web`, `tier!=back`, `app in (a,b)`, `app notin (a,b)`, `app` or `!app`"
)]
pub struct NoSelector(String);

impl FromStr for Selector {
    type Err = NoSelector;

    /// As kubectl's `-l` takes it; an empty text is the selector that matches everything.
    fn from_str(text: &str) -> Result<Self, NoSelector> {
        let (mut conditions, mut rest) = (BTreeSet::new(), text.trim());
        while !rest.is_empty() {
            let close = rest.find('(').filter(|open| rest.find(',').is_none_or(|comma| *open < comma));
            let end = close.map_or(Some(0), |open| rest[open..].find(')').map(|close| open + close));
            let end = end.and_then(|from| rest[from..].find(',').map(|comma| from + comma));
            let condition = end.map_or(rest, |end| &rest[..end]);
            conditions.insert(requirement(condition.trim()).ok_or_else(|| NoSelector(condition.to_owned()))?);
            let Some(end) = end else { break };
            rest = rest[end + 1..].trim_start();
            if rest.is_empty() {
                return Err(NoSelector(String::new()));
            }
        }
        Ok(Self(conditions))
    }
}

/// One condition of the text of a selector.
fn requirement(text: &str) -> Option<Requirement> {
    let plain = |part: &str| {
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
        part.chars().all(fits).then(|| part.to_owned())
    };
    let key = |part: &str| plain(part.trim()).filter(|key| !key.is_empty());
    if let Some((name, values)) = text.strip_suffix(')').and_then(|text| text.split_once('(')) {
        let values = values.split(',').map(|value| plain(value.trim())).collect::<Option<_>>()?;
        let (name, operator) = name.trim().rsplit_once(char::is_whitespace)?;
        return match operator {
            "in" => Some(Requirement::In(key(name)?, values)),
            "notin" => Some(Requirement::NotIn(key(name)?, values)),
            _ => None,
        };
    }
    let one = |value: &str| Some(BTreeSet::from([plain(value.trim())?]));
    if let Some((name, value)) = text.split_once("!=") {
        return Some(Requirement::NotIn(key(name)?, one(value)?));
    }
    if let Some((name, value)) = text.split_once("==").or_else(|| text.split_once('=')) {
        return Some(Requirement::In(key(name)?, one(value)?));
    }
    match text.strip_prefix('!') {
        Some(name) => Some(Requirement::DoesNotExist(key(name)?)),
        None => Some(Requirement::Exists(key(text)?)),
    }
}

impl fmt::Display for Selector {
    /// As kubectl's `-l` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several =
            |values: &BTreeSet<String>| values.iter().map(String::as_str).collect::<Vec<_>>().join(",");
        for (n, requirement) in self.0.iter().enumerate() {
            f.write_str(if n == 0 { "" } else { "," })?;
            match requirement {
                Requirement::In(key, values) if values.len() == 1 => write!(f, "{key}={}", several(values)),
                Requirement::In(key, values) => write!(f, "{key} in ({})", several(values)),
                Requirement::NotIn(key, values) => write!(f, "{key} notin ({})", several(values)),
                Requirement::Exists(key) => f.write_str(key),
                Requirement::DoesNotExist(key) => write!(f, "!{key}"),
                Requirement::Unknown(key, operator) => write!(f, "{key} {operator}"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn selector(value: serde_json::Value) -> Selector {
        Selector::from(&serde_json::from_value::<LabelSelector>(value).unwrap())
    }

    #[test]
    fn expressions_are_matched_as_the_api_server_matches_them() {
        let labels =
            BTreeMap::from([("app".to_owned(), "web".to_owned()), ("tier".to_owned(), "front".to_owned())]);
        for (expression, expected) in [
            (json!({"key": "app", "operator": "In", "values": ["web", "api"]}), true),
            (json!({"key": "app", "operator": "In", "values": ["api"]}), false),
            (json!({"key": "gone", "operator": "In", "values": ["web"]}), false),
            (json!({"key": "app", "operator": "NotIn", "values": ["web"]}), false),
            (json!({"key": "gone", "operator": "NotIn", "values": ["web"]}), true),
            (json!({"key": "tier", "operator": "Exists"}), true),
            (json!({"key": "gone", "operator": "Exists"}), false),
            (json!({"key": "gone", "operator": "DoesNotExist"}), true),
            (json!({"key": "app", "operator": "Resembles", "values": ["web"]}), false),
        ] {
            let matched = selector(json!({"matchExpressions": [expression.clone()]})).matches(&labels);
            assert_eq!(matched, expected, "{expression}");
        }
        assert!(selector(json!({})).matches(&labels), "an empty selector matches everything");
        assert!(!selector(json!({"matchLabels": {"app": "web", "gone": "x"}})).matches(&labels));
    }

    #[test]
    fn the_text_of_kubectl_is_read_and_comes_back() {
        for (text, same) in [
            ("", ""),
            ("app=web", "app=web"),
            ("app == web , tier!=back", "app=web,tier notin (back)"),
            ("d,!e,c notin (y, x),b in (1)", "b=1,c notin (x,y),d,!e"),
            ("example.com/team in (a,b),x in (,y),z=", "example.com/team in (a,b),x in (,y),z="),
        ] {
            let selector: Selector = text.parse().unwrap();
            assert_eq!(selector.to_string(), same, "{text}");
            assert_eq!(same.parse(), Ok(selector), "{text}");
        }
        for wrong in [
            "=web",
            "app=a b",
            "app in a",
            "app in (a",
            "app,",
            ",",
            "app>1",
            "!",
            "(a)",
            "a in (b))",
            "a=b)",
        ] {
            assert!(wrong.parse::<Selector>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_text_has_one_order() {
        let selector = selector(json!({"matchLabels": {"b": "2", "a": "1"}, "matchExpressions": [
            {"key": "d", "operator": "Exists"}, {"key": "c", "operator": "NotIn", "values": ["y", "x"]}]}));
        assert_eq!(selector.to_string(), "a=1,b=2,c notin (x,y),d");
    }
}
