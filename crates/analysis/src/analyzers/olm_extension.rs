//! ClusterExtensions: operators as OLM v1 installs them.

use crate::analyzer::Analyzer;
use crate::analyzers::olm::{OLM, may_take, told_by, v1};
use crate::analyzers::olm_catalog::not_progressing;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::rules::condition::{condition, conditions};
use crate::view::View;

/// What may be said about updates.
const POLICIES: [&str; 2] = ["CatalogProvided", "SelfCertified"];

/// Looks at ClusterExtensions.
pub(crate) struct ClusterExtensionAnalyzer;

impl Analyzer for ClusterExtensionAnalyzer {
    fn name(&self) -> &'static str {
        "ClusterExtension"
    }

    fn group(&self) -> Option<&str> {
        Some(OLM)
    }

    fn subject(&self) -> GroupKind {
        v1("ClusterExtension")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let (at, name) = (object.reference(), object.name());
        if let Some(source) = object.text("/spec/source/sourceType").filter(|source| *source != "Catalog") {
            let text =
                format!("ClusterExtension {name} has a source of type {source:?}; there is only Catalog");
            report.fail(
                Failure::new("ExtensionSourceInvalid", Severity::Error, text)
                    .seen(&at, ".spec.source.sourceType", source.to_owned())
                    .hides([name]),
            );
        }
        let policy = object.text("/spec/source/catalog/upgradeConstraintPolicy");
        if let Some(policy) = policy.filter(|policy| !policy.is_empty() && !POLICIES.contains(policy)) {
            let text = format!(
                "ClusterExtension {name} has the upgrade policy {policy:?}; there are {}",
                POLICIES.join(" and ")
            );
            report.fail(
                Failure::new("ExtensionPolicyInvalid", Severity::Error, text)
                    .seen(&at, ".spec.source.catalog.upgradeConstraintPolicy", policy.to_owned())
                    .hides([name]),
            );
        }
        let installed = condition(object, "Installed").filter(|installed| installed.status != "True");
        if let Some(installed) = installed.filter(|installed| !may_take(view, installed.since)) {
            let failure =
                told_by(object, &installed, "ExtensionNotInstalled", Severity::Error, "is not installed");
            report.fail(failure.hides([name]));
        }
        if let Some(failure) = not_progressing(object, view, "ExtensionNotProgressing") {
            report.fail(failure.hides([name]));
        }
        // `Deprecated` sums up the three that say what of it is.
        for deprecated in conditions(object).iter().filter(|condition| {
            condition.status == "True"
                && condition.name.ends_with("Deprecated")
                && condition.name != "Deprecated"
        }) {
            let failure = told_by(object, deprecated, "ExtensionDeprecated", Severity::Info, "is deprecated");
            report.fail(failure.hides([name]));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::analyzers::testing::{cluster_object, codes, look};

    #[test]
    fn cases() {
        let condition = |kind: &str, status: &str, reason: &str, since: &str| {
            json!({"spec": {"source": {"sourceType": "Catalog", "catalog": {"packageName": "argo"}}},
                "status": {"conditions": [{"type": kind, "status": status, "reason": reason, "lastTransitionTime": since}]}})
        };
        let source = |source: Value| json!({"spec": {"source": source}});
        let (early, just) = ("2026-06-01T08:00:00Z", "2026-06-01T11:58:00Z");
        let cases: [(&str, Value, &[&str]); 13] = [
            ("new", json!({}), &[]),
            ("no source at all", source(Value::Null), &[]),
            ("no catalog", source(json!({"sourceType": "Catalog"})), &[]),
            ("source", source(json!({"sourceType": "Image"})), &["ExtensionSourceInvalid"]),
            (
                "policy",
                source(json!({"sourceType": "Catalog", "catalog": {"upgradeConstraintPolicy": "Ignore"}})),
                &["ExtensionPolicyInvalid"],
            ),
            (
                "good policy",
                source(
                    json!({"sourceType": "Catalog", "catalog": {"upgradeConstraintPolicy": "SelfCertified"}}),
                ),
                &[],
            ),
            ("installed", condition("Installed", "True", "Succeeded", early), &[]),
            ("not installed", condition("Installed", "False", "Failed", early), &["ExtensionNotInstalled"]),
            ("being installed", condition("Installed", "False", "Absent", just), &[]),
            ("rolls out", condition("Progressing", "True", "RollingOut", just), &[]),
            ("blocked", condition("Progressing", "False", "Blocked", just), &["ExtensionNotProgressing"]),
            (
                "deprecated",
                condition("ChannelDeprecated", "True", "Deprecated", early),
                &["ExtensionDeprecated"],
            ),
            ("not deprecated", condition("ChannelDeprecated", "False", "Deprecated", early), &[]),
        ];
        for (name, rest, expected) in cases {
            let subject = cluster_object("olm.operatorframework.io/v1", "ClusterExtension", "argo", rest);
            assert_eq!(codes(&look(&["OLM"], &subject, &[])), expected, "{name}");
        }
    }
}
