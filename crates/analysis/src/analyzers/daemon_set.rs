//! DaemonSets: nodes on which their pod is not ready.

use k8s_openapi::api::apps::v1::{DaemonSet, DaemonSetSpec, DaemonSetStatus};
use k8s_openapi::api::core::v1::Pod;

use super::words::names;
use super::workload::{Stage, behind, has_ended, pull_secrets, settles, shown_by, stage};
use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, View};

const CODE: &str = "DaemonPodsNotReady";

/// Looks at DaemonSets.
pub(crate) struct DaemonSetAnalyzer;

impl Analyzer for DaemonSetAnalyzer {
    fn name(&self) -> &'static str {
        "DaemonSet"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<DaemonSet>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let set: DaemonSet = object.typed()?;
        let Some(spec) = set.spec.as_ref() else { return Ok(()) };
        pull_secrets(object, &spec.template, view, report);
        let status = set.status.unwrap_or_default();
        let (wanted, ready) = (status.desired_number_scheduled, status.number_ready);
        if behind(object, status.observed_generation) {
            return Ok(());
        }
        let selector = Selector::from(&spec.selector);
        if ready >= wanted {
            settles(CODE, object, &selector, view, report);
            return Ok(());
        }
        let at = object.reference();
        let pods = view.all::<Pod>(object.namespace(), &selector);
        let Some(pods) = report.listed(CODE, format!("pods of {at}"), pods) else { return Ok(()) };
        let pods: Vec<Pod> = pods.into_iter().filter(|pod| !has_ended(pod)).collect();
        let stuck = pods.iter().find(|pod| stage(pod, view) == Stage::Stuck);
        let passing = pods.iter().filter(|pod| stage(pod, view) == Stage::Passing).count();
        if stuck.is_none() && accounted_for(spec, &status, passing) {
            return Ok(());
        }
        let text = format!("DaemonSet {} is ready on {ready} of {wanted} nodes", at.path());
        let mut failure = Failure::new(CODE, Severity::Error, text)
            .seen(&at, ".status.desiredNumberScheduled", wanted.to_string())
            .seen(&at, ".status.numberReady", ready.to_string())
            .hides(names(object))
            .explained_by("daemonset.status.numberReady");
        if let Some(pod) = stuck {
            failure = shown_by(failure, object, pod);
        }
        report.fail(failure);
        Ok(())
    }
}

/// Whether all that is missing is accounted for: by pods that are new or on their way out, and, while an update rolls, by a
/// pod between its deletion and its making.
fn accounted_for(spec: &DaemonSetSpec, status: &DaemonSetStatus, passing: usize) -> bool {
    let missing = status.desired_number_scheduled.saturating_sub(status.number_ready);
    let on_delete =
        spec.update_strategy.as_ref().is_some_and(|strategy| strategy.type_.as_deref() == Some("OnDelete"));
    let rolls = !on_delete
        && status.updated_number_scheduled.is_some_and(|updated| updated < status.desired_number_scheduled);
    let passing = i32::try_from(passing).unwrap_or(i32::MAX);
    passing.saturating_add(i32::from(rolls)) >= missing
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    fn set(status: Value) -> Object {
        object(
            "apps/v1",
            "DaemonSet",
            "agent",
            json!({"metadata": {"generation": 2}, "spec": {"selector": {"matchLabels": {"app": "agent"}}, "template": {}}, "status": status}),
        )
    }

    fn pod(name: &str, created: &str, ready: &str) -> Object {
        object(
            "v1",
            "Pod",
            name,
            json!({"metadata": {"labels": {"app": "agent"}, "creationTimestamp": created}, "spec": {"containers": []},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}),
        )
    }

    const NEW: &str = "2026-06-01T11:55:00Z";
    const OLD: &str = "2026-06-01T09:00:00Z";

    #[test]
    fn cases() {
        let counts = |ready: i32, updated: i32| json!({"desiredNumberScheduled": 3, "numberReady": ready, "updatedNumberScheduled": updated});
        let mut evicted = pod("e", OLD, "False").value().clone();
        evicted["status"]["phase"] = json!("Failed");
        let evicted = Object::new(evicted).unwrap();
        let cases: [(&str, Object, Vec<Object>, &[&str]); 11] = [
            ("an evicted pod was replaced", set(counts(2, 3)), vec![evicted, pod("a", NEW, "False")], &[]),
            ("no status yet", set(json!({})), vec![], &[]),
            ("ready everywhere", set(counts(3, 3)), vec![], &[]),
            ("no node for it", set(json!({"desiredNumberScheduled": 0, "numberReady": 0})), vec![], &[]),
            ("a pod is not ready", set(counts(2, 3)), vec![pod("a", OLD, "False")], &["DaemonPodsNotReady"]),
            (
                "a pod on a new node starts",
                set(counts(2, 3)),
                vec![pod("a", NEW, "False"), pod("b", OLD, "True")],
                &[],
            ),
            ("an update rolls", set(counts(2, 1)), vec![pod("a", NEW, "False")], &[]),
            ("an update rolls, between two pods", set(counts(2, 1)), vec![pod("b", OLD, "True")], &[]),
            ("an update is stuck", set(counts(2, 1)), vec![pod("a", OLD, "False")], &["DaemonPodsNotReady"]),
            ("pods are not made", set(counts(1, 3)), vec![pod("b", OLD, "True")], &["DaemonPodsNotReady"]),
            (
                "the controller has not seen the change",
                set(json!({"observedGeneration": 1, "desiredNumberScheduled": 3, "numberReady": 1})),
                vec![],
                &[],
            ),
        ];
        for (name, set, pods, expected) in cases {
            assert_eq!(codes(&look(&["DaemonSet"], &set, &pods)), expected, "{name}");
        }
    }

    #[test]
    fn the_stuck_pod_is_evidence_and_hidden() {
        let status = json!({"desiredNumberScheduled": 2, "numberReady": 1});
        let found = look(&["DaemonSet"], &set(status), &[pod("agent-x", OLD, "False")]);
        let failure = &found.report.failures()[0];
        assert_eq!(failure.text, "DaemonSet shop/agent is ready on 1 of 2 nodes");
        assert_eq!(
            (failure.evidence[2].object.name.as_str(), failure.evidence[2].path.as_str()),
            ("agent-x", ".status.phase")
        );
        assert!(failure.sensitive.contains("agent-x"));
    }

    #[test]
    fn pods_that_may_not_be_listed_leave_a_doubt() {
        let subject = set(json!({"desiredNumberScheduled": 2, "numberReady": 1}));
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&GroupKind::of::<Pod>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["DaemonSet"], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubts()[0].code, "DaemonPodsNotReady");
    }

    #[test]
    fn a_missing_pull_secret_is_told() {
        let mut value = set(json!({})).value().clone();
        value["spec"]["template"] =
            json!({"spec": {"containers": [], "imagePullSecrets": [{"name": "gone"}]}});
        assert_eq!(codes(&look(&["DaemonSet"], &Object::new(value).unwrap(), &[])), ["PullSecretMissing"]);
    }
}
