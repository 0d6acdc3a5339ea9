//! Claims that get no volume, lost theirs, or cannot grow.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimSpec, Pod};
use k8s_openapi::api::storage::v1::StorageClass;

use crate::analyzer::Analyzer;
use crate::analyzers::storage_class::is_default;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, View};

/// How long making a volume may take.
const PATIENCE: SignedDuration = SignedDuration::from_mins(5);

/// Looks at claims, all that is wrong with each. That one asks for little is no failure: see the volumes.
pub(crate) struct StorageClaimAnalyzer;

impl Analyzer for StorageClaimAnalyzer {
    fn name(&self) -> &'static str {
        "Storage/PersistentVolumeClaim"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<PersistentVolumeClaim>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let claim: PersistentVolumeClaim = object.typed()?;
        let status = claim.status.unwrap_or_default();
        let spec = claim.spec.unwrap_or_default();
        let look = Look { object, at: object.reference(), spec: &spec, view };
        match status.phase.as_deref() {
            Some("Lost") => look.lost(report),
            Some("Pending") if object.deleted().is_none() => look.pending(report),
            _ => {}
        }
        for (resource, state) in status.allocated_resource_statuses.iter().flatten() {
            if state.ends_with("Infeasible") || state.ends_with("Failed") {
                let text =
                    format!("claim {} cannot be given the {resource} it asks for: {state}", look.at.path());
                let path = format!(".status.allocatedResourceStatuses.{resource}");
                report.fail(look.failure("ClaimResizeFails", Severity::Warning, text, &path, Some(state)));
            }
        }
        for (n, condition) in status.conditions.iter().flatten().enumerate() {
            if condition.status != "True" || !condition.type_.ends_with("Error") {
                continue;
            }
            let message = condition.message.as_deref().filter(|message| !message.is_empty());
            let text = format!(
                "claim {}: {}: {}",
                look.at.path(),
                condition.type_,
                message.or(condition.reason.as_deref()).unwrap_or("no message")
            );
            let path = format!(".status.conditions[{n}].message");
            report.fail(look.failure("ClaimChangeFails", Severity::Warning, text, &path, message));
        }
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    spec: &'a PersistentVolumeClaimSpec,
    view: &'a dyn View,
}

