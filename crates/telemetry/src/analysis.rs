//! The metrics of `asya-operator analysis`, under the names of K8sGPT's operator. docs/metrics.md is generated from it.

/// Prefix of all of them.
pub const NAMESPACE: &str = "k8sgpt";

crate::names::metrics! {
    RESULTS: Gauge "number_of_results" ["object_namespace", "k8sgpt"]
        "Open Results by namespace of their object; a namespace that healed has none";
    RESULTS_BY_TYPE: Gauge "number_of_results_by_type" ["object_namespace", "kind", "k8sgpt"]
        "Open Results by namespace and kind of their object; without the object's name, of which there is no end";
    RECONCILE_ERRORS: Gauge "reconcile_error_count" ["k8sgpt"]
        "Looks at a K8sGPT that failed, since the start; a gauge, because a counter would be called otherwise";
}
