//! Compares a manifest with the JSON schema that is made from the types, in sentences.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use crate::{
    Delay, Problem, Severity, Step, agent,
    agent::tools,
    k8sgpt::{self, schedule, sink, stamp},
    policy::{DELAY_PATTERN, WORKERS_PATTERN},
    quantity::{QUANTITY_PATTERN, is_quantity},
};

/// The same that editors read.
static SCHEMA: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(crate::JSON_SCHEMA).expect("the schema is JSON"));

/// That of a `K8sGPT`.
static ANALYSIS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(k8sgpt::JSON_SCHEMA).expect("the schema is JSON"));

/// That of an `Agent`.
static AGENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(agent::JSON_SCHEMA).expect("the schema is JSON"));

/// Every place where a manifest of an actor differs from the schema.
pub(crate) fn schema(manifest: &Value) -> Vec<Problem> {
    compared(manifest, &SCHEMA)
}

/// Every place where a manifest of a `K8sGPT` differs from the schema.
pub(crate) fn analysis(manifest: &Value) -> Vec<Problem> {
    compared(manifest, &ANALYSIS)
}

/// Every place where a manifest of an `Agent` differs from the schema.
pub(crate) fn agent(manifest: &Value) -> Vec<Problem> {
    compared(manifest, &AGENT)
}

fn compared(manifest: &Value, schema: &Value) -> Vec<Problem> {
    let mut walk = Walk::default();
    walk.value(manifest, schema);
    walk.problems
}

#[derive(Default)]
struct Walk {
    path: Vec<Step>,
    problems: Vec<Problem>,
}

impl Walk {
    fn within(&mut self, step: Step, look: impl FnOnce(&mut Self)) {
        self.path.push(step);
        look(self);
        self.path.pop();
    }

    fn error(&mut self, message: impl Into<String>) {
        self.problems.push(Problem::error(self.path.clone(), message));
    }

    fn value(&mut self, value: &Value, schema: &Value) {
        if let Some(words) = schema["enum"].as_array() {
            if !words.contains(value) {
                let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
                self.error(format!("must be {}, not {}", one_of(&words), shown(value)));
            }
            return;
        }
        if let Some(forms) = schema["anyOf"].as_array() {
            if !forms.iter().any(|form| fits(value, form)) {
                let wanted = schema["errorMessage"].as_str().unwrap_or("has another form");
                self.error(format!("{wanted}, not {}", shown(value)));
            }
            return;
        }
        match schema["type"].as_str().unwrap_or_default() {
            "string" => self.text(value, schema),
            "boolean" if !value.is_boolean() => {
                self.error(format!("must be true or false, not {}", shown(value)));
            }
            "integer" if !is_whole(value) || !is_within(value, schema) => {
                self.error(format!("must be a whole number{}, not {}", bounds(schema, value), shown(value)));
            }
            "number" if !value.is_number() || !is_within(value, schema) => {
                self.error(format!("must be a number{}, not {}", bounds(schema, value), shown(value)));
            }
            "array" => match value.as_array() {
                Some(items) => self.list(items, schema),
                None => self.error(format!("must be a list, not {}", kind_of(value))),
            },
            "object" => match value.as_object() {
                Some(members) => self.object(members, schema),
                None => self.error(format!("must be an object, not {}", kind_of(value))),
            },
            _ => {}
        }
    }

    fn text(&mut self, value: &Value, schema: &Value) {
        let Some(text) = value.as_str() else {
            return self.error(format!("must be text, not {}; put it in quotes", shown(value)));
        };
        if text.is_empty() && schema["minLength"].as_u64().is_some_and(|least| least > 0) {
            self.error("must not be empty");
        }
        if let Some(most) = schema["maxLength"].as_u64().filter(|most| text.chars().count() as u64 > *most) {
            self.error(format!("must have at most {most} characters"));
        }
        let wanted = match schema["pattern"].as_str() {
            Some(schedule::INTERVAL_PATTERN) if schedule::interval(text).is_none() => {
                "a time such as 90s, 10m or 1h"
            }
            Some(sink::NAME_PATTERN) if !sink::is_name(text) => {
                "a-z, 0-9 and '-', with '-' neither first nor last"
            }
            Some(tools::TOOL_PATTERN) if !tools::is_tool(text) => "letters, digits, '_' and '-'",
            Some(tools::GLOB_PATTERN) if !tools::is_glob(text) => "letters, digits, '_', '-' and '*'",
            Some(stamp::PATTERN) if !stamp::is_moment(text) => "a point in time such as 2026-12-31T00:00:00Z",
            _ => return,
        };
        self.error(format!("must be {wanted}, not {}", shown(value)));
    }

