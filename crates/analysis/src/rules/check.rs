//! One comparison of a rule: a field of the object with a value, with another field, or with the time.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::object::Object;
use crate::view::{Typed as _, View};

/// The longest pointer, in bytes.
const LONGEST_POINTER: usize = 256;

/// The most values of `in` and `notIn`.
const MOST_VALUES: usize = 100;

/// A field and what it is compared with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Check {
    /// The field, as a JSON pointer (RFC 6901): `/status/phase`; items of lists by their number.
    pub pointer: String,
    /// The comparison.
    pub is: Comparison,
}

/// A comparison. A field that is missing or null is `absent` and `empty`, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Comparison {
    /// The field is missing or null.
    Absent,
    /// The field is there and not null.
    Present,
    /// The field is missing, null, or an empty string, list or map.
    Empty,
    /// The field is there and not empty.
    NotEmpty,
    /// The field has this value.
    Equals(Value),
    /// The field has another value.
    NotEquals(Value),
    /// The field has one of these values.
    In(Vec<Value>),
    /// The field has another value than each of these.
    NotIn(Vec<Value>),
    /// The number, or the number in the string, is less than this.
    LessThan(f64),
    /// The number, or the number in the string, is greater than this.
    GreaterThan(f64),
    /// The field has the same value as the field of this pointer; not if that is missing.
    EqualsField(String),
    /// The field has another value than the field of this pointer; not if that is missing.
    NotEqualsField(String),
    /// The number is less than the one in the field of this pointer; not if that is missing.
    LessThanField(String),
    /// The number is greater than the one in the field of this pointer; not if that is missing.
    GreaterThanField(String),
    /// The string has this in it, or the list this string as an item.
    Contains(String),
    /// The string begins with this.
    StartsWith(String),
    /// The string ends with this.
    EndsWith(String),
    /// The time (RFC 3339) is more seconds ago than this.
    OlderThanSeconds(u32),
}

impl Check {
    /// What is wrong with it, in words that begin after the name of the check.
    pub(super) fn errors(&self) -> Vec<String> {
        let mut errors: Vec<String> = pointer_error(&self.pointer)
            .map(|error| format!("pointer: {:?} {error}", self.pointer))
            .into_iter()
            .collect();
        match &self.is {
            Comparison::EqualsField(other)
            | Comparison::NotEqualsField(other)
            | Comparison::LessThanField(other)
            | Comparison::GreaterThanField(other) => {
                errors.extend(pointer_error(other).map(|error| format!("is: {other:?} {error}")));
            }
            Comparison::In(values) | Comparison::NotIn(values) if values.is_empty() => {
                errors.push("is: a list without values".to_owned());
            }
            Comparison::In(values) | Comparison::NotIn(values) if values.len() > MOST_VALUES => {
                errors.push(format!("is: {} values, more than {MOST_VALUES}", values.len()));
            }
            Comparison::LessThan(number) | Comparison::GreaterThan(number) if !number.is_finite() => {
                errors.push(format!("is: {number} is no number to compare with"));
            }
            Comparison::Contains(text) | Comparison::StartsWith(text) | Comparison::EndsWith(text)
                if text.is_empty() =>
            {
                errors.push("is: an empty string is in every string".to_owned());
            }
            _ => {}
        }
        errors
    }

    /// Whether it holds for `object` at the time of `view`.
    ///
    /// # Errors
    /// Why it cannot be said: a field that should be a number or a time is none.
    pub fn holds(&self, object: &Object, view: &dyn View) -> Result<bool, String> {
        let at = |pointer: &str| object.value().pointer(pointer).filter(|value| !value.is_null());
        let value = at(&self.pointer);
        let number = |pointer: &str, value: &Value| {
            as_number(value).ok_or_else(|| format!("{pointer} is not a number"))
        };
        let is_empty = |value: &Value| match value {
            Value::String(text) => text.is_empty(),
            Value::Array(items) => items.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        let Some(value) = value else {
            return Ok(matches!(self.is, Comparison::Absent | Comparison::Empty));
        };
        let numbers = |other: &str| -> Result<Option<(f64, f64)>, String> {
            let Some(bound) = at(other) else { return Ok(None) };
            Ok(Some((number(&self.pointer, value)?, number(other, bound)?)))
        };
        Ok(match &self.is {
            Comparison::Absent => false,
            Comparison::Present => true,
            Comparison::Empty => is_empty(value),
            Comparison::NotEmpty => !is_empty(value),
            Comparison::Equals(other) => same(value, other),
            Comparison::NotEquals(other) => !same(value, other),
            Comparison::In(others) => others.iter().any(|other| same(value, other)),
            Comparison::NotIn(others) => !others.iter().any(|other| same(value, other)),
            Comparison::LessThan(bound) => number(&self.pointer, value)? < *bound,
            Comparison::GreaterThan(bound) => number(&self.pointer, value)? > *bound,
            Comparison::EqualsField(other) => at(other).is_some_and(|other| same(value, other)),
            Comparison::NotEqualsField(other) => at(other).is_some_and(|other| !same(value, other)),
            Comparison::LessThanField(other) => numbers(other)?.is_some_and(|(own, other)| own < other),
            Comparison::GreaterThanField(other) => numbers(other)?.is_some_and(|(own, other)| own > other),
            Comparison::Contains(part) => match value {
                Value::Array(items) => items.iter().any(|item| item == part.as_str()),
                other => other.as_str().is_some_and(|text| text.contains(part.as_str())),
            },
            Comparison::StartsWith(part) => {
                value.as_str().is_some_and(|text| text.starts_with(part.as_str()))
            }
            Comparison::EndsWith(part) => value.as_str().is_some_and(|text| text.ends_with(part.as_str())),
            Comparison::OlderThanSeconds(seconds) => {
                let time: Option<Timestamp> = value.as_str().and_then(|text| text.parse().ok());
                let time = time.ok_or_else(|| format!("{} is not a time", self.pointer))?;
                // Longer ago, not as long ago.
                view.is_past(time, SignedDuration::from_millis(i64::from(*seconds) * 1000 + 1))
            }
        })
    }
}

/// Why `pointer` is no pointer.
fn pointer_error(pointer: &str) -> Option<String> {
    if pointer.len() > LONGEST_POINTER {
        return Some(format!("is longer than {LONGEST_POINTER} bytes"));
    }
    if !pointer.starts_with('/') {
        return Some("does not begin with /".to_owned());
    }
    let mut escapes = pointer.split('~').skip(1);
    (!escapes.all(|after| after.starts_with(['0', '1'])))
        .then(|| "has a ~ that neither 0 nor 1 follows".to_owned())
}

fn as_number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number: &f64| number.is_finite())
}

