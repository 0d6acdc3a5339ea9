//! `get`: one object.

use asya_analysis::Object;
use asya_cluster::look::{Error, object};
use serde_json::{Map, Value, json};

use super::Call;
use crate::{hide::hide, kube::answer::ANSWER};

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
    let mut shown = hidden(object).shown();
    if let Some(metadata) = shown.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.retain(|name, _| !NOISE.contains(&name.as_str()));
    }
    shown
}

/// The object without what agents look for, too: found in the YAML that is made of it, it would be whole lines. First of all,
/// for JSON in its texts can be read as long as nothing was taken out of them.
fn hidden(object: Object) -> Object {
    let mut value = object.value().clone();
    for (name, field) in value.as_object_mut().into_iter().flatten() {
        match (name.as_str(), field) {
            ("apiVersion" | "kind", _) => {}
            // What says which object it is may look random.
            ("metadata", Value::Object(metadata)) => {
                let told =
                    metadata.iter_mut().filter(|(name, _)| matches!(name.as_str(), "labels" | "annotations"));
                told.for_each(|(_, field)| hide(field));
            }
            (_, field) => hide(field),
        }
    }
    Object::new(value).unwrap_or(object)
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
    fn no_secret_is_left_and_what_names_one_stays() {
        let env =
            json!([{"name": "A_TOKEN", "value": "hunter2"}, {"name": "TOKEN_FILE", "value": "/run/token"}]);
        let applied = json!({"spec": {"env": env}, "pin_token": 1234}).to_string();
        let object = Object::new(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": applied, "tool/last-applied": applied,
                "values": "db:\n  password: |\n    hunter2\n  port: 5432\n"}},
            "spec": {"automountServiceAccountToken": true, "tokenExpirationSeconds": 86400, "secretName": "web-tls",
                "passwordSecretRef": "db", "serviceAccountToken": {"expirationSeconds": 3607},
                "args": ["--PassWord=hunter2", "--api-key", "hunter2", "--level=debug"], "env": env,
                "stripe": "sk_live_hunter2hunter2hunter2", "password": {"value": "a"}},
        }));
        let shown = shown(object.unwrap());
        let yaml = serde_saphyr::to_string(&shown).unwrap();
        assert!(!yaml.contains("hunter2") && !yaml.contains("1234"), "{yaml}");
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), shown);
        for field in
            ["automountServiceAccountToken", "tokenExpirationSeconds", "secretName", "passwordSecretRef"]
        {
            assert_ne!(shown["spec"][field], "***", "{field}");
        }
        assert_eq!(shown["spec"]["env"][1]["value"], "/run/token");
        assert_eq!(shown["metadata"]["annotations"]["values"], "db:\n  password: '***'\n  port: 5432\n");
        // And an agent that looks at it again finds nothing, and no line is lost.
        assert_eq!(crate::hide::text(&yaml), yaml);
        let answer = json!({"text": yaml}).to_string();
        assert_eq!(crate::hide::text(&answer), answer);
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
