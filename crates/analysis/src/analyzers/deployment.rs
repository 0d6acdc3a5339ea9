//! Deployments: rollouts that do not get on, and replicas that are not there.

use jiff::SignedDuration;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentCondition, DeploymentStatus};
use k8s_openapi::api::core::v1::Pod;

use super::words::{because, names};
use super::workload::{behind, missing, on_the_way, pull_secrets, settles};
use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, View};

/// What a Deployment has as `progressDeadlineSeconds` if nobody says otherwise.
const DEADLINE: i32 = 600;

/// How long after the deadline the controller may take to say that it passed.
const SLACK: SignedDuration = SignedDuration::from_mins(1);

const UNAVAILABLE: &str = "ReplicasUnavailable";

/// Looks at Deployments.
pub(crate) struct DeploymentAnalyzer;

impl Analyzer for DeploymentAnalyzer {
    fn name(&self) -> &'static str {
        "Deployment"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<Deployment>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let deployment: Deployment = object.typed()?;
        let Some(spec) = deployment.spec.as_ref() else { return Ok(()) };
        pull_secrets(object, &spec.template, view, report);
        let status = deployment.status.unwrap_or_default();
        if status == DeploymentStatus::default() || behind(object, status.observed_generation) {
            return Ok(());
        }
        let at = object.reference();
        let conditions = status.conditions.as_deref().unwrap_or_default();
        let find =
            |type_: &str| conditions.iter().enumerate().find(|(_, condition)| condition.type_ == type_);

        for (type_, bad, code, what) in [
            ("Progressing", "False", "RolloutFailed", "does not get on with its rollout"),
            ("ReplicaFailure", "True", "PodsNotCreated", "cannot make or delete its pods"),
        ] {
            let Some((n, condition)) = find(type_).filter(|(_, condition)| condition.status == bad) else {
                continue;
            };
            let why = because(condition.reason.as_deref(), condition.message.as_deref());
            report.fail(
                Failure::new(code, Severity::Error, format!("Deployment {} {what}{why}", at.path()))
                    .seen(&at, format!(".status.conditions[{n}].status"), condition.status.clone())
                    .hides(names(object))
                    .explained_by("deployment.status.conditions"),
            );
        }

        let wanted = spec.replicas.unwrap_or(1);
        let available = status.available_replicas.or(status.ready_replicas).unwrap_or(0);
        let progressing = find("Progressing").map(|(_, condition)| condition);
        let deadline = spec.progress_deadline_seconds.unwrap_or(DEADLINE);
        let selector = Selector::from(&spec.selector);
        if available >= wanted {
            settles(UNAVAILABLE, object, &selector, view, report);
            return Ok(());
        }
        if rolling(progressing, deadline, view) {
            return Ok(());
        }
        let pods = view.all::<Pod>(object.namespace(), &selector);
        let Some(pods) = report.listed(UNAVAILABLE, format!("pods of {at}"), pods) else { return Ok(()) };
        if on_the_way(&pods, wanted, view) {
            return Ok(());
        }
        let mut failure = Failure::new(
            UNAVAILABLE,
            missing(available),
            format!("Deployment {} has {available} of {wanted} replicas available", at.path()),
        )
        .seen(&at, ".spec.replicas", wanted.to_string())
        .seen(&at, ".status.availableReplicas", available.to_string())
        .hides(names(object))
        .explained_by("deployment.spec.replicas");
        if let Some((n, condition)) = find("Available").filter(|(_, condition)| condition.status == "False") {
            failure.severity = Severity::Error;
            failure =
                failure.seen(&at, format!(".status.conditions[{n}].message"), condition.message.clone());
        }
        report.fail(failure);
        Ok(())
    }
}

