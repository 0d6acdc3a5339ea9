//! An object as the API server tells it, without what no analyzer may carry about.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::kind::GroupKind;

/// Holds whole objects, Secrets too, as `kubectl apply` sent them.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Which object: kind, namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its kind.
    #[serde(flatten)]
    pub kind: GroupKind,
    /// Its namespace; none for what belongs to the cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// The object `name` of `K`, in `namespace` unless it belongs to the cluster.
    #[must_use]
    pub fn of<K: k8s_openapi::Resource>(namespace: Option<&str>, name: &str) -> Self {
        Self { kind: GroupKind::of::<K>(), namespace: namespace.map(str::to_owned), name: name.to_owned() }
    }

    /// `namespace/name`, or the name alone.
    #[must_use]
    pub fn path(&self) -> String {
        self.namespace
            .as_ref()
            .map_or_else(|| self.name.clone(), |namespace| format!("{namespace}/{}", self.name))
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.path())
    }
}

/// An object that is not what its kind says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object} is not a {expected}: {reason}")]
pub struct Malformed {
    /// The object.
    pub object: String,
    /// The kind that was expected.
    pub expected: &'static str,
    /// What the parser said; names fields, never values of a Secret.
    pub reason: String,
}

/// An object of the cluster. Made only by [`Object::new`], which takes out what must not travel: the values of a Secret
/// (its keys stay), the managed fields but for the time of the last change, and the annotation in which kubectl keeps a copy of the whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Object(Value);

impl Object {
    /// Takes an object as the API server tells it; `apiVersion`, `kind` and `metadata.name` must be there.
    ///
    /// # Errors
    /// [`Malformed`] without one of these.
    pub fn new(mut value: Value) -> Result<Self, Malformed> {
        for pointer in ["/apiVersion", "/kind", "/metadata/name"] {
            if value.pointer(pointer).and_then(Value::as_str).is_none_or(str::is_empty) {
                let reason = format!("{} is missing", pointer.trim_start_matches('/').replace('/', "."));
                return Err(Malformed {
                    object: "what was given".to_owned(),
                    expected: "Kubernetes object",
                    reason,
                });
            }
        }
        if let Some(metadata) = value.pointer_mut("/metadata").and_then(Value::as_object_mut) {
            let changed = metadata.remove("managedFields").as_ref().and_then(last_change);
            if let Some(time) = changed {
                metadata.insert("managedFields".to_owned(), serde_json::json!([{"time": time}]));
            }
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.remove(LAST_APPLIED);
            }
        }
        if value["kind"] == "Secret" && value["apiVersion"] == "v1" {
            for field in ["data", "stringData"] {
                if let Some(data) = value.get_mut(field).and_then(Value::as_object_mut) {
                    data.values_mut().for_each(|value| *value = Value::String(String::new()));
                }
            }
        }
        Ok(Self(value))
    }

    /// The object as JSON, to be changed.
    pub(crate) fn into_value(self) -> Value {
        self.0
    }

    /// What [`Object::new`] has seen already.
    pub(crate) const fn parsed(value: Value) -> Self {
        Self(value)
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> GroupKind {
        GroupKind::named(self.text("/apiVersion").unwrap_or_default(), self.text("/kind").unwrap_or_default())
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name").unwrap_or_default()
    }

    /// Its namespace; none for what belongs to the cluster.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.text("/metadata/namespace").filter(|namespace| !namespace.is_empty())
    }

    /// What tells it from an object of the same name before or after it.
    #[must_use]
    pub fn uid(&self) -> Option<&str> {
        self.text("/metadata/uid")
    }

    /// The version of the object that this is.
    #[must_use]
    pub fn resource_version(&self) -> Option<&str> {
        self.text("/metadata/resourceVersion")
    }

    /// Which object this is.
    #[must_use]
    pub fn reference(&self) -> ObjectRef {
        ObjectRef {
            kind: self.kind(),
            namespace: self.namespace().map(str::to_owned),
            name: self.name().to_owned(),
        }
    }

    /// Its labels, ordered.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.map("/metadata/labels")
    }

    /// Its annotations, ordered.
    #[must_use]
    pub fn annotations(&self) -> BTreeMap<String, String> {
        self.map("/metadata/annotations")
    }

    /// Who owns it; empty if nobody does or the list cannot be read.
    #[must_use]
    pub fn owners(&self) -> Vec<OwnerReference> {
        let owners = self.0.pointer("/metadata/ownerReferences").cloned().unwrap_or_default();
        serde_json::from_value(owners).unwrap_or_default()
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        self.text("/metadata/creationTimestamp")?.parse().ok()
    }

    /// When its deletion was asked for, if it was.
    #[must_use]
    pub fn deleted(&self) -> Option<Timestamp> {
        self.text("/metadata/deletionTimestamp")?.parse().ok()
    }

    /// When it was last changed, without what its controller writes into the status; none if the API server does not say.
    #[must_use]
    pub fn changed(&self) -> Option<Timestamp> {
        self.text("/metadata/managedFields/0/time")?.parse().ok()
    }

    /// The string at `pointer` (RFC 6901).
    #[must_use]
    pub fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer)?.as_str()
    }

    /// The object as JSON.
    #[must_use]
    pub const fn value(&self) -> &Value {
        &self.0
    }

    /// The object as the type of its kind.
    ///
    /// # Errors
    /// [`Malformed`] if it is of another kind or its fields are not what the kind says.
    pub fn typed<K: k8s_openapi::Resource + DeserializeOwned>(&self) -> Result<K, Malformed> {
        K::deserialize(&self.0).map_err(|error| Malformed {
            object: self.reference().to_string(),
            expected: K::KIND,
            reason: error.to_string(),
        })
    }

    fn map(&self, pointer: &str) -> BTreeMap<String, String> {
        let Some(Value::Object(map)) = self.0.pointer(pointer) else { return BTreeMap::new() };
        map.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
    }
}

