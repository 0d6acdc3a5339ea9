//! The Results of a `K8sGPT`, counted.

use std::collections::BTreeMap;

use asya_resources::k8sgpt::{Counts, Lifecycle, NAME_LABEL, ResultSpec, ResultStatus, Severity};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, from_value, json, to_value};

use crate::actor::Stored;

/// What is kept of one Result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The value of the label that names its `K8sGPT`.
    pub of: String,
    /// Kind of the object that it is about.
    pub kind: String,
    /// Its namespace; empty without one.
    pub namespace: String,
    /// How bad it is.
    pub severity: Severity,
    /// Whether a model has explained it.
    pub explained: bool,
    /// Whether it is true no more and goes soon.
    pub resolved: bool,
}

impl Finding {
    /// Reads what the API server keeps; `None` where it belongs to no `K8sGPT` or is none.
    pub fn read(stored: &Stored) -> Option<Self> {
        let spec: ResultSpec = from_value(stored.spec.clone()).ok()?;
        let status = ResultStatus::read(&json!({"status": stored.status.clone().unwrap_or(Value::Null)}));
        Some(Self {
            of: label(&stored.metadata)?,
            namespace: spec.subject().0.unwrap_or_default().to_owned(),
            severity: status.severity.or(spec.severity()).unwrap_or(Severity::Error),
            explained: !spec.details.is_empty(),
            resolved: status.lifecycle == Some(Lifecycle::Resolved),
            kind: spec.kind,
        })
    }
}

fn label(metadata: &ObjectMeta) -> Option<String> {
    metadata.labels.as_ref()?.get(NAME_LABEL).cloned()
}

/// Counts open findings; `explains` says whether those without an explanation wait for one.
pub fn count<'a>(findings: impl Iterator<Item = &'a Finding>, explains: bool) -> Counts {
    let mut counts = Counts::default();
    let mut unexplained = 0;
    for finding in findings.filter(|finding| !finding.resolved) {
        counts.total += 1;
        *counts.by_kind.entry(finding.kind.clone()).or_default() += 1;
        let severity = to_value(finding.severity).ok().and_then(|word| word.as_str().map(str::to_owned));
        *counts.by_severity.entry(severity.unwrap_or_default()).or_default() += 1;
        unexplained += u32::from(!finding.explained);
    }
    counts.unexplained = explains.then_some(unexplained);
    counts
}

/// Whether there is a Result about an object of this kind.
pub fn any<'a>(mut findings: impl Iterator<Item = &'a Finding>, kind: &str) -> bool {
    findings.any(|finding| finding.kind == kind)
}

/// Open findings by namespace and kind of their object, for metrics: what healed is in neither.
pub fn places<'a>(findings: impl Iterator<Item = &'a Finding>) -> BTreeMap<(String, String), i64> {
    let mut places = BTreeMap::new();
    for finding in findings.filter(|finding| !finding.resolved) {
        *places.entry((finding.namespace.clone(), finding.kind.clone())).or_default() += 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(kind: &str, name: &str, fields: Value) -> Finding {
        let mut object = json!({
            "apiVersion": "core.k8sgpt.ai/v1alpha1", "kind": "Result",
            "metadata": {"name": "r", "labels": {NAME_LABEL: "gpt"}},
            "spec": {"kind": kind, "name": name, "error": [{"text": "t", "severity": "warning"}], "details": ""},
        });
        if let (Some(object), Some(fields)) = (object.as_object_mut(), fields.as_object()) {
            object.extend(fields.clone());
        }
        Finding::read(&from_value(object).unwrap()).unwrap()
    }

    #[test]
    fn open_findings_are_counted_and_resolved_ones_are_not() {
        let findings = [
            finding("Pod", "shop/web", json!({})),
            finding("Pod", "shop/db", json!({"status": {"severity": "critical"}})),
            finding("Node", "n1", json!({"status": {"lifecycle": "resolved"}})),
        ];
        let counts = count(findings.iter(), true);
        assert_eq!((counts.total, counts.unexplained), (2, Some(2)));
        assert_eq!(counts.by_kind, BTreeMap::from([("Pod".to_owned(), 2)]));
        assert_eq!(
            counts.by_severity,
            BTreeMap::from([("critical".to_owned(), 1), ("warning".to_owned(), 1)])
        );
        assert_eq!(count(findings.iter(), false).unexplained, None);
        let places = places(findings.iter());
        assert_eq!(places, BTreeMap::from([(("shop".to_owned(), "Pod".to_owned()), 2)]));
    }

    #[test]
    fn a_result_of_nobody_is_not_counted() {
        let object = json!({"apiVersion": "core.k8sgpt.ai/v1alpha1", "kind": "Result", "metadata": {"name": "r"}, "spec": {}});
        assert_eq!(Finding::read(&from_value(object).unwrap()), None);
    }
}
