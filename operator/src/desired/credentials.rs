//! The transport's credentials: files of the sidecar, and of nothing else.

use asya_resources::EnvVar;
use serde_json::{Value, json};

use super::{
    lists::{items, name},
    names::{GATEWAY_VOLUME, TRANSPORT_DIR, TRANSPORT_VOLUME},
};
use crate::settings::{SecretKey, transports::Credentials};

/// Read by any user: the sidecar's is not known, and no other container mounts the volume.
const READABLE: u32 = 0o444;

/// Each key with the variable that names its file, and the file.
fn files(credentials: &Credentials) -> Vec<(&'static str, &'static str, &SecretKey)> {
    match credentials {
        Credentials::None => Vec::new(),
        // The full address is left to KEDA: host, vhost and TLS are in the sidecar's environment, and two sources
        // for them could disagree.
        Credentials::Rabbitmq { username, password, .. } => username
            .iter()
            .map(|key| ("ASYA_RABBITMQ_USERNAME_FILE", "username", key))
            .chain([("ASYA_RABBITMQ_PASSWORD_FILE", "password", password)])
            .collect(),
        Credentials::Sqs { access_key_id, secret_access_key } => vec![
            ("ASYA_SQS_ACCESS_KEY_ID_FILE", "access-key-id", access_key_id),
            ("ASYA_SQS_SECRET_ACCESS_KEY_FILE", "secret-access-key", secret_access_key),
        ],
    }
}

/// What tells the sidecar where the files are.
pub fn env(credentials: &Credentials) -> Vec<EnvVar> {
    let var = |(var, file, _): (&str, &str, _)| EnvVar::plain(var, format!("{TRANSPORT_DIR}/{file}"));
    files(credentials).into_iter().map(var).collect()
}

/// The volume, if there are credentials.
pub fn volume(credentials: &Credentials) -> Option<Value> {
    let files = files(credentials);
    let (_, _, first) = files.first()?;
    let item = |file: &str, key: &SecretKey| json!({"key": key.key, "path": file});
    if files.iter().all(|(_, _, key)| key.name == first.name) {
        let items: Vec<_> = files.iter().map(|(_, file, key)| item(file, key)).collect();
        return Some(json!({
            "name": TRANSPORT_VOLUME,
            "secret": {"secretName": first.name, "defaultMode": READABLE, "items": items},
        }));
    }
    let sources: Vec<_> = files
        .iter()
        .map(|(_, file, key)| json!({"secret": {"name": key.name, "items": [item(file, key)]}}))
        .collect();
    Some(json!({"name": TRANSPORT_VOLUME, "projected": {"defaultMode": READABLE, "sources": sources}}))
}

/// Where a pod shows one of the Secrets to the user's containers.
pub fn exposed(credentials: &Credentials, pod: &Value) -> Vec<String> {
    let secrets: Vec<_> = files(credentials).into_iter().map(|(_, _, key)| key.name.as_str()).collect();
    let ours =
        |value: Option<&Value>| value.and_then(Value::as_str).is_some_and(|name| secrets.contains(&name));
    let mut places = Vec::new();
    for volume in items(pod, "volumes") {
        let projected = volume.get("projected").unwrap_or(&Value::Null);
        if ours(volume.pointer("/secret/secretName"))
            || items(projected, "sources").any(|source| ours(source.pointer("/secret/name")))
        {
            places.push(format!("volume {}", name(volume)));
        }
    }
    for container in items(pod, "containers").chain(items(pod, "initContainers")) {
        for var in items(container, "env") {
            if ours(var.pointer("/valueFrom/secretKeyRef/name")) {
                places.push(format!("variable {} of container {}", name(var), name(container)));
            }
        }
        if items(container, "envFrom").any(|source| ours(source.pointer("/secretRef/name"))) {
            places.push(format!("envFrom of container {}", name(container)));
        }
    }
    places
}

/// Where a container of the user's mounts a volume that the operator adds for the sidecar alone. Which of them are added
/// depends on settings that may change while the pod runs, so that no name of theirs is free.
pub fn mounted(pod: &Value) -> Vec<String> {
    let mut places = Vec::new();
    for container in items(pod, "containers").chain(items(pod, "initContainers")) {
        let mounts = items(container, "volumeMounts").map(name);
        let ours = mounts.filter(|volume| [TRANSPORT_VOLUME, GATEWAY_VOLUME].contains(volume));
        places.extend(ours.map(|volume| format!("the mount of {volume} in container {}", name(container))));
    }
    places
}