    fn list(&mut self, items: &[Value], schema: &Value) {
        if let Some(most) = schema["maxItems"].as_u64().filter(|most| items.len() as u64 > *most) {
            self.error(format!("must have at most {most} entries, not {}", items.len()));
        }
        for (index, item) in items.iter().enumerate() {
            self.within(Step::Index(index), |walk| walk.value(item, &schema["items"]));
        }
    }

    fn object(&mut self, members: &Map<String, Value>, schema: &Value) {
        let nothing = Map::new();
        let fields = schema["properties"].as_object().unwrap_or(&nothing);
        let others = &schema["additionalProperties"];
        for (name, value) in members {
            self.within(Step::Key(name.clone()), |walk| match fields.get(name) {
                // As in Kubernetes, null is the same as absent.
                Some(_) if value.is_null() => {}
                Some(field) => walk.value(value, field),
                None if *others == Value::Bool(false) => walk.unknown(name, fields),
                None if value.is_null() => {}
                None => walk.value(value, others),
            });
        }
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if members.get(name).is_none_or(Value::is_null) {
                self.error(format!("field \"{name}\" is missing"));
            }
        }
    }

    /// A field that the schema does not know. In a pod's spec it may be one of a later Kubernetes.
    fn unknown(&mut self, name: &str, fields: &Map<String, Value>) {
        let hint =
            nearest(name, fields).map_or_else(String::new, |known| format!("; did you mean \"{known}\"?"));
        let in_pod = ["spec", "workload", "template", "spec"]
            .iter()
            .enumerate()
            .all(|(at, key)| matches!(self.path.get(at), Some(Step::Key(step)) if step == key));
        let severity = if in_pod { Severity::Warning } else { Severity::Error };
        let message = format!("unknown field \"{name}\"{hint}");
        self.problems.push(Problem { path: self.path.clone(), severity, message });
    }
}

/// Whether a value has one of its two forms.
fn fits(value: &Value, form: &Value) -> bool {
    match value {
        Value::String(text) if form["type"] == "string" => {
            form["maxLength"].as_u64().is_none_or(|most| text.chars().count() as u64 <= most)
                && match form["pattern"].as_str() {
                    Some(DELAY_PATTERN) => Delay::parse(text).is_ok(),
                    Some(WORKERS_PATTERN) => text == "auto",
                    Some(QUANTITY_PATTERN) => is_quantity(text),
                    _ => true,
                }
        }
        Value::Number(_) if form["type"] == "integer" => is_whole(value) && is_within(value, form),
        _ => false,
    }
}

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

fn is_within(value: &Value, schema: &Value) -> bool {
    let Some(number) = value.as_f64() else { return false };
    schema["minimum"].as_f64().is_none_or(|least| number >= least)
        && schema["maximum"].as_f64().is_none_or(|most| number <= most)
}

/// What a number is bounded by, in words. The highest int32 is no bound that anybody chose: it is named to who is above.
fn bounds(schema: &Value, value: &Value) -> String {
    let above = value.as_f64() > schema["maximum"].as_f64();
    let chosen = |most: &&Value| above || most.as_f64() != Some(i32::MAX.into());
    match (schema.get("minimum"), schema.get("maximum").filter(chosen)) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" of at least {least}"),
        (None, Some(most)) => format!(" of at most {most}"),
        (None, None) => String::new(),
    }
}

fn one_of(words: &[&str]) -> String {
    match words {
        [word] => (*word).to_owned(),
        words => format!("one of {}", words.join(", ")),
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind_of(value).to_owned(),
        scalar => scalar.to_string(),
    }
}

/// A known field that is at most two letters away, or the same in another case.
fn nearest<'a>(name: &str, fields: &'a Map<String, Value>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    fields
        .keys()
        .map(|known| (distance(&lower, &known.to_lowercase()), known.as_str()))
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len() / 2 + 1)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_the_schema_is_one_that_is_read_here() {
        fn collect(schema: &Value, found: &mut Vec<String>) {
            match schema {
                Value::Object(members) => {
                    found.extend(members.get("pattern").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|value| collect(value, found));
                }
                Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        collect(&SCHEMA, &mut found);
        collect(&ANALYSIS, &mut found);
        collect(&AGENT, &mut found);
        found.sort();
        found.dedup();
        let mut known = [
            DELAY_PATTERN,
            WORKERS_PATTERN,
            QUANTITY_PATTERN,
            schedule::INTERVAL_PATTERN,
            sink::NAME_PATTERN,
            stamp::PATTERN,
            tools::GLOB_PATTERN,
            tools::TOOL_PATTERN,
        ];
        known.sort_unstable();
        assert_eq!(found, known);
    }
}
