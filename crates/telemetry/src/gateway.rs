//! The gateway's metrics: name, labels and meaning. docs/metrics.md is generated from it.

/// Prefix of all of them.
pub const NAMESPACE: &str = "asya_gateway";

crate::names::metrics! {
    #[new x] REQUESTS: Counter "requests_total" ["method", "route", "status"]
        "Requests that were answered, by the route that they took";
    #[new x] REQUEST_DURATION: Histogram "request_duration_seconds" ["route"]
        "Time until an answer began; streams go on after it";
    #[new x] REQUESTS_ACTIVE: Gauge "requests_active" []
        "Requests whose answer has not begun";
    #[new x] REFUSED: Counter "refused_total" ["reason"]
        "Requests that were not let through: unauthenticated, denied, too_many_requests, unavailable";
    #[new x] OUTBOX_WAITING: Gauge "outbox_waiting" []
        "Envelopes that are stored and not yet confirmed by the broker";
    #[new x] OUTBOX_OLDEST: Gauge "outbox_oldest_seconds" []
        "Age of the oldest of them; 0 without one";
    #[new x] ENVELOPES: Gauge "envelopes" ["status"]
        "Envelopes in the store by state: pending, running, succeeded, failed, unknown";
    #[new x] STORE_UP: Gauge "store_up" []
        "1 when the database answers";
    #[new x] TRANSPORT_UP: Gauge "transport_up" ["transport"]
        "1 when envelopes can be sent";
    #[new x] PAYLOADS: Counter "payloads_total" ["direction"]
        "Large payloads put into the payload store and read from it: checked_in, fetched";
    #[new x] PAYLOAD_BYTES: Counter "payload_bytes_total" ["direction"]
        "Their bytes: checked_in, fetched";
    #[new x] PAYLOAD_FAILURES: Counter "payload_failures_total" ["direction", "reason"]
        "Tries to put one in or to read one that failed: missing, invalid, too_large, unavailable";
    #[new x] TOOLS: Gauge "tools" []
        "Tools that can be called";
    #[new x] TOOLS_WRONG: Gauge "tools_wrong" []
        "1 when the files of tools are wrong as they are now, so that older tools serve";
    #[new x] KUBERNETES_UP: Gauge "kubernetes_up" ["namespace"]
        "1 when the AsyncActors of the namespace are known as they are now; * is all namespaces";
    #[new x] KUBERNETES_ACTORS: Gauge "kubernetes_actors" ["namespace"]
        "AsyncActors of the namespace that are known";
    #[new x] SOCKETS: Gauge "sockets" ["form"]
        "Sockets of conversations that are open, by what is spoken: asya.v0, asya.v1";
    #[new x] SOCKET_MESSAGES: Counter "socket_messages_total" ["form", "direction"]
        "Messages over them: received, sent";
    #[new x] SOCKETS_CLOSED: Counter "sockets_closed_total" ["form", "reason"]
        "Those that have ended: gone, slow, credentials, unavailable, stopping, broken";
}
