//! The JSON schema of a manifest, for editors and for [`check`](crate::check()): stricter than the CRD where a pod
//! template is concerned, because an environment is read here.

use serde_json::{Map, Value, json};

use super::spec;
use crate::{API_VERSION, KIND};

/// The schema as a document of its own.
pub fn schema() -> Value {
    let mut spec = spec();
    let env = spec["properties"]["env"].clone();
    for list in ["containers", "initContainers"] {
        let pod = &mut spec["properties"]["workload"]["properties"]["template"]["properties"]["spec"];
        let container = &mut pod["properties"][list]["items"]["properties"];
        container["env"]["items"] = env["items"].clone();
    }
    close(&mut spec);
    let labels = |what: &str| json!({ "type": "object", "description": what, "additionalProperties": { "type": "string" } });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": KIND,
        "description": "A Python handler with a queue in front of it, scaled by the queue's depth.",
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": { "type": "string", "enum": [API_VERSION] },
            "kind": { "type": "string", "enum": [KIND] },
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": { "type": "string", "description": "Name of the actor: what routes call it." },
                    "namespace": { "type": "string", "description": "Namespace that it lives in." },
                    "labels": labels("Labels of the actor itself. The pods have theirs in workload.template."),
                    "annotations": labels("Annotations of the actor itself."),
                },
            },
            "spec": spec,
            "status": { "type": "object", "description": "What the operator says about the actor." },
        },
    })
}

/// From the API server's dialect to what editors know.
fn close(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    let open = node.remove("x-kubernetes-preserve-unknown-fields").is_some();
    if node.contains_key("properties") && !open && !node.contains_key("additionalProperties") {
        node.insert("additionalProperties".to_owned(), json!(false));
    }
    if node.remove("x-kubernetes-int-or-string").is_some() {
        let mut take = |kind: &str, keys: &[&str]| {
            let mut part = Map::from_iter([("type".to_owned(), json!(kind))]);
            part.extend(keys.iter().filter_map(|key| Some(((*key).to_owned(), node.remove(*key)?))));
            Value::Object(part)
        };
        let forms =
            json!([take("integer", &["minimum", "maximum"]), take("string", &["pattern", "maxLength"]),]);
        node.insert("anyOf".to_owned(), forms);
    }
    for child in
        node.get_mut("properties").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
    {
        close(child);
    }
    for child in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(child) {
            close(child);
        }
    }
}
