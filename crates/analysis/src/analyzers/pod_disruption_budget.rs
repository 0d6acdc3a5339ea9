//! PodDisruptionBudgets: those that let no pod go, and those that protect none.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetStatus};

use super::words::{because, names};
use super::workload::behind;
use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, Unverified, View};

/// Whose pods a budget may wait for.
const WORKLOADS: [GroupKind; 4] = [
    GroupKind::of::<Deployment>(),
    GroupKind::of::<StatefulSet>(),
    GroupKind::of::<ReplicaSet>(),
    GroupKind::of::<DaemonSet>(),
];

/// Looks at PodDisruptionBudgets.
pub(crate) struct PodDisruptionBudgetAnalyzer;

impl Analyzer for PodDisruptionBudgetAnalyzer {
    fn name(&self) -> &'static str {
        "PodDisruptionBudget"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<PodDisruptionBudget>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let budget: PodDisruptionBudget = object.typed()?;
        // None selects nothing; an empty one selects every pod of the namespace.
        let selector = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()).map(Selector::from);
        let look = Look { object, at: object.reference(), selector, view };
        look.overlaps(report);
        if let Some(status) = &budget.status
            && !behind(object, status.observed_generation)
        {
            look.status(status, report);
        }
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    selector: Option<Selector>,
    view: &'a dyn View,
}

impl Look<'_> {
    fn failure(&self, code: &str, severity: Severity, what: &str) -> Failure {
        let text = format!("PodDisruptionBudget {} {what}", self.at.path());
        // Labels say what a thing is, in its owner's words.
        let labels =
            self.object.value().pointer("/spec/selector/matchLabels").and_then(|labels| labels.as_object());
        let labels = labels.into_iter().flatten();
        Failure::new(code, severity, text)
            .hides(names(self.object))
            .hides(labels.flat_map(|(key, value)| [Some(key.as_str()), value.as_str()]).flatten())
    }

    fn status(&self, status: &PodDisruptionBudgetStatus, report: &mut Report) {
        let failed = status.conditions.iter().flatten().enumerate().find(|(_, condition)| {
            condition.type_ == "DisruptionAllowed"
                && condition.status == "False"
                && condition.reason == "SyncFailed"
        });
        if let Some((n, condition)) = failed {
            let why = because(None, Some(&condition.message));
            report.fail(
                self.failure(
                    "BudgetNotComputed",
                    Severity::Error,
                    &format!("cannot be computed, so no pod may be evicted{why}"),
                )
                .seen(&self.at, format!(".status.conditions[{n}].reason"), condition.reason.clone())
                .explained_by("poddisruptionbudget.status.conditions"),
            );
            return;
        }
        let (expected, healthy, desired) =
            (status.expected_pods, status.current_healthy, status.desired_healthy);
        if expected == 0 {
            self.unused(status, report);
        } else if healthy < desired {
            let what = format!("wants {desired} healthy pods and has {healthy} of {expected}");
            report.fail(
                self.failure("BudgetViolated", Severity::Warning, &what)
                    .seen(&self.at, ".status.currentHealthy", healthy.to_string())
                    .seen(&self.at, ".status.desiredHealthy", desired.to_string())
                    .explained_by("poddisruptionbudget.status.desiredHealthy"),
            );
        } else if status.disruptions_allowed == 0 && healthy >= expected {
            // Below full health, as in a rollout, none may go for the moment, and that is the budget's purpose.
            let what = format!(
                "lets no pod go although all {expected} are healthy: a node with one cannot be drained"
            );
            report.fail(
                self.failure("BudgetAllowsNone", Severity::Warning, &what)
                    .seen(&self.at, ".status.disruptionsAllowed", "0".to_owned())
                    .seen(&self.at, ".status.currentHealthy", healthy.to_string())
                    .explained_by("poddisruptionbudget.spec.maxUnavailable"),
            );
        }
    }

    /// A budget without pods: nothing to tell if they belong to a workload that is at zero. One whose workload is of a kind
    /// that this program does not know may be in use all the same, so it is no more than worth knowing.
    fn unused(&self, status: &PodDisruptionBudgetStatus, report: &mut Report) {
        const CODE: &str = "BudgetSelectsNone";
        if let Some(selector) = &self.selector {
            let pods = self.view.list(&GroupKind::of::<Pod>(), self.object.namespace(), selector);
            let Some(pods) = report.listed(CODE, format!("pods of {}", self.at), pods) else { return };
            if !pods.is_empty() {
                return;
            }
            for kind in WORKLOADS {
                let all = self.view.list(&kind, self.object.namespace(), &Selector::everything());
                let Some(all) = report.listed(CODE, format!("{kind} beside {}", self.at), all) else {
                    return;
                };
                if all.iter().any(|workload| selects_template(selector, workload)) {
                    return;
                }
            }
        }
        let found = self.failure(CODE, Severity::Info, "selects no pod and no workload");
        report.fail(
            found
                .seen(&self.at, ".spec.selector", self.selector.as_ref().map(ToString::to_string))
                .seen(&self.at, ".status.expectedPods", status.expected_pods.to_string())
                .explained_by("poddisruptionbudget.spec.selector"),
        );
    }

    /// A pod of two budgets can never be evicted: the API server refuses to choose.
    fn overlaps(&self, report: &mut Report) {
        const CODE: &str = "BudgetsOverlap";
        let Some(selector) = &self.selector else { return };
        let kind = GroupKind::of::<PodDisruptionBudget>();
        let others = self.view.all::<PodDisruptionBudget>(self.object.namespace(), &Selector::everything());
        let Some(others) = report.listed(CODE, format!("{kind} beside {}", self.at), others) else { return };
        let others: Vec<(String, Selector)> = others
            .into_iter()
            .filter_map(|other| Some((other.metadata.name?, Selector::from(&other.spec?.selector?))))
            .filter(|(name, _)| name != self.object.name())
            .collect();
        if others.is_empty() {
            return;
        }
        let pods = match self.view.list(&GroupKind::of::<Pod>(), self.object.namespace(), selector) {
            Ok(pods) => pods,
            Err(Unverified::NotInstalled) => return,
            Err(why) => return report.doubt(CODE, format!("pods of {}", self.at), why),
        };
        for (name, other) in others {
            let Some(pod) = pods.iter().find(|pod| other.matches(&pod.labels())) else { continue };
            let selector_of_other = other.to_string();
            let other = ObjectRef::of::<PodDisruptionBudget>(self.object.namespace(), &name);
            let what = format!(
                "and PodDisruptionBudget {} select the same pods: pods of two budgets cannot be evicted",
                other.path()
            );
            report.fail(
                self.failure(CODE, Severity::Warning, &what)
                    .seen(&self.at, ".spec.selector", selector.to_string())
                    .seen(&other, ".spec.selector", selector_of_other)
                    .seen(&pod.reference(), ".metadata.labels", None)
                    .hides([name.as_str(), pod.name()])
                    .explained_by("poddisruptionbudget.spec.selector"),
            );
        }
    }
}

