//! The owner at the top: the thing a person made.

use crate::kind::GroupKind;
use crate::object::{Object, ObjectRef};
use crate::view::{Lookup, View};

/// How far up owners are followed: a pod of a CronJob has two above it, a custom resource a few more.
const DEEPEST: usize = 8;

/// The owner of `object` that nobody owns, or none if nobody owns `object`. An owner that cannot be read ends the way and
/// is the answer: that it is the owner is known from below. Circles end too.
#[must_use]
pub fn top(object: &Object, view: &dyn View) -> Option<ObjectRef> {
    let mut top = None;
    let mut owned = std::sync::Arc::new(object.clone());
    for _ in 0..DEEPEST {
        let owners = owned.owners();
        let Some(owner) =
            owners.iter().find(|owner| owner.controller == Some(true)).or_else(|| owners.first())
        else {
            break;
        };
        // An owner lives in the namespace of what it owns, or in the cluster; which of the two its kind says. A view
        // answers for the namespace; a kind of the cluster is found without.
        let kind = GroupKind::named(&owner.api_version, &owner.kind);
        let namespaced =
            ObjectRef { kind, namespace: object.namespace().map(str::to_owned), name: owner.name.clone() };
        let found = view.object(&namespaced);
        top = Some(namespaced);
        match found {
            Lookup::Found(next) => owned = next,
            Lookup::NotFound | Lookup::Unverified(_) => break,
        }
    }
    top
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::inventory::Inventory;

    #[test]
    fn the_way_ends_at_what_nobody_owns_at_what_cannot_be_read_and_in_a_circle() {
        let owned = |kind: &str, name: &str, by: Option<(&str, &str)>| {
            let owners = by.map(
                |(kind, name)| json!([{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": name}]),
            );
            Object::new(json!({"apiVersion": "apps/v1", "kind": kind,
                "metadata": {"name": name, "namespace": "shop", "ownerReferences": owners}}))
            .unwrap()
        };
        let pod = owned("Pod", "web-1-x", Some(("ReplicaSet", "web-1")));
        let set = owned("ReplicaSet", "web-1", Some(("Deployment", "web")));
        let whole = Inventory::of([pod.clone(), set.clone(), owned("Deployment", "web", None)]);
        assert_eq!(top(&pod, &whole).unwrap().to_string(), "Deployment.apps shop/web");
        let partial = Inventory::of([pod.clone(), set]);
        assert_eq!(top(&pod, &partial).unwrap().name, "web", "known from below");
        let circle = owned("ReplicaSet", "web-1", Some(("ReplicaSet", "web-1")));
        assert_eq!(top(&pod, &Inventory::of([circle])).unwrap().name, "web-1");
        assert_eq!(top(&owned("Deployment", "web", None), &whole), None);
    }
}
