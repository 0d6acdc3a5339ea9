//! What a person is shown of a change of one object: a unified diff without secrets.

use asya_analysis::{
    Object,
    scrub::{HIDDEN, scrub},
};
use serde_json::Value;
use similar::TextDiff;

use super::refused::Refused;

/// Lines around a change.
const CONTEXT: usize = 3;
/// What stands for a secret that changes.
const ANOTHER: &str = "*** (another)";
/// What a person is told at once whose diff has a `***` that is set.
pub(crate) const UNSEEN: &str = "it sets values that are not shown: look at the operation";

/// What of a change is shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Diff {
    /// A unified diff; empty: nothing changes.
    pub(crate) text: String,
    /// Whether it sets a value that the diff does not show as it is.
    pub(crate) hides: bool,
}

/// What changes from one state of an object to another; null: there is none.
pub(crate) fn between(was: &Value, is: &Value, [old, new]: [&str; 2]) -> Result<Diff, Refused> {
    if was == is {
        return Ok(Diff { text: String::new(), hides: false });
    }
    let (was_shown, mut is_shown) = (shown(was), shown(is));
    let hides = hides(was, is, &is_shown);
    mark(was, is, &was_shown, &mut is_shown);
    let (was, is) = (yaml(&was_shown)?, yaml(&is_shown)?);
    let mut text =
        TextDiff::from_lines(&was, &is).unified_diff().context_radius(CONTEXT).header(old, new).to_string();
    let unseen = text.is_empty();
    if unseen {
        text = format!("--- {old}\n+++ {new}\n {HIDDEN}: a value that looks like a secret changes\n");
    }
    Ok(Diff { text, hides: hides || unseen })
}

/// Whether `is` holds a value that `was` does not have in its place and that is not shown as it is.
fn hides(was: &Value, is: &Value, shown: &Value) -> bool {
    match is {
        Value::Object(fields) => {
            fields.iter().any(|(name, field)| hides(&was[name.as_str()], field, &shown[name.as_str()]))
        }
        Value::Array(items) => items.iter().enumerate().any(|(at, item)| hides(&was[at], item, &shown[at])),
        is => is != was && is != shown,
    }
}

/// The object as whoever asks may see it.
pub(crate) fn shown(object: &Value) -> Value {
    Object::new(object.clone()).map_or(Value::Null, Object::shown)
}

/// A text that differs where nobody sees a difference says so.
fn mark(was: &Value, is: &Value, was_shown: &Value, is_shown: &mut Value) {
    match (is, &mut *is_shown) {
        (Value::Object(fields), Value::Object(shown)) => {
            for (name, field) in shown.iter_mut() {
                let is = fields.get(name).unwrap_or(&Value::Null);
                mark(&was[name.as_str()], is, &was_shown[name.as_str()], field);
            }
        }
        (Value::Array(items), Value::Array(shown)) => {
            for (at, item) in shown.iter_mut().enumerate() {
                mark(&was[at], items.get(at).unwrap_or(&Value::Null), &was_shown[at], item);
            }
        }
        (is, Value::String(text)) if was != is && was_shown.as_str() == Some(text) => {
            ANOTHER.clone_into(text);
        }
        _ => {}
    }
}

pub(crate) fn yaml(object: &Value) -> Result<String, Refused> {
    if object.is_null() {
        return Ok(String::new());
    }
    serde_saphyr::to_string(object).map_err(|error| Refused(format!("it cannot be shown: {error}")))
}

/// A sentence of the API server, bounded and without what looks like a secret.
pub(crate) fn sentence(text: &str) -> String {
    const LONGEST: usize = 600;
    scrub(&text.chars().take(LONGEST).collect::<String>())
}
