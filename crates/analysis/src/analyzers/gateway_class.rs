//! Classes of Gateways: whether a controller takes them.

use crate::analyzer::Analyzer;
use crate::analyzers::condition::{Rule, judge};
use crate::analyzers::gateway_api::GATEWAY_CLASS;
use crate::failure::Severity;
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::view::View;

const RULES: [Rule; 2] = [
    Rule::wanted("Accepted", "GatewayClassNotAccepted", Severity::Error),
    Rule::wanted("SupportedVersion", "GatewayClassVersionUnsupported", Severity::Warning),
];

/// Looks at classes of Gateways.
pub(crate) struct GatewayClassAnalyzer;

impl Analyzer for GatewayClassAnalyzer {
    fn name(&self) -> &'static str {
        "GatewayClass"
    }

    fn subject(&self) -> GroupKind {
        GATEWAY_CLASS
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let controller = object.text("/spec/controllerName").unwrap_or("without a name");
        let who = format!("GatewayClass {} of the controller {controller}", object.name());
        judge(object, "/status/conditions", &RULES, &who, view, report);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look};

    fn class(conditions: Value) -> Object {
        cluster_object(
            "gateway.networking.k8s.io/v1",
            "GatewayClass",
            "mesh",
            json!({"metadata": {"generation": 3}, "spec": {"controllerName": "example.com/c"},
                "status": {"conditions": conditions}}),
        )
    }

    fn condition(kind: &str, status: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "R", "message": "m", "observedGeneration": 3})
    }

    #[test]
    fn cases() {
        let cases: [(&str, Value, &[&str]); 8] = [
            ("accepted", json!([condition("Accepted", "True")]), &[]),
            ("refused", json!([condition("Accepted", "False")]), &["GatewayClassNotAccepted"]),
            ("nobody takes it", json!([condition("Accepted", "Unknown")]), &["GatewayClassNotAccepted"]),
            (
                "not the first condition",
                json!([condition("SupportedVersion", "True"), condition("Accepted", "False")]),
                &["GatewayClassNotAccepted"],
            ),
            (
                "another version",
                json!([condition("Accepted", "True"), condition("SupportedVersion", "False")]),
                &["GatewayClassVersionUnsupported"],
            ),
            ("a condition that means nothing to us", json!([condition("Sunny", "False")]), &[]),
            ("no conditions", json!([]), &[]),
            ("odd conditions", json!([7, {"type": 1}, null]), &[]),
        ];
        for (name, conditions, expected) in cases {
            assert_eq!(codes(&look(&["GatewayClass"], &class(conditions), &[])), expected, "{name}");
        }
    }

    #[test]
    fn every_condition_counts_and_not_only_the_first() {
        let conditions = json!([condition("SupportedVersion", "False"), condition("Accepted", "True")]);
        let found = look(&["GatewayClass"], &class(conditions), &[]);
        assert_eq!(codes(&found), ["GatewayClassVersionUnsupported"], "the first is not Accepted");
    }

    #[test]
    fn a_condition_of_an_older_generation_is_a_doubt() {
        let mut old = condition("Accepted", "False");
        old["observedGeneration"] = json!(2);
        let found = look(&["GatewayClass"], &class(json!([old])), &[]);
        assert!(codes(&found).is_empty());
        assert!(found.report.doubtful().contains("GatewayClassNotAccepted"));
    }

    #[test]
    fn a_class_that_was_just_made_may_wait_for_its_controller() {
        let mut young = class(json!([condition("Accepted", "Unknown")])).value().clone();
        young["metadata"]["creationTimestamp"] = json!("2026-06-01T11:59:30Z");
        assert!(codes(&look(&["GatewayClass"], &Object::new(young).unwrap(), &[])).is_empty());
    }
}
