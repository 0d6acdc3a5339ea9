#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::{Map, Value, json};

use super::{
    config::File,
    tool::{Tool, assemble},
};

fn tools(text: &str) -> Result<Vec<Tool>, Vec<String>> {
    let file: File = serde_saphyr::from_str(text).map_err(|error| vec![error.to_string()])?;
    assemble(vec![("tools.yaml".to_owned(), file)])
}

fn one(text: &str) -> Tool {
    tools(text).unwrap().pop().unwrap()
}

fn arguments(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

const ORDER: &str = r#"
tools:
- name: order
  description: Orders something
  route: shop
  timeout: 60
  metadata: {team: sales}
  parameters:
    item: {type: string, description: what, required: true}
    count: {type: integer, default: 1}
    size: {type: string, options: [s, m, l], default: m}
    address:
      type: object
      properties:
        street: {type: string, required: true}
        country: {type: string, default: DE}
    tags: {type: array, items: {type: string}}
routes: {shop: [check, pack]}
defaults: {progress: true, timeout: 10}
"#;

#[test]
fn parameters_are_published_as_they_are() {
    let tool = one(ORDER);
    assert_eq!(tool.route, ["check", "pack"]);
    assert!(tool.progress);
    assert_eq!(tool.timeout.as_secs(), 60);
    let schema = Value::Object(tool.schema.clone());
    assert_eq!(schema["properties"]["count"]["type"], "integer");
    assert_eq!(schema["properties"]["size"]["enum"], json!(["s", "m", "l"]));
    assert_eq!(schema["properties"]["address"]["type"], "object");
    assert_eq!(schema["properties"]["address"]["required"], json!(["street"]));
    assert_eq!(schema["properties"]["tags"]["items"]["type"], "string");
    assert_eq!(schema["required"], json!(["item"]));
}

#[test]
fn defaults_are_put_where_arguments_are_missing() {
    let given = arguments(json!({"item": "tea", "address": {"street": "a"}}));
    let payload = one(ORDER).arguments(given).unwrap();
    let wanted = json!({"item": "tea", "count": 1, "size": "m", "address": {"street": "a", "country": "DE"}});
    assert_eq!(payload, wanted);
}

#[test]
fn every_wrong_argument_is_told_by_its_path() {
    let given = json!({"count": 1.5, "size": "xl", "address": {"street": 3}, "tags": ["a", 1]});
    let wrong = one(ORDER).arguments(arguments(given)).unwrap_err();
    let mut fields: Vec<_> = wrong.iter().map(|wrong| wrong.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["address.street", "count", "item", "size", "tags.1"]);
    let missing = wrong.iter().find(|wrong| wrong.missing).unwrap();
    assert_eq!(missing.reason, "missing required parameter: item", "as the Go system says it");
}

#[test]
fn undeclared_arguments_pass_unless_the_tool_is_strict() {
    let open = one("tools: [{name: a, route: [b]}]");
    assert_eq!(open.arguments(arguments(json!({"x": 1}))).unwrap(), json!({"x": 1}));
    let strict = one("tools: [{name: a, route: [b], strict: true}]");
    assert!(strict.arguments(arguments(json!({"x": 1}))).unwrap_err()[0].reason.contains('x'));
}

#[test]
fn every_fault_of_a_file_is_told() {
    let faults = tools(
        r#"
tools:
- {name: "a b", route: [ok]}
- {name: c, route: nowhere}
- {name: d, route: []}
- {name: e, route: [UPPER]}
- {name: f, route: [ok], timeout: -1}
- {name: g, route: [ok], parameters: {n: {type: integer, default: text}, o: {type: string, options: [1]}}}
- {name: h, route: [ok], parameters: {n: {type: string, items: {type: string}}}}
- {name: h, route: [ok]}
"#,
    )
    .unwrap_err();
    for (part, what) in [
        ("\"a b\"", "a name"),
        ("no route \"nowhere\"", "a route"),
        ("no actor", "an empty route"),
        ("\"UPPER\"", "an actor's name"),
        ("timeout is -1", "a timeout"),
        ("default \"text\"", "a default"),
        ("option 1", "an option"),
        ("only an array has items", "items of a string"),
        ("defined twice", "a name twice"),
    ] {
        assert!(faults.iter().any(|fault| fault.contains(part)), "{what}: {faults:#?}");
    }
    assert!(faults.iter().all(|fault| fault.starts_with("tools.yaml: ")), "{faults:#?}");
}

#[test]
fn unknown_keys_and_no_tools_are_errors() {
    assert!(tools("tools: [{name: a, route: [b], retries: 3}]").unwrap_err()[0].contains("retries"));
    assert_eq!(tools("routes: {a: [b]}").unwrap_err(), ["no file defines a tool"]);
}

#[test]
fn the_last_file_with_defaults_wins() {
    let file = |text: &str| ("f".to_owned(), serde_saphyr::from_str::<File>(text).unwrap());
    let tools = assemble(vec![
        file("{tools: [{name: a, route: [b]}], defaults: {timeout: 5}}"),
        file("{defaults: {timeout: 7}}"),
    ]);
    assert_eq!(tools.unwrap()[0].timeout.as_secs(), 7);
}
