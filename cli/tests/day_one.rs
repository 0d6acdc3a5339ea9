//! Commands of the first day, without a cluster.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use support::{Place, lines, text};

const HANDLER: &str = "def shout(payload):\n    return payload\n";

#[test]
fn the_crd_and_the_schema_are_printed() {
    let place = Place::with("ocr", HANDLER, "");
    let crds = place.run(&["crds"]).stdout;
    assert!(
        ["asyncactors", "agents"].iter().all(|name| text(&crds).contains(&format!("name: {name}.asya.sh")))
    );
    assert_eq!(place.json(&["crds"]).len(), 2);
    assert!(place.json(&["crds"]).iter().all(|crd| crd["kind"] == "CustomResourceDefinition"));
    assert!(
        place.json(&["crds", "agent-schema"])[0]["properties"]["spec"]["properties"]["riskTier"].is_object()
    );
    assert!(place.json(&["crds", "schema"])[0]["properties"]["spec"].is_object());
}

#[test]
fn the_examples_of_agents_are_valid_and_up_asks_for_the_key_of_their_model() {
    let place = Place::with("ocr", HANDLER, "");
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/agents");
    let checked = place.json(&["validate", examples]);
    assert_eq!(checked.last().unwrap()["agents"], serde_json::json!(["ops"]), "{checked:?}");
    assert_eq!(checked.len(), 1, "nothing is said of them: {checked:?}");
    let up = place.run(&["up", &format!("{examples}/ops.yaml")]);
    assert!(!up.status.success());
    let said = text(&up.stderr);
    assert!(said.contains("add a line ASYA_LLM_API_KEY=") && said.contains("agents/.env"), "{said}");
}

#[test]
fn deploy_prints_what_it_would_apply_and_validate_accepts_it() {
    let place = Place::with("ocr", HANDLER, "");
    place.write("shout.py", HANDLER);
    let output =
        place.run(&["deploy", "./shout.py", "--dry-run", "-n", "prod", "--env", "A=1", "--max", "3"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    place.write("out/deployed.yaml", &text(&output.stdout));
    let checked = place.run(&["validate", "out/deployed.yaml"]);
    assert!(checked.status.success(), "{}{}", text(&output.stdout), text(&checked.stdout));
    let objects = place.json(&["deploy", "./shout.py", "--dry-run"]);
    assert_eq!(objects[0]["data"]["shout.py"], HANDLER);
    assert_eq!(objects[1]["spec"]["handlerFrom"]["configMap"], objects[0]["metadata"]["name"]);
    assert_eq!(objects[1]["spec"]["handler"], "shout.shout");
}

#[test]
fn deploy_refuses_a_file_that_python_refuses() {
    let place = Place::with("ocr", HANDLER, "");
    place.write("bad.py", "def f(:\n");
    let output = place.run(&["deploy", "bad.py", "--dry-run"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("bad.py:1: "), "{}", text(&output.stderr));
    place.write("far.py", "import numpy\ndef f(x): return x\n");
    let output = place.run(&["deploy", "far.py", "--dry-run"]);
    assert!(text(&output.stderr).contains("imports numpy, which python:3.13-slim does not have"));
}

#[test]
fn migrate_check_names_the_line_and_the_edit() {
    let place = Place::with("ocr", HANDLER, "  timeout: {processing: -1}");
    let output = place.run(&["migrate", "check", "-f", "ocr.yaml"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    assert!(shown.contains("ocr.yaml:1: AsyncActor ocr: needs a change"), "{shown}");
    assert!(shown.contains("spec.timeout.processing (line 7)"), "{shown}");
    assert!(shown.contains("edit: spec.timeout.processing: 300"), "{shown}");
    let output = place.run(&["migrate", "check", "-f", "ocr.yaml", "--output", "json"]);
    assert_eq!(lines(&output.stdout)[0]["verdict"], "change");
}

#[test]
fn a_playground_shows_its_commands_and_runs_none_when_something_is_missing() {
    let place = Place::with("ocr", HANDLER, "");
    place.write("charts/asya/Chart.yaml", "name: asya\n");
    place.write("images.sh", "");
    let output = place.command(&["playground", "--dry-run"]).env("PATH", "").output().unwrap();
    let shown = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(shown.contains("kind create cluster --name asya-playground"), "{shown}");
    assert!(text(&output.stderr).contains("kind or k3d is not installed"), "{}", text(&output.stderr));
    let output = place.command(&["playground"]).env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("nothing was done"), "{}", text(&output.stderr));
    let output = place.command(&["playground", "delete", "--dry-run"]).env("PATH", "").output().unwrap();
    assert!(text(&output.stdout).contains("kind delete cluster --name asya-playground"));
}
