//! What is looked at.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::glob;

/// Namespaces that are looked at. What belongs to no namespace always is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TargetNamespaces {
    /// Names in which * stands for any characters. Empty means every namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Names, with * too, of those that are left out; they win over include.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
}

impl TargetNamespaces {
    /// Whether a namespace is looked at.
    pub fn contains(&self, namespace: &str) -> bool {
        let among = |list: &[String]| list.iter().any(|pattern| glob::matches(pattern, namespace));
        (self.include.is_empty() || among(&self.include)) && !among(&self.exclude)
    }

    /// The namespaces by name, if they can be listed without knowing those of the cluster: then rights in these are enough.
    pub fn names(&self) -> Option<Vec<&str>> {
        let listed = !self.include.is_empty() && self.include.iter().all(|name| !name.contains('*'));
        let mut names: Vec<_> =
            self.include.iter().map(String::as_str).filter(|name| self.contains(name)).collect();
        names.sort_unstable();
        names.dedup();
        listed.then_some(names)
    }
}

/// Changes of the set of analyzers that run, beside filters or the default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Analyzers {
    /// Analyzers that run too, for example HorizontalPodAutoscaler.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub enable: Vec<String>,
    /// Analyzers that do not run; they win over enable and over filters.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disable: Vec<String>,
}

/// Objects that are looked at, by their labels; written as anywhere in Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct LabelSelector {
    /// Labels with the value that each must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further conditions; all must hold.
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_EXPRESSIONS)))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelExpression>,
}

/// Most conditions of a selector: a rule walks through them.
#[cfg(feature = "schema")]
const MAX_EXPRESSIONS: u32 = 64;

/// A condition about one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LabelExpression {
    /// Name of the label.
    pub key: String,
    /// What must hold.
    pub operator: LabelOperator,
    /// Values for In and NotIn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// What must hold of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum LabelOperator {
    /// It has one of the values.
    In,
    /// It is absent or has none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is absent.
    DoesNotExist,
}

impl LabelSelector {
    /// Whether an object with these labels is looked at.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value));
        equal && self.match_expressions.iter().all(|expression| expression.holds(labels))
    }
}

impl LabelExpression {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.contains(value));
        match self.operator {
            LabelOperator::In => listed,
            LabelOperator::NotIn => !listed,
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn namespaces(include: &[&str], exclude: &[&str]) -> TargetNamespaces {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        TargetNamespaces { include: list(include), exclude: list(exclude) }
    }

    #[test]
    fn excluded_namespaces_win_over_included_ones() {
        let all = namespaces(&[], &["kube-*"]);
        assert!(all.contains("shop") && !all.contains("kube-system"));
        let some = namespaces(&["team-*", "shop"], &["team-test"]);
        assert_eq!(
            ["team-a", "shop", "team-test", "other"].map(|name| some.contains(name)),
            [true, true, false, false]
        );
    }

    #[test]
    fn namespaces_without_a_star_can_be_named() {
        assert_eq!(namespaces(&["b", "a", "b", "c"], &["c*"]).names(), Some(vec!["a", "b"]));
        assert_eq!(namespaces(&["a*"], &[]).names(), None);
        assert_eq!(namespaces(&[], &["a"]).names(), None);
    }

    #[test]
    fn a_selector_means_what_it_means_in_kubernetes() {
        let selector: LabelSelector = from_value(json!({
            "matchLabels": { "app": "web" },
            "matchExpressions": [
                { "key": "tier", "operator": "In", "values": ["front", "edge"] },
                { "key": "phase", "operator": "NotIn", "values": ["test"] },
                { "key": "owner", "operator": "Exists" },
                { "key": "ignore", "operator": "DoesNotExist" },
            ],
        }))
        .unwrap();
        let labels = |pairs: &[(&str, &str)]| {
            let base = [("app", "web"), ("tier", "edge"), ("owner", "")];
            base.iter().chain(pairs).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        assert!(selector.matches(&labels(&[])) && selector.matches(&labels(&[("phase", "live")])));
        for wrong in [("app", "db"), ("tier", "back"), ("phase", "test"), ("ignore", "")] {
            assert!(!selector.matches(&labels(&[wrong])), "{wrong:?}");
        }
        assert!(!selector.matches(&BTreeMap::new()));
        assert!(LabelSelector::default().matches(&BTreeMap::new()));
    }
}
