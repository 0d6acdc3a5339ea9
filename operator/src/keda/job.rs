//! The ScaledJob of a Job: one pod per few envelopes.

use serde_json::{Value, json};

use super::{API_VERSION, metadata, trigger};
use crate::{actor::Actor, desired::Context};

/// Annotation with which KEDA starts no further Job.
const PAUSED: &str = "autoscaling.keda.sh/paused";

pub(super) fn scaled_job(
    actor: &Actor,
    context: &Context<'_>,
    triggers: &[Value],
    template: &Value,
) -> Value {
    let scaling = actor.spec.scaling.clone().unwrap_or_default();
    let job = actor.spec.workload.job.clone().unwrap_or_default();
    // The broker delivers again what a pod did not finish: the Job itself is never tried again.
    let mut target = json!({"template": template, "backoffLimit": 0});
    if let Some(seconds) = job.ttl_seconds_after_finished {
        target["ttlSecondsAfterFinished"] = seconds.into();
    }
    // "default" subtracts running Jobs from a count that includes what they have in work; "accurate" is for a count
    // of what waits only.
    let strategy = if trigger::counts_unacknowledged(context) { "default" } else { "accurate" };
    let mut metadata = metadata(actor, &actor.name);
    if actor.spec.paused {
        metadata["annotations"] = json!({PAUSED: "true"});
    }
    json!({
        "apiVersion": API_VERSION,
        "kind": "ScaledJob",
        "metadata": metadata,
        "spec": {
            "jobTargetRef": target,
            "minReplicaCount": scaling.min_replicas,
            "maxReplicaCount": scaling.max_replicas,
            "pollingInterval": scaling.polling_interval,
            // Running Jobs finish with the template that they began with.
            "rollout": {"strategy": "gradual"},
            "scalingStrategy": {"strategy": strategy},
            "triggers": triggers,
        },
    })
}
