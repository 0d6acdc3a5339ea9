//! What the pods have: what they need, and what the manifest says besides.

use asya_resources::k8sgpt::Image;
use serde_json::{Value, json};

use super::{KUBECONFIG, KUBECONFIG_SECRET, Wanted, env::Env, prompts, watch};

/// Files that a pod reads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mounts {
    /// The kubeconfig of another cluster.
    pub kubeconfig: bool,
    /// Templates of questions.
    pub prompts: bool,
}

/// The account of a pod.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// Whether it talks to the API server, and so gets a token.
    pub talks: bool,
}

/// The pod template of an actor.
pub fn template(
    wanted: &Wanted<'_>,
    part: &str,
    mounts: &Mounts,
    account: Option<(String, Account)>,
    env: Env,
) -> Value {
    let spec = &wanted.subject.spec;
    let delta = spec.pod();
    let (volumes, volume_mounts) = files(wanted, mounts);
    let mut container = json!({
        "name": asya_resources::RUNTIME_CONTAINER,
        "image": image(wanted),
        "env": env.json(),
        "resources": spec.resources.clone().unwrap_or_else(|| resources(part)),
        "securityContext": spec.container_security_context.clone().unwrap_or_else(restricted),
    });
    let policy = spec.image_pull_policy.as_deref().filter(|policy| POLICIES.contains(policy));
    put(&mut container, "imagePullPolicy", json!(policy.or(wanted.config.pull_policy.as_deref())));
    put(&mut container, "volumeMounts", Value::Array(volume_mounts));
    let talks = account.as_ref().is_some_and(|(_, account)| account.talks);
    let mut pod = json!({"automountServiceAccountToken": talks, "containers": [container]});
    put(&mut pod, "serviceAccountName", json!(account.map(|(name, _)| name)));
    put(&mut pod, "volumes", Value::Array(volumes));
    put(&mut pod, "nodeSelector", json!(delta.node_selector));
    put(&mut pod, "tolerations", json!(delta.tolerations));
    put(&mut pod, "affinity", json!(delta.affinity));
    put(&mut pod, "imagePullSecrets", json!(delta.image_pull_secrets));
    put(&mut pod, "topologySpreadConstraints", json!(delta.topology_spread_constraints));
    put(&mut pod, "priorityClassName", json!(delta.priority_class_name));
    put(&mut pod, "securityContext", json!(spec.security_context));
    let mut metadata = json!({});
    put(&mut metadata, "labels", json!(delta.labels));
    put(&mut metadata, "annotations", json!(delta.annotations));
    let mut template = json!({"spec": pod});
    put(&mut template, "metadata", metadata);
    template
}

/// What Kubernetes knows as a pull policy.
const POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];

/// Sets a field to what is not empty.
fn put(object: &mut Value, field: &str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    };
    if !empty {
        object[field] = value;
    }
}

fn image(wanted: &Wanted<'_>) -> String {
    match wanted.subject.spec.image() {
        Image::Named(image) => image,
        Image::Own | Image::OwnInsteadOf(_) => wanted.config.image.clone(),
    }
}

/// What an ordinary cluster takes: the watcher has it in memory, the others do not.
fn resources(part: &str) -> Value {
    let limit = if part == "watch" { "512Mi" } else { "256Mi" };
    json!({"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": limit}})
}

/// What every namespace admits.
fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "capabilities": {"drop": ["ALL"]},
        "runAsNonRoot": true,
        "seccompProfile": {"type": "RuntimeDefault"},
    })
}

fn files(wanted: &Wanted<'_>, mounts: &Mounts) -> (Vec<Value>, Vec<Value>) {
    let mut volumes = Vec::new();
    let mut volume_mounts = Vec::new();
    if mounts.kubeconfig {
        let secret = json!({"secretName": wanted.subject.object(KUBECONFIG_SECRET)});
        volumes.push(json!({"name": KUBECONFIG, "secret": secret}));
        volume_mounts.push(json!({"name": KUBECONFIG, "mountPath": watch::KUBECONFIG_DIR, "readOnly": true}));
    }
    if mounts.prompts {
        volumes.push(json!({"name": "prompts", "projected": {"sources": prompts::sources(wanted)}}));
        volume_mounts.push(json!({"name": "prompts", "mountPath": prompts::DIR, "readOnly": true}));
    }
    (volumes, volume_mounts)
}
