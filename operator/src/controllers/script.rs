//! The Python runtime that is injected, and the ConfigMaps that carry it.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{actor::FIELD_MANAGER, desired::features::Features};

/// What goes before every reason why there is no runtime: alerts look for it.
pub const CANNOT: &str = "the runtime ConfigMap cannot be made";

/// The documented name, which always holds the newest version.
pub const ALIAS: &str = "asya-runtime";
/// What a version's name begins with.
pub const PREFIX: &str = "asya-runtime-";
/// The documented key.
pub const KEY: &str = "asya_runtime.py";
/// Digits of the hash in a version's name: enough to tell any two versions apart.
const DIGITS: usize = 12;
/// Most bytes, after encoding: what the API server takes as one object, less metadata with the owner references of some
/// thousand actors.
const MOST: usize = 768 * 1024;

/// One version of the runtime.
#[derive(Clone, Debug)]
pub struct Script {
    content: Content,
    name: String,
    features: Features,
}

#[derive(Clone, Debug)]
enum Content {
    Text(String),
    /// A zipapp, as base64.
    Binary(String),
}

impl Script {
    /// Reads the file.
    ///
    /// # Errors
    /// A sentence with the words `runtime ConfigMap`.
    pub fn read(path: &Path) -> Result<Self, String> {
        let bytes =
            std::fs::read(path).map_err(|error| format!("{CANNOT}: reading {}: {error}", path.display()))?;
        Self::of(bytes).map_err(|why| format!("{CANNOT}: {}: {why}", path.display()))
    }

    /// Takes the bytes of a file.
    ///
    /// # Errors
    /// A sentence: it is empty, or larger than an object may be.
    pub fn of(bytes: Vec<u8>) -> Result<Self, String> {
        let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let features = Features::of(&bytes);
        let content = String::from_utf8(bytes)
            .map_or_else(|error| Content::Binary(STANDARD.encode(error.as_bytes())), Content::Text);
        let size = match &content {
            Content::Text(text) | Content::Binary(text) => text.len(),
        };
        if size == 0 || size > MOST {
            return Err(format!("{size} bytes; a runtime has between 1 byte and 768 KiB"));
        }
        Ok(Self { content, name: format!("{PREFIX}{}", &hash[..DIGITS]), features })
    }

    /// Name of this version's ConfigMap.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it can do.
    pub fn features(&self) -> Features {
        self.features
    }

    /// This version, owned by these.
    pub fn versioned(&self, namespace: &str, owners: &[Value]) -> Value {
        let mut object = self.kept(namespace, &self.name);
        if !owners.is_empty() {
            object["metadata"]["ownerReferences"] = json!(owners);
        }
        object
    }

    /// This version under a name of the operator's own, owned by nobody.
    pub fn kept(&self, namespace: &str, name: &str) -> Value {
        let mut object = self.object(namespace, name);
        object["immutable"] = json!(true);
        object
    }

    /// The documented name, owned by nobody.
    pub fn alias(&self, namespace: &str) -> Value {
        self.object(namespace, ALIAS)
    }

    fn object(&self, namespace: &str, name: &str) -> Value {
        let mut object = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {
                    "app.kubernetes.io/name": "asya-runtime",
                    "app.kubernetes.io/component": "asya-runtime",
                    "app.kubernetes.io/part-of": "asya",
                    "app.kubernetes.io/managed-by": FIELD_MANAGER,
                },
            },
        });
        match &self.content {
            Content::Text(text) => object["data"] = json!({ KEY: text }),
            Content::Binary(text) => object["binaryData"] = json!({ KEY: text }),
        }
        object
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_and_a_zipapp_are_carried_each_in_its_way() {
        let script = Script::of(b"print()".to_vec()).unwrap();
        assert_eq!(script.alias("ns")["data"][KEY], "print()");
        let zipapp = Script::of(vec![b'P', b'K', 0xff]).unwrap();
        assert_eq!(zipapp.versioned("ns", &[])["binaryData"][KEY], "UEv/");
        assert_ne!(script.name(), zipapp.name());
    }

    #[test]
    fn a_version_is_immutable_and_has_owners_and_the_documented_name_has_neither() {
        let script = Script::of(b"print()".to_vec()).unwrap();
        let map = script.versioned("ns", &[json!({"uid": "1"})]);
        assert_eq!(map["immutable"], true);
        assert_eq!(map["metadata"]["ownerReferences"], json!([{"uid": "1"}]));
        let alias = script.alias("ns");
        assert!(alias.get("immutable").is_none() && alias["metadata"].get("ownerReferences").is_none());
        assert!(Script::of(vec![b'x'; 1_000_000]).is_err(), "an object has no room for it");
    }

    #[test]
    fn a_missing_runtime_is_said_with_the_words_that_alerts_look_for() {
        let error = Script::read(Path::new("/nowhere/asya_runtime.py")).unwrap_err();
        assert!(error.contains("runtime ConfigMap") && error.contains("/nowhere"), "{error}");
    }
}
