//! The metrics of one process, and one actor's share of them.

use std::{
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::Gauge,
        histogram::Histogram,
    },
    registry::{Metric, Registry},
};

use crate::{
    names::{self, Name},
    payloads::{PayloadFamilies, PayloadMetrics},
};

type Labels = Vec<(&'static str, String)>;
type Counters = Family<Labels, Counter>;
type Gauges = Family<Labels, Gauge>;
type Histograms = Family<Labels, Histogram, Buckets>;

/// Metrics of one process, shared by all its engines.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    families: Families,
}

#[derive(Clone, Debug)]
struct Families {
    received: Counters,
    processed: Counters,
    sent: Counters,
    failed: Counters,
    processing: Histograms,
    runtime: Histograms,
    receive: Histograms,
    send: Histograms,
    size: Histograms,
    active: Gauge,
    runtime_errors: Counters,
    retried: Counters,
    dead_lettered: Counters,
    joined: Counters,
    headers_restored: Counters,
    credit: Gauges,
    runtime_ready: Gauges,
    transport_up: Gauges,
    reports_dropped: Counters,
    final_failed: Counters,
    payloads: PayloadFamilies,
    deadlines_failed: Counters,
    explanations: Counters,
    notifications: Counters,
    agent_turns: Counters,
    agent_tokens: Counters,
}

#[derive(Clone, Debug)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

impl Metrics {
    /// Registers every metric of [`names`] under `namespace`.
    pub fn new(namespace: &str) -> Arc<Self> {
        let mut root = Registry::default();
        let registry = root.sub_registry_with_prefix(namespace);
        let families = Families {
            received: add(registry, &names::MESSAGES_RECEIVED, Counters::default()),
            processed: add(registry, &names::MESSAGES_PROCESSED, Counters::default()),
            sent: add(registry, &names::MESSAGES_SENT, Counters::default()),
            failed: add(registry, &names::MESSAGES_FAILED, Counters::default()),
            processing: add(registry, &names::PROCESSING_DURATION, histograms(&names::RUNTIME_BUCKETS)),
            runtime: add(registry, &names::RUNTIME_DURATION, histograms(&names::RUNTIME_BUCKETS)),
            receive: add(registry, &names::RECEIVE_DURATION, histograms(&names::RECEIVE_BUCKETS)),
            send: add(registry, &names::SEND_DURATION, histograms(&names::SEND_BUCKETS)),
            size: add(registry, &names::ENVELOPE_SIZE, histograms(&names::SIZE_BUCKETS)),
            active: add(registry, &names::ACTIVE_MESSAGES, Gauge::default()),
            runtime_errors: add(registry, &names::RUNTIME_ERRORS, Counters::default()),
            retried: add(registry, &names::MESSAGES_RETRIED, Counters::default()),
            dead_lettered: add(registry, &names::MESSAGES_DEAD_LETTERED, Counters::default()),
            joined: add(registry, &names::MESSAGES_JOINED, Counters::default()),
            headers_restored: add(registry, &names::HEADERS_RESTORED, Counters::default()),
            credit: add(registry, &names::CREDIT, Gauges::default()),
            runtime_ready: add(registry, &names::RUNTIME_READY, Gauges::default()),
            transport_up: add(registry, &names::TRANSPORT_UP, Gauges::default()),
            reports_dropped: add(registry, &names::REPORTS_DROPPED, Counters::default()),
            final_failed: add(registry, &names::FINAL_REPORTS_FAILED, Counters::default()),
            payloads: PayloadFamilies::register(
                registry,
                [&names::PAYLOADS, &names::PAYLOAD_BYTES, &names::PAYLOAD_FAILURES],
            ),
            deadlines_failed: add(registry, &names::DEADLINES_FAILED, Counters::default()),
            explanations: add(registry, &names::EXPLANATIONS, Counters::default()),
            notifications: add(registry, &names::NOTIFICATIONS, Counters::default()),
            agent_turns: add(registry, &names::AGENT_TURNS, Counters::default()),
            agent_tokens: add(registry, &names::AGENT_TOKENS, Counters::default()),
        };
        Arc::new(Self { registry: Mutex::new(root), families })
    }

