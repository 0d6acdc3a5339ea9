//! Metrics that an operator declares by `ASYA_CUSTOM_METRICS`.
//!
//! They are registered; the sidecar itself records nothing in them, as in the Go system. So those without labels are
//! served as 0, and those with labels not at all.

use prometheus_client::metrics::{
    counter::Counter,
    family::{Family, MetricConstructor},
    gauge::Gauge,
    histogram::Histogram,
};
use serde::Deserialize;

use crate::{Metrics, names::RUNTIME_BUCKETS};

/// One declared metric.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Custom {
    /// The full name, without a namespace of ours.
    pub name: String,
    /// What is counted or measured.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// The help text.
    #[serde(default)]
    pub help: String,
    /// Label names.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Upper bounds of a histogram's buckets; empty = the default ones.
    #[serde(default)]
    pub buckets: Vec<f64>,
}

/// The kinds that can be declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations in buckets.
    Histogram,
}

/// Reads the declaration: a JSON array, or nothing.
///
/// # Errors
/// A sentence that names what is wrong.
pub fn parse(text: &str) -> Result<Vec<Custom>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let metrics: Vec<Custom> =
        serde_json::from_str(text).map_err(|error| format!("must be a JSON array of metrics: {error}"))?;
    for (at, metric) in metrics.iter().enumerate() {
        for name in std::iter::once(&metric.name).chain(&metric.labels) {
            if !is_name(name) {
                return Err(format!("metric {at}: {name:?} is not a metric or label name"));
            }
        }
        if metrics[..at].iter().any(|other| other.name == metric.name) {
            return Err(format!("metric {:?} is declared twice", metric.name));
        }
        if !metric.buckets.is_sorted_by(|a, b| a < b) {
            return Err(format!("metric {:?}: buckets must grow", metric.name));
        }
    }
    Ok(metrics)
}

/// Registers the declared metrics.
pub fn register(metrics: &Metrics, declared: Vec<Custom>) {
    type Labels = Vec<(String, String)>;
    for Custom { name, kind, help, labels, buckets } in declared {
        let plain = labels.is_empty().then(Labels::new);
        match kind {
            Kind::Counter => {
                let name = name.strip_suffix("_total").unwrap_or(&name);
                let family = Family::<Labels, Counter>::default();
                plain.map(|none| family.get_or_create_owned(&none));
                metrics.register(name, &help, family);
            }
            Kind::Gauge => {
                let family = Family::<Labels, Gauge>::default();
                plain.map(|none| family.get_or_create_owned(&none));
                metrics.register(&name, &help, family);
            }
            Kind::Histogram => {
                let buckets = if buckets.is_empty() { RUNTIME_BUCKETS.to_vec() } else { buckets };
                let family = Family::<Labels, Histogram, Bounds>::new_with_constructor(Bounds(buckets));
                plain.map(|none| family.get_or_create_owned(&none));
                metrics.register(&name, &help, family);
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Bounds(Vec<f64>);

impl MetricConstructor<Histogram> for Bounds {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_metrics_are_registered_without_a_namespace() {
        let declared = r#"[{"name":"pages_total","type":"counter","help":"Pages"},
            {"name":"load","type":"gauge"},{"name":"wait","type":"histogram","buckets":[1,2]}]"#;
        let metrics = Metrics::new("asya_actor");
        register(&metrics, parse(declared).unwrap());
        let text = metrics.encode();
        for line in ["pages_total{} 0", "load{} 0", "# TYPE wait histogram"] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn a_wrong_declaration_is_refused_with_its_reason() {
        for (bad, reason) in [
            ("{}", "JSON array"),
            (r#"[{"name":"a b","type":"counter"}]"#, "a b"),
            (r#"[{"name":"a","type":"summary"}]"#, "summary"),
            (r#"[{"name":"a","type":"gauge"},{"name":"a","type":"gauge"}]"#, "twice"),
            (r#"[{"name":"a","type":"histogram","buckets":[2,1]}]"#, "grow"),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
