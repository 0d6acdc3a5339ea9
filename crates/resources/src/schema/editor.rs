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
    let document = Document {
        api_version: API_VERSION,
        kind: KIND,
        description: "A Python handler with a queue in front of it, scaled by the queue's depth.",
        name: "Name of the actor: what routes call it.",
        labels: "Labels of the actor itself. The pods have theirs in workload.template.",
        annotations: "Annotations of the actor itself.",
        status: "What the operator says about the actor.",
        required: &["apiVersion", "kind", "metadata", "spec"],
    };
    document.schema(spec)
}

/// What the schemas of two kinds differ in, besides their spec.
pub(super) struct Document {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) description: &'static str,
    pub(super) name: &'static str,
    pub(super) labels: &'static str,
    pub(super) annotations: &'static str,
    pub(super) status: &'static str,
    pub(super) required: &'static [&'static str],
}

impl Document {
    /// The schema of a manifest with a spec that is in the API server's dialect.
    pub(super) fn schema(&self, mut spec: Value) -> Value {
        close(&mut spec);
        let Self { api_version, kind, description, name, labels, annotations, status, required } = self;
        let map = |what: &str| json!({ "type": "object", "description": what, "additionalProperties": { "type": "string" } });
        json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "title": kind,
            "description": description,
            "type": "object",
            "required": required,
            "additionalProperties": false,
            "properties": {
                "apiVersion": { "type": "string", "enum": [api_version] },
                "kind": { "type": "string", "enum": [kind] },
                "metadata": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": { "type": "string", "description": name },
                        "namespace": { "type": "string", "description": "Namespace that it lives in." },
                        "labels": map(labels),
                        "annotations": map(annotations),
                    },
                },
                "spec": spec,
                "status": { "type": "object", "description": status },
            },
        })
    }
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
