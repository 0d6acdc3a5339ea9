//! What is counted. Names and meanings are in `asya_telemetry::gateway`.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64},
    },
    time::Duration,
};

use asya_payload::{Claims, Event};
use asya_store::envelopes::{Counts, OutboxDepth, Status};
use asya_telemetry::{
    gateway as names,
    names::{Name, RUNTIME_BUCKETS},
    payloads::{PayloadFamilies, PayloadMetrics},
};
use jiff::Timestamp;
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
type Gauges = Family<Labels, Gauge<i64, AtomicI64>>;

/// The metrics of one gateway.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<Labels, Counter>,
    duration: Family<Labels, Histogram, Buckets>,
    active: Gauge,
    refused: Family<Labels, Counter>,
    waiting: Gauge,
    oldest: Gauge<f64, AtomicU64>,
    envelopes: Gauges,
    store: Gauge,
    transport: Gauges,
    payloads: PayloadMetrics,
    tools: Gauge,
    wrong: Gauge,
    cluster: Gauges,
    cluster_actors: Gauges,
    sockets: Gauges,
    socket_messages: Family<Labels, Counter>,
    sockets_closed: Family<Labels, Counter>,
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
        Arc::new(Self {
            requests: add(registry, &names::REQUESTS, Family::default()),
            duration: add(registry, &names::REQUEST_DURATION, Family::new_with_constructor(Buckets)),
            active: add(registry, &names::REQUESTS_ACTIVE, Gauge::default()),
            refused: add(registry, &names::REFUSED, Family::default()),
            waiting: add(registry, &names::OUTBOX_WAITING, Gauge::default()),
            oldest: add(registry, &names::OUTBOX_OLDEST, Gauge::default()),
            envelopes: add(registry, &names::ENVELOPES, Family::default()),
            store: add(registry, &names::STORE_UP, Gauge::default()),
            transport: add(registry, &names::TRANSPORT_UP, Family::default()),
            payloads: PayloadFamilies::register(
                registry,
                [&names::PAYLOADS, &names::PAYLOAD_BYTES, &names::PAYLOAD_FAILURES],
            )
            .of(&[]),
            tools: add(registry, &names::TOOLS, Gauge::default()),
            wrong: add(registry, &names::TOOLS_WRONG, Gauge::default()),
            cluster: add(registry, &names::KUBERNETES_UP, Family::default()),
            cluster_actors: add(registry, &names::KUBERNETES_ACTORS, Family::default()),
            sockets: add(registry, &names::SOCKETS, Family::default()),
            socket_messages: add(registry, &names::SOCKET_MESSAGES, Family::default()),
            sockets_closed: add(registry, &names::SOCKETS_CLOSED, Family::default()),
            registry: Mutex::new(root),
        })
    }

    /// A request has come; the guard is dropped when its answer begins, or nobody waits for it any more.
    pub fn begun(self: &Arc<Self>) -> Active {
        self.active.inc();
        Active(Arc::clone(self))
    }

    /// A request was answered.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let labels =
            vec![("method", method.to_owned()), ("route", route.to_owned()), ("status", status.to_string())];
        self.requests.get_or_create(&labels).inc();
        self.duration.get_or_create(&vec![("route", route.to_owned())]).observe(took.as_secs_f64());
    }

    /// A request was not let through.
    pub fn refused(&self, reason: &str) {
        self.refused.get_or_create(&vec![("reason", reason.to_owned())]).inc();
    }

    /// How the store is: what waits in it and what it holds, or that it is away.
    pub fn stored(&self, found: Option<(&OutboxDepth, &Counts)>) {
        self.store.set(i64::from(found.is_some()));
        let Some((outbox, counts)) = found else { return };
        self.waiting.set(i64::try_from(outbox.waiting).unwrap_or(i64::MAX));
        let age = outbox.oldest.map_or(0.0, |oldest| Timestamp::now().duration_since(oldest).as_secs_f64());
        self.oldest.set(age.max(0.0));
        let Counts { pending, running, succeeded, failed, unknown } = *counts;
        let all = [
            (Status::Pending, pending),
            (Status::Running, running),
            (Status::Succeeded, succeeded),
            (Status::Failed, failed),
            (Status::Unknown, unknown),
        ];
        for (status, count) in all {
            let labels = vec![("status", status.to_string())];
            self.envelopes.get_or_create(&labels).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Whether envelopes can be sent.
    pub fn transport(&self, name: &str, up: bool) {
        self.transport.get_or_create(&vec![("transport", name.to_owned())]).set(i64::from(up));
    }

    /// These claims, counted.
    pub fn counting(&self, claims: Claims) -> Claims {
        let counts = self.payloads.clone();
        claims.watched(move |event| match event {
            Event::CheckedIn(bytes) => counts.checked_in(bytes),
            Event::Fetched(bytes) => counts.fetched(bytes),
            Event::NotCheckedIn(reason) => counts.not_checked_in(reason),
            Event::NotFetched(reason) => counts.not_fetched(reason),
        })
    }

    /// How many tools there are, and whether their files are wrong.
    pub fn tools(&self, count: usize, wrong: bool) {
        self.tools.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.wrong.set(i64::from(wrong));
    }

    /// How many actors of a namespace of the cluster are known, and whether that is so now.
    pub fn cluster(&self, namespace: &str, actors: usize, up: bool) {
        let labels = vec![("namespace", namespace.to_owned())];
        self.cluster_actors.get_or_create(&labels).set(i64::try_from(actors).unwrap_or(i64::MAX));
        self.cluster.get_or_create(&labels).set(i64::from(up));
    }

    /// A socket is open; it is until the guard is dropped.
    pub fn socket(&self, form: &str) -> OpenSocket {
        let open = self.sockets.get_or_create(&vec![("form", form.to_owned())]).clone();
        open.inc();
        OpenSocket(open)
    }

    /// A message came over a socket, or went.
    pub fn socket_message(&self, form: &str, direction: &str) {
        let labels = vec![("form", form.to_owned()), ("direction", direction.to_owned())];
        self.socket_messages.get_or_create(&labels).inc();
    }

    /// A socket has ended.
    pub fn socket_closed(&self, form: &str, reason: &str) {
        let labels = vec![("form", form.to_owned()), ("reason", reason.to_owned())];
        self.sockets_closed.get_or_create(&labels).inc();
    }

    /// The text of `/metrics`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        // A string takes everything.
        let _ = encode(&mut text, &registry);
        text
    }
}

/// A request whose answer has not begun.
#[derive(Debug)]
pub struct Active(Arc<Metrics>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.dec();
    }
}

/// A socket that is open.
#[derive(Debug)]
pub struct OpenSocket(Gauge<i64, AtomicI64>);

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.0.dec();
    }
}
