//! The crate's invariant, tried with manifests that are nearly right: what `check` finds no error in can be read.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use asya_resources::{AsyncActor, AsyncActorStatus, Severity, check};
use proptest::{prelude::*, sample::select, strategy::ValueTree};
use serde_json::{Map, Value, json};

/// A value of any type: what a tired author writes.
fn anything() -> BoxedStrategy<Value> {
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
        let chance = if required(name) { 0.98 } else { 0.15 };
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

fn manifest() -> impl Strategy<Value = Value> {
    let schema = include_str!("../../../crds/asyncactor.schema.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    fitting(&schema["properties"]["spec"]).prop_map(|mut spec| {
        // Most are to come past the one rule that most break.
        if let Some(members) = spec.as_object_mut().filter(|members| !members.contains_key("workloadRef")) {
            members.entry("handler").or_insert(json!("a.b"));
            members.entry("transport").or_insert(json!("rabbitmq"));
        }
        json!({ "apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": { "name": "a" }, "spec": spec })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_has_no_error_can_be_read(manifest in manifest()) {
        let problems = check(&manifest);
        if problems.iter().all(|problem| problem.severity != Severity::Error) {
            let read = AsyncActor::read(&manifest);
            prop_assert!(read.is_ok(), "{}\n{manifest:#}", read.unwrap_err());
            // And what was read is right, and stays the same when it is written.
            let written = serde_json::to_value(read.unwrap()).unwrap();
            let mut problems = check(&written);
            problems.retain(|problem| problem.severity == Severity::Error);
            prop_assert!(problems.is_empty(), "{problems:?}\n{written:#}");
            let again = AsyncActor::read(&written);
            prop_assert!(again.is_ok(), "{}\n{written:#}", again.unwrap_err());
            prop_assert_eq!(serde_json::to_value(again.unwrap()).unwrap(), written);
        }
    }

    #[test]
    fn any_status_is_read_as_far_as_it_can_be(status in anything(), replicas in anything()) {
        let object = json!({ "status": { "replicas": replicas, "conditions": status, "status": "Running" } });
        prop_assert_eq!(AsyncActorStatus::read(&object).status, Some("Running".to_owned()));
        AsyncActorStatus::read(&json!({ "status": status }));
    }
}

#[test]
fn the_generated_manifests_are_often_right() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = manifest();
    let right = (0..500)
        .filter(|_| {
            let manifest = strategy.new_tree(&mut runner).unwrap().current();
            check(&manifest).iter().all(|problem| problem.severity != Severity::Error)
        })
        .count();
    eprintln!("{right} of 500 generated manifests are right");
    assert!((25..475).contains(&right), "{right} of 500");
}
