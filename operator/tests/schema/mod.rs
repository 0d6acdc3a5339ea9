//! The schemas of CRDs as an API server applies them, as far as KEDA's use them: types, required and unknown fields,
//! enumerations, lengths, patterns are left to the server.

use std::{collections::BTreeMap, env, fs};

use serde_json::{Map, Value};

/// Schemas by kind.
pub(crate) struct Schemas(BTreeMap<String, Value>);

impl Schemas {
    /// Those of the KEDA that `ASYA_TEST_KEDA_CRDS` names; `None` = there is none here.
    pub(crate) fn of_keda() -> Option<Self> {
        let folder = env::var_os("ASYA_TEST_KEDA_CRDS")?;
        let mut schemas = BTreeMap::new();
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            for crd in serde_saphyr::from_multiple::<Value>(&fs::read_to_string(path).unwrap()).unwrap() {
                let Some(kind) = crd["spec"]["names"]["kind"].as_str() else { continue };
                let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
                schemas.insert(kind.to_owned(), schema.clone());
            }
        }
        assert!(schemas.contains_key("ScaledObject"), "no CRD of KEDA is in ASYA_TEST_KEDA_CRDS");
        Some(Self(schemas))
    }

    /// What a server would say against an object; nothing for kinds that are not KEDA's.
    pub(crate) fn problems(&self, object: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        if let Some(schema) = object["kind"].as_str().and_then(|kind| self.0.get(kind)) {
            let mut object = object.clone();
            // The server knows metadata by itself.
            object.as_object_mut().unwrap().remove("metadata");
            check("", schema, &object, &mut problems);
        }
        problems
    }
}

fn check(at: &str, schema: &Value, value: &Value, problems: &mut Vec<String>) {
    let mut wrong = |what: String| problems.push(format!("{at}: {what}"));
    if schema["x-kubernetes-int-or-string"] == true {
        if !value.is_string() && !value.is_i64() {
            wrong("neither a number nor a text".to_owned());
        }
        return;
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        _ => true,
    };
    if !fits {
        return wrong(format!("{value} is not of type {}", schema["type"]));
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        wrong(format!("{value} is none of {}", schema["enum"]));
    }
    if let Some(least) = schema["minimum"].as_f64()
        && value.as_f64().is_some_and(|value| value < least)
    {
        wrong(format!("{value} is below {least}"));
    }
    match value {
        Value::Object(fields) => object(at, schema, fields, problems),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                check(&format!("{at}[{index}]"), &schema["items"], item, problems);
            }
        }
        _ => {}
    }
}

fn object(at: &str, schema: &Value, fields: &Map<String, Value>, problems: &mut Vec<String>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(name) {
            problems.push(format!("{at}: {name} is required"));
        }
    }
    for (name, value) in fields {
        let path = format!("{at}.{name}");
        if let Some(schema) = schema["properties"].get(name) {
            check(&path, schema, value, problems);
        } else if schema["additionalProperties"].is_object() {
            check(&path, &schema["additionalProperties"], value, problems);
        } else if schema["x-kubernetes-preserve-unknown-fields"] != true {
            problems.push(format!("{path}: there is no such field"));
        }
    }
}
