//! What a fix may change. Everything else it may not, for whatever reason: docs/decisions/0036 gives the reasons.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    kinds::Mendable,
    manifest::{Change, difference},
};

/// Whether a change from one value to another is allowed.
type Check = fn(&Value, &Value) -> bool;

/// Fields of every kind; `*` stands for one name.
const OF_ALL: [(&str, Check); 1] = [("metadata/labels/*", |_, _| true)];
/// Of what has a template of pods.
const OF_WORKLOADS: [(&str, Check); 7] = [
    ("spec/replicas", |_, after| after.as_u64().is_some_and(|replicas| replicas > 0)),
    ("spec/strategy", |_, _| true),
    ("spec/updateStrategy", |_, _| true),
    ("spec/minReadySeconds", |_, _| true),
    ("spec/progressDeadlineSeconds", |_, _| true),
    ("spec/paused", |_, _| true),
    ("spec/template/metadata/labels/*", |_, _| true),
];
/// Of a Service: nothing that opens it.
const OF_SERVICES: [(&str, Check); 3] = [
    ("spec/selector", has_fields),
    ("spec/ports", |before, after| same(before, after, &["nodePort"])),
    ("spec/sessionAffinity", |_, _| true),
];
/// Of an Ingress: nothing that takes a host.
const OF_INGRESSES: [(&str, Check); 3] = [
    ("spec/ingressClassName", |_, _| true),
    ("spec/defaultBackend", |before, after| same(before, after, &["resource"])),
    ("spec/rules", |before, after| same(before, after, &["host", "resource"])),
];
/// Below the spec of a pod.
const OF_PODS: [(&str, Check); 6] = [
    ("volumes/*/configMap", |_, _| true),
    ("nodeSelector", |_, _| true),
    ("affinity", |_, _| true),
    ("topologySpreadConstraints", |_, _| true),
    ("terminationGracePeriodSeconds", |_, _| true),
    ("restartPolicy", |_, _| true),
];
/// Below a container.
const OF_CONTAINERS: [(&str, Check); 10] = [
    ("env/*/valueFrom", only_config),
    ("image", from_the_same_place),
    ("imagePullPolicy", |_, _| true),
    ("workingDir", |_, _| true),
    ("ports", |before, after| same(before, after, &["hostPort", "hostIP"])),
    ("envFrom", |before, after| same(before, after, &["secretRef"])),
    ("resources", |before, after| same(before, after, &["claims"])),
    ("readinessProbe", harmless_probe),
    ("livenessProbe", harmless_probe),
    ("startupProbe", harmless_probe),
];
/// Labels with a prefix tell programs what to do, but for these.
const PLAIN_LABELS: &str = "app.kubernetes.io/";
/// Says which program an object belongs to.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Whether a fix that makes `after` of `before` may be proposed.
///
/// # Errors
/// A sentence with the first thing that it may not change.
pub(super) fn check(kind: Mendable, before: &Value, after: &Value) -> Result<(), String> {
    for change in difference(before, after).0 {
        let path = change.path.join("/");
        if !may(kind, &path, &change) {
            return Err(format!("a fix may not change {path}"));
        }
    }
    Ok(())
}

fn may(kind: Mendable, path: &str, change: &Change) -> bool {
    let Some(after) = &change.after else { return false };
    let before = change.before.as_ref().unwrap_or(&Value::Null);
    if let Some((_, label)) = path.split_once("metadata/labels/")
        && (label == MANAGED_BY || label.contains('/') && !label.starts_with(PLAIN_LABELS))
    {
        return false;
    }
    // A name with a slash in it would be read as two parts of the path.
    let mut parts = change.path.iter();
    if parts.any(|part| part.contains('/')) && !path.contains("metadata/labels/") {
        return false;
    }
    let among = |rules: &[(&str, Check)], path: &str| {
        rules.iter().any(|(pattern, check)| matches(pattern, path) && check(before, after))
    };
    let of_kind: &[(&str, Check)] = match kind.kind {
        "Service" => &OF_SERVICES,
        "Ingress" => &OF_INGRESSES,
        "Pod" => &[],
        _ => &OF_WORKLOADS,
    };
    if among(&OF_ALL, path) || among(of_kind, path) {
        return true;
    }
    let Some(pods) = kind.pods else { return false };
    let root = pods.iter().map(|part| format!("{part}/")).collect::<String>() + "spec/";
    let Some(path) = path.strip_prefix(&root) else { return false };
    let of_container = ["containers/", "initContainers/"].iter().find_map(|list| path.strip_prefix(list));
    among(&OF_PODS, path)
        || of_container
            .and_then(|path| path.split_once('/'))
            .is_some_and(|(_, field)| among(&OF_CONTAINERS, field))
}

/// Whether a path is that of a pattern. A name with a slash in it, as labels have, is the last part.
fn matches(pattern: &str, path: &str) -> bool {
    let parts = pattern.split('/').count();
    let mut path = path.splitn(parts, '/');
    pattern.split('/').all(|part| path.next().is_some_and(|field| part == "*" || part == field))
        && path.next().is_none()
}

/// Whether all values of these fields, however deep, are the same.
fn same(before: &Value, after: &Value, fields: &[&str]) -> bool {
    fields.iter().all(|field| values(before, field) == values(after, field))
}

fn values(value: &Value, field: &str) -> BTreeSet<String> {
    match value {
        Value::Object(map) => {
            map.iter()
                .flat_map(|(key, value)| {
                    if key == field { BTreeSet::from([value.to_string()]) } else { values(value, field) }
                })
                .collect()
        }
        Value::Array(items) => items.iter().flat_map(|item| values(item, field)).collect(),
        _ => BTreeSet::new(),
    }
}

fn has_fields(_before: &Value, after: &Value) -> bool {
    after.as_object().is_some_and(|fields| !fields.is_empty())
}

/// A variable that comes from a ConfigMap, before and after.
fn only_config(before: &Value, after: &Value) -> bool {
    let config = |value: &Value| {
        value.as_object().is_some_and(|from| from.len() == 1 && from.contains_key("configMapKeyRef"))
    };
    config(before) && config(after)
}

/// A probe that runs nothing else and asks nobody else.
fn harmless_probe(before: &Value, after: &Value) -> bool {
    after.is_object() && same(before, after, &["exec", "host"])
}

/// An image of the same registry and owner; one that is pinned by its digest stays pinned.
fn from_the_same_place(before: &Value, after: &Value) -> bool {
    let (Some(before), Some(after)) = (before.as_str(), after.as_str()) else { return false };
    let place = |image: &str| image.rsplit_once('/').map_or(String::new(), |(place, _)| place.to_owned());
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    place(before) == place(after)
        && !after.ends_with('/')
        && after.chars().all(plain)
        && (after.contains('@') || !before.contains('@'))
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
