//! StatefulSets: what they name and is not there, and the pod at which they stand still.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::storage::v1::StorageClass;

use super::words::{names, told_by};
use super::workload::{Stage, behind, missing, pull_secrets, settles, shown_by, stage};
use crate::analyzer::Analyzer;
use crate::event::latest_for;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, View};

/// Looks at StatefulSets.
pub(crate) struct StatefulSetAnalyzer;

impl Analyzer for StatefulSetAnalyzer {
    fn name(&self) -> &'static str {
        "StatefulSet"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<StatefulSet>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let set: StatefulSet = object.typed()?;
        let Some(spec) = set.spec.as_ref() else { return Ok(()) };
        let look = Look { object, at: object.reference(), spec, view };
        pull_secrets(object, &spec.template, view, report);
        look.service(report);
        look.storage(report);
        let status = set.status.unwrap_or_default();
        // As the API server makes it, before any controller.
        let untouched =
            status.observed_generation.is_none() && status.conditions.is_none() && status.replicas == 0;
        if !untouched && !behind(object, status.observed_generation) {
            look.replicas(&status, report);
        }
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    spec: &'a StatefulSetSpec,
    view: &'a dyn View,
}

impl Look<'_> {
    /// The ordinals of the pods that there should be.
    fn ordinals(&self) -> std::ops::Range<i64> {
        let start = self.spec.ordinals.as_ref().and_then(|ordinals| ordinals.start).unwrap_or(0);
        let wanted = self.spec.replicas.unwrap_or(1).max(0);
        i64::from(start)..i64::from(start) + i64::from(wanted)
    }

    /// Without its Service the pods have no names in DNS. One that names none wants none.
    fn service(&self, report: &mut Report) {
        const CODE: &str = "GoverningServiceMissing";
        let Some(name) = self.spec.service_name.as_deref().filter(|name| !name.is_empty()) else { return };
        let service = ObjectRef::of::<Service>(self.object.namespace(), name);
        let lookup = self.view.get::<Service>(self.object.namespace(), name);
        if let Some(None) = report.known(CODE, &service, lookup) {
            let text = format!(
                "StatefulSet {} uses the Service {}, which does not exist",
                self.at.path(),
                service.path()
            );
            report.fail(
                Failure::new(CODE, Severity::Error, text)
                    .seen(&self.at, ".spec.serviceName", name.to_owned())
                    .hides(names(self.object).chain([name]))
                    .explained_by("statefulset.spec.serviceName"),
            );
        }
    }

    /// A storage class that is not there makes no volume. Volumes made by hand may carry the name of a class that never
    /// was: where every claim has found its volume, nothing is missing.
    fn storage(&self, report: &mut Report) {
        const CODE: &str = "StorageClassMissing";
        for (n, claim) in self.spec.volume_claim_templates.iter().flatten().enumerate() {
            let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
            let Some(class) = class.filter(|class| !class.is_empty()) else { continue };
            let about = ObjectRef::of::<StorageClass>(None, class);
            let Some(None) = report.known(CODE, &about, self.view.get::<StorageClass>(None, class)) else {
                continue;
            };
            let template = claim.metadata.name.as_deref().unwrap_or_default();
            if self.all_bound(template, CODE, report) != Some(false) {
                continue;
            }
            let text = format!(
                "StatefulSet {} asks for volumes of the storage class {class}, which does not exist",
                self.at.path()
            );
            report.fail(
                Failure::new(CODE, Severity::Error, text)
                    .seen(
                        &self.at,
                        format!(".spec.volumeClaimTemplates[{n}].spec.storageClassName"),
                        class.to_owned(),
                    )
                    .hides(names(self.object).chain([class]))
                    .explained_by("statefulset.spec.volumeClaimTemplates"),
            );
        }
    }

    /// Whether all claims of a template that its pods need are bound; nothing if that cannot be told.
    fn all_bound(&self, template: &str, code: &str, report: &mut Report) -> Option<bool> {
        for ordinal in self.ordinals() {
            let name = format!("{template}-{}-{ordinal}", self.object.name());
            let lookup = self.view.get::<PersistentVolumeClaim>(self.object.namespace(), &name);
            let about = ObjectRef::of::<PersistentVolumeClaim>(self.object.namespace(), &name);
            let claim = report.known(code, about, lookup)?;
            let phase = claim.and_then(|claim| claim.status).and_then(|status| status.phase);
            if phase.as_deref() != Some("Bound") {
                return Some(false);
            }
        }
        Some(true)
    }

    fn replicas(&self, status: &StatefulSetStatus, report: &mut Report) {
        const CODE: &str = "ReplicasUnavailable";
        let wanted = self.spec.replicas.unwrap_or(1);
        let available = status.available_replicas.or(status.ready_replicas).unwrap_or(0);
        let selector = Selector::from(&self.spec.selector);
        if available >= wanted {
            settles(CODE, self.object, &selector, self.view, report);
            return;
        }
        let pods = self.view.all::<Pod>(self.object.namespace(), &selector);
        let Some(pods) = report.listed(CODE, format!("pods of {}", self.at), pods) else { return };
        let pods: BTreeMap<&str, &Pod> =
            pods.iter().filter_map(|pod| Some((pod.metadata.name.as_deref()?, pod))).collect();
        let Some(halt) = self.halt(&pods) else { return };

        let failure = Failure::new(
            CODE,
            missing(available),
            format!("StatefulSet {} has {available} of {wanted} replicas available", self.at.path()),
        )
        .seen(&self.at, ".spec.replicas", wanted.to_string())
        .seen(&self.at, ".status.availableReplicas", available.to_string())
        .hides(names(self.object))
        .explained_by("statefulset.spec.replicas");
        match halt {
            Halt::Stuck(pod) => {
                let name = pod.metadata.name.as_deref().unwrap_or_default();
                let what =
                    if pod.metadata.deletion_timestamp.is_some() { "does not go" } else { "is not ready" };
                let mut failure = shown_by(failure, self.object, pod);
                failure.text = format!("{}; pod {name} {what}", failure.text);
                report.fail(failure);
            }
            Halt::Missing(name) => {
                let about = ObjectRef::of::<Pod>(self.object.namespace(), &name);
                let mut failure = failure.seen(&about, ".metadata.name", None).hides([name.as_str()]);
                failure.text = format!("{}; pod {name} does not exist", failure.text);
                report.fail(failure);
                self.not_made(report);
            }
        }
    }

    /// Where the set stands still: nothing, if all pods that are there are ready, or still have time. Pods are made in the
    /// order of their ordinals, so what comes after one that has time need not be there; unless they are made all at once.
    fn halt<'a>(&self, pods: &BTreeMap<&str, &'a Pod>) -> Option<Halt<'a>> {
        let parallel = self.spec.pod_management_policy.as_deref() == Some("Parallel");
        let mut passing = false;
        for ordinal in self.ordinals() {
            let name = format!("{}-{ordinal}", self.object.name());
            match pods.get(name.as_str()) {
                None if passing => return None,
                None => return Some(Halt::Missing(name)),
                Some(pod) => match stage(pod, self.view) {
                    Stage::Ready => {}
                    Stage::Stuck => return Some(Halt::Stuck(pod)),
                    Stage::Passing if parallel => passing = true,
                    Stage::Passing => return None,
                },
            }
        }
        None
    }

    /// Why a pod is not made: the controller says so in an event.
    fn not_made(&self, report: &mut Report) {
        const CODE: &str = "PodsNotCreated";
        let events = self.view.events_about(self.object);
        let Some(events) = report.listed(CODE, format!("events of {}", self.at), events) else { return };
        if let Some(event) = latest_for(&events, &["FailedCreate"]) {
            let there = match self.object.value().pointer("/status/replicas") {
                Some(replicas) => replicas.to_string(),
                None => "0".to_owned(),
            };
            report.fail(told_by(event, CODE, &self.at, ".status.replicas", &there).hides(names(self.object)));
        }
    }
}

