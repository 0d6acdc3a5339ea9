//! What is counted of analyses, under the original's names. They are in `asya_telemetry::analysis`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use asya_telemetry::{analysis as names, names::Name};
use prometheus_client::metrics::{family::Family, gauge::Gauge};

use super::{known::Known, tally};
use crate::metrics::Metrics;

type Gauges = Family<Vec<(&'static str, String)>, Gauge>;

/// The metrics of all `K8sGPT` objects.
#[derive(Debug)]
pub struct Analyses {
    results: Gauges,
    by_type: Gauges,
    errors: Gauges,
    scrape: Mutex<()>,
}

impl Analyses {
    /// Registers them beside the operator's.
    pub fn new(metrics: &Metrics) -> Arc<Self> {
        let add = |name: &Name| {
            let family = Gauges::default();
            metrics.register(names::NAMESPACE, name, family.clone());
            family
        };
        Arc::new(Self {
            results: add(&names::RESULTS),
            by_type: add(&names::RESULTS_BY_TYPE),
            errors: add(&names::RECONCILE_ERRORS),
            scrape: Mutex::default(),
        })
    }

    /// A look at a `K8sGPT` failed.
    pub fn failed(&self, k8sgpt: &str) {
        self.errors.get_or_create(&vec![("k8sgpt", k8sgpt.to_owned())]).inc();
    }

    /// What is looked up when somebody asks for the metrics: what healed is gone.
    pub fn observe(&self, known: &Known) {
        let _one_at_a_time = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kinds: BTreeMap<(String, String, String), i64> = BTreeMap::new();
        for subject in known.subjects() {
            for ((namespace, kind), number) in
                known.with_findings(&subject, |findings| tally::places(findings))
            {
                *kinds.entry((subject.name.clone(), namespace, kind)).or_default() += number;
            }
        }
        let mut namespaces: BTreeMap<(&str, &str), i64> = BTreeMap::new();
        for ((k8sgpt, namespace, _), number) in &kinds {
            *namespaces.entry((k8sgpt, namespace)).or_default() += number;
        }
        self.results.clear();
        self.by_type.clear();
        for ((k8sgpt, namespace), number) in namespaces {
            let labels = vec![("object_namespace", namespace.to_owned()), ("k8sgpt", k8sgpt.to_owned())];
            self.results.get_or_create(&labels).set(number);
        }
        for ((k8sgpt, namespace, kind), number) in kinds {
            let labels = vec![("object_namespace", namespace), ("kind", kind), ("k8sgpt", k8sgpt)];
            self.by_type.get_or_create(&labels).set(number);
        }
    }
}
