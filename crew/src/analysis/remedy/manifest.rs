//! Manifests: what of an object counts, what differs between two, and how alike they are.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

/// Annotations that controllers and kubectl write: they are no wish of anybody.
const WRITTEN: [&str; 2] =
    ["deployment.kubernetes.io/revision", "kubectl.kubernetes.io/last-applied-configuration"];
/// Objects whose fields are owned one by one. Everything else is compared and applied whole, because the API server takes
/// selectors and references as one value.
const FIELD_BY_FIELD: [&str; 5] = ["metadata", "labels", "annotations", "spec", "template"];
/// Lists whose items are told apart by their name.
const BY_NAME: [&str; 4] = ["containers", "initContainers", "volumes", "env"];
/// Lines around a change in a diff.
const CONTEXT: usize = 3;

/// What differs in one place.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Change {
    /// Fields from the root; an item of a list stands under its name.
    pub(super) path: Vec<String>,
    /// None: it was not there.
    pub(super) before: Option<Value>,
    /// None: it is to go.
    pub(super) after: Option<Value>,
}

/// What of an object somebody wished: kind, name, labels, annotations, spec.
pub(super) fn wished(object: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "labels", "annotations"] {
        let value = object.pointer(&format!("/metadata/{field}")).cloned();
        metadata.extend(value.map(|value| (field.to_owned(), value)));
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !WRITTEN.contains(&name.as_str()));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    json!({"apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": metadata, "spec": object["spec"]})
}

/// What differs, and what has to be applied so that `before` becomes `after`: the fields that differ and no others, so
/// that those stay with whoever owns them. What is to go is not in it.
pub(super) fn difference(before: &Value, after: &Value) -> (Vec<Change>, Value) {
    let mut found = Difference { path: Vec::new(), changes: Vec::new() };
    let patch = found.fields(before, after).unwrap_or_else(|| json!({}));
    (found.changes, patch)
}

struct Difference {
    path: Vec<String>,
    changes: Vec<Change>,
}

impl Difference {
    /// The part of an object that differs.
    fn fields(&mut self, before: &Value, after: &Value) -> Option<Value> {
        let none = Map::new();
        let (was, is) = (before.as_object().unwrap_or(&none), after.as_object().unwrap_or(&none));
        let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        let mut patch = Map::new();
        for key in keys {
            self.path.push(key.clone());
            let part = self.value(key, was.get(key), is.get(key));
            self.path.pop();
            patch.extend(part.map(|part| (key.clone(), part)));
        }
        (!patch.is_empty()).then_some(Value::Object(patch))
    }

    fn value(&mut self, key: &str, before: Option<&Value>, after: Option<&Value>) -> Option<Value> {
        if before == after {
            return None;
        }
        match (before, after) {
            (Some(was @ Value::Object(_)), Some(is @ Value::Object(_))) if FIELD_BY_FIELD.contains(&key) => {
                self.fields(was, is)
            }
            (Some(Value::Array(was)), Some(Value::Array(is))) if BY_NAME.contains(&key) => {
                match (named(was), named(is)) {
                    (Some(was), Some(is)) => self.items(&was, &is),
                    _ => self.changed(before, after),
                }
            }
            _ => self.changed(before, after),
        }
    }

    /// The items of a list that differ, each with its name.
    fn items(&mut self, was: &[(&str, &Value)], is: &[(&str, &Value)]) -> Option<Value> {
        let find = |items: &[(&str, &Value)], name: &str| {
            items.iter().find(|(known, _)| *known == name).map(|(_, item)| (*item).clone())
        };
        let names: BTreeSet<&str> = was.iter().chain(is).map(|(name, _)| *name).collect();
        let mut patch = Vec::new();
        for name in names {
            self.path.push(name.to_owned());
            match (find(was, name), find(is, name)) {
                (Some(was), Some(is)) => {
                    let part = self.fields(&was, &is);
                    patch.extend(part.map(|mut part| {
                        part["name"] = Value::from(name);
                        part
                    }));
                }
                (was, is) => patch.extend(self.changed(was.as_ref(), is.as_ref())),
            }
            self.path.pop();
        }
        (!patch.is_empty()).then_some(Value::Array(patch))
    }

    fn changed(&mut self, before: Option<&Value>, after: Option<&Value>) -> Option<Value> {
        let (path, before, after) = (self.path.clone(), before.cloned(), after.cloned());
        self.changes.push(Change { path, before, after: after.clone() });
        after
    }
}

/// The items of a list by their names, if each has one of its own.
fn named(items: &[Value]) -> Option<Vec<(&str, &Value)>> {
    let named: Option<Vec<_>> =
        items.iter().map(|item| item.get("name").and_then(Value::as_str).map(|name| (name, item))).collect();
    let names: BTreeSet<_> = named.iter().flatten().map(|(name, _)| *name).collect();
    named.filter(|named| named.len() == names.len())
}

/// A manifest for people.
pub(super) fn yaml(manifest: &Value) -> Result<String, String> {
    serde_saphyr::to_string(manifest).map_err(|error| error.to_string())
}

