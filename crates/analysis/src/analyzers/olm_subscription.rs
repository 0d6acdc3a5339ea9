//! Subscriptions and InstallPlans: how OLM v0 gets operators and their updates.

use crate::analyzer::Analyzer;
use crate::analyzers::olm::{OLM, may_take, said, time, told_by, v0};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::rules::condition::conditions;
use crate::view::View;

/// Conditions of a Subscription that say what is wrong while they are `True`. `False` is how they should be; the original
/// takes the first that is not `True` for the fault, and so tells that all catalogs are healthy.
const WRONG: [(&str, &str, Severity); 5] = [
    ("ResolutionFailed", "SubscriptionNotResolved", Severity::Error),
    ("BundleUnpackFailed", "SubscriptionUnpackFails", Severity::Error),
    ("InstallPlanFailed", "SubscriptionInstallFails", Severity::Error),
    ("InstallPlanMissing", "SubscriptionPlanMissing", Severity::Warning),
    ("CatalogSourcesUnhealthy", "SubscriptionCatalogUnhealthy", Severity::Warning),
];

/// Looks at Subscriptions.
pub(crate) struct SubscriptionAnalyzer;

impl Analyzer for SubscriptionAnalyzer {
    fn name(&self) -> &'static str {
        "Subscription"
    }

    fn group(&self) -> Option<&str> {
        Some(OLM)
    }

    fn subject(&self) -> GroupKind {
        v0("Subscription")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        for condition in conditions(object).iter().filter(|condition| condition.status == "True") {
            if let Some((_, code, severity)) = WRONG.iter().find(|(name, ..)| *name == condition.name) {
                report.fail(told_by(object, condition, code, *severity, "gets no operator"));
            }
        }
        catalog(object, view, report);
        state(object, view, report);
        Ok(())
    }
}

fn catalog(object: &Object, view: &dyn View, report: &mut Report) {
    let Some(name) = said(object, "/spec/source") else { return };
    let namespace = said(object, "/spec/sourceNamespace").or(object.namespace());
    let source = ObjectRef {
        kind: v0("CatalogSource"),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    };
    let code = "SubscriptionCatalogMissing";
    if let Some(None) = report.known(code, &source, view.object(&source)) {
        let at = object.reference();
        let text =
            format!("Subscription {} names CatalogSource {}, which does not exist", at.path(), source.path());
        report.fail(
            Failure::new(code, Severity::Error, text).seen(&at, ".spec.source", name.to_owned()).seen(
                &at,
                ".spec.sourceNamespace",
                namespace.map(str::to_owned),
            ),
        );
    }
}

fn state(object: &Object, view: &dyn View, report: &mut Report) {
    let state = object.text("/status/state").unwrap_or_default();
    let manual = object.text("/spec/installPlanApproval") == Some("Manual");
    let since = time(object, "/status/lastUpdated").or_else(|| object.created());
    let late = !may_take(view, since);
    let (code, severity, what) = match state {
        "UpgradeFailed" => ("SubscriptionUpgradeFails", Severity::Error, "could not be upgraded"),
        // Somebody wants to decide about updates: that one waits is no fault.
        "UpgradePending" | "UpgradeAvailable" if manual => {
            ("SubscriptionWaitsForApproval", Severity::Info, "has an upgrade that waits for approval")
        }
        "UpgradePending" | "UpgradeAvailable" if late => {
            ("SubscriptionUpgradeStuck", Severity::Warning, "has an upgrade that is not installed")
        }
        "" if late => ("SubscriptionWithoutState", Severity::Warning, "was not looked at by OLM"),
        _ => return,
    };
    let at = object.reference();
    let text = format!("Subscription {} {what}", at.path());
    let failure = Failure::new(code, severity, text).seen(&at, ".status.state", state.to_owned());
    report.fail(match said(object, "/status/installPlanRef/name") {
        Some(plan) => failure.seen(&at, ".status.installPlanRef.name", plan.to_owned()),
        None => failure,
    });
}

/// Looks at InstallPlans.
pub(crate) struct InstallPlanAnalyzer;

