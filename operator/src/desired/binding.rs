//! Binding mode: our part of a workload that somebody else made.

use asya_resources::{Binding, RUNTIME_CONTAINER};
use serde_json::{Map, Value, json};

use super::{
    Context, Desired, accounts, credentials, drain, environment,
    lists::{items, name},
    names::{SOCKET_DIR, SOCKET_VOLUME, WORKLOAD_LABEL},
    sidecar,
};
use crate::actor::{ACTOR_LABEL, Actor};

/// Seconds that Kubernetes gives a pod to end which says nothing.
const DEFAULT_TERMINATION: u64 = 30;

/// The actor with what only the bound workload can say: the container that serves the handler on a socket, and how long
/// its pods have to end.
///
/// # Errors
/// As [`container`].
pub fn resolved(
    actor: &Actor,
    context: &Context<'_>,
    binding: &Binding,
    live: &Value,
) -> Result<Actor, (&'static str, String)> {
    let served = container(actor, context, binding, live)?;
    let mut actor = actor.clone();
    if let Some(binding) = &mut actor.spec.workload_ref {
        binding.container = served;
    }
    let termination =
        live.pointer("/spec/template/spec/terminationGracePeriodSeconds").and_then(Value::as_u64);
    let timeout = actor.spec.timeout.get_or_insert_default();
    timeout.graceful_shutdown = termination.unwrap_or(DEFAULT_TERMINATION);
    Ok(actor)
}

/// The container of an existing workload that serves the handler; an HTTP server needs none to be named.
///
/// # Errors
/// A reason word and a sentence: there is no such container, the pods would show the sidecar to it, or it listens where
/// the sidecar does.
pub fn container(
    actor: &Actor,
    context: &Context<'_>,
    binding: &Binding,
    live: &Value,
) -> Result<Option<String>, (&'static str, String)> {
    let pod = live.pointer("/spec/template/spec").unwrap_or(&Value::Null);
    if pod.get("shareProcessNamespace").is_some_and(|shared| shared == true) {
        let sentence = format!(
            "{} {} sets shareProcessNamespace, which would show the sidecar's credentials to its other containers",
            binding.kind, binding.name
        );
        return Err(("ProcessNamespaceShared", sentence));
    }
    let theirs = without_ours(pod);
    let exposed = credentials::exposed(&context.transport.credentials_for(actor), &theirs);
    if let Some(place) = exposed.iter().chain(&credentials::mounted(&theirs)).next() {
        let sentence = format!(
            "{place} of {} {} shows the sidecar's credentials to user code: remove it",
            binding.kind, binding.name
        );
        return Err(("TransportSecretExposed", sentence));
    }
    if let Some(http) = binding.http.as_ref().filter(|http| environment::port(actor) == Some(http.port)) {
        let sentence = format!(
            "port {} of {} {} is also the port of the sidecar's metrics: give that another one by ASYA_METRICS_ADDR in \
             sidecar.env",
            http.port, binding.kind, binding.name
        );
        return Err(("PortConflict", sentence));
    }
    let names: Vec<_> = items(pod, "containers")
        .map(name)
        .filter(|name| *name != asya_resources::SIDECAR_CONTAINER)
        .collect();
    let wanted = match (&binding.container, names.as_slice()) {
        (Some(container), _) => container.as_str(),
        (None, _) if binding.http.is_some() => return Ok(None),
        (None, [only]) => only,
        (None, _) => RUNTIME_CONTAINER,
    };
    if names.contains(&wanted) {
        return Ok(Some(wanted.to_owned()));
    }
    let sentence = format!(
        "{} {} has no container {wanted}, but {}: set workloadRef.container",
        binding.kind,
        binding.name,
        names.join(", ")
    );
    Err(("ContainerNotFound", sentence))
}

/// A pod without the volume and container that we applied to it.
fn without_ours(pod: &Value) -> Value {
    let mut pod = pod.clone();
    for (list, ours) in [
        ("volumes", super::names::TRANSPORT_VOLUME),
        ("containers", asya_resources::SIDECAR_CONTAINER),
        ("initContainers", asya_resources::SIDECAR_CONTAINER),
    ] {
        if let Some(items) = pod.get_mut(list).and_then(Value::as_array_mut) {
            items.retain(|item| name(item) != ours);
        }
    }
    pod
}

/// Our part: the sidecar, the socket's volume, its mounts, and labels of the pods and of the workload. Of a workload that
/// serves HTTP no container is changed.
pub fn part(actor: &Actor, context: &Context<'_>, binding: &Binding) -> Desired {
    let mut desired = Desired::default();
    if accounts::role(context).is_some() {
        desired.warnings.push((
            "CloudIdentityShared",
            format!(
                "the sidecar uses the account of {} {}, which all its containers have: it needs the transport's role",
                binding.kind, binding.name
            ),
        ));
    }
    let mut pod = Map::new();
    if binding.http.is_none() {
        let served = binding.container.as_deref().unwrap_or(RUNTIME_CONTAINER);
        let mount = json!({"name": SOCKET_VOLUME, "mountPath": SOCKET_DIR});
        pod.insert("containers".to_owned(), json!([{"name": served, "volumeMounts": [mount]}]));
    }
    let hook = environment::port(actor).map(|port| drain::hook(actor, port));
    let termination = drain::termination(actor, &Value::Null);
    desired.warnings.extend(drain::warning(actor, termination));
    let grace = drain::grace(termination);
    sidecar::add(actor, context, &mut pod, grace, hook);
    sidecar::add_pull_secrets(actor, context, &mut pod);
    let labels = json!({ACTOR_LABEL: actor.name, WORKLOAD_LABEL: binding.kind.to_ascii_lowercase()});
    desired.template = json!({"metadata": {"labels": labels}, "spec": pod});
    if actor.spec.paused && !actor.spec.scaling_on() {
        let sentence =
            "replicas of a bound workload are its owner's while scaling is off: scale it to zero there";
        desired.warnings.push(("PauseIgnored", sentence.to_owned()));
    }
    desired.workload = Some(json!({
        "apiVersion": binding.api_version,
        "kind": binding.kind,
        // By this label it is watched.
        "metadata": {"name": binding.name, "namespace": actor.namespace, "labels": {ACTOR_LABEL: actor.name}},
        "spec": {"template": desired.template},
    }));
    desired
}
