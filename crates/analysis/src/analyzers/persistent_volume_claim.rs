//! Claims: what is wrong with where they stand, and why the provisioner makes no volume.

use k8s_openapi::api::core::v1::PersistentVolumeClaim;

use crate::analyzer::Analyzer;
use crate::analyzers::storage_claim::StorageClaimAnalyzer;
use crate::analyzers::words::told_by;
use crate::event::latest_for;
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::view::{Typed, View};

/// Looks at claims. What it says of one without asking for events, `Storage` says in the same words: with both, once.
pub(crate) struct ClaimAnalyzer;

impl Analyzer for ClaimAnalyzer {
    fn name(&self) -> &'static str {
        "PersistentVolumeClaim"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<PersistentVolumeClaim>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        StorageClaimAnalyzer.analyze(object, view, report)?;
        if object.text("/status/phase") != Some("Pending") || object.deleted().is_some() {
            return Ok(());
        }
        let code = "ClaimProvisioningFails";
        let at = object.reference();
        let events = view.events_about(object);
        let Some(events) = report.listed(code, format!("events of {at}"), events) else { return Ok(()) };
        // While the claim waits, the last failure is why: between two tries others say that it is tried again.
        if let Some(event) = latest_for(&events, &["ProvisioningFailed"]) {
            let field = "persistentvolumeclaim.spec.storageClassName";
            report.fail(told_by(event, code, &at, ".status.phase", "Pending").explained_by(field));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use k8s_openapi::api::core::v1::Event;
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, event, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    const NAME: [&str; 1] = ["PersistentVolumeClaim"];

    /// Made a minute ago: nobody is impatient yet.
    fn claim(phase: &str) -> Object {
        object(
            "v1",
            "PersistentVolumeClaim",
            "data",
            json!({"metadata": {"creationTimestamp": "2026-06-01T11:59:00Z"},
                "spec": {"storageClassName": "fast"}, "status": {"phase": phase}}),
        )
    }

    fn class(mode: &str) -> Object {
        let rest = json!({"provisioner": "x.example", "volumeBindingMode": mode});
        cluster_object("storage.k8s.io/v1", "StorageClass", "fast", rest)
    }

    fn normal(reason: &str, time: &str) -> Object {
        let mut event = event(&claim("Pending"), reason, "tried again", time).value().clone();
        event["type"] = json!("Normal");
        Object::new(event).unwrap()
    }

    #[test]
    fn cases() {
        let failed = || event(&claim("Pending"), "ProvisioningFailed", "no quota", "2026-06-01T11:59:30Z");
        let waits = || class("WaitForFirstConsumer");
        let mut going = claim("Pending").value().clone();
        going["metadata"]["deletionTimestamp"] = json!("2026-06-01T11:59:59Z");
        let cases: [(&str, Object, Vec<Object>, &[&str]); 8] = [
            ("bound", claim("Bound"), vec![class("Immediate"), failed()], &[]),
            ("just made", claim("Pending"), vec![class("Immediate")], &[]),
            ("fails", claim("Pending"), vec![class("Immediate"), failed()], &["ClaimProvisioningFails"]),
            (
                "fails and is tried again",
                claim("Pending"),
                vec![class("Immediate"), failed(), normal("Provisioning", "2026-06-01T11:59:50Z")],
                &["ClaimProvisioningFails"],
            ),
            (
                "waits for a pod",
                claim("Pending"),
                vec![waits(), normal("WaitForFirstConsumer", "2026-06-01T11:59:50Z")],
                &[],
            ),
            ("no class", claim("Pending"), vec![], &["ClaimClassMissing"]),
            ("lost", claim("Lost"), vec![class("Immediate")], &["ClaimLost"]),
            ("is deleted", Object::new(going).unwrap(), vec![class("Immediate"), failed()], &[]),
        ];
        for (name, claim, others, expected) in cases {
            assert_eq!(codes(&look(&NAME, &claim, &others)), expected, "{name}");
        }
    }

    #[test]
    fn with_the_storage_analyzers_each_failure_is_told_once() {
        let both = ["PersistentVolumeClaim", "Storage/PersistentVolumeClaim"];
        assert_eq!(codes(&look(&both, &claim("Lost"), &[class("Immediate")])), ["ClaimLost"]);
    }

    #[test]
    fn the_event_of_another_claim_of_that_name_says_nothing() {
        let mut before = claim("Pending").value().clone();
        before["metadata"]["uid"] = json!("uid-of-the-claim-before");
        let of_another = Object::new(before).unwrap();
        let failed = event(&of_another, "ProvisioningFailed", "no quota", "2026-06-01T11:00:00Z");
        assert!(codes(&look(&NAME, &claim("Pending"), &[class("Immediate"), failed])).is_empty());
    }

    #[test]
    fn events_that_may_not_be_read_leave_a_doubt() {
        let mut inventory = Inventory::of([claim("Pending"), class("Immediate")]);
        inventory.set_now(crate::analyzers::testing::NOW.parse().unwrap());
        inventory.put_list(&GroupKind::of::<Event>(), None, Err(Unverified::Forbidden));
        let found = look_in(&NAME, &claim("Pending"), &inventory);
        assert!(codes(&found).is_empty());
        assert!(found.report.doubtful().contains("ClaimProvisioningFails"));
    }

    #[test]
    fn a_claim_of_odd_fields_is_in_doubt() {
        let odd = object("v1", "PersistentVolumeClaim", "data", json!({"spec": Value::from(7)}));
        assert!(look(&NAME, &odd, &[]).report.doubtful().contains("*"));
    }
}
