//! What the relabelling rules of a Prometheus ask of targets: why something is not collected.

use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::analyzers::prometheus::{Config, PROMETHEUS, configs, list, subject};
use crate::analyzers::prometheus_config::{Unreadable, parse};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::view::{Unverified, View};

/// The most jobs of one configuration that are told.
const MOST_JOBS: usize = 20;

/// The most rules of one job that are told.
const MOST_RULES: usize = 10;

/// The longest part of a rule, in characters.
const LONGEST: usize = 120;

const CODE: &str = "PrometheusRelabelRules";

/// Tells, of each job that finds its targets in Kubernetes, which it keeps and which it drops. Nothing is wrong with
/// them: it is what one wants to know when a target is missing. The original tells of six jobs at most.
pub(crate) struct PrometheusRelabelAnalyzer;

impl Analyzer for PrometheusRelabelAnalyzer {
    fn name(&self) -> &'static str {
        "PrometheusConfigRelabelReport"
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
        for config in configs(object, view, &[CODE], report) {
            match config.text.map(parse) {
                Some(Ok(parsed)) => tell(object, &config, &parsed, report),
                Some(Err(Unreadable::TooMuch(why))) => {
                    report.doubt(CODE, config.path(""), Unverified::Failed(why));
                }
                // That it cannot be read is the other analyzer's to tell.
                Some(Err(Unreadable::Wrong(_))) | None => {}
            }
        }
        Ok(())
    }
}

fn tell(object: &Object, config: &Config<'_>, parsed: &Value, report: &mut Report) {
    let at = object.reference();
    let mut jobs = list(parsed, "scrape_configs").filter(|(_, job)| {
        list(job, "kubernetes_sd_configs").next().is_some() && list(job, "relabel_configs").next().is_some()
    });
    for (n, job) in jobs.by_ref().take(MOST_JOBS) {
        let name = cut(&shown(job.get("job_name").unwrap_or(&Value::Null)));
        let roles: Vec<String> = list(job, "kubernetes_sd_configs")
            .map(|(_, discovery)| cut(&shown(discovery.get("role").unwrap_or(&Value::Null))))
            .collect();
        let rules: Vec<String> = list(job, "relabel_configs").filter_map(|(_, rule)| words(rule)).collect();
        let more = rules.len().saturating_sub(MOST_RULES);
        let told = rules.iter().take(MOST_RULES).cloned().collect::<Vec<_>>().join("; ");
        let told = match (rules.len(), more) {
            (0, _) => "takes all that it finds".to_owned(),
            (_, 0) => told,
            _ => format!("{told}; and {more} more"),
        };
        let text = format!("job {name} looks for targets by {} and {told}", roles.join(", "));
        let path = config.path(&format!("scrape_configs[{n}].relabel_configs"));
        report.fail(Failure::new(CODE, Severity::Info, text).seen(&at, path, None));
    }
    let more = jobs.count();
    if more > 0 {
        let text = format!("{more} further jobs of {} have relabelling rules as well", config.key);
        report.fail(Failure::new(CODE, Severity::Info, text).seen(&at, config.path("scrape_configs"), None));
    }
}

/// What a rule asks of a target, if it asks anything: the others only name labels.
fn words(rule: &Value) -> Option<String> {
    let action = rule.get("action").and_then(Value::as_str).unwrap_or("replace").to_lowercase();
    let labels: Vec<String> = list(rule, "source_labels").map(|(_, label)| cut(&shown(label))).collect();
    let labels = labels.join(", ");
    let regex = rule.get("regex").map_or_else(|| "(.*)".to_owned(), |regex| cut(&shown(regex)));
    let target = cut(&shown(rule.get("target_label").unwrap_or(&Value::Null)));
    match action.as_str() {
        "keep" => Some(format!("keeps those with {labels} =~ {regex}")),
        "drop" => Some(format!("drops those with {labels} =~ {regex}")),
        "keepequal" => Some(format!("keeps those with {labels} equal to {target}")),
        "dropequal" => Some(format!("drops those with {labels} equal to {target}")),
        // Where it collects from is changed.
        _ if ["__address__", "__scheme__", "__metrics_path__"].contains(&target.as_str()) => {
            Some(format!("takes {target} from {labels}"))
        }
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{codes, look, object};

    fn looked(config: &Value) -> crate::evaluate::Evaluation {
        let map = object("v1", "ConfigMap", "conf", json!({"data": {"prometheus.yml": config.to_string()}}));
        let set = object(
            "apps/v1",
            "Deployment",
            "p",
            json!({"spec": {"template": {"spec": {
            "containers": [{"name": "prometheus", "volumeMounts": [{"name": "v", "mountPath": "/etc/prometheus"}]}],
            "volumes": [{"name": "v", "configMap": {"name": "conf"}}]}}}}),
        );
        look(&["PrometheusConfigRelabelReport"], &map, &[set])
    }

    fn job(name: &str, rules: Value) -> Value {
        json!({"job_name": name, "kubernetes_sd_configs": [{"role": "pod"}], "relabel_configs": rules})
    }

    #[test]
    fn what_a_job_asks_of_its_targets_is_told_and_is_no_fault() {
        let found = looked(&json!({"scrape_configs": [job("pods", json!([
            {"source_labels": ["__meta_kubernetes_pod_annotation_prometheus_io_scrape"], "action": "keep", "regex": true},
            {"source_labels": ["__meta_kubernetes_pod_phase"], "action": "Drop", "regex": "Failed|Succeeded"},
            {"source_labels": ["a"], "target_label": "b"},
            {"source_labels": ["port"], "target_label": "__address__"}]))]}));
        let failure = &found.report.failures()[0];
        assert_eq!(
            failure.text,
            "job pods looks for targets by pod and keeps those with \
             __meta_kubernetes_pod_annotation_prometheus_io_scrape =~ true; drops those with \
             __meta_kubernetes_pod_phase =~ Failed|Succeeded; takes __address__ from port"
        );
        assert_eq!(failure.severity, Severity::Info);
        assert_eq!(failure.evidence[0].path, ".data[\"prometheus.yml\"]#scrape_configs[0].relabel_configs");
    }

    #[test]
    fn every_job_with_rules_is_told_and_very_many_are_cut() {
        let several = json!({"scrape_configs": [job("a", json!([{"action": "labelmap", "regex": "x"}])),
            {"job_name": "static", "static_configs": [], "relabel_configs": [{}]},
            {"job_name": "bare", "kubernetes_sd_configs": [{"role": "node"}]}, job("b", json!([7]))]});
        let found = looked(&several);
        assert_eq!(codes(&found), [CODE, CODE]);
        assert!(
            found.report.failures().iter().all(|failure| failure.text.contains("takes all that it finds"))
        );
        let many: Vec<Value> =
            (0..30).map(|n| job(&n.to_string(), json!([{"action": "labelmap"}]))).collect();
        assert_eq!(looked(&json!({"scrape_configs": many})).report.failures().len(), MOST_JOBS + 1);
    }
}
