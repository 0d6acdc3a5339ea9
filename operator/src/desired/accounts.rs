//! Cloud identity: who a pod is, and which of its containers may say so.

use serde_json::{Value, json};

use super::{
    Context,
    lists::{items, name},
    names::{MANAGED_BY_LABEL, MANAGER},
};
use crate::{
    actor::{ACTOR_LABEL, Actor},
    settings::Kind,
};

/// Annotation of accounts with the role that their pods assume.
const ROLE: &str = "eks.amazonaws.com/role-arn";
/// Annotation of pods with the containers that get no token.
pub const SKIP_CONTAINERS: &str = "eks.amazonaws.com/skip-containers";

/// The role that an actor's pods assume.
pub fn role<'a>(context: &Context<'a>) -> Option<&'a str> {
    match &context.transport.kind {
        Kind::Sqs(sqs) => sqs.actor_role.as_deref(),
        Kind::Rabbitmq(_) => None,
    }
}

/// Name of the account that the operator makes for an actor.
pub fn account_name(actor: &Actor) -> String {
    format!("asya-{}", actor.name)
}

/// The account.
pub fn account(actor: &Actor, role: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": account_name(actor),
            "namespace": actor.namespace,
            "labels": {"app": actor.name, ACTOR_LABEL: actor.name, MANAGED_BY_LABEL: MANAGER},
            "annotations": {ROLE: role},
            "ownerReferences": [actor.owner_reference()],
        },
    })
}

/// All containers of a pod that do not speak to the broker.
pub fn others(actor: &Actor, pod: &Value) -> String {
    let ours = if actor.spec.embedded {
        asya_resources::RUNTIME_CONTAINER
    } else {
        asya_resources::SIDECAR_CONTAINER
    };
    let names = items(pod, "initContainers").chain(items(pod, "containers")).map(name);
    let others: Vec<_> = names.filter(|name| *name != ours).collect();
    others.join(",")
}
