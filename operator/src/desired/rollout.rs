//! When pods follow a change that is not the actor's own.
//!
//! A workload carries two annotations, its pods carry none: a hash of the actor's own spec, and the template as it was
//! applied. While only the platform's part differs (another runtime, sidecar, transport setting, or an operator that
//! builds templates otherwise) the applied template is applied again: nothing rolls, and drift is still repaired.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Desired, lists::object};
use crate::actor::{Actor, SECRET_ANNOTATION};

/// Annotation of a workload: what the actor itself asks for.
pub const SPEC_HASH: &str = "asya.sh/spec-hash";
/// Annotation of a workload: the template as it was applied.
pub const TEMPLATE: &str = "asya.sh/template";
/// Annotation of a workload: the last restart by a person that was answered with the newest template.
pub const RESTARTED: &str = "asya.sh/restarted-at";
/// Annotation of a pod template by which `kubectl rollout restart` asks for a restart.
pub const RESTART_REQUEST: &str = "kubectl.kubernetes.io/restartedAt";
/// Longest template that is kept: half of what Kubernetes allows for all annotations together. A longer one follows
/// every change at once.
const MAX_TEMPLATE: usize = 128 * 1024;

/// What there is on the cluster now.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    /// Annotations of the workload.
    pub annotations: &'a BTreeMap<String, String>,
    /// Whether it has pods, or is to have some.
    pub has_pods: bool,
    /// The value of [`RESTART_REQUEST`] on its template.
    pub restarted: Option<&'a str>,
}

/// Notes in the workload what it is made from.
pub(super) fn record(actor: &Actor, desired: &mut Desired) {
    let Some(workload) = desired.workload.as_mut().and_then(Value::as_object_mut) else { return };
    let annotations = object(object(workload, "metadata"), "annotations");
    annotations.insert(SPEC_HASH.to_owned(), json!(spec_hash(actor)));
    let template = desired.template.to_string();
    if template.len() <= MAX_TEMPLATE {
        annotations.insert(TEMPLATE.to_owned(), json!(template));
    }
}

/// Puts the applied template in place of the new one where pods must not roll now. `may_roll` = the policy is
/// `Rolling` and it is this actor's turn. True if an update waits.
pub fn settle(desired: &mut Desired, live: &Live<'_>, may_roll: bool) -> bool {
    let Some(workload) = &mut desired.workload else { return false };
    let annotation = |name: &str| live.annotations.get(name).map(String::as_str);
    let is_own_change = annotation(SPEC_HASH) != workload["metadata"]["annotations"][SPEC_HASH].as_str();
    let applied = annotation(TEMPLATE).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let is_asked = live.restarted != annotation(RESTARTED);
    let (Some(applied), false) = (applied, is_own_change) else {
        note_restart(workload, live.restarted);
        return false;
    };
    if applied == desired.template || may_roll || !live.has_pods || is_asked {
        note_restart(workload, live.restarted);
        return false;
    }
    workload["metadata"]["annotations"][TEMPLATE] = json!(annotation(TEMPLATE));
    note_restart(workload, annotation(RESTARTED));
    workload["spec"]["template"] = applied.clone();
    desired.template = applied;
    true
}

fn note_restart(workload: &mut Value, at: Option<&str>) {
    if let Some(at) = at {
        workload["metadata"]["annotations"][RESTARTED] = json!(at);
    }
}

/// Hash of what the actor itself asks of its pods.
pub fn spec_hash(actor: &Actor) -> String {
    let mut spec = serde_json::to_value(&actor.spec).unwrap_or_default();
    if let Some(members) = spec.as_object_mut() {
        // These say how many pods there are, when they follow, and what becomes of the queue.
        for key in ["scaling", "paused", "deletionPolicy", "rollout"] {
            members.remove(key);
        }
        if let Some(workload) = members.get_mut("workload").and_then(Value::as_object_mut) {
            workload.remove("replicas");
        }
    }
    let mut text = String::new();
    canonical(&spec, &mut text);
    text.push_str(actor.annotations.get(SECRET_ANNOTATION).map(String::as_str).unwrap_or_default());
    let digest = Sha256::digest(text);
    digest[..16].iter().fold(String::new(), |mut hex, byte| {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Writes JSON with the members of objects in the order of their names, whatever order the map keeps.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().collect();
            text.push('{');
            for (key, value) in sorted {
                let _ = write!(text, "{}:", json!(key));
                canonical(value, text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => {
            let _ = write!(text, "{plain}");
        }
    }
}
