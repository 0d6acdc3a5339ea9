//! Namespaces, claims and volumes whose deletion is stuck, and what it waits for.

use k8s_openapi::api::core::v1::{Namespace, PersistentVolume, PersistentVolumeClaim, Pod};

use crate::analyzer::Analyzer;
use crate::deletion::{PATIENCE, finalizers, stuck};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::view::{Typed, View};

/// Looks at namespaces that do not go.
pub(crate) struct NamespaceDeletion;

impl Analyzer for NamespaceDeletion {
    fn name(&self) -> &'static str {
        "Deletion/Namespace"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<Namespace>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let Some(mut failure) = stuck(object, view, PATIENCE) else { return Ok(()) };
        let namespace: Namespace = object.typed()?;
        let conditions = namespace.status.and_then(|status| status.conditions).unwrap_or_default();
        // The namespace controller says in conditions what is left, and whose finalizers hold that.
        for (n, condition) in
            conditions.iter().enumerate().filter(|(_, condition)| condition.status == "True")
        {
            let message = condition.message.clone().unwrap_or_default();
            if !message.is_empty() {
                failure.text = format!("{}; {message}", failure.text);
            }
            failure = failure.seen(&object.reference(), format!(".status.conditions[{n}].message"), message);
        }
        report.fail(failure.hides([object.name()]));
        Ok(())
    }
}

/// Looks at claims that do not go.
pub(crate) struct ClaimDeletion;

impl Analyzer for ClaimDeletion {
    fn name(&self) -> &'static str {
        "Deletion/PersistentVolumeClaim"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<PersistentVolumeClaim>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let Some(failure) = stuck(object, view, PATIENCE) else { return Ok(()) };
        if finalizers(object) != ["kubernetes.io/pvc-protection"] {
            report.fail(failure);
            return Ok(());
        }
        let at = object.reference();
        let Some(users) = report.listed("DeletionStuck", format!("users of {at}"), view.users(&at)) else {
            return Ok(());
        };
        let mut pods = Vec::new();
        for user in users.into_iter().filter(|user| user.kind.is::<Pod>()) {
            let lookup = view.get::<Pod>(user.namespace.as_deref(), &user.name);
            let Some(pod) = report.known("DeletionStuck", &user, lookup) else { return Ok(()) };
            let phase = pod.and_then(|pod| pod.status).and_then(|status| status.phase);
            // A pod that has ended does not protect its claims.
            if phase.is_none_or(|phase| phase != "Succeeded" && phase != "Failed") {
                pods.push(user);
            }
        }
        report.fail(protected(object, failure, "DeletionWaitsForPods", "pods use it", &pods));
        Ok(())
    }
}

/// Looks at volumes that do not go.
pub(crate) struct VolumeDeletion;

impl Analyzer for VolumeDeletion {
    fn name(&self) -> &'static str {
        "Deletion/PersistentVolume"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<PersistentVolume>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let Some(failure) = stuck(object, view, PATIENCE) else { return Ok(()) };
        let volume: PersistentVolume = object.typed()?;
        let claim = volume.spec.and_then(|spec| spec.claim_ref);
        let phase = volume.status.and_then(|status| status.phase);
        let bound = claim.filter(|_| phase.as_deref() == Some("Bound")).map(|claim| {
            ObjectRef::of::<PersistentVolumeClaim>(
                claim.namespace.as_deref(),
                claim.name.as_deref().unwrap_or_default(),
            )
        });
        let protection = finalizers(object) == ["kubernetes.io/pv-protection"];
        let claims: Vec<ObjectRef> = bound.into_iter().filter(|_| protection).collect();
        report.fail(protected(object, failure, "DeletionWaitsForClaim", "it is bound", &claims));
        Ok(())
    }
}

