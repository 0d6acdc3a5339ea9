//! From what schemars makes to what the API server calls structural: one type per node, no alternatives.

use serde_json::{Map, Value, json};

use crate::rules::Validation;

/// Rewrites a schema and all schemas in it.
pub(super) fn rewrite(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    for key in ["title", "$schema"] {
        node.remove(key);
    }
    without_null(node);
    one_of_words(node);
    integer(node);
    if node.get("default").is_some_and(Value::is_null) {
        node.remove("default");
    }
    // What is not declared the API server drops by itself, and editors are told again.
    if node.get("additionalProperties") == Some(&Value::Bool(false)) {
        node.remove("additionalProperties");
    }
    if let Some(Value::String(text)) = node.get_mut("description") {
        *text = flowing(text);
    }
    for children in ["properties"] {
        for child in
            node.get_mut(children).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
        {
            rewrite(child);
        }
    }
    for child in ["items", "additionalProperties"] {
        if let Some(child) = node.get_mut(child) {
            rewrite(child);
        }
    }
}

/// An optional field is one that may be absent: the API server drops null by itself.
fn without_null(node: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = node.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            node.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(words)) = node.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(mut alternatives)) = node.remove("anyOf") {
        alternatives.retain(|one| one["type"] != "null");
        assert!(alternatives.len() == 1, "only an optional value may have two forms: {alternatives:?}");
        for (key, value) in alternatives.remove(0).as_object().into_iter().flatten() {
            node.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Words with a comment each become a list of words, and the comments part of the description.
fn one_of_words(node: &mut Map<String, Value>) {
    let Some(Value::Array(alternatives)) = node.remove("oneOf") else { return };
    let mut words = Vec::new();
    let mut text = node.get("description").and_then(Value::as_str).map(flowing).unwrap_or_default();
    for one in &alternatives {
        let one_words = one
            .get("const")
            .map_or_else(|| one["enum"].as_array().cloned().unwrap_or_default(), |word| vec![word.clone()]);
        if let (Some(description), Some(word)) = (one["description"].as_str(), one_words.first()) {
            text = format!("{text} {}: {}", word.as_str().unwrap_or_default(), flowing(description));
        }
        words.extend(one_words);
    }
    node.insert("type".to_owned(), json!("string"));
    node.insert("enum".to_owned(), Value::Array(words));
    node.insert("description".to_owned(), json!(text.trim()));
}

/// Whole numbers fit what Kubernetes calls int32, and what this crate reads.
fn integer(node: &mut Map<String, Value>) {
    if node.get("type") == Some(&json!("integer")) {
        let format = node.remove("format");
        match format.as_ref().and_then(Value::as_str) {
            Some("int32") => {
                node.insert("format".to_owned(), json!("int32"));
            }
            Some("uint32" | "uint64") => {
                node.insert("format".to_owned(), json!("int32"));
                node.entry("maximum").or_insert(json!(i32::MAX));
            }
            _ => {}
        }
    }
}

/// A comment as one line per paragraph.
fn flowing(text: &str) -> String {
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let lines: Vec<_> = paragraph.lines().map(str::trim).collect();
        lines.join(" ").trim().to_owned()
    });
    paragraphs.collect::<Vec<_>>().join("\n").replace('`', "")
}

/// Adds a rule to the part of an object's schema that it is about.
pub(super) fn add_rule(schema: &mut Value, validation: &Validation) {
    let mut node = schema;
    for key in validation.at.split('.').filter(|key| !key.is_empty()) {
        let (name, is_list) = key.strip_suffix("[]").map_or((key, false), |name| (name, true));
        node = &mut node["properties"][name];
        if is_list {
            node = &mut node["items"];
        }
    }
    let node = node.as_object_mut().expect("a rule stands at a part that the schema has");
    let mut rule = json!({ "rule": validation.rule, "message": validation.message });
    if !validation.field.is_empty() {
        rule["fieldPath"] = json!(validation.field);
    }
    let rules = node.entry("x-kubernetes-validations").or_insert_with(|| json!([]));
    rules.as_array_mut().expect("rules are a list").push(rule);
}
