//! Ending a pod without losing work: the kubelet asks the sidecar to drain before it stops the runtime.

use serde_json::{Value, json};

use super::names::DRAIN_HEADER;
use crate::actor::Actor;

/// Seconds of the pod's last ones that the sidecar keeps for settling what ran and closing its connections.
const SETTLING: u64 = 8;

/// Hook that answers once the sidecar has nothing in hand. The port is a number: a hook resolves names only among
/// the ports of its own container.
pub fn hook(actor: &Actor, port: u16) -> Value {
    json!({"httpGet": {
        "path": "/drain",
        "port": port,
        "scheme": "HTTP",
        "httpHeaders": [{"name": DRAIN_HEADER, "value": actor.drain_token()}],
    }})
}

/// Seconds that a pod has to end: the longer of what the template and the actor say.
pub fn termination(actor: &Actor, pod: &Value) -> u64 {
    let users = pod.get("terminationGracePeriodSeconds").and_then(Value::as_u64).unwrap_or_default();
    users.max(actor.spec.timeout().graceful_shutdown)
}

/// Seconds of those that running work may go on.
pub fn grace(termination: u64) -> u64 {
    termination.saturating_sub(SETTLING).max(termination / 2).max(1)
}

/// Said where work may be cut off.
pub fn warning(actor: &Actor, termination: u64) -> Option<(&'static str, String)> {
    let processing = actor.spec.timeout().processing;
    (termination < processing).then(|| {
        (
            "DrainShorterThanProcessing",
            format!(
                "a pod has {termination} s to end and a run may take {processing} s: what is not done by then goes \
                 back to the queue and runs again; raise timeout.gracefulShutdown to avoid that"
            ),
        )
    })
}
