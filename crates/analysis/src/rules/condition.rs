//! Conditions of a status, as custom resources write them, and which answer of each is the good one.

use jiff::Timestamp;
use serde_json::Value;

use crate::object::Object;

/// More conditions than any controller writes; what is beyond is not looked at.
const MOST: usize = 100;

/// What `True` means for a type of condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Polarity {
    /// `True` is how it should be: `Ready`.
    Good,
    /// `True` says that something is wrong: `Degraded`.
    Bad,
    /// Neither answer is a fault, or nobody knows the type: `Progressing`.
    Neutral,
}

/// Types, and endings of types (`DatabaseReady`, `WebhookAvailable`), that should be `True`.
const GOOD: [&str; 20] = [
    "Ready",
    "Available",
    "Healthy",
    "Accepted",
    "Programmed",
    "ResolvedRefs",
    "Established",
    "NamesAccepted",
    "Synced",
    "Initialized",
    "Succeeded",
    "Reconciled",
    "Reachable",
    "Connected",
    "Valid",
    "Bound",
    "Installed",
    "Serving",
    "Deployed",
    "Provisioned",
];

/// Types, and endings of types (`ReconcileError`, `DiskPressure`), that should not be `True`.
const BAD: [&str; 13] = [
    "Failed",
    "Failure",
    "Failing",
    "Error",
    "Degraded",
    "Stalled",
    "Unhealthy",
    "Unavailable",
    "Conflict",
    "Conflicted",
    "Invalid",
    "InvalidRequest",
    "Denied",
];

/// What `True` means for `condition`, by what the well-known controllers write; one that nobody knows is
/// [`Polarity::Neutral`], because a fault that is none is worse than one that its phase tells as well.
#[must_use]
pub fn polarity(condition: &str) -> Polarity {
    // The case tells words: `Unavailable` does not end with `Available`.
    let ends = |list: &[&str]| list.iter().any(|ending| condition.ends_with(ending));
    if ends(&BAD) || condition.ends_with("Pressure") {
        Polarity::Bad
    } else if ends(&GOOD) && !condition.starts_with("Not") && !condition.starts_with("Non") {
        Polarity::Good
    } else {
        Polarity::Neutral
    }
}

/// One condition of a status. A field that is missing or no string is empty.
#[derive(Debug, Clone, Copy)]
pub struct Condition<'a> {
    /// Its place in the list.
    pub index: usize,
    /// Its type.
    pub name: &'a str,
    /// `True`, `False` or `Unknown`.
    pub status: &'a str,
    /// Why, as one word.
    pub reason: &'a str,
    /// Why, for people.
    pub message: &'a str,
    /// How bad, where the controller says so: `Info`, `Warning` or `Error`.
    pub severity: &'a str,
    /// Since when the status is what it is.
    pub since: Option<Timestamp>,
    /// The generation of the object that was looked at.
    pub generation: Option<i64>,
}

impl Condition<'_> {
    /// The reason and the message, or what there is of them.
    #[must_use]
    pub fn why(&self) -> String {
        match (self.reason, self.message) {
            ("", "") => "no reason is given".to_owned(),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }

    /// The path of one of its fields, as evidence has it.
    #[must_use]
    pub fn path(&self, field: &str) -> String {
        format!(".status.conditions[{}].{field}", self.index)
    }
}

/// The conditions in `.status.conditions`, at most 100; what is no condition is left out.
#[must_use]
pub fn conditions(object: &Object) -> Vec<Condition<'_>> {
    let list = object.value().pointer("/status/conditions").and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .take(MOST)
        .enumerate()
        .filter_map(|(index, value)| {
            let text = |field: &str| value.get(field).and_then(Value::as_str).unwrap_or_default();
            Some(Condition {
                index,
                name: value.get("type").and_then(Value::as_str).filter(|name| !name.is_empty())?,
                status: text("status"),
                reason: text("reason"),
                message: text("message"),
                severity: text("severity"),
                since: text("lastTransitionTime").parse().ok(),
                generation: value.get("observedGeneration").and_then(Value::as_i64),
            })
        })
        .collect()
}

/// The condition of the type `name`, if it is there.
#[must_use]
pub fn condition<'a>(object: &'a Object, name: &str) -> Option<Condition<'a>> {
    conditions(object).into_iter().find(|condition| condition.name == name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn the_polarity_of_what_well_known_controllers_write() {
        for (name, expected) in [
            ("Ready", Polarity::Good),
            ("DatabaseReady", Polarity::Good),
            ("example.com/Ready", Polarity::Good),
            ("NotReady", Polarity::Neutral),
            ("Available", Polarity::Good),
            ("Unavailable", Polarity::Bad),
            ("DiskPressure", Polarity::Bad),
            ("ReconcileError", Polarity::Bad),
            ("Degraded", Polarity::Bad),
            ("Invalid", Polarity::Bad),
            ("Valid", Polarity::Good),
            ("Progressing", Polarity::Neutral),
            ("Reconciling", Polarity::Neutral),
            ("Upgradeable", Polarity::Neutral),
            ("SomethingNew", Polarity::Neutral),
            ("", Polarity::Neutral),
        ] {
            assert_eq!(polarity(name), expected, "{name}");
        }
    }

    #[test]
    fn what_is_no_condition_is_left_out_and_the_others_keep_their_place() {
        let object = |conditions: Value| {
            Object::new(json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"},
                "status": {"conditions": conditions}}))
            .unwrap()
        };
        let odd = object(
            json!([7, {"status": "True"}, {"type": "Ready", "status": 1, "lastTransitionTime": "soon"}]),
        );
        let found = conditions(&odd);
        assert_eq!((found.len(), found[0].index, found[0].status, found[0].since), (1, 2, "", None));
        assert!(conditions(&object(json!({"type": "Ready"}))).is_empty(), "no list");
        let many: Vec<Value> = (0..500).map(|n| json!({"type": format!("T{n}")})).collect();
        assert_eq!(conditions(&object(json!(many))).len(), MOST);
    }
}