/// At what a StatefulSet stands still.
enum Halt<'a> {
    Stuck(&'a Pod),
    Missing(String),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, event, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    const NEW: &str = "2026-06-01T11:55:00Z";
    const OLD: &str = "2026-06-01T09:00:00Z";

    fn set(spec: Value, status: Value) -> Object {
        let mut rest = json!({"spec": {"serviceName": "", "selector": {"matchLabels": {"app": "db"}}, "template": {}}, "status": status});
        rest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object("apps/v1", "StatefulSet", "db", rest)
    }

    fn pod(name: &str, created: &str, ready: &str) -> Object {
        object(
            "v1",
            "Pod",
            name,
            json!({"metadata": {"labels": {"app": "db"}, "creationTimestamp": created}, "spec": {"containers": []},
                "status": {"phase": if ready == "True" { "Running" } else { "Pending" }, "conditions": [{"type": "Ready", "status": ready}]}}),
        )
    }

    fn three(available: i32) -> Object {
        set(
            json!({"replicas": 3}),
            json!({"observedGeneration": 1, "replicas": 3, "availableReplicas": available}),
        )
    }

    #[test]
    fn cases_of_pods() {
        let ready = |name: &str| pod(name, OLD, "True");
        let mut leaving = pod("db-0", OLD, "False").value().clone();
        leaving["metadata"]["deletionTimestamp"] = json!("2026-06-01T12:00:10Z");
        let mut gone_late = leaving.clone();
        gone_late["metadata"]["deletionTimestamp"] = json!(OLD);
        let (leaving, gone_late) = (Object::new(leaving).unwrap(), Object::new(gone_late).unwrap());
        let unavailable: &[&str] = &["ReplicasUnavailable"];
        let cases: [(&str, Object, Vec<Object>, &[&str]); 13] = [
            (
                "not looked at yet",
                set(json!({"replicas": 3}), json!({"replicas": 0, "availableReplicas": 0})),
                vec![],
                &[],
            ),
            ("all available", three(3), vec![], &[]),
            (
                "scaled to zero",
                set(json!({"replicas": 0}), json!({"observedGeneration": 1, "replicas": 0})),
                vec![],
                &[],
            ),
            ("the first is missing", three(0), vec![], unavailable),
            ("the first hangs", three(0), vec![pod("db-0", OLD, "False")], unavailable),
            ("the first starts", three(0), vec![pod("db-0", NEW, "False")], &[]),
            ("a rollout: one goes", three(2), vec![leaving, ready("db-1"), ready("db-2")], &[]),
            ("one does not go", three(2), vec![gone_late, ready("db-1"), ready("db-2")], unavailable),
            ("the second is missing", three(1), vec![ready("db-0"), ready("db-2")], unavailable),
            (
                "the last hangs",
                three(2),
                vec![ready("db-0"), ready("db-1"), pod("db-2", OLD, "False")],
                unavailable,
            ),
            (
                "ready, and not yet for minReadySeconds",
                three(2),
                vec![ready("db-0"), ready("db-1"), ready("db-2")],
                &[],
            ),
            (
                "all at once: one starts, one hangs",
                set(
                    json!({"replicas": 3, "podManagementPolicy": "Parallel"}),
                    json!({"observedGeneration": 1, "replicas": 3}),
                ),
                vec![pod("db-0", NEW, "False"), pod("db-1", OLD, "False"), ready("db-2")],
                unavailable,
            ),
            (
                "the controller has not seen the change",
                {
                    let mut value = three(0).value().clone();
                    value["metadata"]["generation"] = json!(2);
                    Object::new(value).unwrap()
                },
                vec![],
                &[],
            ),
        ];
        for (name, set, pods, expected) in cases {
            assert_eq!(codes(&look(&["StatefulSet"], &set, &pods)), expected, "{name}");
        }
    }

    #[test]
    fn pods_are_counted_from_where_the_ordinals_start() {
        let from_five = set(
            json!({"replicas": 2, "ordinals": {"start": 5}}),
            json!({"observedGeneration": 1, "replicas": 2, "availableReplicas": 1}),
        );
        let found =
            look(&["StatefulSet"], &from_five, &[pod("db-5", OLD, "True"), pod("db-6", OLD, "False")]);
        assert!(found.report.failures()[0].text.ends_with("pod db-6 is not ready"), "{:?}", found.report);
        assert_eq!(found.report.failures()[0].evidence[2].object.name, "db-6");
    }

    #[test]
    fn an_empty_service_name_names_no_service() {
        assert!(codes(&look(&["StatefulSet"], &set(json!({}), json!({})), &[])).is_empty());
        assert!(
            codes(&look(&["StatefulSet"], &set(json!({"serviceName": null}), json!({})), &[])).is_empty()
        );
        let named = set(json!({"serviceName": "db"}), json!({}));
        assert_eq!(codes(&look(&["StatefulSet"], &named, &[])), ["GoverningServiceMissing"]);
        assert!(
            codes(&look(&["StatefulSet"], &named, &[object("v1", "Service", "db", json!({}))])).is_empty()
        );
    }

    #[test]
    fn a_storage_class_that_may_not_be_read_is_a_doubt() {
        let subject = set(
            json!({"volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"storageClassName": "fast"}}]}),
            json!({}),
        );
        assert_eq!(codes(&look(&["StatefulSet"], &subject, &[])), ["StorageClassMissing"]);
        let class = cluster_object("storage.k8s.io/v1", "StorageClass", "fast", json!({"provisioner": "p"}));
        assert!(codes(&look(&["StatefulSet"], &subject, &[class])).is_empty());
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&GroupKind::of::<StorageClass>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["StatefulSet"], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubts()[0].code, "StorageClassMissing");
    }

    #[test]
    fn a_class_that_only_labels_bound_volumes_need_not_exist_and_an_empty_one_is_no_class() {
        let with_class = |class: &str| {
            set(
                json!({"replicas": 1, "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"storageClassName": class}}]}),
                json!({}),
            )
        };
        let claim = |phase: &str| {
            object(
                "v1",
                "PersistentVolumeClaim",
                "data-db-0",
                json!({"spec": {}, "status": {"phase": phase}}),
            )
        };
        assert!(codes(&look(&["StatefulSet"], &with_class("by-hand"), &[claim("Bound")])).is_empty());
        assert_eq!(
            codes(&look(&["StatefulSet"], &with_class("by-hand"), &[claim("Pending")])),
            ["StorageClassMissing"]
        );
        assert!(codes(&look(&["StatefulSet"], &with_class(""), &[claim("Pending")])).is_empty());
    }

    #[test]
    fn the_controller_tells_in_an_event_why_a_pod_is_not_made() {
        let subject = three(0);
        let quota = event(&subject, "FailedCreate", "exceeded quota", "2026-06-01T11:00:00Z");
        let found = look(&["StatefulSet"], &subject, &[quota]);
        assert_eq!(codes(&found), ["PodsNotCreated", "ReplicasUnavailable"]);
        assert_eq!(found.report.failures()[0].text, "exceeded quota");
    }

    #[test]
    fn pods_that_may_not_be_listed_leave_a_doubt() {
        let subject = three(0);
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&GroupKind::of::<Pod>(), None, Err(Unverified::Failed("timeout".to_owned())));
        let found = look_in(&["StatefulSet"], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubts()[0].code, "ReplicasUnavailable");
    }
}
