//! The page in docs/reference: a table per object, and the rules.

use std::fmt::{self, Write};

use serde_json::Value;

use super::crd;
use crate::rules;

const HEAD: &str = "\
# AsyncActor

<!-- Made by `make generate` from crates/resources. Change the comments there. -->

`apiVersion: asya.sh/v1alpha1`, `kind: AsyncActor`; short names `asya`, `asyas`. `kubectl explain asyncactor.spec` tells
the same on a cluster, and [crds/asyncactor.schema.json](../../crds/asyncactor.schema.json) tells it to an editor: put
`# yaml-language-server: $schema=...` with its path at the top of a manifest. Examples of each kind stand in
[examples/manifests](../../examples/manifests). A default is filled in only inside an object that the manifest has.
";

const RULES: &str = "
## Rules

A manifest that breaks one is refused by the API server with this sentence; `asya validate` and the operator say the
same, for servers and objects older than a rule.

| at | sentence |
| --- | --- |
";

/// The page as Markdown.
///
/// # Errors
/// Never: it is written into memory.
pub fn page() -> Result<String, fmt::Error> {
    let mut page = HEAD.to_owned();
    let crd = crd::definition();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let mut known = Vec::new();
    for part in ["spec", "status"] {
        object(&mut page, &mut known, part, &schema[part])?;
    }
    page.push_str(RULES);
    for rule in rules::rules() {
        let only = if rule.is_in_crd() { "" } else { " (said by the operator and `asya validate` only)" };
        writeln!(page, "| `{}{}` | {}{only} |", rule.at, rule.field, rule.message)?;
    }
    for change in rules::changes() {
        writeln!(page, "| a change of `{}{}` | {} |", change.at, change.field, change.message)?;
    }
    Ok(page)
}

/// A section for an object with declared fields, then for those in it; a word for one that another is like.
pub(super) fn object<'a>(
    page: &mut String,
    known: &mut Vec<(String, &'a Value)>,
    path: &str,
    node: &'a Value,
) -> fmt::Result {
    let Some(fields) = node["properties"].as_object() else { return Ok(()) };
    if let Some((first, _)) = known.iter().find(|(_, same)| same["properties"] == node["properties"]) {
        return writeln!(page, "\n## {path}\n\nAs `{first}`.");
    }
    known.push((path.to_owned(), node));
    writeln!(page, "\n## {path}\n\n{}\n", node["description"].as_str().unwrap_or_default())?;
    page.push_str("| field | type | default | |\n| --- | --- | --- | --- |\n");
    let required =
        |name: &str| node["required"].as_array().is_some_and(|list| list.iter().any(|it| it == name));
    for (name, field) in fields {
        let default = match &field["default"] {
            Value::Null if required(name) => "required".to_owned(),
            Value::Null => String::new(),
            Value::String(text) => format!("`{text}`"),
            other => format!("`{other}`"),
        };
        let text =
            field["description"].as_str().unwrap_or_default().replace('\n', "<br>").replace('|', "\\|");
        writeln!(page, "| `{name}` | {} | {default} | {text} |", kind(field))?;
    }
    for (name, field) in fields {
        object(page, known, &format!("{path}.{name}"), field)?;
        object(page, known, &format!("{path}.{name}[]"), &field["items"])?;
        object(page, known, &format!("{path}.{name}.*"), &field["additionalProperties"])?;
    }
    Ok(())
}

/// What a field holds, in a few words.
fn kind(field: &Value) -> String {
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<_> = words.iter().filter_map(Value::as_str).map(|word| format!("`{word}`")).collect();
        return words.join(", ");
    }
    if field["x-kubernetes-int-or-string"] == true {
        return "number or text".to_owned();
    }
    let bounds = |least: &Value, most: &Value| match (least.as_f64(), most.as_f64()) {
        (Some(least), Some(most)) if most < f64::from(i32::MAX) => format!(", {least} to {most}"),
        (Some(least), _) => format!(", {least} or more"),
        (None, _) => String::new(),
    };
    match field["type"].as_str().unwrap_or_default() {
        "integer" => format!("whole number{}", bounds(&field["minimum"], &field["maximum"])),
        "number" => format!("number{}", bounds(&field["minimum"], &field["maximum"])),
        "boolean" => "true or false".to_owned(),
        "array" if field["items"]["type"] == "object" => "list of objects".to_owned(),
        "array" => "list of texts".to_owned(),
        "string" => "text".to_owned(),
        other => other.to_owned(),
    }
}
