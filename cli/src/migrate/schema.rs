//! Values against the schema of a chart: the part of JSON schema that our charts use.

use asya_resources::Step;
use serde_json::Value;

/// Every place where values differ from a schema, and how.
pub(super) fn differences(values: &Value, schema: &Value) -> Vec<(Vec<Step>, String)> {
    let mut found = Vec::new();
    look(values, schema, schema, &mut Vec::new(), &mut found);
    found
}

fn look(
    value: &Value,
    schema: &Value,
    root: &Value,
    path: &mut Vec<Step>,
    found: &mut Vec<(Vec<Step>, String)>,
) {
    if let Some(target) = schema["$ref"].as_str() {
        let target = root.pointer(target.trim_start_matches('#')).unwrap_or(&Value::Null);
        return look(value, target, root, path, found);
    }
    if value.is_null() {
        // Helm takes null for "the chart's default, deleted".
        return;
    }
    if let Some(forms) = schema["anyOf"].as_array() {
        if !forms.iter().any(|form| fits(value, form, root)) {
            found.push((path.clone(), format!("{value} is not of a form that the chart takes")));
        }
        return;
    }
    if let Some(words) = schema["enum"].as_array()
        && !words.contains(value)
    {
        let words: Vec<_> = words.iter().map(ToString::to_string).collect();
        found.push((path.clone(), format!("must be one of {}, not {value}", words.join(", "))));
        return;
    }
    if !is_typed(value, &schema["type"]) {
        found.push((path.clone(), format!("must be of type {}, not {value}", schema["type"])));
        return;
    }
    let below = |value: &Value, edge: &str, ok: fn(f64, f64) -> bool| {
        value.as_f64().zip(schema[edge].as_f64()).is_none_or(|(value, bound)| ok(value, bound))
    };
    if !below(value, "minimum", |value, bound| value >= bound)
        || !below(value, "maximum", |value, bound| value <= bound)
    {
        found.push((path.clone(), format!("{value} is out of bounds")));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        path.push(Step::Index(index));
        look(item, &schema["items"], root, path, found);
        path.pop();
    }
    for (key, member) in value.as_object().into_iter().flatten() {
        path.push(Step::Key(key.clone()));
        match (schema["properties"].get(key), &schema["additionalProperties"]) {
            (Some(known), _) => look(member, known, root, path, found),
            (None, Value::Bool(false)) => {
                found.push((path.clone(), "is no value of this chart: helm refuses it".to_owned()));
            }
            (None, others) => look(member, others, root, path, found),
        }
        path.pop();
    }
}

fn fits(value: &Value, schema: &Value, root: &Value) -> bool {
    let mut found = Vec::new();
    look(value, schema, root, &mut Vec::new(), &mut found);
    found.is_empty()
}

fn is_typed(value: &Value, wanted: &Value) -> bool {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        _ => true,
    };
    match wanted {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}