    /// One actor's share, with its labels looked up once.
    pub fn actor(&self, actor: &str, transport: &'static str) -> ActorMetrics {
        let families = self.families.clone();
        let queue = vec![("queue", actor.to_owned())];
        let both = vec![("queue", actor.to_owned()), ("transport", transport.to_owned())];
        let direction = |name: &str| vec![("direction", name.to_owned())];
        ActorMetrics {
            actor: actor.to_owned(),
            transport,
            received: families.received.get_or_create_owned(&both),
            receive: families.receive.get_or_create_owned(&both),
            transport_up: families.transport_up.get_or_create_owned(&both),
            processing: families.processing.get_or_create_owned(&queue),
            runtime: families.runtime.get_or_create_owned(&queue),
            dead_lettered: families.dead_lettered.get_or_create_owned(&queue),
            joined: families.joined.get_or_create_owned(&queue),
            headers_restored: families.headers_restored.get_or_create_owned(&queue),
            credit: families.credit.get_or_create_owned(&queue),
            runtime_ready: families.runtime_ready.get_or_create_owned(&queue),
            reports_dropped: families.reports_dropped.get_or_create_owned(&queue),
            final_failed: families.final_failed.get_or_create_owned(&queue),
            payloads: families.payloads.of(&queue),
            deadlines_failed: families.deadlines_failed.get_or_create_owned(&queue),
            size_received: families.size.get_or_create_owned(&direction("received")),
            size_sent: families.size.get_or_create_owned(&direction("sent")),
            families,
        }
    }

    /// Adds a metric from outside this crate; its name is taken as it is, without the namespace.
    pub fn register(&self, name: &str, help: &str, metric: impl Metric) {
        self.registry.lock().expect("registering does not panic").register(name, help, metric);
    }

    /// All metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(8 * 1024);
        let registry = self.registry.lock().expect("registering does not panic");
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes everything");
        text
    }
}

fn add<M: Metric + Clone>(registry: &mut Registry, name: &Name, metric: M) -> M {
    registry.register(name.registered(), name.help, metric.clone());
    metric
}

fn histograms(buckets: &'static [f64]) -> Histograms {
    Family::new_with_constructor(Buckets(buckets))
}

/// One actor's share of the metrics.
#[derive(Clone, Debug)]
pub struct ActorMetrics {
    actor: String,
    transport: &'static str,
    received: Counter<u64, AtomicU64>,
    receive: Histogram,
    transport_up: Gauge,
    processing: Histogram,
    runtime: Histogram,
    dead_lettered: Counter,
    joined: Counter,
    headers_restored: Counter,
    credit: Gauge,
    runtime_ready: Gauge,
    reports_dropped: Counter,
    final_failed: Counter,
    payloads: PayloadMetrics,
    deadlines_failed: Counter,
    size_received: Histogram,
    size_sent: Histogram,
    families: Families,
}

impl ActorMetrics {
    /// A message of `bytes` has come, after waiting for it this long.
    pub fn received(&self, bytes: usize, waited: Duration) {
        self.received.inc();
        self.receive.observe(waited.as_secs_f64());
        self.size_received.observe(bytes as f64);
        self.families.active.inc();
    }

    /// The message is no longer in hand, after this long.
    pub fn released(&self, took: Duration) {
        self.families.active.dec();
        self.processing.observe(took.as_secs_f64());
    }

    /// A message was settled as it should be.
    pub fn processed(&self, status: &'static str) {
        self.families.processed.get_or_create(&self.labels("status", status)).inc();
    }

    /// A message of `bytes` is confirmed on `queue`.
    pub fn sent(&self, queue: &str, kind: &'static str, bytes: usize, took: Duration) {
        let labels = vec![("destination_queue", queue.to_owned()), ("message_type", kind.to_owned())];
        self.families.sent.get_or_create(&labels).inc();
        let labels = vec![("destination_queue", queue.to_owned()), ("transport", self.transport.to_owned())];
        self.families.send.get_or_create(&labels).observe(took.as_secs_f64());
        self.size_sent.observe(bytes as f64);
    }

    /// A message went to the error end or the dead-letter queue.
    pub fn failed(&self, reason: &str) {
        self.families.failed.get_or_create(&self.labels("reason", reason)).inc();
    }

    /// A run of the handler has ended after this long.
    pub fn handled(&self, took: Duration) {
        self.runtime.observe(took.as_secs_f64());
    }

    /// A run of the handler has failed.
    pub fn runtime_error(&self, code: &str) {
        self.families.runtime_errors.get_or_create(&self.labels("error_type", code)).inc();
    }

    /// A message was put back to be tried again.
    pub fn retried(&self, reason: &str) {
        self.families.retried.get_or_create(&self.labels("reason", reason)).inc();
    }

    /// A message's untouched body went to the dead-letter queue.
    pub fn dead_lettered(&self) {
        self.dead_lettered.inc();
    }

    /// A redelivered copy joined an earlier run.
    pub fn joined(&self) {
        self.joined.inc();
    }

    /// Changes to platform headers were undone.
    pub fn headers_restored(&self, changes: usize) {
        self.headers_restored.inc_by(changes as u64);
    }

