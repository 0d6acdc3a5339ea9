//! The user's pod with the sidecar and the runtime injected.

use asya_resources::{Kind, RUNTIME_CONTAINER};
use serde_json::{Map, Value, json};

use super::{
    Context, accounts, credentials, drain, embedded, environment, handler,
    lists::{items, list, name, object},
    names::{GATEWAY_VOLUME, HANDLER_VOLUME, WORKLOAD_LABEL},
    security, sidecar,
};
use crate::actor::{ACTOR_LABEL, Actor};

/// A pod template, and what there is to say about it.
#[derive(Clone, Debug, Default)]
pub struct Pod {
    /// The template.
    pub template: Value,
    /// What works differently than one would expect, each a reason word and a sentence.
    pub warnings: Vec<(&'static str, String)>,
    /// Why it must not be applied, each a reason word and a sentence.
    pub refused: Vec<(&'static str, String)>,
}

/// The value of [`WORKLOAD_LABEL`].
pub fn workload_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Deployment => "deployment",
        Kind::StatefulSet => "statefulset",
        Kind::Job => "job",
    }
}

/// Labels by which an actor's pods are found: a workload's selector, which never changes.
pub fn selector(actor: &Actor) -> [(&'static str, &str); 3] {
    [("app", &actor.name), (ACTOR_LABEL, &actor.name), (WORKLOAD_LABEL, workload_word(actor.spec.kind()))]
}

/// Builds the template.
pub fn pod(actor: &Actor, context: &Context<'_>) -> Pod {
    let mut result = Pod::default();
    let users = serde_json::to_value(&actor.spec.workload.template).unwrap_or_default();
    let mut template = match users {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    let users = template.get("spec").cloned().unwrap_or_else(|| json!({}));
    refuse(actor, context, &users, &mut result);

    let pod = object(&mut template, "spec");
    let is_stock = list(pod, "containers").is_empty();
    if is_stock {
        list(pod, "containers").push(handler::stock(&actor.spec));
    }
    let termination = drain::termination(actor, &users);
    result.warnings.extend(drain::warning(actor, termination));
    let hook = environment::port(actor).map(|port| drain::hook(actor, port));
    result.warnings.extend(port_conflict(actor, &users));

    let pod_security = users.get("securityContext");
    let mut is_hooked = false;
    let mut volumes = Vec::new();
    let runtime = list(pod, "containers").iter_mut().find(|container| name(container) == RUNTIME_CONTAINER);
    match runtime.and_then(Value::as_object_mut) {
        Some(container) => {
            if actor.spec.embedded {
                embedded::inject(actor, context, container, drain::grace(termination));
            } else {
                is_hooked = handler::inject(actor, context.features, container, hook.as_ref());
            }
            if security::is_restricted(actor, context) {
                security::fill(container, pod_security, is_stock);
            }
            volumes = handler::volumes(actor, container, context.runtime);
        }
        None => result.refused.push((
            "ValidationError",
            format!("no container is named {RUNTIME_CONTAINER}: the one that runs the handler must be"),
        )),
    }
    if actor.spec.embedded {
        list(pod, "volumes").extend(sidecar::secret_volumes(actor, context));
    } else {
        let sidecars_hook = hook.filter(|_| !is_hooked);
        sidecar::add(actor, context, pod, drain::grace(termination), sidecars_hook);
    }
    list(pod, "volumes").extend(volumes);
    sidecar::add_pull_secrets(actor, context, pod);
    pod.insert("terminationGracePeriodSeconds".to_owned(), json!(termination));
    if actor.spec.kind() == Kind::Job {
        pod.insert("restartPolicy".to_owned(), json!("Never"));
    }
    identify(actor, context, &mut template);
    label(actor, &mut template, &mut result);
    result.template = Value::Object(template);
    result
}

fn refuse(actor: &Actor, context: &Context<'_>, pod: &Value, result: &mut Pod) {
    let mut refuse = |reason, sentence: String| result.refused.push((reason, sentence));
    if pod.get("shareProcessNamespace").is_some_and(|shared| shared == true) {
        refuse(
            "ProcessNamespaceShared",
            "spec.workload.template.spec.shareProcessNamespace would show the sidecar's files and environment to \
             the other containers: remove it"
                .to_owned(),
        );
    }
    let mut shown = pod.clone();
    // What the short form adds to the handler's container.
    if let Ok(env) = serde_json::to_value(&actor.spec.env)
        && let Some(pod) = shown.as_object_mut()
    {
        list(pod, "containers").push(json!({"name": RUNTIME_CONTAINER, "env": env}));
    }
    for place in credentials::exposed(&context.transport.credentials_for(actor), &shown) {
        refuse(
            "TransportSecretExposed",
            format!(
                "{place} shows the transport's credentials to user code: remove it, the sidecar alone has them"
            ),
        );
    }
    for place in credentials::mounted(pod) {
        refuse(
            "TransportSecretExposed",
            format!(
                "{place} shows the sidecar's credentials to user code: remove it, the sidecar alone has them"
            ),
        );
    }
    for volume in items(pod, "volumes").map(name) {
        if [GATEWAY_VOLUME, HANDLER_VOLUME].contains(&volume) {
            refuse(
                "VolumeConflict",
                format!("volume {volume} is added by the operator: choose another name"),
            );
        }
    }
    if actor.spec.kind() == Kind::Job && !sidecar::is_native(context) {
        refuse(
            "Unsupported",
            "workload.kind Job needs sidecars that are init containers: Kubernetes 1.29 or newer, and the operator's \
             sidecar.native not set to false"
                .to_owned(),
        );
    }
    if actor.spec.kind() == Kind::Job && !actor.spec.embedded && !context.features.shutdown {
        refuse(
            "Unsupported",
            "workload.kind Job needs a runtime that ends when it is told to: the one of this operator, not that of \
             runtime.local.path or runtime.github"
                .to_owned(),
        );
    }
    let own_account = pod.get("serviceAccountName").and_then(Value::as_str).filter(|name| !name.is_empty());
    if let (Some(_), Some(own)) = (accounts::role(context), own_account)
        && !actor.spec.workload.share_cloud_identity
    {
        refuse(
            "ServiceAccountConflict",
            format!(
                "serviceAccountName {own}: the pods use the account {} with the transport's role; remove it, or set \
                 workload.shareCloudIdentity to give your own account, with that role, to all containers",
                accounts::account_name(actor)
            ),
        );
    }
}

fn port_conflict(actor: &Actor, pod: &Value) -> Option<(&'static str, String)> {
    let port = environment::port(actor)?;
    let taken = items(pod, "containers")
        .find(|container| items(container, "ports").any(|declared| declared["containerPort"] == port))?;
    let sentence = format!(
        "container {} listens on port {port}, which the sidecar needs too: set ASYA_METRICS_ADDR in sidecar.env to \
         another one",
        name(taken)
    );
    Some(("PortConflict", sentence))
}

/// The account with the transport's role, whose token only the sidecar gets.
fn identify(actor: &Actor, context: &Context<'_>, template: &mut Map<String, Value>) {
    if accounts::role(context).is_none() {
        return;
    }
    let pod = object(template, "spec");
    let has_own = pod.get("serviceAccountName").and_then(Value::as_str).is_some_and(|name| !name.is_empty());
    if !has_own {
        pod.insert("serviceAccountName".to_owned(), json!(accounts::account_name(actor)));
    }
    if !actor.spec.workload.share_cloud_identity {
        let others = accounts::others(actor, &Value::Object(pod.clone()));
        if !others.is_empty() {
            let annotations = object(object(template, "metadata"), "annotations");
            annotations.insert(accounts::SKIP_CONTAINERS.to_owned(), json!(others));
        }
    }
}

/// Adds the selector's labels to the user's.
fn label(actor: &Actor, template: &mut Map<String, Value>, result: &mut Pod) {
    let labels = object(object(template, "metadata"), "labels");
    for (key, value) in selector(actor) {
        match labels.get(key).and_then(Value::as_str) {
            Some(own) if own != value => result.refused.push((
                "LabelConflict",
                format!(
                    "label {key}={own} of the pod template must be {value}, by which the operator finds the pods: \
                     remove it"
                ),
            )),
            _ => {
                labels.insert(key.to_owned(), json!(value));
            }
        }
    }
}
