//! The ConfigMaps with the Python runtime.

use std::fmt::Write as _;

use k8s_openapi::ByteString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    lists::items,
    names::{MANAGED_BY_LABEL, MANAGER, RUNTIME_KEY, RUNTIME_VOLUME},
};

/// The documented name: the newest runtime, for people and for other tools.
pub const ALIAS: &str = "asya-runtime";
/// Bytes of the file's hash that are part of a name: no two versions of one file meet, and the name stays short.
const HASH_BYTES: usize = 6;
/// Most bytes of a file, after encoding: what the API server takes as one object, less metadata with the owner
/// references of some thousand actors.
const MAX_BYTES: usize = 768 * 1024;

/// What stands before the words of [`Features`] in a file of ours, in a comment.
const MARK: &[u8] = b"asya-runtime-features:";
/// Most bytes of a line with them.
const MARK_LINE: usize = 200;

/// What a runtime can do beside running handlers. Runtimes of others, such as the Go system's, say nothing of it: what
/// they do not know as an argument would start them a second time in the same container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `--probe` and `--probe live` ask the runtime that runs.
    pub probe: bool,
    /// It ends with 0 when the sidecar tells it to.
    pub shutdown: bool,
}

impl Features {
    /// Of the runtime that is delivered with this operator.
    pub const OURS: Self = Self { probe: true, shutdown: true };

    /// What the file says of itself.
    pub fn of(file: &[u8]) -> Self {
        let Some(at) = file.windows(MARK.len()).position(|window| window == MARK) else {
            return Self::default();
        };
        let rest = &file[at + MARK.len()..];
        let line = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let words: Vec<_> = line[..line.len().min(MARK_LINE)].split(u8::is_ascii_whitespace).collect();
        Self {
            probe: words.contains(&b"probe".as_slice()),
            shutdown: words.contains(&b"shutdown".as_slice()),
        }
    }
}

/// An actor that uses the runtime.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    /// Its uid.
    pub uid: String,
    /// Its name.
    pub name: String,
}

/// Name of the ConfigMap with this file.
pub fn name(file: &[u8]) -> String {
    let digest = Sha256::digest(file);
    digest[..HASH_BYTES].iter().fold(format!("{ALIAS}-"), |mut name, byte| {
        // Writing to a String cannot fail.
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// Name of the ConfigMap that a pod template takes the runtime from.
pub fn used_by(template: &Value) -> Option<&str> {
    let pod = template.get("spec")?;
    let volume = items(pod, "volumes").find(|volume| volume["name"] == RUNTIME_VOLUME)?;
    volume.pointer("/configMap/name")?.as_str()
}

/// The immutable ConfigMap of one version. Its owners are all actors of the namespace, written as a whole by the one
/// reconciler of the namespace: an apply by each actor would take the others' away.
///
/// # Errors
/// A sentence: the file is too large for an object.
pub fn versioned(namespace: &str, file: &[u8], users: &[User]) -> Result<Value, String> {
    let mut users = users.to_vec();
    users.sort();
    let owners: Vec<_> = users
        .iter()
        .map(|user| {
            json!({
                "apiVersion": asya_resources::API_VERSION,
                "kind": asya_resources::KIND,
                "name": user.name,
                "uid": user.uid,
            })
        })
        .collect();
    let mut map = config_map(namespace, &name(file), file)?;
    map["immutable"] = json!(true);
    if !owners.is_empty() {
        map["metadata"]["ownerReferences"] = json!(owners);
    }
    Ok(map)
}

/// The ConfigMap of the documented name, which nobody owns.
///
/// # Errors
/// A sentence: the file is too large for an object.
pub fn alias(namespace: &str, file: &[u8]) -> Result<Value, String> {
    config_map(namespace, ALIAS, file)
}

/// Name of the ConfigMap of the operator's namespace that keeps a fetched file with this SHA-256 (hexadecimal). It is no
/// version of that namespace's actors, and not collected as one.
pub fn kept_name(sha256: &str) -> String {
    format!("asya-operator-runtime-{}", sha256.get(..2 * HASH_BYTES).unwrap_or(sha256))
}

/// The ConfigMap of this name, for the operator itself.
///
/// # Errors
/// A sentence: the file is too large for an object.
pub fn kept(namespace: &str, name: &str, file: &[u8]) -> Result<Value, String> {
    let mut map = config_map(namespace, name, file)?;
    map["immutable"] = json!(true);
    Ok(map)
}

fn config_map(namespace: &str, name: &str, file: &[u8]) -> Result<Value, String> {
    let mut map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/name": ALIAS,
                "app.kubernetes.io/component": ALIAS,
                "app.kubernetes.io/part-of": "asya",
                MANAGED_BY_LABEL: MANAGER,
            },
        },
    });
    // A zipapp may begin as text; what is not text as a whole is kept as bytes.
    let bytes = match std::str::from_utf8(file) {
        Ok(text) => {
            map["data"] = json!({RUNTIME_KEY: text});
            text.len()
        }
        Err(_) => {
            map["binaryData"] = json!({RUNTIME_KEY: ByteString(file.to_vec())});
            file.len().div_ceil(3) * 4
        }
    };
    if bytes > MAX_BYTES {
        return Err(format!("the runtime ConfigMap {name} would hold {bytes} bytes, more than {MAX_BYTES}"));
    }
    Ok(map)
}