/// The cluster keeps what is in use, on purpose: with users it is worth knowing, without them it is stuck.
fn protected(object: &Object, stuck: Failure, code: &str, why: &str, users: &[ObjectRef]) -> Failure {
    if users.is_empty() {
        return stuck;
    }
    let names: Vec<String> = users.iter().map(ToString::to_string).collect();
    let at = object.reference();
    let text = format!("{at} is to be deleted and is kept because {why}: {}", names.join(", "));
    Failure { evidence: stuck.evidence, ..Failure::new(code, Severity::Info, text) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    const LONG_AGO: &str = "2026-06-01T10:00:00Z";

    fn claim(finalizers: Value) -> Object {
        object(
            "v1",
            "PersistentVolumeClaim",
            "data",
            json!({"metadata": {"deletionTimestamp": LONG_AGO,
            "finalizers": finalizers}}),
        )
    }

    fn pod(phase: &str) -> Object {
        object(
            "v1",
            "Pod",
            "web",
            json!({"spec": {"containers": [], "volumes": [{"name": "d",
            "persistentVolumeClaim": {"claimName": "data"}}]}, "status": {"phase": phase}}),
        )
    }

    #[test]
    fn a_namespace_says_what_is_left_in_it() {
        let left = "Some content in the namespace has finalizers remaining: foregroundDeletion in 1 resource instances";
        let namespace = |deleted: &str| {
            cluster_object(
                "v1",
                "Namespace",
                "shop",
                json!({
                "metadata": {"deletionTimestamp": deleted}, "spec": {"finalizers": ["kubernetes"]},
                "status": {"phase": "Terminating", "conditions": [
                    {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "all is well"},
                    {"type": "NamespaceFinalizersRemaining", "status": "True", "message": left}]}}),
            )
        };
        let found = look(&["Deletion"], &namespace(LONG_AGO), &[]);
        assert_eq!(codes(&found), ["DeletionStuck"]);
        let failure = &found.report.failures()[0];
        assert!(failure.text.contains(left) && !failure.text.contains("all is well"), "{}", failure.text);
        assert!(failure.evidence.iter().any(|evidence| evidence.path == ".status.conditions[1].message"));
        assert!(
            codes(&look(&["Deletion"], &namespace("2026-06-01T11:55:00Z"), &[])).is_empty(),
            "just begun"
        );
    }

    #[test]
    fn a_claim_that_pods_use_is_kept_on_purpose() {
        let protection = json!(["kubernetes.io/pvc-protection"]);
        let name = "Deletion/PersistentVolumeClaim";
        let kept = look(&[name], &claim(protection.clone()), &[pod("Running")]);
        assert_eq!(codes(&kept), ["DeletionWaitsForPods"]);
        assert_eq!(kept.report.failures()[0].severity, Severity::Info);
        assert!(kept.report.failures()[0].text.contains("Pod shop/web"));
        assert_eq!(codes(&look(&[name], &claim(protection.clone()), &[pod("Succeeded")])), ["DeletionStuck"]);
        let foreign = claim(json!(["example.com/backup", "kubernetes.io/pvc-protection"]));
        let stuck = look(&[name], &foreign, &[pod("Running")]);
        assert_eq!(codes(&stuck), ["DeletionStuck"], "another finalizer waits for something else");
        assert!(stuck.report.failures()[0].text.contains("example.com/backup"));
        let mut inventory = Inventory::of([claim(protection)]);
        inventory.set_now("2026-06-01T12:00:00Z".parse().unwrap());
        inventory.put_list(&GroupKind::of::<Pod>(), None, Err(Unverified::Forbidden));
        let doubted = look_in(&[name], &claim(json!(["kubernetes.io/pvc-protection"])), &inventory);
        assert!(codes(&doubted).is_empty());
        assert_eq!(doubted.report.doubtful().len(), 1);
    }

    #[test]
    fn a_volume_that_is_bound_is_kept_on_purpose() {
        let volume = |phase: &str| {
            cluster_object(
                "v1",
                "PersistentVolume",
                "pv-1",
                json!({
                "metadata": {"deletionTimestamp": LONG_AGO, "finalizers": ["kubernetes.io/pv-protection"]},
                "spec": {"claimRef": {"namespace": "shop", "name": "data"}}, "status": {"phase": phase}}),
            )
        };
        for (phase, expected) in [("Bound", "DeletionWaitsForClaim"), ("Released", "DeletionStuck")] {
            assert_eq!(codes(&look(&["Deletion/PersistentVolume"], &volume(phase), &[])), [expected]);
        }
    }
}
