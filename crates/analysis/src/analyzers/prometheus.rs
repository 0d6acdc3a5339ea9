//! Which keys of a ConfigMap are the configuration of a Prometheus.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use serde_json::Value;

use crate::object::{Object, ObjectRef};
use crate::reference::{items, pod_spec};
use crate::report::Report;
use crate::view::{Lookup, View};

/// The group of the analyzers.
pub(super) const PROMETHEUS: &str = "Prometheus";

/// Words of which a configuration of Prometheus has one, however broken it is.
const WORDS: [&str; 6] = [
    "scrape_configs",
    "scrape_config_files",
    "scrape_interval",
    "evaluation_interval",
    "remote_write",
    "alertmanagers",
];

/// The configuration of a Prometheus.
pub(super) struct Config<'a> {
    /// The key of the ConfigMap.
    pub(super) key: String,
    /// What it holds; none if the ConfigMap has no such key.
    pub(super) text: Option<&'a str>,
    /// A workload or pod that reads it.
    pub(super) user: ObjectRef,
}

impl Config<'_> {
    /// The path of a field of the configuration, as evidence has it.
    pub(super) fn path(&self, field: &str) -> String {
        let hash = if field.is_empty() { "" } else { "#" };
        format!(".data[{:?}]{hash}{field}", self.key)
    }
}

/// The configurations of Prometheus in the ConfigMap `object`: what a Prometheus of its namespace, or the reloader beside
/// one, is told to read by a flag and gets from a volume of it. One in a Secret is not looked at: no analyzer sees what
/// is in Secrets. Whatever cannot be read leaves a doubt about each of `codes`.
pub(super) fn configs<'a>(
    object: &'a Object,
    view: &dyn View,
    codes: &[&str],
    report: &mut Report,
) -> Vec<Config<'a>> {
    let data = object.value().get("data").and_then(Value::as_object);
    // Most ConfigMaps are none; who uses them need not be read for that.
    let candidate = data.into_iter().flatten().any(|(key, text)| {
        let text = text.as_str().unwrap_or_default();
        key.starts_with("prometheus.y") || WORDS.iter().any(|word| text.contains(word))
    });
    if !candidate {
        return Vec::new();
    }
    let at = object.reference();
    let mut users = match view.users(&at) {
        Ok(users) => users,
        Err(why) => {
            for code in codes {
                report.doubt(code, format!("users of {at}"), why.clone());
            }
            return Vec::new();
        }
    };
    // The one that is named in a text should be called the same tomorrow: names of pods and ReplicaSets are not.
    users.sort_by_key(|user| user.kind.is::<Pod>() || user.kind.is::<ReplicaSet>());
    let mut keys = BTreeSet::new();
    let mut configs = Vec::new();
    for user in users {
        let workload = match view.object(&user) {
            Lookup::Found(workload) => workload,
            Lookup::NotFound => continue,
            Lookup::Unverified(why) => {
                for code in codes {
                    report.doubt(code, &user, why.clone());
                }
                continue;
            }
        };
        let Some(spec) = pod_spec(&workload) else { continue };
        for key in containers(spec).filter_map(|container| key_of(container, spec, &at.name)) {
            if keys.insert(key.clone()) {
                let text = data.and_then(|data| data.get(&key)).and_then(Value::as_str);
                configs.push(Config { key, text, user: user.clone() });
            }
        }
    }
    // Compressed for the reloader of an operator: it is there, and nobody can read it here.
    configs.retain(|config| {
        let binary = object.value().pointer("/binaryData").and_then(|data| data.get(&config.key)).is_some();
        !binary
    });
    configs
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    items(spec.get("containers")).chain(items(spec.get("initContainers")))
}

/// The key of the ConfigMap `map` that `container` reads as the configuration of Prometheus.
fn key_of(container: &Value, spec: &Value, map: &str) -> Option<String> {
    let text = |field: &str| container.get(field).and_then(Value::as_str).unwrap_or_default();
    let image = text("image").rsplit('/').next().unwrap_or_default();
    let image = image.split(['@', ':']).next().unwrap_or_default();
    let name = text("name");
    // Alertmanager and exporters take the same flag.
    let flag = if name.contains("config-reloader") || image.contains("config-reloader") {
        "config-file"
    } else if image == "prometheus" || ["prometheus", "prometheus-server"].contains(&name) {
        "config.file"
    } else {
        return None;
    };
    let words: Vec<&str> = ["command", "args"]
        .iter()
        .flat_map(|list| items(container.get(*list)))
        .filter_map(Value::as_str)
        .collect();
    let file = words.iter().enumerate().find_map(|(n, word)| {
        let rest = word.trim_start_matches('-').strip_prefix(flag).filter(|_| word.starts_with('-'))?;
        match rest.strip_prefix('=') {
            Some(file) => Some(file),
            None if rest.is_empty() => words.get(n + 1).copied(),
            None => None,
        }
    });
    // What the image's own command says, if nobody says anything else.
    let file = file.or_else(|| (flag == "config.file").then_some("/etc/prometheus/prometheus.yml"))?;
    // The mount that is deepest in the path hides the others.
    let (mount, rest) = items(container.get("volumeMounts"))
        .filter_map(|mount| {
            let at = mount.get("mountPath")?.as_str()?.trim_end_matches('/');
            let rest = file.strip_prefix(at)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((mount, rest.trim_start_matches('/')))
        })
        .min_by_key(|(_, rest)| rest.len())?;
    let below = mount.get("subPath").and_then(Value::as_str).unwrap_or_default();
    let path = [below, rest].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    let volume = mount.get("name")?.as_str()?;
    let volume =
        items(spec.get("volumes")).find(|found| found.get("name").and_then(Value::as_str) == Some(volume))?;
    let direct = volume.get("configMap").into_iter();
    let projected = items(volume.pointer("/projected/sources")).filter_map(|source| source.get("configMap"));
    direct.chain(projected).find_map(|source| {
        if source.get("name").and_then(Value::as_str) != Some(map) {
            return None;
        }
        match source.get("items").and_then(Value::as_array) {
            None => Some(path.clone()),
            Some(list) => list
                .iter()
                .find(|item| item.get("path").and_then(Value::as_str) == Some(&path))
                .and_then(|item| item.get("key")?.as_str().map(str::to_owned)),
        }
    })
}

