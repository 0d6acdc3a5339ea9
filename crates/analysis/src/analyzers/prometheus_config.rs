//! Configurations that a Prometheus refuses, or by which it collects nothing.

use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::analyzers::prometheus::{Config, PROMETHEUS, configs, subject};
use crate::analyzers::prometheus_check::{Fault, FaultKind, faults};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::view::{Unverified, View};

/// The most faults of one configuration that are told.
const MOST: usize = 20;

/// The codes that a configuration may get.
const CODES: [&str; 5] = [
    "PrometheusConfigMissing",
    "PrometheusConfigUnreadable",
    "PrometheusConfigInvalid",
    "PrometheusConfigFieldUnknown",
    "PrometheusScrapesNothing",
];

/// Looks at ConfigMaps that a Prometheus reads its configuration from. The ConfigMap is what is wrong, whichever and
/// however many pods read it. It is not the loader of Prometheus itself: it knows the structure, durations, jobs, targets
/// and relabelling, not every option of every discovery, and no regular expressions.
pub(crate) struct PrometheusConfigAnalyzer;

impl Analyzer for PrometheusConfigAnalyzer {
    fn name(&self) -> &'static str {
        "PrometheusConfigValidate"
    }

    fn group(&self) -> Option<&str> {
        Some(PROMETHEUS)
    }

    fn subject(&self) -> GroupKind {
        subject()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn reads_config_maps(&self) -> bool {
        true
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        for config in configs(object, view, &CODES, report) {
            validate(object, &config, report);
        }
        Ok(())
    }
}

fn validate(object: &Object, config: &Config<'_>, report: &mut Report) {
    let at = object.reference();
    let fail = |code: &str, severity: Severity, field: &str, text: String| {
        Failure::new(code, severity, text).seen(&at, config.path(field), None)
    };
    let Some(text) = config.text else {
        let text = format!(
            "{} reads its configuration from key {} of ConfigMap {}, which has no such key",
            config.user,
            config.key,
            at.path()
        );
        report.fail(fail("PrometheusConfigMissing", Severity::Error, "", text));
        return;
    };
    let parsed = match parse(text) {
        Ok(parsed) => parsed,
        Err(Unreadable::TooMuch(why)) => {
            for code in CODES.iter().skip(1) {
                report.doubt(code, config.path(""), Unverified::Failed(why.clone()));
            }
            return;
        }
        Err(Unreadable::Wrong(why)) => {
            let text = format!("{} of ConfigMap {} is not YAML: {why}", config.key, at.path());
            report.fail(fail("PrometheusConfigUnreadable", Severity::Error, "", text));
            return;
        }
    };
    let found = faults(&parsed);
    for fault in found.iter().take(MOST) {
        report.fail(told(fault, config, object));
    }
    if found.len() > MOST {
        let text = format!("{} of ConfigMap {} has more faults than the {MOST} told", config.key, at.path());
        report.fail(fail("PrometheusConfigInvalid", Severity::Error, "", text));
    }
}

fn told(fault: &Fault, config: &Config<'_>, object: &Object) -> Failure {
    let at = object.reference();
    let (code, severity) = match fault.kind {
        FaultKind::Invalid => ("PrometheusConfigInvalid", Severity::Error),
        FaultKind::Unknown => ("PrometheusConfigFieldUnknown", Severity::Warning),
        FaultKind::Nothing => ("PrometheusScrapesNothing", Severity::Warning),
    };
    let place = if fault.path.is_empty() { String::new() } else { format!("{}: ", fault.path) };
    let text = format!("{} of ConfigMap {}: {place}{}", config.key, at.path(), fault.text);
    Failure::new(code, severity, text).seen(&at, config.path(&fault.path), None)
}

/// Why a text is no configuration.
pub(super) enum Unreadable {
    /// It is larger than this program reads: nobody knows whether it is wrong.
    TooMuch(String),
    /// It is not YAML.
    Wrong(String),
}

