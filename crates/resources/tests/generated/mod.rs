//! Manifests that are nearly right, made from the JSON schema.
#![allow(unreachable_pub, dead_code, reason = "three test programs include it, and none needs all of it")]

use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// A value of any type: what a tired author writes.
pub fn anything() -> BoxedStrategy<Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-2..100_i64).prop_map(Value::from),
        any::<f64>()
            .prop_filter_map("JSON has no such number", |number| serde_json::Number::from_f64(number)
                .map(Value::Number)),
        select(vec![
            "",
            "auto",
            "5s",
            "500ms",
            "1.h",
            "99999999999999h",
            "s",
            "Job",
            "Delete",
            "asya-runtime"
        ])
        .prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map("[a-z]{1,5}", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
    .boxed()
}

/// A value that a schema allows, but for one part in about twenty.
fn fitting(schema: &Value) -> BoxedStrategy<Value> {
    prop_oneof![19 => right(schema), 1 => anything()].boxed()
}

fn right(schema: &Value) -> BoxedStrategy<Value> {
    if let Some(words) = schema["enum"].as_array() {
        return select(words.clone()).boxed();
    }
    if schema["anyOf"].is_array() {
        return prop_oneof![
            (0..2000_i64).prop_map(Value::from),
            select(vec!["auto", "2s", "1.5m", ".5h", "500m", "1Gi"]).prop_map(Value::from)
        ]
        .boxed();
    }
    match schema["type"].as_str().unwrap_or_default() {
        "string" if schema["pattern"].is_string() => select(vec![
            "10m",
            "0s",
            "a-b",
            "1",
            "99h",
            "",
            "A",
            "-",
            "2026-12-31T00:00:00Z",
            "2026-02-30T12:00:00.5+02:00",
        ])
        .prop_map(Value::from)
        .boxed(),
        "string" => "[a-z]{0,6}".prop_map(Value::from).boxed(),
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "integer" => {
            prop_oneof![0..100_i64, Just(i64::from(i32::MAX)), Just(1 << 40)].prop_map(Value::from).boxed()
        }
        "number" => (0.0..3.0).prop_map(Value::from).boxed(),
        "array" => prop::collection::vec(fitting(&schema["items"]), 0..3).prop_map(Value::from).boxed(),
        "object" => object(schema),
        _ => anything(),
    }
}

/// An object with its required fields, some of the others, and at times one that nobody knows.
fn object(schema: &Value) -> BoxedStrategy<Value> {
    let required = |name: &str| schema["required"].as_array().is_some_and(|list| list.contains(&json!(name)));
    let mut members: BoxedStrategy<Map<String, Value>> = if schema["additionalProperties"].is_object() {
        prop::collection::btree_map("[a-z]{1,4}", fitting(&schema["additionalProperties"]), 0..2)
            .prop_map(|members| members.into_iter().collect())
            .boxed()
    } else {
        Just(Map::new()).boxed()
    };
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        // Else hardly any would have a container.
        let way_in = ["workload", "template", "spec", "containers", "volumeMounts"].contains(&name.as_str());
        let chance = if required(name) {
            0.98
        } else if way_in {
            0.5
        } else {
            0.15
        };
        let one = prop::option::weighted(chance, fitting(field));
        let name = name.clone();
        members = (members, one)
            .prop_map(move |(mut members, value)| {
                if let Some(value) = value {
                    members.insert(name.clone(), value);
                }
                members
            })
            .boxed();
    }
    (members, prop::option::weighted(0.03, anything()))
        .prop_map(|(mut members, stray)| {
            if let Some(stray) = stray {
                members.insert("stray".to_owned(), stray);
            }
            Value::Object(members)
        })
        .boxed()
}

/// The spec of a manifest, made from its kind's JSON schema.
pub fn spec(schema: &str) -> BoxedStrategy<Value> {
    let schema: Value = serde_json::from_str(schema).unwrap();
    fitting(&schema["properties"]["spec"])
}

pub fn manifest() -> impl Strategy<Value = Value> {
    spec(asya_resources::JSON_SCHEMA).prop_map(|mut spec| {
        // Most are to come past the one rule that most break.
        if let Some(members) = spec.as_object_mut().filter(|members| !members.contains_key("workloadRef")) {
            members.entry("handler").or_insert(json!("a.b"));
            members.entry("transport").or_insert(json!("rabbitmq"));
        }
        json!({ "apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": { "name": "a" }, "spec": spec })
    })
}
