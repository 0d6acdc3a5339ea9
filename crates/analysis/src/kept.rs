//! An object as it is kept in memory: as text, which is a fraction of the size of its tree, and made a tree again when
//! somebody asks for it. Its labels stay as they are: each list goes over those of a whole namespace.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::object::Object;

/// An object as text.
#[derive(Debug)]
pub(crate) struct Kept {
    labels: BTreeMap<String, String>,
    json: Box<[u8]>,
}

impl Kept {
    /// Keeps `object`.
    pub(crate) fn new(object: &Object) -> Self {
        Self { labels: object.labels(), json: object.value().to_string().into_bytes().into() }
    }

    /// Its labels.
    pub(crate) const fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Whether it was made of just this object.
    pub(crate) fn is(&self, object: &Object) -> bool {
        *self.json == *object.value().to_string().as_bytes()
    }

    /// The object.
    pub(crate) fn object(&self) -> Arc<Object> {
        let value = serde_json::from_slice(&self.json).expect("what was written as JSON is read as JSON");
        Arc::new(Object::parsed(value))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use crate::Inventory;
    use crate::analyzers::testing::object;
    use crate::object::ObjectRef;
    use crate::view::{Lookup, View};

    use super::*;

    #[test]
    fn an_object_comes_back_as_it_was_put_and_another_version_is_another() {
        let pod = |version: &str| {
            object(
                "v1",
                "Pod",
                "web",
                json!({"metadata": {"name": "web", "namespace": "shop", "labels": {"app": "wéb"},
                    "resourceVersion": version}, "spec": {"a": [1, -2, 0.5, null, true, "\u{0}\"\\"]}}),
            )
        };
        let kept = Kept::new(&pod("1"));
        assert_eq!(*kept.object(), pod("1"));
        assert_eq!(*kept.labels(), pod("1").labels());
        assert!(kept.is(&pod("1")) && !kept.is(&pod("2")));
    }

    #[test]
    fn an_object_as_deep_as_the_api_server_can_send_is_kept() {
        let deepest = "[".repeat(120) + &"]".repeat(120);
        let deep: serde_json::Value = serde_json::from_str(&deepest).unwrap();
        let custom = object("example.com/v1", "Thing", "deep", json!({"spec": deep}));
        let mut inventory = Inventory::default();
        inventory.put(&custom);
        let at =
            ObjectRef { kind: custom.kind(), namespace: Some("shop".to_owned()), name: "deep".to_owned() };
        assert!(matches!(inventory.object(&at), Lookup::Found(found) if *found == custom));
    }
}
