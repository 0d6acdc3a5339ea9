//! `get`: one object.

use asya_analysis::Object;
use asya_cluster::look::{Error, object};
use serde_json::{Map, Value, json};

use super::Call;
use crate::kube::answer::ANSWER;

/// What says nothing of what an object is or how it is.
const NOISE: [&str; 4] = ["managedFields", "uid", "resourceVersion", "generation"];

impl Call<'_> {
    pub(super) async fn get(&self) -> Result<Value, Error> {
        let served = self.kind().await?;
        let name = self.arguments.name()?;
        let object = object::object(&self.api, &served, self.namespace(), name).await?;
        let fits = |object: &Value| object.to_string().len() <= ANSWER;
        match object::fitting(shown(object), fits) {
            Ok((object, None)) => Ok(json!({"object": object})),
            Ok((object, Some(longest))) => Ok(json!({
                "object": object, "truncated": true,
                "next": format!("texts were shortened to {longest} characters"),
            })),
            Err(_) => Err(Error::Argument {
                field: String::new(),
                reason: format!(
                    "{} {name} is too large to be answered as a whole: use describe",
                    served.kind
                ),
            }),
        }
    }
}

/// The object without noise and without what looks like a secret; of a Secret its name, type and keys.
pub(super) fn shown(object: Object) -> Value {
    if object.value()["kind"] == "Secret" && object.value()["apiVersion"] == "v1" {
        return names_and_keys(&object);
    }
    let mut shown = object.shown();
    if let Some(metadata) = shown.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !NOISE.contains(&name.as_str()));
    }
    shown
}

fn names_and_keys(object: &Object) -> Value {
    let value = object.value();
    let keys = ["data", "stringData"].into_iter().filter_map(|field| value[field].as_object());
    let keys: Vec<&String> = keys.flat_map(Map::keys).collect();
    let mut metadata = Map::new();
    for field in ["name", "namespace", "creationTimestamp", "deletionTimestamp", "ownerReferences"] {
        if let Some(told) = value["metadata"].get(field) {
            metadata.insert(field.to_owned(), told.clone());
        }
    }
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": value["type"], "keys": keys})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn of_a_secret_there_are_names_and_keys() {
        let secret = Object::new(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
            "metadata": {"name": "db", "namespace": "shop", "labels": {"a": "hunter2"}, "annotations": {"b": "hunter2"}},
            "data": {"password": "aHVudGVyMg==", "user": "aHVudGVyMg=="}, "stringData": {"more": "hunter2"},
        }));
        assert_eq!(
            shown(secret.unwrap()),
            json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {"name": "db", "namespace": "shop"}, "keys": ["password", "user", "more"]})
        );
    }

    #[test]
    fn of_others_noise_goes() {
        let map = Object::new(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"port": "80"}, "metadata": {
            "name": "m", "uid": "5f1b1f0c-2d6b-4c35-8c19-0b7d3f6a9e11", "resourceVersion": "7",
            "managedFields": [{"time": "2026-01-01T00:00:00Z"}]}}),
        );
        let expected = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"port": "80"}, "metadata": {"name": "m"}});
        assert_eq!(shown(map.unwrap()), expected);
    }
}
