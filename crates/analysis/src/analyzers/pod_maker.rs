//! Workloads by the pods that they would make: what says that a selector is right although no pod is there.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::CronJob;
use serde_json::Value;

use crate::kind::GroupKind;
use crate::object::{Object, ObjectRef};
use crate::selector::Selector;
use crate::view::{Unverified, View};

/// The kinds that have as many pods as somebody asks for, none too.
pub(crate) const SCALED: [GroupKind; 2] = [GroupKind::of::<Deployment>(), GroupKind::of::<StatefulSet>()];

/// The kinds whose pods come and go.
pub(crate) const MAKE_PODS: [GroupKind; 4] = [
    GroupKind::of::<Deployment>(),
    GroupKind::of::<StatefulSet>(),
    GroupKind::of::<DaemonSet>(),
    GroupKind::of::<CronJob>(),
];

/// A workload whose pods a selector matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Workload {
    /// Which it is.
    pub(crate) at: ObjectRef,
    /// How many pods it is told to have, where it says so.
    pub(crate) replicas: Option<i64>,
}

/// The workloads of `namespace`, among these kinds, whose pods `selector` matches.
///
/// # Errors
/// [`Unverified`] if one of the kinds could not be listed.
pub(crate) fn making(
    view: &dyn View,
    namespace: Option<&str>,
    selector: &Selector,
    kinds: &[GroupKind],
) -> Result<Vec<Workload>, Unverified> {
    let mut found = Vec::new();
    for kind in kinds {
        for object in view.list(kind, namespace, &Selector::everything())? {
            if selector.matches(&template_labels(&object)) {
                let replicas = object.value().pointer("/spec/replicas").and_then(Value::as_i64);
                found.push(Workload { at: object.reference(), replicas });
            }
        }
    }
    Ok(found)
}

fn template_labels(object: &Object) -> BTreeMap<String, String> {
    let template = if object.kind().is::<CronJob>() {
        "/spec/jobTemplate/spec/template/metadata/labels"
    } else {
        "/spec/template/metadata/labels"
    };
    let labels = object.value().pointer(template).and_then(Value::as_object);
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    labels.into_iter().flatten().filter_map(text).collect()
}
