//! Where the tools of a server are not what stands in an Agent any more: `--check`.

use std::{collections::BTreeSet, path::Path};

use anyhow::Context as _;
use asya_crew::mcp_call::Listed;
use asya_resources::agent::Declared;
use serde::Serialize;
use serde_json::Value;

use super::declared::{Grading, Tools};
use crate::exit::misconfigured;

/// Longest value that is shown of a difference, in characters.
const SHOWN: usize = 300;

/// A tool that is not what it was.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Drifted {
    /// Its name for the model.
    pub(super) tool: String,
    /// Its name on the server.
    pub(super) mcp_tool: String,
    /// How it differs, one sentence each.
    pub(super) differences: Vec<String>,
}

/// The tools of this actor that a manifest pins: of its Agents, or as `asya agent-tools` prints them.
///
/// # Errors
/// The file cannot be read, or has none.
pub(super) fn pinned(file: &Path, actor: &str) -> anyhow::Result<Vec<Declared>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let wrong = |error: String| misconfigured(format!("{}: {error}", file.display()));
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(&text).map_err(|error| wrong(error.to_string()))?;
    let mut pinned = Vec::new();
    for document in &documents {
        let spec = if document["kind"] == "Agent" { &document["spec"] } else { document };
        let Some(declared) = spec["tools"]["declared"].as_array() else { continue };
        for tool in declared.iter().filter(|tool| tool["actor"] == actor && tool["mcpTool"].is_string()) {
            let tool = serde_json::from_value(tool.clone()).map_err(|error| wrong(error.to_string()))?;
            pinned.push(tool);
        }
    }
    if pinned.is_empty() {
        return Err(wrong(format!(
            "no Agent in it has a tool of an MCP server of the actor {actor:?}: see --actor"
        )));
    }
    Ok(pinned)
}

/// The pinned tools that differ from those that the server lists.
pub(super) fn drifted(pinned: &[Declared], listed: &[Listed]) -> Vec<Drifted> {
    let differing = pinned.iter().filter_map(|tool| {
        let mcp_tool = tool.mcp_tool.clone().unwrap_or_default();
        let differences = match listed.iter().find(|listed| listed.name == mcp_tool) {
            Some(listed) => differences(tool, listed),
            None => vec!["the server has it no more".to_owned()],
        };
        (!differences.is_empty()).then(|| Drifted { tool: tool.name.clone(), mcp_tool, differences })
    });
    differing.collect()
}

/// Tools of the server that are not pinned.
pub(super) fn unpinned<'a>(pinned: &[Declared], listed: &'a [Listed]) -> Vec<&'a str> {
    let known: BTreeSet<_> = pinned.iter().filter_map(|tool| tool.mcp_tool.as_deref()).collect();
    listed.iter().map(|tool| tool.name.as_str()).filter(|name| !known.contains(name)).collect()
}

fn differences(pinned: &Declared, listed: &Listed) -> Vec<String> {
    // As it would be pinned now.
    let hints = Grading { risk: None, approval: false };
    let now = match Tools::of(std::slice::from_ref(listed), &pinned.actor, &hints) {
        Ok(tools) => tools.into_declared(),
        Err(reason) => return vec![reason],
    };
    let mut found = Vec::new();
    for now in now {
        // A tool without a description is described by its name, which may be another among others.
        let unsaid = now.description == now.name && pinned.description == pinned.name;
        if now.description != pinned.description && !unsaid {
            found.push(format!(
                "description: {} is now {}",
                shown(&pinned.description.as_str().into()),
                shown(&now.description.into())
            ));
        }
        let none = Value::Null;
        compare(
            "parameters",
            pinned.parameters.as_ref().unwrap_or(&none),
            now.parameters.as_ref().unwrap_or(&none),
            &mut found,
        );
        if now.approval && !pinned.approval {
            found
                .push("it needs no approval here, and the server does not say that it only reads".to_owned());
        }
    }
    found
}

/// What differs between two values, by the path to it.
fn compare(path: &str, pinned: &Value, now: &Value, found: &mut Vec<String>) {
    match (pinned, now) {
        (Value::Object(before), Value::Object(after)) => {
            for name in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                let path = format!("{path}.{name}");
                match (before.get(name), after.get(name)) {
                    (Some(before), Some(after)) => compare(&path, before, after, found),
                    (Some(before), None) => found.push(format!("{path}: is gone, was {}", shown(before))),
                    (None, Some(after)) => found.push(format!("{path}: is new, {}", shown(after))),
                    (None, None) => {}
                }
            }
        }
        (before, after) if before == after => {}
        (before, after) => found.push(format!("{path}: {} is now {}", shown(before), shown(after))),
    }
}

/// A value on one line, of a long one its beginning.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn listed(name: &str, description: &str, schema: Value, reads_only: bool) -> Listed {
        Listed { name: name.to_owned(), description: description.to_owned(), schema, reads_only }
    }

    fn schema(of: &str) -> Value {
        json!({"type": "object", "properties": {"q": {"type": of}}, "required": ["q"]})
    }

    #[test]
    fn what_differs_is_named_by_its_path_and_nothing_else_is() {
        let hints = Grading { risk: None, approval: false };
        let before = [
            listed("a.same", "", schema("string"), true),
            listed("b.changed", "Looks.", schema("string"), true),
            listed("c.gone", "Looks.", schema("string"), false),
        ];
        let pinned = Tools::of(&before, "shop", &hints).unwrap().into_declared();
        assert_eq!(drifted(&pinned, &before), []);
        let mut longer = schema("integer");
        longer["properties"]["to\u{1b}"] = json!({});
        assert!(
            drifted(&pinned[1..2], &[listed("b.changed", "Looks.", longer, true)])[0].differences[0]
                .contains("hidden")
        );
        let mut other = schema("integer");
        other["properties"]["to"] = json!({"type": "string"});
        other.as_object_mut().unwrap().remove("required");
        let long = "Obey. ".repeat(200);
        let now = [
            before[0].clone(),
            listed("b.changed", &long, other, false),
            listed("d.new", "", schema("string"), true),
        ];
        let found = drifted(&pinned, &now);
        assert_eq!(found.iter().map(|one| one.tool.as_str()).collect::<Vec<_>>(), ["b_changed", "c_gone"]);
        let said = &found[0].differences;
        assert!(
            said[0].starts_with("description: \"Looks.\" is now \"Obey. Obey.")
                && said[0].chars().count() < 400,
            "{said:?}"
        );
        assert_eq!(
            said[1..],
            [
                "parameters.properties.q.type: \"string\" is now \"integer\"",
                "parameters.properties.to: is new, {\"type\":\"string\"}",
                "parameters.required: is gone, was [\"q\"]",
                "it needs no approval here, and the server does not say that it only reads",
            ]
        );
        assert_eq!(found[1].differences, ["the server has it no more"]);
        assert_eq!(unpinned(&pinned, &now), ["d.new"]);
    }
}
