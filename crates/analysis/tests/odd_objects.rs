//! Objects that are not what their kind says: no analyzer panics, and none finds a failure in what it cannot read.
#![allow(clippy::unwrap_used, reason = "tests")]

use asya_analysis::{GroupKind, Inventory, Object, Selection, evaluate};
use serde_json::{Value, json};

/// Fields of the wrong type, missing, empty, negative, and far too large.
fn odd() -> Vec<Value> {
    let mut odd = Vec::new();
    for value in [json!(null), json!(7), json!("x"), json!([]), json!([7]), json!({}), json!({"": {}})] {
        odd.push(json!({"spec": value}));
        odd.push(json!({"status": value}));
        odd.push(json!({"spec": {"template": value, "selector": value}, "status": {"conditions": value}}));
        odd.push(json!({"spec": {"template": {"spec": {"containers": value, "imagePullSecrets": value}}, "selector": {}}}));
        odd.push(json!({"metadata": {"labels": value, "annotations": value, "ownerReferences": value}}));
        odd.push(
            json!({"status": {"containerStatuses": value, "initContainerStatuses": value, "phase": value}}),
        );
    }
    for number in [-1_i64, 0, i64::from(i32::MAX), i64::MAX] {
        let conditions =
            json!([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-06-01T12:00:00Z"}]);
        odd.push(json!({"metadata": {"generation": number}, "spec": {"replicas": number, "selector": {},
            "ordinals": {"start": number}, "schedule": "* * * * *", "startingDeadlineSeconds": number,
            "progressDeadlineSeconds": number, "minReplicas": number, "maxReplicas": number, "backoffLimit": number,
            "template": {}, "jobTemplate": {}, "serviceName": "", "scaleTargetRef": {"kind": "", "name": ""}},
            "status": {"replicas": 1, "readyReplicas": number, "desiredNumberScheduled": number, "numberReady": -1,
            "failed": number, "currentHealthy": number, "desiredHealthy": number, "expectedPods": 1,
            "conditions": conditions, "lastScheduleTime": "0001-01-01T00:00:00Z"}}));
    }
    odd
}

fn object(kind: &GroupKind, version: &str, rest: &Value) -> Object {
    let api_version =
        if kind.group.is_empty() { version.to_owned() } else { format!("{}/{version}", kind.group) };
    let mut value = json!({"apiVersion": api_version, "kind": kind.kind, "metadata": {"name": "odd", "namespace": "shop"}});
    for (field, odd) in rest.as_object().unwrap() {
        match (value.get_mut(field).and_then(Value::as_object_mut), odd) {
            (Some(metadata), Value::Object(odd)) => metadata.extend(odd.clone()),
            _ => value[field] = odd.clone(),
        }
    }
    Object::new(value).unwrap()
}

#[test]
fn no_analyzer_panics_whatever_it_is_given() {
    let names: Vec<&str> = asya_analysis::analyzers::all().iter().map(|analyzer| analyzer.name()).collect();
    let selection = Selection::new(&names, &[], &[]).unwrap();
    let mut looked = 0;
    for kind in selection.subjects() {
        for version in ["v1", "v2", "v1alpha1", "v0"] {
            for rest in odd() {
                let object = object(&kind, version, &rest);
                for inventory in [Inventory::of([object.clone()]), Inventory::default()] {
                    let evaluation = evaluate(&object, &selection, &inventory);
                    for failure in evaluation.report.failures() {
                        assert!(
                            !failure.evidence.is_empty(),
                            "{kind} {rest}: {} without evidence",
                            failure.code
                        );
                    }
                    looked += 1;
                }
            }
        }
    }
    assert!(looked > 1000);
}