/// Reads YAML. What an error says names lines and keys, and shows nothing of the text: there may be passwords in it.
pub(super) fn parse(text: &str) -> Result<Value, Unreadable> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(text).map_err(|error| {
        let error = error.without_snippet();
        match error {
            serde_saphyr::Error::Budget { .. } => Unreadable::TooMuch(error.to_string()),
            _ => Unreadable::Wrong(error.to_string()),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;
    use k8s_openapi::api::core::v1::Pod;

    const NAME: &str = "PrometheusConfigValidate";

    fn map(key: &str, text: &str) -> Object {
        object("v1", "ConfigMap", "conf", json!({"data": {key: text}}))
    }

    fn set(name: &str) -> Object {
        object(
            "apps/v1",
            "StatefulSet",
            name,
            json!({"spec": {"template": {"spec": {
            "containers": [{"name": "prometheus", "args": ["--config.file=/etc/prometheus/prometheus.yml"],
                "volumeMounts": [{"name": "v", "mountPath": "/etc/prometheus"}]}],
            "volumes": [{"name": "v", "configMap": {"name": "conf"}}]}}}}),
        )
    }

    #[test]
    fn cases() {
        let good = "scrape_configs:\n- job_name: a\n  static_configs:\n  - targets: ['localhost:9090']\n";
        let cases: [(&str, &str, &[&str]); 7] = [
            ("prometheus.yml", good, &[]),
            ("prometheus.yml", "", &["PrometheusScrapesNothing"]),
            ("prometheus.yml", "global: {}\n", &["PrometheusScrapesNothing"]),
            ("prometheus.yml", "scrape_configs: [\n", &["PrometheusConfigUnreadable"]),
            ("prometheus.yml", "scrape_configs: []\nscrape_configs: []\n", &["PrometheusConfigUnreadable"]),
            (
                "prometheus.yml",
                "scrape_config: []\n",
                &["PrometheusConfigFieldUnknown", "PrometheusScrapesNothing"],
            ),
            ("other.yml", good, &["PrometheusConfigMissing"]),
        ];
        for (key, text, expected) in cases {
            let found = look(&[NAME], &map(key, text), &[set("p")]);
            assert_eq!(codes(&found), expected, "{text}");
        }
    }

    #[test]
    fn several_prometheus_that_read_one_configuration_are_one_finding() {
        let broken =
            map("prometheus.yml", "scrape_configs: [{job_name: a, static_configs: [], scrape_interval: 15}]");
        let found = look(&[NAME], &broken, &[set("a"), set("b")]);
        assert_eq!(codes(&found), ["PrometheusConfigInvalid"]);
        let path = &found.report.failures()[0].evidence[0].path;
        assert_eq!(path, ".data[\"prometheus.yml\"]#scrape_configs[0].scrape_interval");
    }

    #[test]
    fn a_config_map_that_no_prometheus_reads_is_nobodys_configuration() {
        assert!(codes(&look(&[NAME], &map("prometheus.yml", "]"), &[])).is_empty());
        let other = map("app.yaml", "hello: world");
        assert!(codes(&look(&[NAME], &other, &[set("p")])).is_empty(), "a word of it is missing");
    }

    #[test]
    fn what_an_error_says_shows_nothing_of_the_configuration() {
        let secret = "remote_write:\n- url: x\n  basic_auth: {username: a, password: hunter2\n";
        let found = look(&[NAME], &map("prometheus.yml", secret), &[set("p")]);
        let failure = &found.report.failures()[0];
        assert_eq!(failure.code, "PrometheusConfigUnreadable");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
        assert!(failure.text.contains("line"), "{}", failure.text);
    }

    #[test]
    fn users_that_may_not_be_listed_leave_doubts_and_no_failure() {
        let subject = map("prometheus.yml", "]");
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&GroupKind::of::<Pod>(), None, Err(Unverified::Forbidden));
        let found = look_in(&[NAME], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubtful().len(), CODES.len());
    }

    #[test]
    fn many_faults_are_cut() {
        let jobs: Vec<Value> = (0..60).map(|_| json!({})).collect();
        let subject = map("prometheus.yml", &json!({"scrape_configs": jobs}).to_string());
        assert_eq!(look(&[NAME], &subject, &[set("p")]).report.failures().len(), MOST + 1);
    }
}
