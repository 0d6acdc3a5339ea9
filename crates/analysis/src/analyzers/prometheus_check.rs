//! What is wrong with a configuration of Prometheus, by what its loader refuses.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::analyzers::prometheus::list;
use crate::analyzers::prometheus_duration::duration;

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    /// Prometheus refuses the configuration.
    Invalid,
    /// A field that this program does not know; Prometheus refuses those that it does not know, and may know more.
    Unknown,
    /// Nothing is collected.
    Nothing,
}

/// One thing that is wrong. Its text never holds a value: there may be passwords where none belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// The field: `scrape_configs[0].job_name`; empty for the whole.
    pub(super) path: String,
    /// The kind of fault.
    pub(super) kind: FaultKind,
    /// What is wrong with the field.
    pub(super) text: String,
}

/// The fields at the top.
const TOP: [&str; 11] = [
    "global",
    "runtime",
    "alerting",
    "rule_files",
    "scrape_config_files",
    "scrape_configs",
    "storage",
    "tracing",
    "remote_write",
    "remote_read",
    "otlp",
];

/// The fields of a job, beside those of discoveries.
const JOB: [&str; 45] = [
    "always_scrape_classic_histograms",
    "authorization",
    "basic_auth",
    "bearer_token",
    "bearer_token_file",
    "body_size_limit",
    "convert_classic_histograms_to_nhcb",
    "enable_compression",
    "enable_http2",
    "extra_scrape_metrics",
    "fallback_scrape_protocol",
    "follow_redirects",
    "honor_labels",
    "honor_timestamps",
    "http_headers",
    "job_name",
    "keep_dropped_targets",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
    "metric_name_escaping_scheme",
    "metric_name_validation_scheme",
    "metric_relabel_configs",
    "metrics_path",
    "native_histogram_bucket_limit",
    "native_histogram_min_bucket_factor",
    "no_proxy",
    "oauth2",
    "params",
    "proxy_connect_header",
    "proxy_from_environment",
    "proxy_url",
    "relabel_configs",
    "sample_limit",
    "scheme",
    "scrape_classic_histograms",
    "scrape_failure_log_file",
    "scrape_interval",
    "scrape_native_histograms",
    "scrape_protocols",
    "scrape_timeout",
    "static_configs",
    "target_limit",
    "tls_config",
    "track_timestamps_staleness",
];

/// The fields of a relabelling rule.
const RELABEL: [&str; 7] =
    ["source_labels", "separator", "target_label", "regex", "modulus", "replacement", "action"];

/// What a relabelling rule may do.
const ACTIONS: [&str; 11] = [
    "replace",
    "keep",
    "drop",
    "keepequal",
    "dropequal",
    "hashmod",
    "labelmap",
    "labeldrop",
    "labelkeep",
    "lowercase",
    "uppercase",
];

/// What Kubernetes can be asked for.
const ROLES: [&str; 6] = ["node", "pod", "service", "endpoints", "endpointslice", "ingress"];

/// How often is collected when nobody says, in milliseconds.
const DEFAULT_INTERVAL: u64 = 60_000;

/// Everything that is wrong with `config`.
pub(super) fn faults(config: &Value) -> Vec<Fault> {
    let mut check = Check::default();
    let empty = Map::new();
    let top = match config {
        Value::Null => &empty,
        Value::Object(top) => top,
        _ => {
            check.invalid("", "is no map");
            return check.faults;
        }
    };
    check.known("", top, &TOP, |_| false);
    let global = check.global(top.get("global"));
    for field in ["rule_files", "scrape_config_files"] {
        check.strings(field, top.get(field));
    }
    let mut jobs = BTreeSet::new();
    for (n, job) in check.items("scrape_configs", top.get("scrape_configs")) {
        check.job(&format!("scrape_configs[{n}]"), job, global, &mut jobs);
    }
    for field in ["remote_write", "remote_read"] {
        for (n, remote) in check.items(field, top.get(field)) {
            let path = format!("{field}[{n}]");
            if remote.get("url").and_then(Value::as_str).is_none_or(str::is_empty) {
                check.invalid(&format!("{path}.url"), "is missing");
            }
            check.relabel(&path, "write_relabel_configs", remote);
        }
    }
    if let Some(alerting) = top.get("alerting") {
        check.relabel("alerting", "alert_relabel_configs", alerting);
        for (n, manager) in check.items("alerting.alertmanagers", alerting.get("alertmanagers")) {
            check.relabel(&format!("alerting.alertmanagers[{n}]"), "relabel_configs", manager);
        }
    }
    let some = |field: &str| list(config, field).next().is_some();
    if !some("scrape_configs") && !some("scrape_config_files") {
        check.add("scrape_configs", FaultKind::Nothing, "is empty: nothing is collected");
    }
    check.faults
}

