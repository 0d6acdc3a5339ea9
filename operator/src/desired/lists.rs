//! Lists of named things inside a pod, as JSON.

use asya_resources::EnvVar;
use serde_json::{Map, Value, json};

/// A list of an object, made if it is not there.
pub fn list<'a>(object: &'a mut Map<String, Value>, key: &str) -> &'a mut Vec<Value> {
    let value = object.entry(key).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    match value {
        Value::Array(items) => items,
        _ => unreachable!("made a list above"),
    }
}

/// An object of an object, made if it is not there.
pub fn object<'a>(parent: &'a mut Map<String, Value>, key: &str) -> &'a mut Map<String, Value> {
    let value = parent.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(members) => members,
        _ => unreachable!("made an object above"),
    }
}

/// The items of a list that may not be there.
pub fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// The name of a named thing.
pub fn name(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// An environment in which each name stands once: the last one wins and keeps its place, so that what refers to an
/// earlier variable still does. Server-side apply refuses a list with a name twice.
pub fn unique(env: Vec<EnvVar>) -> Vec<EnvVar> {
    let last = |index: usize, name: &str| !env[index + 1..].iter().any(|later| later.name == name);
    let keep: Vec<bool> = env.iter().enumerate().map(|(index, var)| last(index, &var.name)).collect();
    env.into_iter().zip(keep).filter_map(|(var, keep)| keep.then_some(var)).collect()
}

/// Writes an environment.
pub fn env_json(env: &[EnvVar]) -> Value {
    Value::Array(env.iter().map(var_json).collect())
}

fn var_json(var: &EnvVar) -> Value {
    // A variable is text and options: it can always be written.
    serde_json::to_value(var).unwrap_or_default()
}
