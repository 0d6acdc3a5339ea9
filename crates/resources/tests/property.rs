//! The crate's invariant, tried with manifests that are nearly right: what `check` finds no error in can be read.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

mod generated;

use asya_resources::{
    AsyncActor, AsyncActorStatus, Severity,
    agent::{self, Agent},
    check,
    k8sgpt::{self, K8sGpt, K8sGptStatus, ResultStatus, rules, warnings},
};
use generated::{anything, manifest, spec};
use proptest::{prelude::*, strategy::ValueTree};
use serde_json::{Value, json};

/// An agent with a spec that says enough to come past the rules that most break.
fn sound_agent(mut spec: Value) -> Value {
    if let Some(members) = spec.as_object_mut() {
        members.entry("transport").or_insert(json!("rabbitmq"));
        members.remove("promptFrom");
        members.remove("definitionRef");
        members.insert("prompt".to_owned(), json!("p"));
        members.entry("model").or_insert(json!({ "provider": "noopai", "name": "m" }));
    }
    json!({ "apiVersion": "asya.sh/v1alpha1", "kind": "Agent", "metadata": { "name": "a" }, "spec": spec })
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
    fn an_analysis_without_an_error_can_be_read(spec in spec(k8sgpt::JSON_SCHEMA)) {
        let manifest = json!({
            "apiVersion": k8sgpt::API_VERSION, "kind": k8sgpt::KIND, "metadata": { "name": "a" }, "spec": spec,
        });
        if rules::check(&manifest).is_empty() {
            let read = K8sGpt::read(&manifest);
            prop_assert!(read.is_ok(), "{}\n{manifest:#}", read.unwrap_err());
            let read = read.unwrap();
            warnings(&read.spec);
            // And what was read is right, and stays the same when it is written.
            let written = serde_json::to_value(&read).unwrap();
            prop_assert_eq!(rules::report(&rules::check(&written)), "", "{}", written);
            prop_assert_eq!(K8sGpt::read(&written).unwrap(), read);
        }
    }

    #[test]
    fn an_agent_without_an_error_can_be_read_and_compiled(spec in spec(agent::JSON_SCHEMA)) {
        let manifest = sound_agent(spec);
        if agent::rules::check(&manifest).is_empty() {
            let read = Agent::read(&manifest);
            prop_assert!(read.is_ok(), "{}\n{manifest:#}", read.unwrap_err());
            let read = read.unwrap();
            let written = serde_json::to_value(&read).unwrap();
            prop_assert_eq!(agent::rules::check(&written), vec![], "{}", written);
            prop_assert_eq!(&Agent::read(&written).unwrap(), &read);
            if let Ok(compiled) = agent::compile(&read, &agent::Around { image: "i", pull_policy: None, keda: true }) {
                // Whatever it says, its route has no pattern in it, and nothing that was denied.
                let routes = compiled.actor["spec"]["routes"]["allow"].as_array().unwrap();
                prop_assert!(routes.iter().all(|name| !name.as_str().unwrap().contains('*')), "{routes:?}");
                let granted = read.spec.tools.map_or(0, |tools| tools.granted().len());
                prop_assert!(routes.len() <= granted + 2, "{routes:?}");
            }
        }
    }

    #[test]
    fn any_status_of_an_analysis_is_read_as_far_as_it_can_be(status in anything(), other in anything()) {
        let object = json!({ "status": { "findings": status, "conditions": other, "lastRun": "now", "contentHash": "a" } });
        prop_assert_eq!(K8sGptStatus::read(&object).last_run, Some("now".to_owned()));
        prop_assert_eq!(ResultStatus::read(&object).content_hash, Some("a".to_owned()));
        K8sGptStatus::read(&json!({ "status": status }));
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

#[test]
fn the_generated_analyses_are_often_right() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = spec(k8sgpt::JSON_SCHEMA);
    let right = (0..500)
        .filter(|_| {
            let spec = strategy.new_tree(&mut runner).unwrap().current();
            let manifest = json!({
                "apiVersion": k8sgpt::API_VERSION, "kind": k8sgpt::KIND, "metadata": { "name": "a" }, "spec": spec,
            });
            rules::check(&manifest).is_empty()
        })
        .count();
    eprintln!("{right} of 500 generated analyses are right");
    assert!((25..475).contains(&right), "{right} of 500");
}
