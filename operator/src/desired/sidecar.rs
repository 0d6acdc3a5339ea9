//! The container that moves envelopes, and its volumes.

use asya_resources::SIDECAR_CONTAINER;
use serde_json::{Map, Value, json};

use super::{
    Context, credentials, environment,
    lists::{env_json, list, name},
    names::{
        GATEWAY_DIR, GATEWAY_VOLUME, METRICS_PORT, SOCKET_DIR, SOCKET_VOLUME, TRANSPORT_DIR, TRANSPORT_VOLUME,
    },
    security,
};
use crate::actor::Actor;

/// Pull policy where neither the actor nor the operator says one: the contract's.
const DEFAULT_PULL_POLICY: &str = "IfNotPresent";
/// Seconds that a token for the gateway is good; the kubelet renews it at four fifths of that.
const TOKEN_SECONDS: u32 = 3600;
/// Whom the token is for.
const TOKEN_AUDIENCE: &str = "asya-gateway";

/// Whether the sidecar is an init container that stays.
pub fn is_native(context: &Context<'_>) -> bool {
    context.cluster.native_sidecars && context.settings.sidecar.native != Some(false)
}

/// Adds the container and its volumes to a pod. `pre_stop` = a hook of its own.
pub fn add(
    actor: &Actor,
    context: &Context<'_>,
    pod: &mut Map<String, Value>,
    grace: u64,
    pre_stop: Option<Value>,
) {
    let mut container = container(actor, context, &Value::Object(pod.clone()), grace, pre_stop);
    if actor.spec.http().is_none() {
        list(pod, "volumes").push(json!({"name": SOCKET_VOLUME, "emptyDir": {}}));
    }
    list(pod, "volumes").extend(secret_volumes(actor, context));
    if is_native(context) {
        container.insert("restartPolicy".to_owned(), json!("Always"));
        // Last: the user's init containers are done before the queue is read.
        list(pod, "initContainers").push(Value::Object(container));
    } else {
        list(pod, "containers").push(Value::Object(container));
    }
}

/// Adds the names of pull secrets to a pod, each once.
pub fn add_pull_secrets(actor: &Actor, context: &Context<'_>, pod: &mut Map<String, Value>) {
    let own = actor.spec.sidecar.iter().flat_map(|sidecar| &sidecar.image_pull_secrets);
    for name in context.settings.sidecar.pull_secrets.iter().chain(own) {
        let secret = json!({"name": name});
        let secrets = list(pod, "imagePullSecrets");
        if !secrets.contains(&secret) {
            secrets.push(secret);
        }
    }
}

fn container(
    actor: &Actor,
    context: &Context<'_>,
    pod: &Value,
    grace: u64,
    pre_stop: Option<Value>,
) -> Map<String, Value> {
    let defaults = &context.settings.sidecar;
    let own = actor.spec.sidecar.clone().unwrap_or_default();
    let policy = own.image_pull_policy.or_else(|| defaults.pull_policy.clone());
    let resources = own.resources.unwrap_or_else(|| defaults.resources.clone());

    let mut container = Map::new();
    let mut set = |key: &str, value: Value| container.insert(key.to_owned(), value);
    set("name", json!(SIDECAR_CONTAINER));
    set(
        "image",
        json!(own.image.filter(|image| !image.is_empty()).unwrap_or_else(|| defaults.image.clone())),
    );
    set("imagePullPolicy", json!(policy.unwrap_or_else(|| DEFAULT_PULL_POLICY.to_owned())));
    set("env", env_json(&environment::sidecar(actor, context, grace)));
    set("volumeMounts", mounts(actor, context));
    set("securityContext", security::sidecar(pod));
    if resources.as_object().is_some_and(|resources| !resources.is_empty()) {
        set("resources", resources);
    }
    if let Some(port) = environment::port(actor) {
        set("ports", json!([port_json(port)]));
        for (name, probe) in probes() {
            set(name, probe);
        }
    }
    if let Some(hook) = pre_stop {
        set("lifecycle", json!({"preStop": hook}));
    }
    container
}

/// The port of metrics, health and drain.
pub fn port_json(port: u16) -> Value {
    json!({"name": METRICS_PORT, "containerPort": port, "protocol": "TCP"})
}

/// No startup probe: a native sidecar has to be started before the runtime's container exists.
pub fn probes() -> [(&'static str, Value); 2] {
    [("livenessProbe", probe("/healthz", 10, 5, 3)), ("readinessProbe", probe("/readyz", 5, 3, 3))]
}

fn probe(path: &str, period: u32, timeout: u32, failures: u32) -> Value {
    json!({
        "httpGet": {"path": path, "port": METRICS_PORT, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    })
}

fn mounts(actor: &Actor, context: &Context<'_>) -> Value {
    let socket = json!({"name": SOCKET_VOLUME, "mountPath": SOCKET_DIR});
    let socket = actor.spec.http().is_none().then_some(socket);
    Value::Array(socket.into_iter().chain(secret_mounts(actor, context)).collect())
}

/// Volumes with what only the sidecar may read.
pub fn secret_volumes(actor: &Actor, context: &Context<'_>) -> Vec<Value> {
    let token = environment::gateway(actor, context).map(|_| token_volume());
    credentials::volume(&context.transport.credentials_for(actor)).into_iter().chain(token).collect()
}

/// Where the sidecar finds them.
pub fn secret_mounts(actor: &Actor, context: &Context<'_>) -> Vec<Value> {
    let volumes = secret_volumes(actor, context);
    let mount = |volume: &Value| {
        let path = if name(volume) == TRANSPORT_VOLUME { TRANSPORT_DIR } else { GATEWAY_DIR };
        json!({"name": volume["name"], "mountPath": path, "readOnly": true})
    };
    volumes.iter().map(mount).collect()
}

fn token_volume() -> Value {
    let token = json!({"audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_SECONDS, "path": "token"});
    // Readable for any user, as the sidecar's is not known; only the sidecar mounts it.
    json!({"name": GATEWAY_VOLUME, "projected": {"defaultMode": 0o444, "sources": [{"serviceAccountToken": token}]}})
}
