//! Reports of policy engines, Kyverno's above all: the results that say that something breaks a policy.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::analyzers::json::{items, text};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::view::View;

const GROUP: &str = "wgpolicyk8s.io";

/// How many results of one rule are evidence one by one.
const TOLD: usize = 10;

/// Looks at the reports of namespaces.
pub(crate) struct PolicyReportAnalyzer;

impl Analyzer for PolicyReportAnalyzer {
    fn name(&self) -> &'static str {
        "PolicyReport"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::new(GROUP, "PolicyReport")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, _: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        results(object, report);
        Ok(())
    }
}

/// Looks at the reports of the cluster.
pub(crate) struct ClusterPolicyReportAnalyzer;

impl Analyzer for ClusterPolicyReportAnalyzer {
    fn name(&self) -> &'static str {
        "ClusterPolicyReport"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::new(GROUP, "ClusterPolicyReport")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, _: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        results(object, report);
        Ok(())
    }
}

/// A rule of a policy that was broken, or could not be asked, or warns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Broken {
    code: &'static str,
    policy: String,
    rule: String,
}

/// A report lists a result for each rule and resource: those of one rule are one failure.
fn results(object: &Object, report: &mut Report) {
    let mut broken: BTreeMap<Broken, Vec<(usize, &Value)>> = BTreeMap::new();
    for (n, result) in items(object.value(), "/results") {
        let code = match text(result, "/result").unwrap_or_default().to_ascii_lowercase().as_str() {
            "fail" => "PolicyBroken",
            "error" => "PolicyNotAsked",
            "warn" => "PolicyWarns",
            _ => continue,
        };
        let policy = text(result, "/policy").unwrap_or("without a name").to_owned();
        let rule = text(result, "/rule").unwrap_or_default().to_owned();
        broken.entry(Broken { code, policy, rule }).or_default().push((n, result));
    }
    for (broken, results) in broken {
        report.fail(failure(object, &broken, &results));
    }
}

fn failure(object: &Object, broken: &Broken, results: &[(usize, &Value)]) -> Failure {
    let Broken { code, policy, rule } = broken;
    let severity = results.iter().map(|(_, result)| severity(code, result)).max().unwrap_or(Severity::Info);
    let rule = if rule.is_empty() { String::new() } else { format!(", rule {rule}") };
    // Of many messages always the same one: which resources break a rule changes, and it is the same failure.
    let messages = results.iter().filter_map(|(_, result)| text(result, "/message"));
    let message = messages.min().unwrap_or("no message");
    let scope = object.value().get("scope");
    let about = scope.and_then(name_of).map_or_else(String::new, |name| format!(" (about {name})"));
    let what = match *code {
        "PolicyBroken" => "is broken",
        "PolicyNotAsked" => "could not be evaluated",
        _ => "warns",
    };
    let failure = Failure::new(code, severity, format!("policy {policy}{rule} {what}: {message}{about}"));
    let resources = |result| items(result, "/resources").map(|(_, resource): (usize, &Value)| resource);
    let hidden = results.iter().flat_map(|(_, result)| resources(*result)).chain(scope);
    let hidden = hidden.flat_map(|resource| [text(resource, "/namespace"), text(resource, "/name")]);
    let failure = failure.hides(hidden.flatten());
    results.iter().take(TOLD).fold(failure, |failure, (n, result)| {
        let value = text(result, "/result").map(str::to_owned);
        let failure = failure.seen(&object.reference(), format!(".results[{n}].result"), value);
        match items(result, "/resources").find_map(|(m, resource)| Some((m, name_of(resource)?))) {
            Some((m, name)) => {
                failure.seen(&object.reference(), format!(".results[{n}].resources[{m}]"), name)
            }
            None => failure,
        }
    })
}

fn name_of(resource: &Value) -> Option<String> {
    let kind = text(resource, "/kind")?;
    let name = text(resource, "/name")?;
    Some(match text(resource, "/namespace") {
        Some(namespace) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    })
}