impl Look<'_> {
    fn failure(
        &self,
        code: &str,
        severity: Severity,
        text: String,
        path: &str,
        value: Option<&str>,
    ) -> Failure {
        Failure::new(code, severity, text).seen(&self.at, path, value.map(str::to_owned))
    }

    fn lost(&self, report: &mut Report) {
        let volume = self.spec.volume_name.as_deref();
        let text = format!(
            "claim {} lost its volume {}: the data is out of reach",
            self.at.path(),
            volume.unwrap_or_default()
        );
        let failure = self.failure("ClaimLost", Severity::Error, text, ".status.phase", Some("Lost"));
        report.fail(failure.seen(&self.at, ".spec.volumeName", volume.map(str::to_owned)));
    }

    fn pending(&self, report: &mut Report) {
        let volume = self.spec.volume_name.as_deref().filter(|name| !name.is_empty());
        match (volume, self.spec.storage_class_name.as_deref()) {
            (Some(volume), _) => self.wants_volume(volume, report),
            (None, None) => self.wants_default(report),
            (None, Some("")) => self
                .late("asks for no storage class and waits for a volume made by hand that fits it", report),
            (None, Some(class)) => self.wants_class(class, report),
        }
    }

    fn wants_volume(&self, volume: &str, report: &mut Report) {
        let lookup = self.view.get::<PersistentVolume>(None, volume);
        let Some(found) = report.known("ClaimVolumeMissing", format!("PersistentVolume {volume}"), lookup)
        else {
            return;
        };
        let Some(found) = found else {
            let text = format!("claim {} asks for volume {volume}, which does not exist", self.at.path());
            let failure =
                self.failure("ClaimVolumeMissing", Severity::Error, text, ".spec.volumeName", Some(volume));
            report.fail(failure.explained_by("persistentvolumeclaim.spec.volumeName"));
            return;
        };
        let holder = found.spec.and_then(|spec| spec.claim_ref);
        let ours = holder.as_ref().is_none_or(|holder| {
            holder.namespace.as_deref() == self.object.namespace()
                && holder.name.as_deref() == Some(self.object.name())
                && holder.uid.as_deref().is_none_or(|uid| self.object.uid().is_none_or(|own| own == uid))
        });
        if ours {
            self.late(&format!("asks for volume {volume}, which exists and is not bound to it"), report);
        } else {
            let text = format!("claim {} asks for volume {volume}, which another claim has", self.at.path());
            let failure =
                self.failure("ClaimVolumeTaken", Severity::Error, text, ".spec.volumeName", Some(volume));
            let volume = ObjectRef::of::<PersistentVolume>(None, volume);
            let holder = holder.map(|holder| {
                format!("{}/{}", holder.namespace.unwrap_or_default(), holder.name.unwrap_or_default())
            });
            report.fail(failure.seen(&volume, ".spec.claimRef", holder));
        }
    }

    fn wants_default(&self, report: &mut Report) {
        let code = "ClaimWithoutClass";
        let list = self.view.list(&GroupKind::of::<StorageClass>(), None, &Selector::everything());
        let Some(classes) = report.listed(code, "StorageClasses", list) else { return };
        if classes.iter().any(|class| is_default(class)) {
            // The API server fills the class in by itself; what is left to say is that no volume came.
            self.late("names no storage class and was not given the default one", report);
            return;
        }
        let text = format!(
            "claim {} names no storage class, and the cluster has no default one: no volume is made for it",
            self.at.path()
        );
        let failure = self.failure(code, Severity::Error, text, ".spec.storageClassName", None);
        report.fail(failure.explained_by("persistentvolumeclaim.spec.storageClassName"));
    }

    fn wants_class(&self, class: &str, report: &mut Report) {
        let code = "ClaimClassMissing";
        let lookup = self.view.get::<StorageClass>(None, class);
        let Some(found) = report.known(code, format!("StorageClass {class}"), lookup) else { return };
        let Some(found) = found else {
            let text = format!(
                "claim {} asks for storage class {class}, which does not exist, and no volume of that class is free",
                self.at.path()
            );
            let failure = self.failure(code, Severity::Error, text, ".spec.storageClassName", Some(class));
            report.fail(failure.hides([class]).explained_by("persistentvolumeclaim.spec.storageClassName"));
            return;
        };
        if found.volume_binding_mode.as_deref() == Some("WaitForFirstConsumer") {
            let users = self.view.users(&self.at);
            let Some(users) = report.listed("ClaimPending", format!("users of {}", self.at), users) else {
                return;
            };
            // Nobody wants it yet, or not for long: that is what the class waits for.
            if !users.iter().any(|user| user.kind.is::<Pod>() && self.waits(user, report)) {
                return;
            }
        }
        self.late(&format!("was given no volume of storage class {class}"), report);
    }

    /// Whether a pod waits for the claim for longer than making a volume takes.
    fn waits(&self, pod: &ObjectRef, report: &mut Report) -> bool {
        let found = report.known("ClaimPending", pod, self.view.object(pod)).flatten();
        found.is_some_and(|pod| pod.created().is_none_or(|made| self.view.is_past(made, PATIENCE)))
    }

    /// A claim that waits longer than making a volume takes.
    fn late(&self, what: &str, report: &mut Report) {
        let young = self.object.created().is_some_and(|made| !self.view.is_past(made, PATIENCE));
        if !young {
            let text = format!("claim {} is pending: it {what}", self.at.path());
            report.fail(self.failure(
                "ClaimPending",
                Severity::Error,
                text,
                ".status.phase",
                Some("Pending"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    const NAME: &str = "Storage/PersistentVolumeClaim";

    fn claim(spec: Value, status: Value) -> Object {
        object("v1", "PersistentVolumeClaim", "data", json!({"spec": spec, "status": status}))
    }

    fn pending(spec: Value) -> Object {
        claim(spec, json!({"phase": "Pending"}))
    }

    fn class(mode: &str, default: &str) -> Object {
        cluster_object(
            "storage.k8s.io/v1",
            "StorageClass",
            "fast",
            json!({"provisioner": "x.example",
            "volumeBindingMode": mode, "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": default}}}),
        )
    }

    fn volume(claim: Value) -> Object {
        cluster_object("v1", "PersistentVolume", "pv-1", json!({"spec": {"claimRef": claim}}))
    }

    #[test]
    fn cases() {
        let fast = json!({"storageClassName": "fast"});
        let by_name = json!({"volumeName": "pv-1", "storageClassName": ""});
        let pod = object(
            "v1",
            "Pod",
            "web",
            json!({"spec": {"containers": [], "volumes": [
            {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}),
        );
        let set = object(
            "apps/v1",
            "Deployment",
            "web",
            json!({"spec": {"replicas": 0, "template": {"spec": {"volumes": [
            {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}}}),
        );
        let waits = class("WaitForFirstConsumer", "false");
        let other = volume(json!({"namespace": "bank", "name": "data"}));
        let cases: [(&str, Object, Vec<Object>, &[&str]); 15] = [
            ("bound", claim(fast.clone(), json!({"phase": "Bound"})), vec![], &[]),
            (
                "bound and small",
                claim(json!({"resources": {"requests": {"storage": "1Mi"}}}), json!({"phase": "Bound"})),
                vec![],
                &[],
            ),
            ("lost", claim(json!({"volumeName": "pv-1"}), json!({"phase": "Lost"})), vec![], &["ClaimLost"]),
            (
                "class of that name",
                pending(fast.clone()),
                vec![class("Immediate", "false")],
                &["ClaimPending"],
            ),
            ("no class of that name", pending(fast.clone()), vec![], &["ClaimClassMissing"]),
            ("nobody wants it yet", pending(fast.clone()), vec![waits.clone()], &[]),
            ("a workload at zero wants it", pending(fast.clone()), vec![waits.clone(), set], &[]),
            ("a pod wants it", pending(fast.clone()), vec![waits, pod], &["ClaimPending"]),
            ("no default", pending(json!({})), vec![class("Immediate", "false")], &["ClaimWithoutClass"]),
            (
                "a default that was not given",
                pending(json!({})),
                vec![class("Immediate", "true")],
                &["ClaimPending"],
            ),
            ("by hand", pending(json!({"storageClassName": ""})), vec![], &["ClaimPending"]),
            ("volume gone", pending(by_name.clone()), vec![], &["ClaimVolumeMissing"]),
            ("volume of another", pending(by_name.clone()), vec![other], &["ClaimVolumeTaken"]),
            ("volume is free", pending(by_name.clone()), vec![volume(Value::Null)], &["ClaimPending"]),
            (
                "volume is kept for it",
                pending(by_name),
                vec![volume(json!({"namespace": "shop", "name": "data", "uid": "uid-data"}))],
                &["ClaimPending"],
            ),
        ];
        for (name, subject, others, expected) in cases {
            assert_eq!(codes(&look(&[NAME], &subject, &others)), expected, "{name}");
        }
    }

    #[test]
    fn a_claim_that_waits_for_its_first_consumer_is_no_failure() {
        let subject = pending(json!({"storageClassName": "fast"}));
        assert!(codes(&look(&[NAME], &subject, &[class("WaitForFirstConsumer", "true")])).is_empty());
    }

    #[test]
    fn an_old_claim_waits_no_longer_than_the_pod_that_wants_it_now() {
        let subject = pending(json!({"storageClassName": "fast"}));
        let since = |created: &str| {
            let pod = object(
                "v1",
                "Pod",
                "web",
                json!({"metadata": {"creationTimestamp": created}, "spec": {"containers": [], "volumes": [
                    {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]}}),
            );
            codes(&look(&[NAME], &subject, &[class("WaitForFirstConsumer", "false"), pod])).len()
        };
        assert_eq!((since("2026-06-01T11:59:00Z"), since("2026-06-01T11:00:00Z")), (0, 1));
    }

    #[test]
    fn making_a_volume_may_take_its_time() {
        let mut value = pending(json!({"storageClassName": "fast"})).value().clone();
        value["metadata"]["creationTimestamp"] = json!("2026-06-01T11:58:00Z");
        let subject = Object::new(value).unwrap();
        assert!(codes(&look(&[NAME], &subject, &[class("Immediate", "false")])).is_empty());
    }

    #[test]
    fn what_cannot_grow_says_so_and_what_is_growing_does_not() {
        let resizing = |state: &str, condition: &str| {
            claim(
                json!({}),
                json!({"phase": "Bound", "allocatedResourceStatuses": {"storage": state},
                "conditions": [{"type": condition, "status": "True", "message": "no room"}]}),
            )
        };
        let fails = look(&[NAME], &resizing("NodeResizeInfeasible", "NodeResizeError"), &[]);
        assert_eq!(codes(&fails), ["ClaimChangeFails", "ClaimResizeFails"]);
        let grows = look(&[NAME], &resizing("NodeResizeInProgress", "FileSystemResizePending"), &[]);
        assert!(codes(&grows).is_empty());
    }

    #[test]
    fn a_class_or_volume_that_may_not_be_read_is_in_doubt_and_not_missing() {
        for spec in [json!({"storageClassName": "fast"}), json!({"volumeName": "pv-1"}), json!({})] {
            let subject = pending(spec.clone());
            let mut inventory = Inventory::of([subject.clone()]);
            inventory.put_list(&GroupKind::of::<StorageClass>(), None, Err(Unverified::Forbidden));
            inventory.put_list(&GroupKind::of::<PersistentVolume>(), None, Err(Unverified::Forbidden));
            let found = look_in(&[NAME], &subject, &inventory);
            assert!(codes(&found).is_empty(), "{spec}");
            assert_eq!(found.report.doubts().len(), 1, "{spec}");
        }
    }
}