/// Whether a rollout is under way. The controller says so while it gets on, and a reason of its own once it is done; when
/// nothing moved for the deadline it says so as well, unless nobody controls the Deployment any more.
fn rolling(progressing: Option<&DeploymentCondition>, deadline: i32, view: &dyn View) -> bool {
    let Some(condition) = progressing.filter(|condition| condition.status == "True") else { return false };
    if condition.reason.as_deref() == Some("NewReplicaSetAvailable") {
        return false;
    }
    let moved = condition.last_update_time.as_ref().or(condition.last_transition_time.as_ref());
    let limit = SignedDuration::from_secs(i64::from(deadline)) + SLACK;
    moved.is_none_or(|moved| !view.is_past(moved.0, limit))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::object::ObjectRef;
    use crate::view::{Lookup, Unverified};
    use k8s_openapi::api::core::v1::Secret;

    fn deployment(spec: Value, status: Value) -> Object {
        let mut rest = json!({"metadata": {"generation": 2}, "spec": {"selector": {}, "template": {}}, "status": status});
        rest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object("apps/v1", "Deployment", "web", rest)
    }

    fn progressing(status: &str, reason: &str, updated: &str) -> Value {
        json!({"type": "Progressing", "status": status, "reason": reason, "message": "m", "lastUpdateTime": updated})
    }

    #[test]
    fn cases() {
        let three = || json!({"replicas": 3});
        let just_now = "2026-06-01T11:58:00Z";
        let long_ago = "2026-06-01T10:00:00Z";
        let unavailable =
            json!({"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"});
        let cases: [(&str, Object, &[&str]); 15] = [
            ("no status yet", deployment(three(), json!({})), &[]),
            (
                "all there",
                deployment(three(), json!({"observedGeneration": 2, "replicas": 3, "availableReplicas": 3})),
                &[],
            ),
            (
                "one too few",
                deployment(three(), json!({"replicas": 3, "availableReplicas": 2})),
                &["ReplicasUnavailable"],
            ),
            (
                "none, and nobody said how many",
                deployment(json!({}), json!({"replicas": 1, "unavailableReplicas": 1})),
                &["ReplicasUnavailable"],
            ),
            ("at zero", deployment(json!({"replicas": 0}), json!({"observedGeneration": 2})), &[]),
            (
                "surplus pods after scaling down",
                deployment(json!({"replicas": 1}), json!({"replicas": 3, "availableReplicas": 3})),
                &[],
            ),
            (
                "the controller has not seen the change",
                deployment(three(), json!({"observedGeneration": 1, "replicas": 1, "availableReplicas": 1})),
                &[],
            ),
            (
                "a rollout that gets on",
                deployment(
                    three(),
                    json!({"replicas": 4, "availableReplicas": 2, "conditions": [progressing("True", "ReplicaSetUpdated", just_now)]}),
                ),
                &[],
            ),
            (
                "a rollout that nobody looked after",
                deployment(
                    three(),
                    json!({"replicas": 4, "availableReplicas": 2, "conditions": [progressing("True", "ReplicaSetUpdated", long_ago)]}),
                ),
                &["ReplicasUnavailable"],
            ),
            (
                "a long deadline",
                deployment(
                    json!({"replicas": 3, "progressDeadlineSeconds": 36000}),
                    json!({"replicas": 4, "availableReplicas": 2, "conditions": [progressing("True", "ReplicaSetUpdated", long_ago)]}),
                ),
                &[],
            ),
            (
                "a rollout that ended, then a pod failed",
                deployment(
                    three(),
                    json!({"replicas": 3, "availableReplicas": 2, "conditions": [progressing("True", "NewReplicaSetAvailable", just_now)]}),
                ),
                &["ReplicasUnavailable"],
            ),
            (
                "a rollout that failed, old pods serve",
                deployment(
                    three(),
                    json!({"replicas": 4, "availableReplicas": 3, "conditions": [progressing("False", "ProgressDeadlineExceeded", just_now)]}),
                ),
                &["RolloutFailed"],
            ),
            (
                "a rollout that failed",
                deployment(
                    three(),
                    json!({"replicas": 4, "availableReplicas": 2, "conditions": [progressing("False", "ProgressDeadlineExceeded", just_now), unavailable]}),
                ),
                &["ReplicasUnavailable", "RolloutFailed"],
            ),
            (
                "a paused rollout is on purpose",
                deployment(
                    json!({"replicas": 3, "paused": true}),
                    json!({"replicas": 3, "availableReplicas": 3, "updatedReplicas": 0, "conditions": [progressing("Unknown", "DeploymentPaused", just_now)]}),
                ),
                &[],
            ),
            (
                "over quota",
                deployment(
                    three(),
                    json!({"replicas": 3, "availableReplicas": 3, "conditions": [{"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}]}),
                ),
                &["PodsNotCreated"],
            ),
        ];
        for (name, deployment, expected) in cases {
            assert_eq!(codes(&look(&["Deployment"], &deployment, &[])), expected, "{name}");
        }
    }

    #[test]
    fn scaling_up_and_from_zero_takes_its_time_and_is_no_failure() {
        let pod = |name: &str, created: &str, phase: &str, ready: &str| {
            let status = json!({"phase": phase, "conditions": [{"type": "Ready", "status": ready}]});
            let labels = json!({"labels": {"app": "web"}, "creationTimestamp": created});
            object(
                "v1",
                "Pod",
                name,
                json!({"metadata": labels, "spec": {"containers": []}, "status": status}),
            )
        };
        let (new, old) = ("2026-06-01T11:55:00Z", "2026-06-01T09:00:00Z");
        let subject = |wanted: i32, available: i32| {
            let spec = json!({"replicas": wanted, "selector": {"matchLabels": {"app": "web"}}});
            let conditions = json!([progressing("True", "NewReplicaSetAvailable", old), {"type": "Available", "status": "False"}]);
            deployment(
                spec,
                json!({"replicas": wanted, "availableReplicas": available, "conditions": conditions}),
            )
        };
        let evicted = pod("e", old, "Failed", "False");
        let cases: [(&str, Object, Vec<Object>, &[&str]); 4] = [
            ("from zero", subject(1, 0), vec![pod("a", new, "Pending", "False")], &[]),
            (
                "from one, beside an evicted pod",
                subject(2, 1),
                vec![pod("a", old, "Running", "True"), pod("b", new, "Running", "False"), evicted],
                &[],
            ),
            ("too long", subject(1, 0), vec![pod("a", old, "Pending", "False")], &["ReplicasUnavailable"]),
            (
                "pods are not made",
                subject(3, 1),
                vec![pod("a", old, "Running", "True"), pod("b", new, "Pending", "False")],
                &["ReplicasUnavailable"],
            ),
        ];
        for (name, subject, pods, expected) in cases {
            assert_eq!(codes(&look(&["Deployment"], &subject, &pods)), expected, "{name}");
        }
        let mut inventory = Inventory::of([subject(1, 0)]);
        inventory.put_list(&GroupKind::of::<Pod>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["Deployment"], &subject(1, 0), &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubts()[0].code, "ReplicasUnavailable");
    }

    #[test]
    fn a_replica_too_few_warns_and_too_few_to_be_available_is_an_error() {
        let of = |available: i32, conditions: Value| {
            let status = json!({"replicas": 3, "availableReplicas": available, "conditions": conditions});
            look(&["Deployment"], &deployment(json!({"replicas": 3}), status), &[]).report.failures()[0]
                .clone()
        };
        assert_eq!(of(2, json!([])).severity, Severity::Warning);
        assert_eq!(of(0, json!([])).severity, Severity::Error);
        let told = of(2, json!([{"type": "Available", "status": "False", "message": "too few"}]));
        assert_eq!((told.severity, told.evidence.len()), (Severity::Error, 3));
        assert!(told.sensitive.contains("web") && told.sensitive.contains("shop"));
    }

    #[test]
    fn a_pull_secret_is_missing_only_if_the_api_server_says_so() {
        let template = json!({"template": {"spec": {"containers": [], "imagePullSecrets": [{"name": "there"}, {"name": "gone"}]}}});
        let subject = deployment(template, json!({}));
        let there = object("v1", "Secret", "there", json!({}));
        let found = look(&["Deployment"], &subject, std::slice::from_ref(&there));
        assert_eq!(codes(&found), ["PullSecretMissing"]);
        assert_eq!(
            found.report.failures()[0].evidence[0].path,
            ".spec.template.spec.imagePullSecrets[1].name"
        );
        for why in [Unverified::Forbidden, Unverified::NotRead, Unverified::Failed("timeout".to_owned())] {
            let mut inventory = Inventory::of([subject.clone()]);
            inventory.put_list(&GroupKind::of::<Secret>(), None, Err(why.clone()));
            inventory
                .put_single(ObjectRef::of::<Secret>(Some("shop"), "there"), Lookup::Found(there.clone()));
            let found = look_in(&["Deployment"], &subject, &inventory);
            assert!(codes(&found).is_empty());
            assert_eq!(found.report.doubts()[0].why, why);
            assert_eq!(found.report.doubts()[0].code, "PullSecretMissing");
        }
    }

    #[test]
    fn a_deployment_with_fields_of_the_wrong_type_is_in_doubt() {
        let odd = deployment(json!({"replicas": "three"}), json!({"replicas": 3}));
        let found = look(&["Deployment"], &odd, &[]);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubts()[0].code, "*");
    }
}
