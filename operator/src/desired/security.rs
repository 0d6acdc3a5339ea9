//! Security contexts: what containers of ours have, and what is filled into the runtime's.

use asya_resources::SecurityPreset;
use serde_json::{Map, Value, json};

use super::{Context, lists::object, names::NOBODY};
use crate::actor::Actor;

/// What the restricted Pod Security Standard asks of a container.
fn restricted() -> [(&'static str, Value); 4] {
    [
        ("allowPrivilegeEscalation", json!(false)),
        ("capabilities", json!({"drop": ["ALL"]})),
        ("runAsNonRoot", json!(true)),
        ("seccompProfile", json!({"type": "RuntimeDefault"})),
    ]
}

/// The sidecar's security context. The user is the image's, unless the pod chooses one for all its containers: then
/// it must be stated that ours is not that one. A fixed user everywhere would be refused by clusters that hand out
/// ranges of users.
pub fn sidecar(pod: &Value) -> Value {
    let mut context: Map<String, Value> =
        restricted().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    context.insert("readOnlyRootFilesystem".to_owned(), json!(true));
    if pod.pointer("/securityContext/runAsUser").is_some_and(|user| user == 0) {
        context.insert("runAsUser".to_owned(), json!(NOBODY));
        context.insert("runAsGroup".to_owned(), json!(NOBODY));
    }
    Value::Object(context)
}

/// Whether the runtime container is to satisfy the restricted standard.
pub fn is_restricted(actor: &Actor, context: &Context<'_>) -> bool {
    match actor.spec.security_context.map(|security| security.preset) {
        Some(SecurityPreset::Restricted) => true,
        Some(SecurityPreset::None) => false,
        None => context.cluster.restricted,
    }
}

/// Fills into the runtime container what neither it nor the pod says. `stock` = the image is our choice, and runs
/// as root unless told otherwise.
pub fn fill(container: &mut Map<String, Value>, pod_security: Option<&Value>, stock: bool) {
    let said = |key: &str| pod_security.and_then(|pod| pod.get(key)).is_some();
    let context = object(container, "securityContext");
    for (key, value) in restricted() {
        if said(key) {
            continue;
        }
        let present = context.entry(key).or_insert_with(|| value.clone());
        if key == "capabilities" && present.get("drop").is_none() {
            present["drop"] = value["drop"].clone();
        }
    }
    if stock && !said("runAsUser") && !context.contains_key("runAsUser") {
        context.insert("runAsUser".to_owned(), json!(NOBODY));
    }
}
