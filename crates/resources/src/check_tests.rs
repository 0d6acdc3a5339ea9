use serde_json::json;

use super::*;
use crate::AsyncActor;

fn actor() -> Value {
    json!({
        "apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": {"name": "ocr"},
        "spec": {"transport": "rabbitmq", "workload": {"template": {"spec": {"containers": [
            {"name": "asya-runtime", "image": "x", "env": [{"name": "ASYA_HANDLER", "value": "a.b"}]}
        ]}}}}
    })
}

fn with(pointer: &str, key: &str, value: Value) -> Value {
    let mut actor = actor();
    actor.pointer_mut(pointer).unwrap()[key] = value;
    actor
}

fn found(manifest: &Value) -> Vec<String> {
    check(manifest)
        .iter()
        .map(|problem| format!("{}: {}", path_text(&problem.path), problem.message))
        .collect()
}

#[test]
fn a_plain_actor_has_no_problem_and_can_be_read() {
    assert_eq!(found(&actor()), Vec::<String>::new());
    let read: AsyncActor = serde_json::from_value(actor()).unwrap();
    assert_eq!(read.handler().as_deref(), Some("a.b"));
    assert!(read.spec.scaling.is_none() && read.spec.timeout.is_none());
}

#[test]
fn defaults_fill_in_a_block_that_is_there() {
    let read: AsyncActor =
        serde_json::from_value(with("/spec", "scaling", json!({"enabled": true}))).unwrap();
    let scaling = read.spec.scaling.unwrap();
    assert_eq!((scaling.min_replicas, scaling.max_replicas), (0, 50));
    assert_eq!((scaling.polling_interval, scaling.cooldown_period, scaling.queue_length), (10, 60, 5));
}

#[test]
fn an_unknown_field_is_an_error_with_the_nearest_known_one() {
    let problems = found(&with("/spec", "scaling", json!({"minReplica": 1})));
    assert_eq!(
        problems,
        [r#"spec.scaling.minReplica: unknown field "minReplica"; did you mean "minReplicas"?"#]
    );
}

#[test]
fn the_older_spelling_of_kind_is_read_with_a_hint() {
    let mut manifest = with("/spec/workload", "type", json!("Deployment"));
    let problems = check(&manifest);
    assert_eq!(problems[0].severity, Severity::Warning);
    assert!(problems[0].message.contains("write kind"));
    let read: AsyncActor = serde_json::from_value(manifest.clone()).unwrap();
    assert_eq!(read.spec.kind(), crate::Kind::Deployment);
    manifest["spec"]["workload"]["kind"] = json!("Deployment");
    assert!(serde_json::from_value::<AsyncActor>(manifest).is_ok());
}

#[test]
fn all_problems_are_found_at_once() {
    let mut manifest =
        with("/spec", "scaling", json!({"minReplicas": 3, "maxReplicas": 2, "enabled": "yes"}));
    manifest["metadata"]["name"] = json!("asya-ocr");
    manifest["spec"].as_object_mut().unwrap().remove("transport");
    manifest.pointer_mut("/spec/workload/template/spec/containers/0").unwrap()["command"] = json!(["x"]);
    let problems = found(&manifest).join("\n");
    for part in [
        "spec: field \"transport\" is missing",
        "spec.scaling.minReplicas: is above maxReplicas",
        "spec.scaling.enabled: must be true or false, not \"yes\"",
        "metadata.name: \"asya-ocr\" must not start with asya-",
        "spec.workload.template.spec.containers[0].command: ",
    ] {
        assert!(problems.contains(part), "{part} in\n{problems}");
    }
}

#[test]
fn the_rules_about_containers_hold() {
    let pod = "/spec/workload/template/spec";
    let named = |names: &[&str]| {
        let list: Vec<_> = names.iter().map(|name| json!({"name": name})).collect();
        found(&with(pod, "containers", json!(list))).join("\n")
    };
    assert!(named(&["main"]).contains("no container is named asya-runtime"));
    assert!(named(&["asya-runtime", "asya-runtime"]).contains("only one container"));
    assert!(named(&["asya-runtime", "asya-sidecar"]).contains("containers[1].name: asya-sidecar"));
}

#[test]
fn a_number_as_value_of_a_variable_is_an_error() {
    let env = json!([{"name": "ASYA_HANDLER", "value": "a.b"}, {"name": "N", "value": 1}]);
    let problems = found(&with("/spec/workload/template/spec/containers/0", "env", env));
    assert_eq!(problems.len(), 1);
    assert!(problems[0].ends_with("env[1].value: must be text, not 1; put it in quotes"), "{problems:?}");
}

#[test]
fn the_short_form_needs_no_workload_and_the_containers_own_variables_win() {
    let mut manifest = with("/spec", "handler", json!("short.form"));
    manifest["spec"]["workers"] = json!("auto");
    let read: AsyncActor = serde_json::from_value(manifest.clone()).unwrap();
    assert_eq!(read.handler().as_deref(), Some("a.b"));
    manifest["spec"].as_object_mut().unwrap().remove("workload");
    assert_eq!(found(&manifest), Vec::<String>::new());
    let read: AsyncActor = serde_json::from_value(manifest).unwrap();
    assert_eq!(read.handler().as_deref(), Some("short.form"));
    assert!(read.runtime_env().contains(&crate::EnvVar::plain("ASYA_WORKERS", "auto")));
}
