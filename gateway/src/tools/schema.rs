//! Parameters as JSON Schema (draft 2020-12), and arguments with their defaults.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::config::Parameter;

/// The schema of an object with these members.
pub(crate) fn object(parameters: &BTreeMap<String, Parameter>, strict: bool) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    let properties: Map<_, _> =
        parameters.iter().map(|(name, parameter)| (name.clone(), value(parameter, strict))).collect();
    schema.insert("properties".to_owned(), properties.into());
    let required: Vec<_> = parameters
        .iter()
        .filter(|(_, parameter)| parameter.required && parameter.default.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if strict {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
    schema
}

fn value(parameter: &Parameter, strict: bool) -> Value {
    let mut schema = if parameter.properties.is_empty() {
        Map::from_iter([("type".to_owned(), json!(parameter.kind.as_str()))])
    } else {
        object(&parameter.properties, strict)
    };
    if !parameter.description.is_empty() {
        schema.insert("description".to_owned(), json!(parameter.description));
    }
    if let Some(default) = &parameter.default {
        schema.insert("default".to_owned(), default.clone());
    }
    if !parameter.options.is_empty() {
        schema.insert("enum".to_owned(), json!(parameter.options));
    }
    if let Some(items) = &parameter.items {
        schema.insert("items".to_owned(), value(items, strict));
    }
    schema.into()
}

/// Puts defaults where arguments are missing, inside of objects and arrays too.
pub(crate) fn apply_defaults(parameters: &BTreeMap<String, Parameter>, arguments: &mut Map<String, Value>) {
    for (name, parameter) in parameters {
        match arguments.get_mut(name) {
            Some(given) => fill(parameter, given),
            None => {
                if let Some(default) = &parameter.default {
                    arguments.insert(name.clone(), default.clone());
                }
            }
        }
    }
}

fn fill(parameter: &Parameter, given: &mut Value) {
    match given {
        Value::Object(members) => apply_defaults(&parameter.properties, members),
        Value::Array(values) => {
            if let Some(items) = &parameter.items {
                values.iter_mut().for_each(|value| fill(items, value));
            }
        }
        _ => {}
    }
}
