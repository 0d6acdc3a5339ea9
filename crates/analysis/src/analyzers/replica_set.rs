//! ReplicaSets: pods that cannot be made.

use k8s_openapi::api::apps::v1::ReplicaSet;

use super::words::{because, names};
use super::workload::{behind, missing};
use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::view::View;

/// Looks at ReplicaSets.
pub(crate) struct ReplicaSetAnalyzer;

impl Analyzer for ReplicaSetAnalyzer {
    fn name(&self) -> &'static str {
        "ReplicaSet"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<ReplicaSet>()
    }

    fn analyze(&self, object: &Object, _: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let set: ReplicaSet = object.typed()?;
        let status = set.status.unwrap_or_default();
        if behind(object, status.observed_generation) {
            return Ok(());
        }
        let wanted = set.spec.and_then(|spec| spec.replicas).unwrap_or(1);
        let at = object.reference();
        for (n, condition) in status.conditions.iter().flatten().enumerate() {
            if condition.type_ != "ReplicaFailure" || condition.status != "True" {
                continue;
            }
            // One that could not make a pod while the quota was full and wants none now says nothing about now.
            let (code, severity, what) = match condition.reason.as_deref() {
                Some("FailedDelete") if status.replicas > wanted => {
                    ("PodsNotDeleted", Severity::Warning, "cannot delete its pods")
                }
                Some("FailedDelete") => continue,
                _ if status.replicas < wanted => {
                    ("PodsNotCreated", missing(status.replicas), "cannot make its pods")
                }
                _ => continue,
            };
            let why = because(condition.reason.as_deref(), condition.message.as_deref());
            let text =
                format!("ReplicaSet {} {what}: {} of {wanted} are there{why}", at.path(), status.replicas);
            report.fail(
                Failure::new(code, severity, text)
                    .seen(&at, format!(".status.conditions[{n}].message"), condition.message.clone())
                    .hides(names(object))
                    .explained_by("replicaset.status.conditions"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look, object};

    fn set(wanted: i32, there: i32, condition: Value) -> Object {
        object(
            "apps/v1",
            "ReplicaSet",
            "web-1",
            json!({"spec": {"replicas": wanted, "selector": {}}, "status": {"replicas": there, "conditions": [condition]}}),
        )
    }

    #[test]
    fn cases() {
        let failure = |status: &str, reason: &str| json!({"type": "ReplicaFailure", "status": status, "reason": reason, "message": "exceeded quota"});
        let cases: [(&str, Object, &[&str]); 8] = [
            (
                "no status yet",
                object("apps/v1", "ReplicaSet", "web-1", json!({"spec": {"selector": {}}})),
                &[],
            ),
            ("none could be made", set(3, 0, failure("True", "FailedCreate")), &["PodsNotCreated"]),
            ("the quota took two of three", set(3, 2, failure("True", "FailedCreate")), &["PodsNotCreated"]),
            ("it was made in the end", set(3, 3, failure("True", "FailedCreate")), &[]),
            ("the condition is over", set(3, 0, failure("False", "FailedCreate")), &[]),
            ("the set of an old rollout wants none", set(0, 0, failure("True", "FailedCreate")), &[]),
            ("a pod that cannot be deleted", set(1, 2, failure("True", "FailedDelete")), &["PodsNotDeleted"]),
            ("another condition", set(3, 0, json!({"type": "Odd", "status": "True"})), &[]),
        ];
        for (name, set, expected) in cases {
            assert_eq!(codes(&look(&["ReplicaSet"], &set, &[])), expected, "{name}");
        }
    }

    #[test]
    fn a_set_of_a_deployment_names_its_parent() {
        let mut value =
            set(3, 0, json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}))
                .value()
                .clone();
        value["metadata"]["ownerReferences"] = json!([{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]);
        let found = look(&["ReplicaSet"], &Object::new(value).unwrap(), &[]);
        assert_eq!(found.parent.unwrap().name, "web");
    }

    #[test]
    fn a_generation_that_the_controller_has_not_seen_says_nothing() {
        let mut value =
            set(3, 0, json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}))
                .value()
                .clone();
        value["metadata"]["generation"] = json!(2);
        value["status"]["observedGeneration"] = json!(1);
        assert!(codes(&look(&["ReplicaSet"], &Object::new(value).unwrap(), &[])).is_empty());
    }
}