impl Analyzer for InstallPlanAnalyzer {
    fn name(&self) -> &'static str {
        "InstallPlan"
    }

    fn group(&self) -> Option<&str> {
        Some(OLM)
    }

    fn subject(&self) -> GroupKind {
        v0("InstallPlan")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let at = object.reference();
        let phase = object.text("/status/phase").unwrap_or_default();
        let late = !may_take(view, time(object, "/status/startTime").or_else(|| object.created()));
        let (code, severity, what) = match phase {
            "Failed" => ("InstallPlanFailed", Severity::Error, "failed"),
            "RequiresApproval" => ("InstallPlanWaitsForApproval", Severity::Info, "waits for approval"),
            "Planning" | "Installing" if late => {
                ("InstallPlanStuck", Severity::Warning, "does not come to an end")
            }
            _ => return Ok(()),
        };
        // Its conditions say `Installed`: the one that is not True says why.
        let why = conditions(object).into_iter().find(|condition| condition.status != "True");
        let why = why.filter(|_| phase != "RequiresApproval");
        let said = why.map(|condition| format!(": {}", condition.why())).unwrap_or_default();
        let text = format!("InstallPlan {} {what}{said}", at.path());
        let failure = Failure::new(code, severity, text).seen(&at, ".status.phase", phase.to_owned());
        report.fail(match why {
            Some(condition) => failure.seen(&at, condition.path("message"), condition.message.to_owned()),
            None => failure,
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    const V0: &str = "operators.coreos.com/v1alpha1";
    const EARLY: &str = "2026-06-01T08:00:00Z";
    const JUST: &str = "2026-06-01T11:58:00Z";

    fn subscription(spec: Value, status: Value) -> Object {
        object(V0, "Subscription", "argo", json!({"spec": spec, "status": status}))
    }

    #[test]
    fn subscriptions() {
        let state = |state: &str, since: &str| json!({"state": state, "lastUpdated": since});
        let healthy = json!({"state": "AtLatestKnown", "conditions": [{"type": "CatalogSourcesUnhealthy", "status": "False"}]});
        let broken = |kind: &str| json!({"state": "AtLatestKnown", "conditions": [{"type": kind, "status": "True", "message": "m"}]});
        let manual = json!({"installPlanApproval": "Manual"});
        let none = json!({});
        let cases: [(&Value, Value, &[&str]); 12] = [
            (&none, healthy, &[]),
            (&none, state("UpgradePending", JUST), &[]),
            (&none, state("UpgradePending", EARLY), &["SubscriptionUpgradeStuck"]),
            (&manual, state("UpgradePending", EARLY), &["SubscriptionWaitsForApproval"]),
            (&none, state("UpgradeFailed", JUST), &["SubscriptionUpgradeFails"]),
            (&none, state("", EARLY), &["SubscriptionWithoutState"]),
            (&none, state("", JUST), &[]),
            (&none, broken("ResolutionFailed"), &["SubscriptionNotResolved"]),
            (&none, broken("BundleUnpackFailed"), &["SubscriptionUnpackFails"]),
            (&none, broken("CatalogSourcesUnhealthy"), &["SubscriptionCatalogUnhealthy"]),
            (&none, broken("InstallPlanPending"), &[]),
            (&none, json!({"state": "AtLatestKnown", "conditions": 7}), &[]),
        ];
        for (spec, status, expected) in cases {
            let found = look(&["OLM"], &subscription(spec.clone(), status.clone()), &[]);
            assert_eq!(codes(&found), expected, "{spec} {status}");
        }
    }

    #[test]
    fn an_update_that_somebody_wants_to_approve_is_only_worth_knowing() {
        let subject =
            subscription(json!({"installPlanApproval": "Manual"}), json!({"state": "UpgradePending"}));
        assert_eq!(look(&["OLM"], &subject, &[]).report.failures()[0].severity, Severity::Info);
    }

    #[test]
    fn the_catalog_of_a_subscription_is_looked_for_in_its_own_namespace() {
        let subject = subscription(
            json!({"source": "hub", "sourceNamespace": "olm"}),
            json!({"state": "AtLatestKnown"}),
        );
        let hub = |namespace: &str| {
            object(V0, "CatalogSource", "hub", json!({"metadata": {"namespace": namespace}}))
        };
        assert!(codes(&look(&["OLM"], &subject, &[hub("olm")])).is_empty());
        assert_eq!(codes(&look(&["OLM"], &subject, &[hub("shop")])), ["SubscriptionCatalogMissing"]);
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&v0("CatalogSource"), None, Err(Unverified::Forbidden));
        let found = look_in(&["OLM"], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubts().len(), 1);
    }

    #[test]
    fn install_plans() {
        let plan = |phase: &str, since: &str| {
            object(
                V0,
                "InstallPlan",
                "install-x",
                json!({"status": {"phase": phase, "startTime": since,
                "conditions": [{"type": "Resolved", "status": "True"},
                    {"type": "Installed", "status": "False", "reason": "InstallComponentFailed", "message": "no rights"}]}}),
            )
        };
        for (phase, since, expected) in [
            ("Complete", EARLY, None),
            ("", EARLY, None),
            ("Failed", JUST, Some("InstallPlanFailed")),
            ("RequiresApproval", EARLY, Some("InstallPlanWaitsForApproval")),
            ("Installing", JUST, None),
            ("Installing", EARLY, Some("InstallPlanStuck")),
        ] {
            let found = look(&["OLM"], &plan(phase, since), &[]);
            assert_eq!(codes(&found), expected.into_iter().collect::<Vec<_>>(), "{phase} {since}");
            if phase == "Failed" {
                let failure = &found.report.failures()[0];
                assert!(
                    failure.text.ends_with("failed: InstallComponentFailed: no rights"),
                    "{}",
                    failure.text
                );
                assert_eq!(failure.evidence[1].path, ".status.conditions[1].message");
            }
        }
    }
}
