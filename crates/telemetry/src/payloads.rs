//! Counters of large payloads, which are kept beside the queues; actors and the gateway count the same.

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::names::Name;

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;

/// The values of the label `direction`.
const CHECKED_IN: &str = "checked_in";
const FETCHED: &str = "fetched";

/// The metrics, whoever counts.
#[derive(Clone, Debug)]
pub struct PayloadFamilies {
    payloads: Counters,
    bytes: Counters,
    failures: Counters,
}

impl PayloadFamilies {
    /// Registers them under these names: of payloads, of their bytes, of failures.
    pub fn register(registry: &mut Registry, names: [&Name; 3]) -> Self {
        let [payloads, bytes, failures] = names.map(|name| {
            let metric = Counters::default();
            registry.register(name.registered(), name.help, metric.clone());
            metric
        });
        Self { payloads, bytes, failures }
    }

    /// The share of whoever these labels name, looked up once.
    pub fn of(&self, labels: &[(&'static str, String)]) -> PayloadMetrics {
        let directed = |direction: &str| with(labels, "direction", direction);
        PayloadMetrics {
            checked_in: self.payloads.get_or_create_owned(&directed(CHECKED_IN)),
            fetched: self.payloads.get_or_create_owned(&directed(FETCHED)),
            bytes_in: self.bytes.get_or_create_owned(&directed(CHECKED_IN)),
            bytes_out: self.bytes.get_or_create_owned(&directed(FETCHED)),
            failures: self.failures.clone(),
            labels: labels.to_vec(),
        }
    }
}

/// One actor's or one gateway's share of them.
#[derive(Clone, Debug)]
pub struct PayloadMetrics {
    checked_in: Counter,
    fetched: Counter,
    bytes_in: Counter,
    bytes_out: Counter,
    failures: Counters,
    labels: Labels,
}

impl PayloadMetrics {
    /// A payload of `bytes` was put into the store.
    pub fn checked_in(&self, bytes: u64) {
        self.checked_in.inc();
        self.bytes_in.inc_by(bytes);
    }

    /// A payload of `bytes` was read from the store.
    pub fn fetched(&self, bytes: u64) {
        self.fetched.inc();
        self.bytes_out.inc_by(bytes);
    }

    /// A payload was not put in, for this reason.
    pub fn not_checked_in(&self, reason: &str) {
        self.failed(CHECKED_IN, reason);
    }

    /// A payload was not read, for this reason.
    pub fn not_fetched(&self, reason: &str) {
        self.failed(FETCHED, reason);
    }

    fn failed(&self, direction: &str, reason: &str) {
        let labels = with(&with(&self.labels, "direction", direction), "reason", reason);
        self.failures.get_or_create(&labels).inc();
    }
}

fn with(labels: &[(&'static str, String)], name: &'static str, value: &str) -> Labels {
    let mut labels = labels.to_vec();
    labels.push((name, value.to_owned()));
    labels
}
