//! The operator's metrics: name, labels and meaning. docs/metrics.md is generated from it.

/// Prefix of all of them.
pub const NAMESPACE: &str = "asya_operator";

crate::names::metrics! {
    #[new x] RECONCILES: Counter "reconcile_total" ["result"]
        "Looks at an actor or a namespace: success, waiting (something has to happen elsewhere), error";
    #[new x] RECONCILE_DURATION: Histogram "reconcile_duration_seconds" ["controller"]
        "Time one look took: actor, runtime, projection, agent, registry";
    #[new x] RECONCILE_ERRORS: Counter "reconcile_errors_total" ["reason"]
        "Looks that failed, by the condition's reason";
    #[new x] API_WRITES: Counter "api_writes_total" ["kind", "verb"]
        "Writes to the API server: apply, create, patch, status, delete; none while nothing changes";
    #[new x] QUEUE_CALLS: Counter "queue_calls_total" ["transport", "call", "result"]
        "Calls to brokers: ensure, depth, delete, missing; ok, error";
    #[new x] ACTORS: Gauge "actors" ["status"]
        "Actors by status word";
    #[new x] AGENTS: Gauge "agents" ["ready"]
        "Agents by their condition Ready: True, False, Unknown";
    #[new x] LEADER: Gauge "leader" []
        "1 while this replica acts";
    #[new x] CACHE_OBJECTS: Gauge "cache_objects" ["kind"]
        "Objects in the cache";
    #[new x] WORK_WAITING: Gauge "work_waiting" []
        "Looks that are due or going on";
    #[new x] WATCHES_FAILING: Gauge "watches_failing" []
        "Watches that the API server refuses";
    #[new x] SCALER_ACTIVATIONS: Counter "scaler_activations_total" []
        "Times that KEDA was told by the push scaler that an actor at zero has messages";
    #[new x] SCALER_LOOKS: Counter "scaler_looks_total" []
        "Queues that the push scaler looked at";
    #[new x] SCALER_STREAMS: Gauge "scaler_streams" []
        "Streams that KEDA has open on the push scaler; more than 10,000 are refused";
}
