//! PersistentVolumes that failed, or that nobody can use again.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::PersistentVolume;

use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::view::{Typed, View};

/// How long the driver may take to delete a volume whose claim is gone.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Looks at PersistentVolumes. A small one is no failure: what fits into less than a gibibyte is common (a queue's state, a
/// certificate store), and whoever needed more would see it in the claim, which is refused or resized.
pub(crate) struct StorageVolumeAnalyzer;

impl Analyzer for StorageVolumeAnalyzer {
    fn name(&self) -> &'static str {
        "Storage/PersistentVolume"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<PersistentVolume>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let volume: PersistentVolume = object.typed()?;
        let (Some(spec), Some(status)) = (volume.spec, volume.status) else { return Ok(()) };
        let name = object.name();
        let said = status.message.or(status.reason).filter(|text| !text.is_empty());
        let since = status.last_phase_transition_time.map(|time| time.0);
        let policy = spec.persistent_volume_reclaim_policy.unwrap_or_default();
        let claim = spec.claim_ref.unwrap_or_default();
        let claim = format!(
            "{}/{}",
            claim.namespace.as_deref().unwrap_or_default(),
            claim.name.as_deref().unwrap_or_default()
        );
        let phase = status.phase.unwrap_or_default();
        let (code, severity, text) = match (phase.as_str(), policy.as_str()) {
            ("Failed", _) => {
                let said = said.map(|text| format!(": {text}")).unwrap_or_default();
                (
                    "VolumeFailed",
                    Severity::Error,
                    format!("PersistentVolume {name} could not be reclaimed{said}"),
                )
            }
            // Its claim is gone and its data is kept: that is what the policy says.
            ("Released", "Retain") => (
                "VolumeReleased",
                Severity::Info,
                format!(
                    "PersistentVolume {name} is kept with its data after claim {claim} went; no other claim gets it \
                     before its claimRef is taken out"
                ),
            ),
            ("Released", _) if since.is_none_or(|since| view.is_past(since, PATIENCE)) => (
                "VolumeNotReclaimed",
                Severity::Warning,
                format!(
                    "claim {claim} is gone and PersistentVolume {name} was not deleted, as its policy wants"
                ),
            ),
            _ => return Ok(()),
        };
        report.fail(
            Failure::new(code, severity, text)
                .seen(&object.reference(), ".status.phase", phase)
                .seen(&object.reference(), ".spec.persistentVolumeReclaimPolicy", policy)
                .explained_by("persistentvolume.spec.persistentVolumeReclaimPolicy"),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look};

    fn volume(phase: &str, policy: &str, since: &str) -> Object {
        cluster_object(
            "v1",
            "PersistentVolume",
            "pv-1",
            json!({"spec": {"capacity": {"storage": "100Mi"}, "persistentVolumeReclaimPolicy": policy,
                "claimRef": {"namespace": "shop", "name": "data"}},
            "status": {"phase": phase, "message": "the disk is attached", "lastPhaseTransitionTime": since}}),
        )
    }

    #[test]
    fn cases() {
        let (early, just) = ("2026-06-01T08:00:00Z", "2026-06-01T11:58:00Z");
        let cases: [(&str, &str, &str, &[&str]); 6] = [
            ("Bound", "Delete", early, &[]),
            ("Available", "Retain", early, &[]),
            ("Failed", "Delete", early, &["VolumeFailed"]),
            ("Released", "Delete", early, &["VolumeNotReclaimed"]),
            ("Released", "Delete", just, &[]),
            ("Released", "Retain", just, &["VolumeReleased"]),
        ];
        for (phase, policy, since, expected) in cases {
            let found = look(&["Storage/PersistentVolume"], &volume(phase, policy, since), &[]);
            assert_eq!(codes(&found), expected, "{phase} {policy} {since}");
        }
    }

    #[test]
    fn a_small_volume_and_one_kept_by_policy_break_nothing() {
        let early = "2026-06-01T08:00:00Z";
        assert!(codes(&look(&["Storage"], &volume("Bound", "Delete", early), &[])).is_empty(), "100Mi");
        let kept = look(&["Storage"], &volume("Released", "Retain", early), &[]);
        assert_eq!(kept.report.failures()[0].severity, Severity::Info);
    }

    #[test]
    fn a_volume_without_spec_or_status_or_of_the_wrong_shape_is_no_failure() {
        let bare = cluster_object("v1", "PersistentVolume", "pv-1", json!({}));
        assert!(codes(&look(&["Storage"], &bare, &[])).is_empty());
        let odd = cluster_object("v1", "PersistentVolume", "pv-1", json!({"status": {"phase": 7}}));
        assert_eq!(look(&["Storage"], &odd, &[]).report.doubts()[0].code, "*");
    }
}