#[derive(Default)]
struct Check {
    faults: Vec<Fault>,
}

impl Check {
    fn add(&mut self, path: &str, kind: FaultKind, text: impl Into<String>) {
        self.faults.push(Fault { path: path.to_owned(), kind, text: text.into() });
    }

    fn invalid(&mut self, path: &str, text: impl Into<String>) {
        self.add(path, FaultKind::Invalid, text);
    }

    /// The items of what should be a list, with their numbers.
    fn items<'a>(&mut self, path: &str, value: Option<&'a Value>) -> Vec<(usize, &'a Value)> {
        match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(items)) => items.iter().enumerate().collect(),
            Some(_) => {
                self.invalid(path, "is no list");
                Vec::new()
            }
        }
    }

    fn strings(&mut self, path: &str, value: Option<&Value>) {
        for (n, item) in self.items(path, value) {
            if item.is_array() || item.is_object() {
                self.invalid(&format!("{path}[{n}]"), "is no string");
            }
        }
    }

    fn known(&mut self, path: &str, map: &Map<String, Value>, known: &[&str], also: impl Fn(&str) -> bool) {
        for field in map.keys().filter(|field| !known.contains(&field.as_str()) && !also(field)) {
            let short: String = field.chars().take(60).collect();
            let path = if path.is_empty() { short } else { format!("{path}.{short}") };
            self.add(
                &path,
                FaultKind::Unknown,
                "is no known field; Prometheus refuses fields that it does not know",
            );
        }
    }

    /// The milliseconds of a duration field; none if it is missing or zero, which is the same, or wrong.
    fn duration(&mut self, path: &str, field: &str, map: &Value) -> Option<u64> {
        let value = map.get(field).filter(|value| !value.is_null())?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        match duration(&text) {
            Some(length) => Some(length).filter(|length| *length > 0),
            None => {
                let path = if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") };
                self.invalid(&path, "is no duration; it needs a unit, as 15s, 1m or 1h30m");
                None
            }
        }
    }

    /// The interval in milliseconds that jobs have if they say nothing.
    fn global(&mut self, global: Option<&Value>) -> u64 {
        let Some(global) = global.filter(|global| !global.is_null()) else { return DEFAULT_INTERVAL };
        if !global.is_object() {
            self.invalid("global", "is no map");
            return DEFAULT_INTERVAL;
        }
        for field in ["evaluation_interval", "rule_query_offset"] {
            self.duration("global", field, global);
        }
        let interval = self.duration("global", "scrape_interval", global).unwrap_or(DEFAULT_INTERVAL);
        self.timeout("global", global, interval);
        interval
    }

    fn timeout(&mut self, path: &str, map: &Value, interval: u64) {
        if self.duration(path, "scrape_timeout", map).is_some_and(|timeout| timeout > interval) {
            self.invalid(&format!("{path}.scrape_timeout"), "is longer than the interval");
        }
    }

    fn job(&mut self, path: &str, job: &Value, interval: u64, names: &mut BTreeSet<String>) {
        let Value::Object(map) = job else {
            self.invalid(path, "is no map");
            return;
        };
        self.known(path, map, &JOB, |field| field.ends_with("_sd_configs"));
        let name: Option<String> = match map.get("job_name") {
            Some(Value::String(name)) if !name.is_empty() => Some(name.clone()),
            Some(Value::Number(name)) => Some(name.to_string()),
            _ => None,
        };
        match name {
            None => self.invalid(&format!("{path}.job_name"), "is missing"),
            Some(name) => {
                if !names.insert(name) {
                    self.invalid(&format!("{path}.job_name"), "is the name of another job too");
                }
            }
        }
        let interval = self.duration(path, "scrape_interval", job).unwrap_or(interval);
        self.timeout(path, job, interval);
        self.relabel(path, "relabel_configs", job);
        self.relabel(path, "metric_relabel_configs", job);
        let relabelled = list(job, "relabel_configs").next().is_some();
        for (n, group) in self.items(&format!("{path}.static_configs"), map.get("static_configs")) {
            self.targets(&format!("{path}.static_configs[{n}]"), group, relabelled);
        }
        for (n, discovery) in
            self.items(&format!("{path}.kubernetes_sd_configs"), map.get("kubernetes_sd_configs"))
        {
            let role = discovery.get("role").and_then(Value::as_str).unwrap_or_default();
            if !ROLES.contains(&role) {
                let text = format!("is none of {}", ROLES.join(", "));
                self.invalid(&format!("{path}.kubernetes_sd_configs[{n}].role"), text);
            }
        }
        let finds = |field: &str| field == "static_configs" || field.ends_with("_sd_configs");
        if !map.keys().any(|field| finds(field)) {
            self.add(
                path,
                FaultKind::Nothing,
                "has neither targets nor a discovery: the job collects nothing",
            );
        }
    }

    fn targets(&mut self, path: &str, group: &Value, relabelled: bool) {
        if !group.is_object() {
            self.invalid(path, "is no map");
            return;
        }
        for (n, target) in self.items(&format!("{path}.targets"), group.get("targets")) {
            let path = format!("{path}.targets[{n}]");
            match target {
                // A rule may make an address of it, as for probes; without one it is taken for an address.
                Value::String(target) if target.contains('/') && !relabelled => {
                    self.invalid(&path, "is no host and port; scheme and path have fields of their own");
                }
                Value::Array(_) | Value::Object(_) => self.invalid(&path, "is no string"),
                _ => {}
            }
        }
    }

    fn relabel(&mut self, path: &str, field: &str, map: &Value) {
        let path = format!("{path}.{field}");
        for (n, rule) in self.items(&path, map.get(field)) {
            let path = format!("{path}[{n}]");
            let Value::Object(fields) = rule else {
                self.invalid(&path, "is no map");
                continue;
            };
            self.known(&path, fields, &RELABEL, |_| false);
            let action = match fields.get("action") {
                None => "replace".to_owned(),
                Some(action) => action.as_str().unwrap_or_default().to_lowercase(),
            };
            let set = |field: &str| {
                fields.get(field).is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
            };
            let needs_target = ["replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal"];
            if !ACTIONS.contains(&action.as_str()) {
                self.invalid(&format!("{path}.action"), format!("is none of {}", ACTIONS.join(", ")));
            } else if needs_target.contains(&action.as_str()) && !set("target_label") {
                self.invalid(&format!("{path}.target_label"), format!("is missing, and {action} needs it"));
            }
            if action == "hashmod" && fields.get("modulus").and_then(Value::as_u64).is_none_or(|by| by == 0) {
                self.invalid(&format!("{path}.modulus"), "is missing or zero, and hashmod needs it");
            }
            let alone = ["source_labels", "target_label", "modulus"];
            if ["labeldrop", "labelkeep"].contains(&action.as_str()) && alone.iter().any(|field| set(field)) {
                self.invalid(&path, format!("{action} takes nothing but a regex"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(config: &Value) -> Vec<(String, FaultKind)> {
        faults(config).into_iter().map(|fault| (fault.path, fault.kind)).collect()
    }

    fn job(rest: Value) -> Value {
        let mut job = json!({"job_name": "a", "static_configs": [{"targets": ["a:1"]}]});
        if let (Value::Object(job), Value::Object(rest)) = (&mut job, rest) {
            job.extend(rest);
        }
        json!({"scrape_configs": [job]})
    }

    #[test]
    fn a_good_configuration_has_no_fault() {
        let config = json!({
            "global": {"scrape_interval": "15s", "scrape_timeout": "10s", "external_labels": {"a": "b"}},
            "rule_files": ["/rules/*.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["am:9093"]}]}]},
            "remote_write": [{"url": "http://r/write"}],
            "scrape_configs": [
                {"job_name": "pods", "kubernetes_sd_configs": [{"role": "pod"}], "relabel_configs": [
                    {"source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"], "action": "keep", "regex": true},
                    {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)"},
                    {"source_labels": ["a"], "target_label": "b"}, {"action": "labeldrop", "regex": "x"}]},
                {"job_name": "probe", "metrics_path": "/probe", "static_configs": [{"targets": ["https://a/b"]}],
                    "relabel_configs": [{"source_labels": ["__address__"], "target_label": "__param_target"}]},
                {"job_name": 7, "consul_sd_configs": [{"server": "c:8500"}]}]});
        assert_eq!(told(&config), []);
    }

    #[test]
    fn each_fault_is_told_with_its_field() {
        let invalid = |path: &str| vec![(path.to_owned(), FaultKind::Invalid)];
        let rule = |rule: Value| job(json!({"relabel_configs": [rule]}));
        let first = |field: &str| invalid(&format!("scrape_configs[0].relabel_configs[0]{field}"));
        for (config, expected) in [
            (json!([]), invalid("")),
            (job(json!({"job_name": ""})), invalid("scrape_configs[0].job_name")),
            (job(json!({"scrape_interval": 15})), invalid("scrape_configs[0].scrape_interval")),
            (
                job(json!({"scrape_interval": "5s", "scrape_timeout": "10s"})),
                invalid("scrape_configs[0].scrape_timeout"),
            ),
            (job(json!({"scrape_timeout": "2m"})), invalid("scrape_configs[0].scrape_timeout")),
            (
                job(json!({"static_configs": [{"targets": ["http://a/metrics"]}]})),
                invalid("scrape_configs[0].static_configs[0].targets[0]"),
            ),
            (job(json!({"static_configs": {"targets": []}})), invalid("scrape_configs[0].static_configs")),
            (
                job(json!({"kubernetes_sd_configs": [{"role": "pods"}]})),
                invalid("scrape_configs[0].kubernetes_sd_configs[0].role"),
            ),
            (rule(json!({"action": "kepp"})), first(".action")),
            (rule(json!({"action": ""})), first(".action")),
            (rule(json!({"source_labels": ["a"]})), first(".target_label")),
            (rule(json!({"action": "hashmod", "target_label": "a"})), first(".modulus")),
            (rule(json!({"action": "labeldrop", "target_label": "a", "regex": "b"})), first("")),
            (rule(Value::Null), first("")),
            (
                job(json!({"colour": "red"})),
                vec![("scrape_configs[0].colour".to_owned(), FaultKind::Unknown)],
            ),
            (
                json!({"scrape_configs": [{"job_name": "a"}]}),
                vec![("scrape_configs[0]".to_owned(), FaultKind::Nothing)],
            ),
            (
                json!({"scrape_configs": {}}),
                vec![
                    ("scrape_configs".to_owned(), FaultKind::Invalid),
                    ("scrape_configs".to_owned(), FaultKind::Nothing),
                ],
            ),
            (json!({"scrape_config_files": ["a.yml"], "remote_write": [{}]}), invalid("remote_write[0].url")),
            (
                json!({"scrape_config_files": ["a.yml"], "global": {"scrape_interval": "x"}}),
                invalid("global.scrape_interval"),
            ),
            (
                json!({"scrape_config_files": ["a.yml"], "alerting": {"alert_relabel_configs": [{"action": "x"}]}}),
                invalid("alerting.alert_relabel_configs[0].action"),
            ),
        ] {
            assert_eq!(told(&config), expected, "{config}");
        }
    }

    #[test]
    fn every_job_is_looked_at_and_two_of_one_name_are_one_too_many() {
        let one = json!({"job_name": "a", "static_configs": []});
        let config = json!({"scrape_configs": [one, {"job_name": "b", "static_configs": []}, one,
            {"job_name": "c", "static_configs": [], "scrape_interval": "often"}]});
        let paths: Vec<String> = told(&config).into_iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["scrape_configs[2].job_name", "scrape_configs[3].scrape_interval"]);
    }
}
