//! Analyzers that are Python functions, as examples/custom-analyzer has them: the real runtime, the real queue file, and what
//! k8s-watch would send.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::path::Path;

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{Place, until};

/// The example, where nothing has to be wrong for a while before it is told.
fn example() -> Place {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/custom-analyzer");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let place = Place::with("echo", "def handle(question):\n    return question\n", "");
    place.write("policies.py", &read("policies.py"));
    place.write("actors.yaml", &read("actors.yaml").replace("value: 30s", "value: 0s"));
    place
}

/// Asks `analyzer` about an object as k8s-watch does; how the message ends.
fn ask(place: &Place, analyzer: &str, number: u64, object: &Value) -> Value {
    let meta = &object["metadata"];
    let group = object["apiVersion"].as_str().unwrap().rsplit_once('/').map_or("", |(group, _)| group);
    let asked = json!({"analyzer": analyzer, "cluster": "here", "sequence": {"at": 1, "number": number},
        "object": {"group": group, "kind": object["kind"], "namespace": meta["namespace"], "name": meta["name"]}});
    let header = format!("x-asya-analysis={asked}");
    let question = json!({"cluster": "here", "object": object, "snapshot": {"now": "2026-01-01T00:00:00Z", "answers": []}});
    let route = format!("{analyzer},k8s-analyze,findings");
    let sent = ["send", &route, &question.to_string(), "--header", &header, "--wait", "--timeout", "50s"];
    let output = place.run(&[&sent[..], &["--output", "json"]].concat());
    support::lines(&output.stdout).remove(0)
}

fn pod(image: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": image}], "nodeSelector": {"beta.kubernetes.io/os": "linux"}}})
}

#[test]
fn the_example_finds_what_it_is_for_and_a_bad_answer_loses_nothing() {
    let place = example();
    let none = place.path().join("no-cluster");
    let mut up = place.up_with(&["--gateway", "off"], &[("KUBECONFIG", none.to_str().unwrap())]);
    up.wait_for("queue file");
    until("the queues", || place.run(&["queues", "findings"]).status.success());

    let opened = ask(&place, "image-policy", 1, &pod("nginx:latest"));
    let finding = &opened["payload"]["finding"];
    assert_eq!(
        (&opened["status"], &opened["payload"]["change"]),
        (&json!("succeeded"), &json!("opened")),
        "{opened}"
    );
    assert_eq!(finding["object"]["group"], "image-policy.custom.asya.sh");
    assert_eq!(finding["failures"][0]["code"], "ImageNotPinned");
    assert_eq!(finding["failures"][0]["evidence"][0]["path"], ".spec.containers[0].image");
    let other = ask(&place, "deprecated-fields", 1, &pod("nginx:latest"));
    assert_eq!(
        other["payload"]["finding"]["failures"][0]["code"], "NodeLabelDeprecated",
        "a finding of its own"
    );

    let bad = ask(&place, "echo", 2, &pod("nginx:latest"));
    assert_eq!(bad["status"], "failed", "{bad}");
    assert!(bad.to_string().contains("what echo says of Pod shop/web is no answer"), "{bad}");

    let healed = ask(&place, "image-policy", 2, &pod("nginx:1.27"));
    assert_eq!(healed["payload"]["change"], "resolved", "{healed}");
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web",
        "namespace": "shop", "annotations": {"kubernetes.io/ingress.class": "nginx"}}, "spec": {}});
    let opened = ask(&place, "deprecated-fields", 3, &ingress);
    assert_eq!(opened["payload"]["finding"]["failures"][0]["code"], "IngressClassByAnnotation", "{opened}");
    assert_eq!(
        opened["payload"]["finding"]["object"]["group"],
        "networking.k8s.io.deprecated-fields.custom.asya.sh"
    );
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}