/// What changes, as a unified diff.
pub(super) fn diff(before: &str, after: &str) -> String {
    similar::TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(CONTEXT)
        .header("before", "after")
        .to_string()
}

/// How alike two texts are: 100 less the share of letters that differ, by Levenshtein's distance and the longer one.
pub(super) fn similarity(before: &str, after: &str) -> f64 {
    let (was, is): (Vec<char>, Vec<char>) = (before.chars().collect(), after.chars().collect());
    let longer = was.len().max(is.len());
    if longer == 0 {
        return 100.0;
    }
    // What both begin and end with has no share in the distance; what is left is short.
    let same = |(one, other): &(&char, &char)| one == other;
    let head = was.iter().zip(&is).take_while(same).count();
    let (was, is) = (&was[head..], &is[head..]);
    let tail = was.iter().rev().zip(is.iter().rev()).take_while(same).count();
    let (was, is) = (&was[..was.len() - tail], &is[..is.len() - tail]);
    #[allow(clippy::cast_precision_loss, reason = "manifests have fewer letters than an f64 counts")]
    let share = strsim::generic_levenshtein(&Letters(was), &Letters(is)) as f64 / longer as f64;
    (1.0 - share) * 100.0
}

struct Letters<'a>(&'a [char]);

impl<'b> IntoIterator for &'b Letters<'_> {
    type Item = &'b char;
    type IntoIter = std::slice::Iter<'b, char>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn deployment(image: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 3,
                "annotations": {"deployment.kubernetes.io/revision": "2"}},
            "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "side", "image": "s:1"}, {"name": "web", "image": image}]}}},
            "status": {"replicas": 1}})
    }

    #[test]
    fn only_what_somebody_wished_counts() {
        let wished = wished(&deployment("nginx:1"));
        assert_eq!(wished["metadata"], json!({"name": "web", "namespace": "shop"}));
        assert_eq!(wished.get("status"), None);
    }

    #[test]
    fn what_is_applied_is_what_differs_with_the_names_of_its_items() {
        let (before, after) = (wished(&deployment("ngin:1")), wished(&deployment("nginx:1")));
        let (changes, patch) = difference(&before, &after);
        let path = ["spec", "template", "spec", "containers", "web", "image"].map(str::to_owned).to_vec();
        let (was, is) = (Some(json!("ngin:1")), Some(json!("nginx:1")));
        assert_eq!(changes, [Change { path, before: was, after: is }]);
        let containers = json!([{"name": "web", "image": "nginx:1"}]);
        assert_eq!(patch, json!({"spec": {"template": {"spec": {"containers": containers}}}}));
        assert_eq!(difference(&before, &before), (Vec::new(), json!({})));
    }

    #[test]
    fn selectors_and_lists_without_names_of_their_own_are_whole() {
        let before = json!({"spec": {"selector": {"a": "1", "b": "2"}, "ports": [{"name": "x", "port": 1}]}});
        let after = json!({"spec": {"selector": {"a": "1", "b": "3"}, "ports": [{"name": "x", "port": 2}]}});
        let (changes, patch) = difference(&before, &after);
        assert_eq!(changes.len(), 2);
        assert_eq!(patch, after);
        let twice = json!({"containers": [{"name": "a"}, {"name": "a", "image": "b"}]});
        let (changes, _) = difference(&json!({"containers": [{"name": "a"}]}), &twice);
        assert_eq!(changes[0].path, ["containers"], "names that are not their own tell nothing apart");
    }

    #[test]
    fn what_is_to_go_is_a_change_that_cannot_be_applied() {
        let (changes, patch) = difference(&json!({"spec": {"a": 1, "b": 2}}), &json!({"spec": {"a": 1}}));
        assert_eq!((changes[0].after.clone(), patch), (None, json!({})));
    }

    #[test]
    fn likeness_is_that_of_the_whole_texts() {
        let all = |before: &str, after: &str| {
            let longer = before.chars().count().max(after.chars().count());
            #[allow(clippy::cast_precision_loss, reason = "short texts")]
            let share = strsim::levenshtein(before, after) as f64 / longer.max(1) as f64;
            (1.0 - share) * 100.0
        };
        for (before, after) in [
            ("", ""),
            ("kitten", "sitting"),
            ("aaa", "aaaa"),
            ("abcabc", "abc"),
            ("x", "y"),
            ("näh", "nah"),
            ("", "ab"),
        ] {
            assert!((similarity(before, after) - all(before, after)).abs() < 1e-9, "{before} {after}");
        }
        assert!((similarity("kitten", "sitting") - 400.0 / 7.0).abs() < 1e-9);
    }

    #[test]
    fn a_diff_is_readable() {
        let (before, after) =
            (yaml(&json!({"a": 1, "b": 2})).unwrap(), yaml(&json!({"a": 1, "b": 3})).unwrap());
        assert_eq!(diff(&before, &after), "--- before\n+++ after\n@@ -1,2 +1,2 @@\n a: 1\n-b: 2\n+b: 3\n");
    }
}
