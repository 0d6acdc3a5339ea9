//! Accounts: who a pod is for the cluster and the cloud, and which of its containers may say so.

use asya_resources::OWN_ACCOUNT;
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
    asya_resources::account_name(&actor.name)
}

/// Whether the operator may make accounts: charts/asya-operator gives the right for roles, and for agents.
pub fn are_made(context: &Context<'_>) -> bool {
    role(context).is_some() || context.settings.agents.is_some()
}

/// The account, for an actor whose pods assume a role, or that is to have one of its own.
pub fn account(actor: &Actor, context: &Context<'_>) -> Option<Value> {
    let (role, own) = (role(context), actor.annotations.get(OWN_ACCOUNT).is_some_and(|own| own == "true"));
    if role.is_none() && !own {
        return None;
    }
    let mut account = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": account_name(actor),
            "namespace": actor.namespace,
            "labels": {"app": actor.name, ACTOR_LABEL: actor.name, MANAGED_BY_LABEL: MANAGER},
            "ownerReferences": [actor.owner_reference()],
        },
    });
    if let Some(role) = role {
        account["metadata"]["annotations"] = json!({ROLE: role});
    }
    if own {
        // It shows gateways who asks, by a token that is made for them; the API server has nothing for it.
        account["automountServiceAccountToken"] = json!(false);
    }
    Some(account)
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
