//! What is counted. Names and meanings are in `asya_telemetry::operator`.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use asya_telemetry::{
    names::{Name, RUNTIME_BUCKETS},
    operator as names,
};
use prometheus_client::{
    encoding::text::encode,
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Metric, Registry},
};

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;

/// The metrics of one operator.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    reconciles: Counters,
    duration: Family<Labels, Histogram, Buckets>,
    errors: Counters,
    writes: Counters,
    calls: Counters,
    actors: Gauges,
    agents: Gauges,
    leader: Gauge,
    objects: Gauges,
    waiting: Gauge,
    failing: Gauge,
    /// What the push scaler counts.
    pub scaler: crate::scaler::Counters,
    words: Mutex<BTreeMap<super::controllers::work::Key, String>>,
}

#[derive(Clone, Debug)]
struct Buckets;

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(RUNTIME_BUCKETS)
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &Name, metric: M) -> M {
    registry.register(name.registered(), name.help, metric.clone());
    metric
}

impl Metrics {
    /// Registers every metric.
    pub fn new() -> Arc<Self> {
        let mut root = Registry::default();
        let registry = root.sub_registry_with_prefix(names::NAMESPACE);
        let scaler = crate::scaler::Counters::default();
        scaler.register(registry);
        Arc::new(Self {
            scaler,
            reconciles: add(registry, &names::RECONCILES, Counters::default()),
            duration: add(registry, &names::RECONCILE_DURATION, Family::new_with_constructor(Buckets)),
            errors: add(registry, &names::RECONCILE_ERRORS, Counters::default()),
            writes: add(registry, &names::API_WRITES, Counters::default()),
            calls: add(registry, &names::QUEUE_CALLS, Counters::default()),
            actors: add(registry, &names::ACTORS, Gauges::default()),
            agents: add(registry, &names::AGENTS, Gauges::default()),
            leader: add(registry, &names::LEADER, Gauge::default()),
            objects: add(registry, &names::CACHE_OBJECTS, Gauges::default()),
            waiting: add(registry, &names::WORK_WAITING, Gauge::default()),
            failing: add(registry, &names::WATCHES_FAILING, Gauge::default()),
            words: Mutex::default(),
            registry: Mutex::new(root),
        })
    }

    /// Serves one more, which another part of the program counts.
    pub fn register(&self, prefix: &str, name: &Name, metric: impl Metric) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.sub_registry_with_prefix(prefix).register(name.registered(), name.help, metric);
    }

    /// One look is over.
    pub fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&vec![("result", result.to_owned())]).inc();
        self.duration.get_or_create(&vec![("controller", controller.to_owned())]).observe(took.as_secs_f64());
    }

    /// A look failed.
    pub fn failed(&self, reason: &str) {
        self.errors.get_or_create(&vec![("reason", reason.to_owned())]).inc();
    }

    /// A write to the API server was sent.
    pub fn wrote(&self, kind: &str, verb: &'static str) {
        self.writes.get_or_create(&vec![("kind", kind.to_owned()), ("verb", verb.to_owned())]).inc();
    }

    /// A broker was called.
    pub fn called(&self, transport: &str, call: &'static str, good: bool) {
        let result = if good { "ok" } else { "error" };
        let labels = vec![
            ("transport", transport.to_owned()),
            ("call", call.to_owned()),
            ("result", result.to_owned()),
        ];
        self.calls.get_or_create(&labels).inc();
    }

    /// The status word of an actor; `None` when it is gone.
    pub fn word(&self, actor: &super::controllers::work::Key, word: Option<&str>) {
        let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        if words.get(actor).map(String::as_str) == word {
            return;
        }
        let gauge = |word: &str| self.actors.get_or_create(&vec![("status", word.to_owned())]).clone();
        if let Some(before) = words.remove(actor) {
            gauge(&before).dec();
        }
        if let Some(word) = word {
            gauge(word).inc();
            words.insert(actor.clone(), word.to_owned());
        }
    }

    /// Another replica counts the actors from now on.
    pub fn forget_words(&self) {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.actors.clear();
    }

    /// Agents by their condition Ready.
    pub fn agents(&self, counts: &BTreeMap<&'static str, usize>) {
        for (ready, count) in counts {
            let number = i64::try_from(*count).unwrap_or(i64::MAX);
            self.agents.get_or_create(&vec![("ready", (*ready).to_owned())]).set(number);
        }
    }

    /// Whether this replica acts.
    pub fn leads(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// What is looked up when somebody asks for the metrics.
    pub fn observe(&self, objects: &[(&'static str, usize)], waiting: usize, failing: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (kind, count) in objects {
            self.objects.get_or_create(&vec![("kind", (*kind).to_owned())]).set(number(*count));
        }
        self.waiting.set(number(waiting));
        self.failing.set(number(failing));
    }

    /// All metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // Only a metric's own encoder can fail, and none of these does.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_counted_under_its_last_word_only() {
        let metrics = Metrics::new();
        let actor = ("ns".to_owned(), "a".to_owned());
        metrics.word(&actor, Some("Creating"));
        metrics.word(&actor, Some("Napping"));
        let text = metrics.encode();
        assert!(text.contains("asya_operator_actors{status=\"Napping\"} 1"), "{text}");
        assert!(text.contains("asya_operator_actors{status=\"Creating\"} 0"), "{text}");
        metrics.word(&actor, None);
        assert!(metrics.encode().contains("asya_operator_actors{status=\"Napping\"} 0"));
    }

    #[test]
    fn every_documented_metric_is_served() {
        let metrics = Metrics::new();
        metrics.reconciled("actor", "success", Duration::ZERO);
        metrics.failed("BrokerUnreachable");
        metrics.wrote("Deployment", "apply");
        metrics.called("rabbitmq", "ensure", true);
        metrics.word(&("ns".to_owned(), "a".to_owned()), Some("Running"));
        metrics.agents(&BTreeMap::from([("True", 1)]));
        metrics.observe(&[("Pod", 1)], 0, 0);
        let text = metrics.encode();
        for name in names::ALL {
            assert!(
                text.contains(&format!("# HELP {}_{} ", names::NAMESPACE, name.registered())),
                "{}",
                name.name
            );
        }
    }
}
