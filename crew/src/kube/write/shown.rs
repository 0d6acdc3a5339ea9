//! What a person is shown of a change: a unified diff without secrets.

use asya_analysis::{
    Object,
    scrub::{HIDDEN, scrub},
};
use serde_json::{Value, json};
use similar::TextDiff;

use super::{
    deed::{Deed, Method, Target, state},
    refused::{Refused, refuse},
};

/// Lines around a change.
const CONTEXT: usize = 3;
/// Largest diff, in bytes: what is longer nobody reads before they approve it.
const LARGEST: usize = 64 * 1024;
/// What stands for a secret that changes.
const ANOTHER: &str = "*** (another)";

/// What of a change is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Diff {
    /// A unified diff; empty: nothing changes.
    pub(super) text: String,
    /// Whether it sets a value that the diff does not show as it is.
    pub(super) hides: bool,
}

/// What a deed changes. Of an object that is created it is what was written, because the API server makes up a part of the
/// rest each time; of one that is deleted the end may be cut off.
pub(super) fn diff(deed: &Deed, before: Option<&Value>, after: Option<&Value>) -> Result<Diff, Refused> {
    let (was, is) = match deed.method {
        Method::Apply if before.is_none() => (Value::Null, deed.patch.clone()),
        Method::Delete => (before.map(state).unwrap_or_default(), Value::Null),
        _ => (before.map(state).unwrap_or_default(), after.map(state).unwrap_or_default()),
    };
    if was == is {
        return Ok(Diff { text: String::new(), hides: false });
    }
    let (was_shown, mut is_shown) = (shown(&was), shown(&is));
    let hides = hides(&was, &is, &is_shown);
    mark(&was, &is, &was_shown, &mut is_shown);
    let (old, new) = (yaml(&was_shown)?, yaml(&is_shown)?);
    let mut text = TextDiff::from_lines(&old, &new)
        .unified_diff()
        .context_radius(CONTEXT)
        .header("now", "then")
        .to_string();
    let unseen = text.is_empty();
    if unseen {
        text = format!("--- now\n+++ then\n {HIDDEN}: a value that looks like a secret changes\n");
    }
    if text.len() > LARGEST {
        if deed.method != Method::Delete {
            return refuse(format!("its diff has more than {LARGEST} bytes: make several smaller changes"));
        }
        let end = text[..LARGEST].rfind('\n').map_or(0, |end| end + 1);
        let left = text[end..].lines().count();
        text.truncate(end);
        text.push_str(&format!(" … and {left} lines more\n"));
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

/// Nothing that runs is hidden: a manifest may not have something under `command` or `args` that looks like a secret.
pub(super) fn commands(manifest: &Value) -> Result<(), Refused> {
    if hides_command(manifest, &shown(manifest)) {
        return refuse(
            "something in command or args looks like a secret, or has control characters, so nobody would see what runs: \
             take the value from a Secret",
        );
    }
    Ok(())
}

/// An operation is kept and shown as it is, so no earlier template goes into it that holds what nobody may see.
pub(super) fn earlier(deed: &Deed) -> Result<(), Refused> {
    let Target { api_version, kind, name, .. } = &deed.target;
    let whole = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": deed.patch["spec"]});
    if shown(&whole) != whole {
        return refuse("the earlier template holds values that look like secrets: roll back with kubectl");
    }
    Ok(())
}

fn hides_command(is: &Value, shown: &Value) -> bool {
    match is {
        Value::Object(fields) => fields.iter().any(|(name, field)| {
            let shown = &shown[name.as_str()];
            (matches!(name.as_str(), "command" | "args") && field != shown) || hides_command(field, shown)
        }),
        Value::Array(items) => items.iter().enumerate().any(|(at, item)| hides_command(item, &shown[at])),
        _ => false,
    }
}

/// The object as whoever asks may see it.
fn shown(object: &Value) -> Value {
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

fn yaml(object: &Value) -> Result<String, Refused> {
    if object.is_null() {
        return Ok(String::new());
    }
    serde_saphyr::to_string(object).map_err(|error| Refused(format!("it cannot be shown: {error}")))
}

/// A sentence of the API server, bounded and without what looks like a secret.
pub(super) fn sentence(text: &str) -> String {
    const LONGEST: usize = 600;
    scrub(&text.chars().take(LONGEST).collect::<String>())
}