/// How bad a result is, by its code and what the policy says of itself, in any case.
fn severity(code: &str, result: &Value) -> Severity {
    let said = match text(result, "/severity").unwrap_or_default().to_ascii_lowercase().as_str() {
        "critical" => Severity::Critical,
        "high" => Severity::Error,
        "low" | "info" => Severity::Info,
        _ => Severity::Warning,
    };
    match code {
        "PolicyWarns" if said >= Severity::Error => Severity::Warning,
        "PolicyWarns" => Severity::Info,
        "PolicyNotAsked" => said.clamp(Severity::Warning, Severity::Error),
        _ => said,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look, object};

    const NAMES: [&str; 2] = ["PolicyReport", "ClusterPolicyReport"];

    fn report(results: Value) -> Object {
        object("wgpolicyk8s.io/v1alpha2", "PolicyReport", "r", json!({"results": results}))
    }

    fn result(result: &str, severity: &str) -> Value {
        json!({"policy": "labels", "rule": "team", "result": result, "severity": severity, "message": "no team",
            "resources": [{"kind": "Pod", "namespace": "shop", "name": "web"}]})
    }

    #[test]
    fn cases() {
        type Case = (&'static str, &'static str, &'static str, Option<(&'static str, Severity)>);
        let cases: [Case; 14] = [
            ("kept", "pass", "critical", None),
            ("skipped", "skip", "high", None),
            ("unknown", "perhaps", "high", None),
            ("critical", "fail", "critical", Some(("PolicyBroken", Severity::Critical))),
            ("critical in capitals", "fail", "CRITICAL", Some(("PolicyBroken", Severity::Critical))),
            ("a result in capitals", "FAIL", "high", Some(("PolicyBroken", Severity::Error))),
            ("medium", "fail", "medium", Some(("PolicyBroken", Severity::Warning))),
            ("low", "fail", "low", Some(("PolicyBroken", Severity::Info))),
            ("nobody says how bad", "fail", "", Some(("PolicyBroken", Severity::Warning))),
            ("not evaluated", "error", "", Some(("PolicyNotAsked", Severity::Warning))),
            ("not evaluated, critical", "error", "critical", Some(("PolicyNotAsked", Severity::Error))),
            ("warns", "warn", "medium", Some(("PolicyWarns", Severity::Info))),
            ("warns of what is high", "warn", "High", Some(("PolicyWarns", Severity::Warning))),
            ("warns of what is critical", "warn", "critical", Some(("PolicyWarns", Severity::Warning))),
        ];
        for (name, said, how, expected) in cases {
            let of_namespace = report(json!([result(said, how)]));
            let of_cluster = cluster_object(
                "wgpolicyk8s.io/v1alpha2",
                "ClusterPolicyReport",
                "r",
                json!({"results": [result(said, how)]}),
            );
            for subject in [of_namespace, of_cluster] {
                let found = look(&NAMES, &subject, &[]);
                let found: Vec<(&str, Severity)> = found
                    .report
                    .failures()
                    .iter()
                    .map(|failure| (failure.code.as_str(), failure.severity))
                    .collect();
                assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{name}");
            }
        }
    }

    #[test]
    fn the_results_of_one_rule_are_one_failure() {
        let mut other = result("fail", "low");
        other["rule"] = json!("owner");
        let many: Vec<Value> =
            std::iter::repeat_n(result("fail", "low"), 30).chain([other, result("pass", "")]).collect();
        let found = look(&NAMES, &report(json!(many)), &[]);
        assert_eq!(codes(&found), ["PolicyBroken", "PolicyBroken"]);
        let evidence: Vec<usize> =
            found.report.failures().iter().map(|failure| failure.evidence.len()).collect();
        assert!(evidence.contains(&(2 * TOLD)) && evidence.contains(&2), "{evidence:?}");
    }

    #[test]
    fn a_report_about_one_resource_names_it_by_its_scope() {
        let mut bare = result("fail", "high");
        bare["resources"] = Value::Null;
        let scope = json!({"kind": "Deployment", "namespace": "shop", "name": "web"});
        let subject = object(
            "wgpolicyk8s.io/v1alpha2",
            "PolicyReport",
            "r",
            json!({"scope": scope, "results": [bare]}),
        );
        let found = look(&NAMES, &subject, &[]);
        let failure = &found.report.failures()[0];
        assert_eq!(failure.text, "policy labels, rule team is broken: no team (about Deployment shop/web)");
        assert!(failure.sensitive.contains("web"));
    }

    #[test]
    fn odd_results_say_nothing() {
        for odd in [json!(7), json!([1, null, {"result": 3}]), json!({"a": 1})] {
            assert!(codes(&look(&NAMES, &report(odd), &[])).is_empty());
        }
        let bare = report(json!([{"result": "fail"}]));
        assert_eq!(codes(&look(&NAMES, &bare, &[])), ["PolicyBroken"]);
    }
}
