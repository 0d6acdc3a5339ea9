//! When pods follow a change that is not the actor's own.
//!
//! A workload carries annotations, its pods carry none: a hash of the actor's own spec, and the template as it was
//! applied. While only the platform's part differs (another runtime, sidecar, transport setting, or an operator that
//! builds templates otherwise) the applied template is applied again: nothing rolls, and drift is still repaired. Since
//! all of it is on the cluster, an operator that is new, restarted or has just become the leader decides the same.

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
/// Annotation of a workload: when it was its turn to follow the platform, as RFC 3339. Until its pods are new and ready
/// it takes one of the places of those that roll at the same time.
pub const ROLLED: &str = "asya.sh/rolled-at";
/// Annotation of a pod template by which `kubectl rollout restart` asks for a restart.
pub const RESTART_REQUEST: &str = "kubectl.kubernetes.io/restartedAt";
/// Longest template that is kept: half of what Kubernetes allows for all annotations together. A longer one follows
/// every change at once.
pub const MAX_TEMPLATE: usize = 128 * 1024;

/// What there is on the cluster now.
#[derive(Clone, Copy, Debug)]
pub struct Live<'a> {
    /// Annotations of the workload; [`TEMPLATE`] is not looked for here.
    pub annotations: &'a BTreeMap<String, String>,
    /// Whether it has pods, or is to have some.
    pub has_pods: bool,
    /// The value of [`RESTART_REQUEST`] on its template.
    pub restarted: Option<&'a str>,
}

impl Live<'_> {
    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).map(String::as_str)
    }

    /// Whether a person asked for a restart that has not been answered.
    fn is_asked(&self) -> bool {
        self.restarted.is_some() && self.restarted != self.annotation(RESTARTED)
    }

    /// Whether the newest template is applied whatever was applied before: the change is the actor's own, nothing runs,
    /// or a person asked for a restart.
    pub fn is_free(&self, desired: &Desired) -> bool {
        let wanted =
            desired.workload.as_ref().map(|workload| &workload["metadata"]["annotations"][SPEC_HASH]);
        let is_own = wanted.and_then(Value::as_str) != self.annotation(SPEC_HASH);
        is_own || !self.has_pods || self.is_asked()
    }
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

/// Keeps the newest template, with what was noted before.
pub fn follow(desired: &mut Desired, live: &Live<'_>) {
    note(desired, RESTARTED, live.restarted.or(live.annotation(RESTARTED)));
    note(desired, ROLLED, live.annotation(ROLLED));
}

/// Keeps the newest template, and notes that it was the actor's turn to roll at this time.
pub fn roll(desired: &mut Desired, live: &Live<'_>, at: &str) {
    follow(desired, live);
    note(desired, ROLLED, Some(at));
}

/// Puts the applied template in place of the newest one. False, and nothing changed, where the two are the same or the
/// applied one cannot be read.
pub fn wait(desired: &mut Desired, live: &Live<'_>, applied: &str) -> bool {
    let Ok(template) = serde_json::from_str::<Value>(applied) else { return false };
    let Some(workload) = desired.workload.as_mut().filter(|_| template != desired.template) else {
        return false;
    };
    workload["metadata"]["annotations"][TEMPLATE] = json!(applied);
    workload["spec"]["template"] = template.clone();
    desired.template = template;
    note(desired, RESTARTED, live.annotation(RESTARTED));
    note(desired, ROLLED, live.annotation(ROLLED));
    true
}

fn note(desired: &mut Desired, name: &str, value: Option<&str>) {
    if let (Some(workload), Some(value)) = (&mut desired.workload, value) {
        workload["metadata"]["annotations"][name] = json!(value);
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