    /// So many messages may be in hand at once.
    pub fn credit(&self, credit: usize) {
        self.credit.set(i64::try_from(credit).unwrap_or(i64::MAX));
    }

    /// The handler can take requests, or cannot.
    pub fn runtime_ready(&self, ready: bool) {
        self.runtime_ready.set(ready.into());
    }

    /// The transport works, or does not.
    pub fn transport_up(&self, up: bool) {
        self.transport_up.set(up.into());
    }

    /// A progress report was thrown away.
    pub fn report_dropped(&self) {
        self.reports_dropped.inc();
    }

    /// The gateway did not take a final report.
    pub fn final_failed(&self) {
        self.final_failed.inc();
    }

    /// Large payloads that were put into the payload store or read from it.
    pub fn payloads(&self) -> &PayloadMetrics {
        &self.payloads
    }

    /// A deadline passed and could not be acted on.
    pub fn deadline_failed(&self) {
        self.deadlines_failed.inc();
    }

    /// What became of an explanation by a model of `provider`.
    pub fn explained(&self, provider: &str, result: &'static str) {
        let mut labels = vec![("queue", self.actor.clone()), ("provider", provider.to_owned())];
        labels.push(("result", result.to_owned()));
        self.families.explanations.get_or_create(&labels).inc();
    }

    /// What became of a message to a sink, which is called as its settings say.
    pub fn notified(&self, sink: &str, result: &'static str) {
        let mut labels = vec![("queue", self.actor.clone()), ("sink", sink.to_owned())];
        labels.push(("result", result.to_owned()));
        self.families.notifications.get_or_create(&labels).inc();
    }

    /// What became of a turn of an agent's model.
    pub fn agent_turn(&self, result: &'static str) {
        self.families.agent_turns.get_or_create(&self.labels("result", result)).inc();
    }

    /// What an agent's `model`, one of its settings, has read and written.
    pub fn agent_tokens(&self, model: &str, input: u64, output: u64) {
        for (direction, tokens) in [("input", input), ("output", output)] {
            let mut labels = vec![("queue", self.actor.clone()), ("model", model.to_owned())];
            labels.push(("direction", direction.to_owned()));
            self.families.agent_tokens.get_or_create(&labels).inc_by(tokens);
        }
    }

    fn labels(&self, name: &'static str, value: &str) -> Labels {
        vec![("queue", self.actor.clone()), (name, value.to_owned())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_carry_the_names_and_labels_of_the_contract() {
        let metrics = Metrics::new(names::DEFAULT_NAMESPACE);
        let actor = metrics.actor("ocr", "rabbitmq");
        actor.received(250, Duration::from_millis(3));
        actor.sent("asya-next", "routing", 10, Duration::from_millis(2));
        actor.processed("success");
        actor.released(Duration::from_millis(7));
        actor.payloads().checked_in(300_000);
        actor.payloads().not_fetched("missing");
        let text = metrics.encode();
        for line in [
            r#"asya_actor_messages_received_total{queue="ocr",transport="rabbitmq"} 1"#,
            r#"asya_actor_messages_processed_total{queue="ocr",status="success"} 1"#,
            r#"asya_actor_messages_sent_total{destination_queue="asya-next",message_type="routing"} 1"#,
            r#"asya_actor_queue_send_duration_seconds_bucket{le="0.0025",destination_queue="asya-next",transport="rabbitmq"} 1"#,
            r#"asya_actor_envelope_size_bytes_bucket{le="1000.0",direction="received"} 1"#,
            r#"asya_actor_payloads_total{queue="ocr",direction="checked_in"} 1"#,
            r#"asya_actor_payload_bytes_total{queue="ocr",direction="checked_in"} 300000"#,
            r#"asya_actor_payload_failures_total{queue="ocr",direction="fetched",reason="missing"} 1"#,
            "asya_actor_active_messages 0",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn every_metric_of_the_table_is_served_once_it_was_used() {
        let metrics = Metrics::new("n");
        let actor = metrics.actor("ocr", "sqs");
        actor.processed("success");
        actor.failed("timeout");
        actor.retried("timeout");
        actor.runtime_error("timeout");
        actor.payloads().not_fetched("missing");
        actor.explained("openai", "answered");
        actor.notified("ops", "sent");
        actor.agent_turn("answered");
        actor.agent_tokens("openai/gpt-4o", 2, 1);
        actor.sent("asya-next", "routing", 1, Duration::ZERO);
        let text = metrics.encode();
        for name in names::ALL {
            let line = format!("# TYPE n_{} ", name.registered());
            assert!(text.contains(&line), "{line}");
        }
    }
}
