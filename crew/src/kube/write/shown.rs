//! What a person is shown of a deed: the object as it is and as it would be.

use serde_json::{Value, json};

use super::deed::{Deed, Method, Target, state};
use crate::kube::{
    answer::start_of,
    consent::{
        refused::{Refused, refuse},
        shown::{Diff, between, shown},
    },
};

/// Largest diff, in bytes: what is longer nobody reads before they approve it.
const LARGEST: usize = 64 * 1024;

/// What a deed changes. Of an object that is created it is what was written, because the API server makes up a part of the
/// rest each time; of one that is deleted the end may be cut off.
pub(super) fn diff(deed: &Deed, before: Option<&Value>, after: Option<&Value>) -> Result<Diff, Refused> {
    let (was, is) = match deed.method {
        Method::Apply if before.is_none() => (Value::Null, deed.patch.clone()),
        Method::Delete => (before.map(state).unwrap_or_default(), Value::Null),
        _ => (before.map(state).unwrap_or_default(), after.map(state).unwrap_or_default()),
    };
    let Diff { mut text, hides } = between(&was, &is, ["now", "then"])?;
    if text.len() > LARGEST {
        if deed.method != Method::Delete {
            return refuse(format!("its diff has more than {LARGEST} bytes: make several smaller changes"));
        }
        let end = start_of(&text, LARGEST).rfind('\n').map_or(0, |end| end + 1);
        let left = text[end..].lines().count();
        text.truncate(end);
        text.push_str(&format!(" … and {left} lines more\n"));
    }
    Ok(Diff { text, hides })
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