/// What the values of `field` of a map or the items of a list are, where that is what it is.
pub(super) fn list<'a>(value: &'a Value, field: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    items(value.get(field)).enumerate()
}

/// The kind of the objects.
pub(super) const fn subject() -> crate::kind::GroupKind {
    crate::kind::GroupKind::of::<ConfigMap>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::object;
    use crate::inventory::Inventory;

    /// A name, the container, its volume, and the keys that are found with whether they are there.
    type Case<'a> = (&'a str, Value, &'a Value, &'a [(&'a str, bool)]);

    fn found(spec: Value) -> Vec<(String, bool)> {
        let map = object(
            "v1",
            "ConfigMap",
            "conf",
            json!({"data": {"prometheus.yml": "scrape_configs: []"},
            "binaryData": {"packed.gz": "AAAA"}}),
        );
        let set = object("apps/v1", "StatefulSet", "p", json!({"spec": {"template": {"spec": spec}}}));
        let inventory = Inventory::of([map.clone(), set]);
        let configs = configs(&map, &inventory, &[], &mut Report::default());
        configs.into_iter().map(|config| (config.key, config.text.is_some())).collect()
    }

    #[test]
    fn the_key_is_found_through_flags_mounts_and_volumes() {
        let direct = json!({"name": "v", "configMap": {"name": "conf"}});
        let renamed = json!({"name": "v", "configMap": {"name": "conf", "items": [{"key": "prometheus.yml", "path": "p/x.yml"}]}});
        let projected = json!({"name": "v", "projected": {"sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "conf"}}]}});
        let container = |name: &str, image: &str, args: Value, mount: Value| json!({"name": name, "image": image, "args": args, "volumeMounts": [mount]});
        let dir = json!({"name": "v", "mountPath": "/etc/prometheus/"});
        let flag = json!(["--config.file=/etc/prometheus/prometheus.yml"]);
        let yes: &[(&str, bool)] = &[("prometheus.yml", true)];
        let cases: [Case<'_>; 11] = [
            (
                "by image",
                container("main", "quay.io/prometheus/prometheus:v3", flag.clone(), dir.clone()),
                &direct,
                yes,
            ),
            (
                "by name",
                container("prometheus-server", "mirror/prom@sha256:0", flag.clone(), dir.clone()),
                &direct,
                yes,
            ),
            ("the image's own flag", container("prometheus", "x", json!([]), dir.clone()), &direct, yes),
            (
                "two words",
                container(
                    "prometheus",
                    "x",
                    json!(["--config.file", "/etc/prometheus/prometheus.yml"]),
                    dir.clone(),
                ),
                &direct,
                yes,
            ),
            ("projected", container("prometheus", "x", flag.clone(), dir.clone()), &projected, yes),
            (
                "renamed",
                container("prometheus", "x", json!(["--config.file=/etc/prometheus/p/x.yml"]), dir.clone()),
                &renamed,
                yes,
            ),
            (
                "one file",
                container(
                    "prometheus",
                    "x",
                    json!(["--config.file=/p.yml"]),
                    json!({"name": "v", "mountPath": "/p.yml", "subPath": "prometheus.yml"}),
                ),
                &direct,
                yes,
            ),
            (
                "a key that is not there",
                container("prometheus", "x", json!(["--config.file=/etc/prometheus/other.yml"]), dir.clone()),
                &direct,
                &[("other.yml", false)],
            ),
            (
                "compressed",
                container(
                    "config-reloader",
                    "x",
                    json!(["--config-file=/etc/prometheus/packed.gz"]),
                    dir.clone(),
                ),
                &direct,
                &[],
            ),
            (
                "another program with that flag",
                container("alertmanager", "prom/alertmanager", flag.clone(), dir.clone()),
                &direct,
                &[],
            ),
            (
                "another directory",
                container("prometheus", "x", flag.clone(), json!({"name": "v", "mountPath": "/etc/prom"})),
                &direct,
                &[],
            ),
        ];
        for (name, container, volume, expected) in cases {
            let found = found(json!({"containers": [container], "volumes": [volume]}));
            let expected: Vec<(String, bool)> =
                expected.iter().map(|(key, there)| ((*key).to_owned(), *there)).collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn odd_workloads_are_no_prometheus() {
        for spec in [
            json!({"containers": 7}),
            json!({"containers": [{"name": "prometheus", "args": 7, "volumeMounts": [7]}],
            "volumes": [{"configMap": {"name": "conf"}}]}),
        ] {
            assert!(found(spec).is_empty());
        }
    }
}
