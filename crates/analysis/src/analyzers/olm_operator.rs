//! ClusterServiceVersions and OperatorGroups: operators as OLM v0 runs them.

use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::analyzers::olm::{OLM, may_take, time, v0, with_reason};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::rules::condition::conditions;
use crate::selector::Selector;
use crate::view::View;

/// Looks at ClusterServiceVersions. The list of conditions of one is its history, oldest first; how it is now, the status
/// says itself.
pub(crate) struct ServiceVersionAnalyzer;

impl Analyzer for ServiceVersionAnalyzer {
    fn name(&self) -> &'static str {
        "ClusterServiceVersion"
    }

    fn group(&self) -> Option<&str> {
        Some(OLM)
    }

    fn subject(&self) -> GroupKind {
        v0("ClusterServiceVersion")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let phase = object.text("/status/phase").unwrap_or_default();
        // A copy of it lies in every namespace that the operator watches, and says what the first one says.
        let copied =
            object.labels().contains_key("olm.copiedFrom") || object.text("/status/reason") == Some("Copied");
        let failed = phase == "Failed";
        if copied || ["", "Succeeded", "Replacing", "Deleting"].contains(&phase) {
            return Ok(());
        }
        if !failed && may_take(view, time(object, "/status/lastTransitionTime")) {
            return Ok(());
        }
        let at = object.reference();
        let code = if failed { "OperatorFailed" } else { "OperatorNotInstalled" };
        let text = format!("operator {} is {phase}", at.path());
        let text = with_reason(object, text, "/status/reason", "/status/message");
        let mut failure =
            Failure::new(code, Severity::Error, text).seen(&at, ".status.phase", phase.to_owned());
        if let Some(message) = object.text("/status/message") {
            failure = failure.seen(&at, ".status.message", message.to_owned());
        }
        let requirements = object.value().pointer("/status/requirementStatus").and_then(Value::as_array);
        for (n, requirement) in requirements.into_iter().flatten().enumerate() {
            let text = |field: &str| requirement.get(field).and_then(Value::as_str).unwrap_or_default();
            if !["", "Present", "Satisfied"].contains(&text("status")) {
                failure.text =
                    format!("{}; {} {} is {}", failure.text, text("kind"), text("name"), text("status"));
                let path = format!(".status.requirementStatus[{n}].status");
                failure = failure.seen(&at, path, text("status").to_owned());
            }
        }
        report.fail(failure);
        Ok(())
    }
}

/// Looks at OperatorGroups. With two in a namespace OLM runs no operator there; the fault is that of those that came
/// after the first.
pub(crate) struct OperatorGroupAnalyzer;

