//! Tables of cases: an object and its surroundings as YAML-like JSON, and the codes that are expected.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use serde_json::{Value, json};

use crate::analyzer::Selection;
use crate::evaluate::{Evaluation, evaluate};
use crate::inventory::Inventory;
use crate::kind::GroupKind;
use crate::object::Object;
use crate::reference::USERS;
use crate::rights;
use crate::snapshot::{Recorder, Snapshot};
use crate::view::Read;

/// The time of every view in the tests.
pub(crate) const NOW: &str = "2026-06-01T12:00:00Z";

/// An object of the namespace `shop`, from its kind, name and the rest of its fields.
pub(crate) fn object(api_version: &str, kind: &str, name: &str, rest: Value) -> Object {
    let mut value = json!({"apiVersion": api_version, "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "resourceVersion": "1"}});
    merge(&mut value, rest);
    Object::new(value).expect("an object")
}

/// An object of the cluster: as [`object`], without a namespace.
pub(crate) fn cluster_object(api_version: &str, kind: &str, name: &str, rest: Value) -> Object {
    let mut value = object(api_version, kind, name, rest).value().clone();
    value["metadata"].as_object_mut().unwrap().remove("namespace");
    Object::new(value).expect("an object")
}

/// A warning event about `about` in the namespace `shop`, at `time`.
pub(crate) fn event(about: &Object, reason: &str, message: &str, time: &str) -> Object {
    let value = about.value();
    object(
        "v1",
        "Event",
        &format!("{}.{reason}.{time}", about.name()),
        json!({
        "involvedObject": {"apiVersion": value["apiVersion"], "kind": value["kind"], "name": about.name(),
            "namespace": about.namespace(), "uid": about.uid()},
        "type": "Warning", "reason": reason, "message": message, "lastTimestamp": time}),
    )
}

/// Evaluates `subject` in a cluster of itself and `others`, by every analyzer named; and asserts that the snapshot of
/// what was read, sent as JSON, gives the same evaluation.
pub(crate) fn look(analyzers: &[&str], subject: &Object, others: &[Object]) -> Evaluation {
    let mut inventory = Inventory::of([subject.clone()].into_iter().chain(others.iter().cloned()));
    inventory.set_now(NOW.parse::<Timestamp>().unwrap());
    look_in(analyzers, subject, &inventory)
}

/// As [`look`], in a view of the test's own making: one that forbids something.
pub(crate) fn look_in(analyzers: &[&str], subject: &Object, inventory: &Inventory) -> Evaluation {
    let selection = Selection::new(analyzers, &[], &[]).expect("analyzers that exist");
    let recorder = Recorder::new(inventory);
    let direct = evaluate(subject, &selection, &recorder);
    recorder.reads().iter().flat_map(kinds).for_each(|kind| {
        assert!(rights::covers(&kind), "{kind} is read, and no right to list it is in rights::KINDS");
    });
    let sent = serde_json::to_string(&recorder.finish()).unwrap();
    let snapshot: Snapshot = serde_json::from_str(&sent).unwrap();
    assert_eq!(evaluate(subject, &selection, &snapshot), direct, "the snapshot gives the same evaluation");
    for failure in direct.report.failures() {
        assert!(!failure.evidence.is_empty(), "{} without evidence", failure.code);
        assert!(!failure.text.trim().is_empty(), "{} without a text", failure.code);
    }
    direct
}

/// The kinds that answer a question, as a watcher follows them.
fn kinds(read: &Read) -> Vec<GroupKind> {
    match read {
        Read::Object(object) => vec![object.kind.clone()],
        Read::List(kind, ..) => vec![kind.clone()],
        Read::Users(_) => USERS.to_vec(),
        Read::Events(..) => vec![GroupKind::of::<Event>()],
        Read::Log(_) => Vec::new(),
    }
}

/// The codes of what was found, in order.
pub(crate) fn codes(evaluation: &Evaluation) -> Vec<&str> {
    evaluation.report.failures().iter().map(|failure| failure.code.as_str()).collect()
}

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}
