//! Objects whose deletion was asked for and does not come to its end.

use jiff::SignedDuration;
use serde_json::Value;

use crate::failure::{Failure, Severity};
use crate::object::Object;
use crate::view::{Typed as _, View};

/// How long a deletion may take before it counts as stuck: those of cloud volumes and load balancers take minutes.
pub const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// The finalizers that hold `object`, in their order.
#[must_use]
pub fn finalizers(object: &Object) -> Vec<&str> {
    let list = object.value().pointer("/metadata/finalizers").and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The failure `DeletionStuck` with the finalizers that hold `object`, if its deletion was asked for `patience`
/// ago. Its text says since when, not how long: it stays the same as time goes on.
#[must_use]
pub fn stuck(object: &Object, view: &dyn View, patience: SignedDuration) -> Option<Failure> {
    let asked = object.deleted().filter(|asked| view.is_past(*asked, patience))?;
    let at = object.reference();
    let names = finalizers(object);
    let held = match names.as_slice() {
        [] => "no finalizer holds it".to_owned(),
        [one] => format!("the finalizer {one} holds it"),
        several => format!("the finalizers {} hold it", several.join(", ")),
    };
    let text = format!("{at} is being deleted since {asked} and is still there: {held}");
    let failure = Failure::new("DeletionStuck", Severity::Warning, text).seen(
        &at,
        ".metadata.deletionTimestamp",
        object.text("/metadata/deletionTimestamp").map(str::to_owned),
    );
    Some(names.iter().enumerate().fold(failure, |failure, (n, name)| {
        failure.seen(&at, format!(".metadata.finalizers[{n}]"), (*name).to_owned())
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::inventory::Inventory;

    #[test]
    fn a_deletion_is_stuck_after_the_patience_and_names_what_holds_it() {
        let asked: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
        let object = Object::new(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p",
            "namespace": "shop", "deletionTimestamp": asked.to_string(), "finalizers": ["a/b", 7, "c/d"]}}))
        .unwrap();
        let at = |now| Inventory::new(now);
        let second = SignedDuration::from_secs(1);
        assert_eq!(stuck(&object, &at(asked + PATIENCE - second), PATIENCE), None, "within the patience");
        let later =
            |minutes| stuck(&object, &at(asked + SignedDuration::from_mins(minutes)), PATIENCE).unwrap();
        assert!(later(11).text.contains("the finalizers a/b, c/d hold it"), "{}", later(11).text);
        assert_eq!(later(11), later(600), "the same failure an hour later");
        let living = Object::new(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p",
            "deletionTimestamp": "soon", "finalizers": {}}}))
        .unwrap();
        assert_eq!(stuck(&living, &at(asked), PATIENCE), None, "a time that cannot be read is none");
    }
}