impl Analyzer for OperatorGroupAnalyzer {
    fn name(&self) -> &'static str {
        "OperatorGroup"
    }

    fn group(&self) -> Option<&str> {
        Some(OLM)
    }

    fn subject(&self) -> GroupKind {
        v0("OperatorGroup")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let at = object.reference();
        let code = "OperatorGroupsSeveral";
        let list = view.list(&v0("OperatorGroup"), object.namespace(), &Selector::everything());
        if let Some(groups) = report.listed(code, "OperatorGroups", list) {
            let age = |group: &Object| (group.created(), group.name().to_owned());
            let first = groups.iter().map(|group| age(group)).min();
            if groups.len() > 1 && first.is_some_and(|first| first < age(object)) {
                let names: Vec<&str> = groups.iter().map(|group| group.name()).collect();
                let namespace = object.namespace().unwrap_or_default();
                let text = format!(
                    "namespace {namespace} has {} OperatorGroups ({}), and OLM runs no operator in it before it has one",
                    names.len(),
                    names.join(", ")
                );
                let failure = Failure::new(code, Severity::Error, text);
                report.fail(groups.iter().fold(failure, |failure, group| {
                    failure.seen(&group.reference(), ".metadata.name", group.name().to_owned())
                }));
            }
        }
        // Told by its own list above, and of each of them.
        for condition in conditions(object)
            .iter()
            .filter(|condition| condition.status == "True" && condition.name != "MultipleOperatorGroup")
        {
            let text = format!("OperatorGroup {}: {}: {}", at.path(), condition.name, condition.why());
            report.fail(Failure::new("OperatorGroupInvalid", Severity::Error, text).seen(
                &at,
                condition.path("status"),
                "True".to_owned(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    const V0: &str = "operators.coreos.com/v1alpha1";
    const EARLY: &str = "2026-06-01T08:00:00Z";

    fn version(status: Value) -> Object {
        object(V0, "ClusterServiceVersion", "argo.v1", json!({"status": status}))
    }

    #[test]
    fn service_versions() {
        let phase =
            |phase: &str, since: &str| json!({"phase": phase, "lastTransitionTime": since, "message": "why"});
        let just = "2026-06-01T11:58:00Z";
        let cases: [(Value, &[&str]); 8] = [
            (json!({}), &[]),
            (phase("Succeeded", EARLY), &[]),
            (phase("Failed", just), &["OperatorFailed"]),
            (phase("Pending", EARLY), &["OperatorNotInstalled"]),
            (phase("Pending", just), &[]),
            (phase("Installing", EARLY), &["OperatorNotInstalled"]),
            (phase("Replacing", EARLY), &[]),
            (json!({"phase": "Failed", "reason": "Copied"}), &[]),
        ];
        for (status, expected) in cases {
            assert_eq!(codes(&look(&["OLM"], &version(status.clone()), &[])), expected, "{status}");
        }
    }

    #[test]
    fn what_is_told_is_how_it_is_now_and_not_how_its_history_began() {
        let subject = version(
            json!({"phase": "Pending", "reason": "RequirementsNotMet", "message": "one or more missing",
            "lastTransitionTime": EARLY, "conditions": [{"phase": "Pending", "reason": "RequirementsUnknown",
                "message": "requirements not yet checked"}],
            "requirementStatus": [{"kind": "CustomResourceDefinition", "name": "apps.argo", "status": "NotPresent"},
                {"kind": "ClusterServiceVersion", "name": "argo", "status": "Present"}, 7]}),
        );
        let found = look(&["OLM"], &subject, &[]);
        let failure = &found.report.failures()[0];
        assert!(failure.text.contains("RequirementsNotMet") && !failure.text.contains("not yet checked"));
        assert!(
            failure.text.ends_with("CustomResourceDefinition apps.argo is NotPresent"),
            "{}",
            failure.text
        );
        assert!(failure.evidence.iter().any(|seen| seen.path == ".status.requirementStatus[0].status"));
    }

    #[test]
    fn copies_of_an_operator_in_the_namespaces_that_it_watches_are_not_told_again() {
        let mut value = version(json!({"phase": "Failed"})).value().clone();
        value["metadata"]["labels"] = json!({"olm.copiedFrom": "operators"});
        let copy = Object::new(value).expect("an object");
        assert!(codes(&look(&["OLM"], &copy, &[])).is_empty());
    }

    #[test]
    fn of_several_operator_groups_the_later_ones_are_the_fault() {
        let group = |name: &str, created: &str| {
            object(
                "operators.coreos.com/v1",
                "OperatorGroup",
                name,
                json!({"metadata": {"creationTimestamp": created}}),
            )
        };
        let (old, new) = (group("z-old", EARLY), group("a-new", "2026-06-01T09:00:00Z"));
        assert!(codes(&look(&["OLM"], &old, &[])).is_empty(), "one");
        assert!(codes(&look(&["OLM"], &old, std::slice::from_ref(&new))).is_empty());
        let found = look(&["OLM"], &new, std::slice::from_ref(&old));
        assert_eq!(codes(&found), ["OperatorGroupsSeveral"]);
        assert_eq!(found.report.failures()[0].evidence.len(), 2);
        let mut inventory = Inventory::of([new.clone()]);
        inventory.put_list(&v0("OperatorGroup"), None, Err(Unverified::Forbidden));
        assert_eq!(look_in(&["OLM"], &new, &inventory).report.doubts().len(), 1);
    }

    #[test]
    fn an_operator_group_whose_account_is_missing_is_told() {
        let subject = object(
            "operators.coreos.com/v1",
            "OperatorGroup",
            "g",
            json!({"status": {"conditions": [
            {"type": "OperatorGroupServiceAccountNotFound", "status": "True", "message": "no account robot"},
            {"type": "MultipleOperatorGroup", "status": "True"}]}}),
        );
        assert_eq!(codes(&look(&["OLM"], &subject, &[])), ["OperatorGroupInvalid"]);
    }
}
