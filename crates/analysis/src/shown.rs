//! An object as whoever asks may see it.

use serde_json::{Map, Value};

use crate::object::Object;
use crate::scrub::{HIDDEN, is_secret_name, scrub, scrub_value};

/// Fields whose names tell of secrets, and whose values are names.
const NAMES: [&str; 6] =
    ["secretName", "secretRef", "name", "namespace", "tokenName", "kubernetes.io/service-account.name"];

impl Object {
    /// The object without what looks like a secret, wherever it stands: what [`Object::new`] takes out is not there
    /// already, texts are [scrubbed](scrub), and of fields, keys and variables that are called after a secret the value
    /// is `***`. Names of objects stay, so that one can ask for them.
    #[must_use]
    pub fn shown(self) -> Value {
        let mut value = self.into_value();
        if let Some(fields) = value.as_object_mut() {
            for (name, field) in fields.iter_mut() {
                match (name.as_str(), field) {
                    ("apiVersion" | "kind", _) => {}
                    ("metadata", Value::Object(metadata)) => show_metadata(metadata),
                    (_, field) => show(name, field),
                }
            }
        }
        value
    }
}

/// What says which object it is stays as it is: uids and versions look random.
fn show_metadata(metadata: &mut Map<String, Value>) {
    for (name, field) in metadata.iter_mut() {
        match name.as_str() {
            "name" | "generateName" | "namespace" | "uid" | "resourceVersion" | "ownerReferences" => {}
            _ => show(name, field),
        }
    }
}

/// Takes out of a field's value what looks like a secret; `name` is what the field is called.
fn show(name: &str, value: &mut Value) {
    match value {
        Value::String(text) if NAMES.contains(&name) => *text = scrub(text),
        Value::String(text) => *text = scrub_value(name, text),
        Value::Array(items) => {
            // `--password` and its value as two arguments.
            let mut follows = false;
            for item in items {
                let flag = item.as_str().map(str::to_ascii_lowercase);
                match item {
                    Value::String(text) if follows && !text.starts_with('-') => HIDDEN.clone_into(text),
                    item => show(name, item),
                }
                follows = flag.is_some_and(|flag| flag.starts_with('-') && is_secret_name(&flag));
            }
        }
        // Of anything: it is not scrubbed as a text is.
        Value::Object(fields) if name == "binaryData" => {
            fields.values_mut().for_each(|data| *data = Value::String(HIDDEN.to_owned()));
        }
        Value::Object(fields) => {
            // A variable: its name stands beside its value.
            let called = fields.get("name").and_then(Value::as_str).map(str::to_ascii_lowercase);
            if called.is_some_and(|called| is_secret_name(&called))
                && let Some(value @ Value::String(_)) = fields.get_mut("value")
            {
                *value = Value::String(HIDDEN.to_owned());
            }
            for (name, field) in fields.iter_mut() {
                show(name, field);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn shown(value: Value) -> Value {
        Object::new(value).unwrap().shown()
    }

    #[test]
    fn no_secret_is_left_wherever_it_stands() {
        let aws = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let object = shown(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "p", "uid": "5f1b1f0c-2d6b-4c35-8c19-0b7d3f6a9e11", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{\"a\":\"hunter2-a\"}}",
                "team/db-password": "hunter2-b", "note": "postgres://u:hunter2-c@db/x"}},
            "spec": {"containers": [{"name": "c", "args": ["--token", "hunter2-f", "--password=hunter2-d"], "env": [
                {"name": "DB_PASSWORD", "value": "hunter2-e"}, {"name": "LEVEL", "value": "debug"},
                {"name": "KEY", "value": aws},
                {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}],
                "volumes": [{"name": "v", "secret": {"secretName": "db-credentials"}}]},
        }));
        let text = object.to_string();
        assert!(!text.contains("hunter2") && !text.contains(aws), "{text}");
        let container = &object["spec"]["containers"][0];
        assert_eq!(container["env"][1]["value"], "debug");
        assert_eq!(
            container["env"][3]["valueFrom"]["secretKeyRef"],
            json!({"name": "db", "key": "password"})
        );
        assert_eq!(object["spec"]["volumes"][0]["secret"]["secretName"], "db-credentials");
        assert_eq!(object["metadata"]["uid"], "5f1b1f0c-2d6b-4c35-8c19-0b7d3f6a9e11");
    }

    #[test]
    fn of_secrets_the_keys_stay_and_of_config_maps_what_is_harmless() {
        let secret = shown(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
            "data": {"user": "aHVudGVyMg=="}, "stringData": {"password": "hunter2"}}));
        assert_eq!(
            (&secret["data"], &secret["stringData"]),
            (&json!({"user": ""}), &json!({"password": ""}))
        );
        let map = shown(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {
            "app.ini": "level = debug\npassword = hunter2\n", "api-key": "hunter2", "port": "80"},
            "binaryData": {"b": "aHVudGVyMg=="}}));
        assert_eq!(map["binaryData"], json!({"b": "***"}));
        assert_eq!(
            map["data"],
            json!({"app.ini": "level = debug\npassword = ***\n", "api-key": "***", "port": "80"})
        );
    }

    #[test]
    fn odd_shapes_stay_what_they_are() {
        for odd in [json!({"data": 7}), json!({"data": [null, {"value": 7}]}), json!({"spec": {"env": 7}})] {
            let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
            object.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
            assert_eq!(shown(object.clone()), object);
        }
    }
}
