//! Whole objects, as users have them.

use std::{fs, path::Path};

use serde_json::{Value, json};

use super::*;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn documents(file: &Path) -> Vec<Object> {
    let text = fs::read_to_string(file).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.into_iter().map(|value| Object { title: String::new(), value }).collect()
}

fn folder(path: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(path)).unwrap();
    let files = entries.map(|entry| entry.unwrap().path());
    files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")).collect()
}

#[test]
fn every_example_works_as_it_is() {
    for file in folder("examples/manifests") {
        for advice in judge(&documents(&file), None, None).into_iter().flatten() {
            assert!(verdict(&advice) < Verdict::Change, "{}: {advice:?}", file.display());
        }
    }
}

#[test]
fn every_manifest_that_is_refused_needs_a_change() {
    for file in folder("tests/manifests/refused") {
        let said: Vec<_> = judge(&documents(&file), None, None).into_iter().flatten().flatten().collect();
        assert_eq!(verdict(&said), Verdict::Change, "{}: {said:?}", file.display());
    }
}

#[test]
fn objects_of_a_go_cluster_are_judged_as_their_names_say() {
    let mut objects = documents(&Path::new(ROOT).join("tests/manifests/go/actors.yaml"));
    let values = documents(&Path::new(ROOT).join("tests/charts/data/asya-operator-go.yaml"));
    objects.extend(values);
    let judged = judge(&objects, None, None);
    let mut seen = 0;
    for (object, advice) in objects.iter().zip(&judged) {
        let Some(name) = object.value["metadata"]["name"].as_str() else { continue };
        let advice = advice.as_ref().unwrap_or_else(|| panic!("{name} was passed over"));
        let wanted = match name.split('-').next() {
            Some("unchanged") => Verdict::Unchanged,
            Some("note") => Verdict::Note,
            _ => Verdict::Change,
        };
        assert_eq!(verdict(advice), wanted, "{name}: {advice:?}");
        assert!(wanted != Verdict::Change || advice.iter().any(|it| it.edit.is_some()), "{name}: {advice:?}");
        seen += 1;
    }
    assert_eq!(seen, 8);
}

#[test]
fn values_of_the_go_chart_keep_their_queues_and_change_their_images() {
    let values = documents(&Path::new(ROOT).join("tests/charts/data/asya-operator-go.yaml"));
    let advice = judge(&values, None, None).remove(0).unwrap();
    let edits: Vec<_> = advice.iter().filter_map(|advice| advice.edit.as_deref()).collect();
    assert!(edits.contains(&"queues.template: \"asya-{actor}\""), "{edits:?}");
    let paths: Vec<_> =
        advice.iter().map(|advice| asya_resources::check::path_text(&advice.path).to_string()).collect();
    for path in ["operator.transports", "runtime.localPath", "image.repository", "sidecar.defaultResources"] {
        assert!(paths.iter().any(|it| it == path), "{path}: {paths:?}");
    }
    assert!(!advice.iter().any(|advice| advice.message.contains("no value of this chart")), "{advice:?}");
}

#[test]
fn a_key_that_a_chart_does_not_know_is_to_be_deleted() {
    let object = Object {
        title: String::new(),
        value: json!({"transports": {}, "replicas": 2, "queues": {"template": "asya-{actor}"}}),
    };
    let advice = judge(&[object], None, None).remove(0).unwrap();
    assert_eq!(advice[0].edit.as_deref(), Some("delete replicas"), "{advice:?}");
}

#[test]
fn actors_of_one_name_in_two_namespaces_share_a_queue() {
    let of = |namespace: &str| Object {
        title: String::new(),
        value: json!({"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor",
            "metadata": {"name": "ocr", "namespace": namespace}, "spec": {"transport": "rabbitmq", "handler": "a.b"}}),
    };
    let both = [of("prod"), of("staging")];
    let bare: Vec<_> = judge(&both, None, None).into_iter().flatten().flatten().collect();
    assert!(bare.iter().all(|advice| advice.message.contains("share the queue asya-ocr")) && bare.len() == 2);
    let named = judge(&both, None, Some("asya-{namespace}-{actor}"));
    assert_eq!(named, [Some(vec![]), Some(vec![])]);
}

#[test]
fn kinds_without_a_part_in_it_have_no_verdict() {
    let service = Object {
        title: String::new(),
        value: json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}}),
    };
    let values = Object { title: String::new(), value: json!({"replicaCount": 1}) };
    assert_eq!(judge(&[service, values], None, None), [None, None]);
}