/// Whether the pods of a workload's template would be selected.
fn selects_template(selector: &Selector, workload: &Object) -> bool {
    let labels =
        workload.value().pointer("/spec/template/metadata/labels").and_then(|labels| labels.as_object());
    let labels = labels
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    selector.matches(&labels)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;

    const NAME: &[&str] = &["PodDisruptionBudget"];

    fn budget(name: &str, selector: Value, status: Value) -> Object {
        let rest = json!({"metadata": {"generation": 2}, "spec": {"maxUnavailable": 1, "selector": selector}, "status": status});
        object("policy/v1", "PodDisruptionBudget", name, rest)
    }

    fn web() -> Value {
        json!({"matchLabels": {"app": "web"}})
    }

    fn counts(allowed: i32, healthy: i32, desired: i32, expected: i32) -> Value {
        json!({"disruptionsAllowed": allowed, "currentHealthy": healthy, "desiredHealthy": desired, "expectedPods": expected})
    }

    fn pod() -> Object {
        object(
            "v1",
            "Pod",
            "web-1",
            json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": []}}),
        )
    }

    fn deployment(replicas: i32) -> Object {
        object(
            "apps/v1",
            "Deployment",
            "web",
            json!({"spec": {"replicas": replicas, "selector": {}, "template": {"metadata": {"labels": {"app": "web"}}}}}),
        )
    }

    #[test]
    fn cases() {
        let mut failed = counts(0, 0, 0, 0);
        failed["conditions"] = json!([{"type": "Other", "status": "False", "reason": "Odd", "lastTransitionTime": "2026-06-01T10:00:00Z"},
            {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale", "lastTransitionTime": "2026-06-01T10:00:00Z"}]);
        let mut short = counts(0, 2, 2, 3);
        short["conditions"] = json!([{"type": "DisruptionAllowed", "status": "False", "reason": "InsufficientPods", "message": "", "lastTransitionTime": "2026-06-01T10:00:00Z"}]);
        let mut old = counts(0, 3, 3, 3);
        old["observedGeneration"] = json!(1);
        let cases: [(&str, Value, Vec<Object>, &[&str]); 9] = [
            ("lets one go", counts(1, 3, 2, 3), vec![], &[]),
            ("lets none go at full health", counts(0, 3, 3, 3), vec![], &["BudgetAllowsNone"]),
            ("lets none go while one is away", short, vec![], &[]),
            ("fewer healthy than it wants", counts(0, 1, 2, 3), vec![], &["BudgetViolated"]),
            ("cannot be computed, in the second condition", failed, vec![], &["BudgetNotComputed"]),
            ("the controller has not seen the change", old, vec![], &[]),
            ("nothing selected", counts(0, 0, 0, 0), vec![], &["BudgetSelectsNone"]),
            ("the workload is at zero", counts(0, 0, 0, 0), vec![deployment(0)], &[]),
            ("the pods came a moment ago", counts(0, 0, 0, 0), vec![pod()], &[]),
        ];
        for (name, status, others, expected) in cases {
            assert_eq!(codes(&look(NAME, &budget("b", web(), status), &others)), expected, "{name}");
        }
        assert!(
            codes(&look(NAME, &object("policy/v1", "PodDisruptionBudget", "b", json!({})), &[])).is_empty()
        );
    }

    #[test]
    fn expressions_select_as_labels_do_and_no_selector_selects_nothing() {
        let expressions = json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]});
        assert!(
            codes(&look(NAME, &budget("b", expressions, counts(0, 0, 0, 0)), &[deployment(0)])).is_empty()
        );
        let found = look(NAME, &budget("b", Value::Null, counts(0, 0, 0, 0)), &[deployment(0)]);
        assert_eq!(codes(&found), ["BudgetSelectsNone"]);
        assert!(
            codes(&look(NAME, &budget("b", json!({}), counts(0, 0, 0, 0)), &[deployment(0)])).is_empty(),
            "empty: all"
        );
    }

    #[test]
    fn two_budgets_of_one_pod_block_its_eviction() {
        let first = budget("first", web(), counts(1, 3, 2, 3));
        let second = budget(
            "second",
            json!({"matchExpressions": [{"key": "app", "operator": "Exists"}]}),
            counts(1, 3, 2, 3),
        );
        let apart = budget("apart", json!({"matchLabels": {"app": "api"}}), counts(1, 3, 2, 3));
        let found = look(NAME, &first, &[second.clone(), apart, pod()]);
        assert_eq!(codes(&found), ["BudgetsOverlap"]);
        assert!(found.report.failures()[0].sensitive.contains("second"));
        assert!(codes(&look(NAME, &first, &[second])).is_empty(), "without a pod of both");
    }

    #[test]
    fn what_may_not_be_listed_leaves_a_doubt() {
        for kind in [GroupKind::of::<Pod>(), GroupKind::of::<Deployment>()] {
            let subject = budget("b", web(), counts(0, 0, 0, 0));
            let mut inventory = Inventory::of([subject.clone()]);
            inventory.put_list(&kind, None, Err(Unverified::Forbidden));
            let found = look_in(NAME, &subject, &inventory);
            assert!(codes(&found).is_empty());
            assert_eq!(found.report.doubts()[0].code, "BudgetSelectsNone");
        }
    }

    #[test]
    fn the_labels_of_the_selector_are_hidden() {
        let found = look(NAME, &budget("b", web(), counts(0, 3, 3, 3)), &[]);
        let hidden = &found.report.failures()[0].sensitive;
        assert!(hidden.contains("app") && hidden.contains("web") && hidden.contains("shop"));
    }
}
