//! One `K8sGPT`, read.

use asya_resources::k8sgpt::{self, FINALIZER, K8sGpt, K8sGptSpec, K8sGptStatus, label_value};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::FIELD_MANAGER;
use crate::{actor::Stored, controllers::work::Key};

/// Longest beginning of the names of a `K8sGPT`'s objects: `-findings` fits behind it into a label of DNS.
const MAX_BASE: usize = 48;

/// What a `K8sGPT` is called on the API server.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk(k8sgpt::GROUP, "v1alpha1", k8sgpt::KIND),
        "k8sgpts",
    )
}

/// One `K8sGPT`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid; owner references need it.
    pub uid: String,
    /// The generation of the spec that was read.
    pub generation: i64,
    /// What is wanted.
    pub spec: K8sGptSpec,
    /// What was said about it last.
    pub status: K8sGptStatus,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether its deletion waits for us.
    pub finalizer: bool,
    /// Somebody else who writes its status: the field manager.
    pub writer: Option<String>,
}

impl Subject {
    /// Reads what the API server keeps.
    ///
    /// # Errors
    /// Where a field has another type than the CRD says.
    pub fn read(stored: &Stored) -> Result<Self, String> {
        let metadata = &stored.metadata;
        let (namespace, name) = key(metadata);
        let object = json!({
            "apiVersion": k8sgpt::API_VERSION,
            "kind": k8sgpt::KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": stored.spec,
        });
        let spec = K8sGpt::read(&object).map_err(|error| format!("spec: {error}"))?.spec;
        Ok(Self {
            name,
            namespace,
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            spec,
            status: K8sGptStatus::read(&json!({"status": stored.status})),
            deleting: metadata.deletion_timestamp.is_some(),
            finalizer: metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FINALIZER),
            writer: foreign_writer(metadata),
        })
    }

    /// Namespace and name.
    pub fn key(&self) -> Key {
        (self.namespace.clone(), self.name.clone())
    }

    /// The owner reference that every object of it in its namespace carries.
    pub fn owner_reference(&self) -> Value {
        json!({
            "apiVersion": k8sgpt::API_VERSION,
            "kind": k8sgpt::KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// How the cluster that it watches is called in messages and tables.
    pub fn cluster(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    /// The name of one of its objects.
    pub fn object(&self, part: &str) -> String {
        format!("{}-{part}", base(&self.name))
    }

    /// The name of one of its objects in other namespaces, or in none: no two `K8sGPT` share one. That of the watcher's
    /// rights has no part.
    pub fn abroad(&self, part: Option<&str>) -> String {
        let name = format!("asya-analysis:{}:{}", self.namespace, self.name);
        part.map_or_else(|| name.clone(), |part| format!("{name}:{part}"))
    }

    /// The value of the label of its objects.
    pub fn label(&self) -> String {
        label_value(&self.name)
    }
}

/// Namespace and name of an object.
pub fn key(metadata: &ObjectMeta) -> Key {
    crate::controllers::live::key(metadata)
}

/// Somebody else who writes the status.
pub fn foreign_writer(metadata: &ObjectMeta) -> Option<String> {
    let writers = metadata.managed_fields.iter().flatten();
    let mut of_status = writers.filter(|entry| entry.subresource.as_deref() == Some("status"));
    of_status.find_map(|entry| entry.manager.clone().filter(|manager| manager != FIELD_MANAGER))
}

/// What the names of a `K8sGPT`'s objects begin with: its name, or where that is no label of DNS or too long, its
/// beginning and a hash.
fn base(name: &str) -> String {
    if name.len() <= MAX_BASE && is_label(name) {
        return name.to_owned();
    }
    let digest = Sha256::digest(name);
    let hash: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let kept: String = name.chars().map(|c| if c == '.' { '-' } else { c }).take(MAX_BASE - 9).collect();
    format!("{}-{hash}", kept.trim_end_matches('-'))
}

/// Whether a text is a label of DNS, as most names in Kubernetes are.
pub fn is_label(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_objects_are_labels_of_dns_and_never_shared() {
        for name in ["k8sgpt-sample", "my.gpt", "a", &"long-".repeat(40)] {
            let base = base(name);
            assert!(is_label(&format!("{base}-findings")), "{base}");
        }
        assert_eq!(base("k8sgpt-sample"), "k8sgpt-sample");
        assert_ne!(base("my.gpt"), base("my-gpt"));
        assert_ne!(base(&format!("{}a", "x".repeat(60))), base(&format!("{}b", "x".repeat(60))));
    }

    #[test]
    fn who_else_writes_the_status_is_seen() {
        let managed = |manager: &str, subresource: &str| {
            let metadata = json!({"managedFields": [
                {"manager": "kubectl", "operation": "Apply"},
                {"manager": manager, "operation": "Update", "subresource": subresource},
            ]});
            foreign_writer(&serde_json::from_value(metadata).unwrap())
        };
        assert_eq!(managed("manager", "status").as_deref(), Some("manager"));
        assert_eq!(managed(FIELD_MANAGER, "status"), None);
        assert_eq!(managed("manager", ""), None);
    }
}