/// Whether two values are the same; 3 and 3.0 are.
fn same(one: &Value, other: &Value) -> bool {
    one == other || (one.is_number() && other.is_number() && one.as_f64() == other.as_f64())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::inventory::Inventory;

    fn object() -> Object {
        Object::new(json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t"},
            "spec": {"replicas": 3, "null": null}, "status": {"phase": "Failed", "ready": 1, "text": "7", "list": ["a"],
            "none": [], "since": "2026-06-01T11:00:00Z", "yes": true}}))
        .unwrap()
    }

    fn check(pointer: &str, is: Value) -> Check {
        serde_json::from_value(json!({"pointer": pointer, "is": is})).unwrap()
    }

    #[test]
    fn comparisons() {
        let now = Inventory::new("2026-06-01T12:00:00Z".parse().unwrap());
        for (pointer, is, expected) in [
            ("/status/gone", json!("absent"), true),
            ("/spec/null", json!("absent"), true),
            ("/status/phase", json!("absent"), false),
            ("/status/phase", json!("present"), true),
            ("/status/none", json!("empty"), true),
            ("/status/gone", json!("empty"), true),
            ("/status/list", json!("notEmpty"), true),
            ("/status/phase", json!({"equals": "Failed"}), true),
            ("/spec/replicas", json!({"equals": 3.0}), true),
            ("/status/yes", json!({"equals": true}), true),
            ("/status/phase", json!({"notEquals": "Running"}), true),
            ("/status/gone", json!({"notEquals": "Running"}), false),
            ("/status/phase", json!({"in": ["Failed", "Lost"]}), true),
            ("/status/phase", json!({"notIn": ["Failed", "Lost"]}), false),
            ("/status/ready", json!({"lessThan": 2}), true),
            ("/status/text", json!({"greaterThan": 6.5}), true),
            ("/status/ready", json!({"lessThanField": "/spec/replicas"}), true),
            ("/status/ready", json!({"lessThanField": "/spec/gone"}), false),
            ("/status/ready", json!({"greaterThanField": "/spec/replicas"}), false),
            ("/status/ready", json!({"notEqualsField": "/spec/replicas"}), true),
            ("/status/ready", json!({"equalsField": "/status/ready"}), true),
            ("/status/list", json!({"contains": "a"}), true),
            ("/status/phase", json!({"contains": "ail"}), true),
            ("/status/phase", json!({"startsWith": "Fa"}), true),
            ("/status/phase", json!({"endsWith": "Fa"}), false),
            ("/status/list/0", json!({"equals": "a"}), true),
            ("/status/since", json!({"olderThanSeconds": 3599}), true),
            ("/status/since", json!({"olderThanSeconds": 3600}), false),
        ] {
            assert_eq!(check(pointer, is.clone()).holds(&object(), &now), Ok(expected), "{pointer} {is}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_an_error_and_not_false() {
        let now = Inventory::new(Timestamp::UNIX_EPOCH);
        for (pointer, is) in [
            ("/status/phase", json!({"lessThan": 2})),
            ("/status/ready", json!({"lessThanField": "/status/phase"})),
            ("/status/phase", json!({"olderThanSeconds": 5})),
            ("/status/ready", json!({"olderThanSeconds": 5})),
        ] {
            assert!(
                check(pointer, is.clone()).holds(&object(), &now).unwrap_err().contains("is not a"),
                "{is}"
            );
        }
    }

    #[test]
    fn what_is_wrong_with_a_check_is_told() {
        for (pointer, is, told) in [
            ("status/phase", json!("absent"), "does not begin with /"),
            ("", json!("absent"), "does not begin with /"),
            ("/a~2", json!("absent"), "neither 0 nor 1"),
            ("/a~", json!("absent"), "neither 0 nor 1"),
            ("/a", json!({"equalsField": "b"}), "does not begin with /"),
            ("/a", json!({"in": []}), "without values"),
            ("/a", json!({"contains": ""}), "empty string"),
        ] {
            let errors = check(pointer, is).errors();
            assert!(errors.len() == 1 && errors[0].contains(told), "{errors:?}");
        }
        assert_eq!(check(&format!("/{}", "a".repeat(300)), json!("absent")).errors().len(), 1);
        assert!(check("/metadata/annotations/a~1b~0", json!("absent")).errors().is_empty());
        let unknown = serde_json::from_value::<Check>(json!({"pointer": "/a", "is": {"resembles": 1}}));
        assert!(unknown.unwrap_err().to_string().contains("resembles"));
    }
}