/// The latest time in managed fields other than those of a subresource, as text.
fn last_change(managed: &Value) -> Option<String> {
    let entries = managed.as_array().into_iter().flatten();
    let own =
        entries.filter(|entry| entry.get("subresource").and_then(Value::as_str).is_none_or(str::is_empty));
    let times = own.filter_map(|entry| entry.get("time")?.as_str());
    times.max_by_key(|time| time.parse::<Timestamp>().ok()).map(str::to_owned)
}

impl<'de> Deserialize<'de> for Object {
    /// By way of [`Object::new`]: a Secret in a message loses its values too.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Value::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use k8s_openapi::api::core::v1::{Pod, Secret};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_keeps_its_keys_and_loses_its_values_wherever_they_are() {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": {
            LAST_APPLIED: "{\"data\":{\"password\":\"aHVudGVyMg==\"}}", "kept": "yes"}, "managedFields": [{}]},
            "data": {"password": "aHVudGVyMg=="}, "stringData": {"user": "hunter2"}});
        let object = Object::new(secret.clone()).unwrap();
        let text = serde_json::to_string(&object).unwrap();
        assert!(!text.contains("aHVudGVyMg==") && !text.contains("hunter2"), "{text}");
        assert_eq!(object.annotations()["kept"], "yes");
        assert!(object.typed::<Secret>().unwrap().data.unwrap().contains_key("password"));
        let received: Object = serde_json::from_value(secret).unwrap();
        assert_eq!(received, object, "what comes in a message too");
    }

    #[test]
    fn of_the_managed_fields_the_time_of_the_last_change_stays() {
        let object = Object::new(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "managedFields": [
            {"manager": "kubectl", "time": "2026-01-01T00:00:00Z", "fieldsV1": {"f:spec": {}}},
            {"manager": "helm", "time": "2026-01-02T00:00:00Z"}, {"manager": "old"}, 7,
            {"manager": "kubelet", "time": "2026-01-03T00:00:00Z", "subresource": "status"}]}}),
        )
        .unwrap();
        assert_eq!(object.changed(), "2026-01-02T00:00:00Z".parse().ok(), "not the status's");
        assert!(!serde_json::to_string(&object).unwrap().contains("f:spec"));
        let received: Object = serde_json::from_value(object.value().clone()).unwrap();
        assert_eq!(received, object, "it stays in a message");
        assert!(object.typed::<Pod>().is_ok());
    }

    #[test]
    fn what_is_not_an_object_is_refused_with_the_missing_field() {
        for (value, missing) in [
            (json!({"kind": "Pod", "metadata": {"name": "p"}}), "apiVersion"),
            (json!({"apiVersion": "v1", "metadata": {"name": "p"}}), "kind"),
            (json!({"apiVersion": "v1", "kind": "Pod"}), "metadata.name"),
            (json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": ""}}), "metadata.name"),
            (json!([]), "apiVersion"),
        ] {
            assert!(Object::new(value).unwrap_err().reason.contains(missing));
        }
    }

    #[test]
    fn a_field_of_the_wrong_type_is_named_with_its_object() {
        let object = Object::new(json!({"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "namespace": "shop"}, "spec": {"containers": 7}}))
        .unwrap();
        let error = object.typed::<Pod>().unwrap_err().to_string();
        assert!(error.contains("Pod shop/p"), "{error}");
    }
}
