//! The report in the Static Analysis Results Interchange Format 2.1.0, for tools that collect findings.
//!
//! A failure's code is a rule, and a failure is a result. Objects of a cluster have no file: `kubernetes/shop/Pod/web-1` stands
//! for one where a tool insists on a file, and the logical location names the object and the field.

use std::collections::BTreeMap;

use asya_analysis::{Failure, ObjectRef, Severity};
use serde_json::{Value, json};

use super::{Finding, Report, word};

/// Where the schema of the format is.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// The report as a SARIF log with one run.
pub(crate) fn sarif(report: &Report) -> Value {
    let mut worst: BTreeMap<&str, Severity> = BTreeMap::new();
    for failure in report.findings.iter().flat_map(|finding| &finding.failures) {
        let known = worst.entry(&failure.code).or_insert(failure.severity);
        *known = failure.severity.max(*known);
    }
    let codes: Vec<&str> = worst.keys().copied().collect();
    let rules: Vec<Value> = worst
        .iter()
        .map(|(code, severity)| {
            json!({
                "id": code,
                "shortDescription": {"text": sentence(code)},
                "defaultConfiguration": {"level": level(*severity)},
            })
        })
        .collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .flat_map(|finding| finding.failures.iter().map(|failure| result(report, finding, failure, &codes)))
        .collect();
    let told = |level: &str, text: String| json!({"level": level, "message": {"text": text}});
    let mut notifications: Vec<Value> =
        report.errors.iter().map(|error| told("error", format!("could not look: {error}"))).collect();
    notifications.extend(report.notes.iter().map(|note| told("note", note.clone())));
    notifications.extend(report.open.iter().map(|open| {
        told("warning", format!("could not verify {}: {}: {}", open.count, open.why, open.about.join(", ")))
    }));
    notifications.extend(
        report
            .rights
            .sentences()
            .into_iter()
            .map(|right| told("warning", format!("a right is missing: {right}"))),
    );
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "asya analyze",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "utf16CodeUnits",
            "invocations": [{
                "executionSuccessful": report.errors.is_empty(),
                "endTimeUtc": report.time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
            "properties": {
                "context": report.place.context,
                "scope": report.place.scope,
                "objects": report.objects,
            },
        }],
    })
}

fn result(report: &Report, finding: &Finding, failure: &Failure, codes: &[&str]) -> Value {
    let evidence: Vec<Value> = failure
        .evidence
        .iter()
        .map(|evidence| json!({"object": evidence.object.to_string(), "path": evidence.path, "value": evidence.value}))
        .collect();
    let mut properties = json!({"severity": word(failure.severity), "evidence": evidence});
    if let Some(parent) = &finding.parent {
        properties["parentObject"] = parent.to_string().into();
    }
    if let Some(explanation) = &finding.explanation {
        properties["explanation"] = explanation.text.clone().into();
    }
    if let Some(documentation) = report.documentation(failure) {
        properties["documentation"] = documentation.into();
    }
    json!({
        "ruleId": failure.code,
        "ruleIndex": codes.iter().position(|code| *code == failure.code),
        "level": level(failure.severity),
        "message": {"text": failure.text},
        "locations": [location(&finding.object, failure)],
        "partialFingerprints": {"asyaFinding/v1": fingerprint(&finding.object, failure)},
        "properties": properties,
    })
}

/// A cluster has neither files nor lines; what collects findings wants both.
fn location(object: &ObjectRef, failure: &Failure) -> Value {
    let mut logical = vec![json!({
        "name": object.name,
        "fullyQualifiedName": qualified(object),
        "kind": "object",
    })];
    if let Some(evidence) = failure.evidence.first() {
        logical.push(json!({
            "fullyQualifiedName": format!("{}{}", qualified(&evidence.object), evidence.path),
            "kind": "member",
        }));
    }
    json!({
        "physicalLocation": {
            "artifactLocation": {"uri": format!("kubernetes/{}", escaped(&qualified(object)))},
            "region": {"startLine": 1},
        },
        "logicalLocations": logical,
    })
}

/// `shop/Pod/web-1`, `Node/worker-3`, `shop/Deployment.apps/web`
fn qualified(object: &ObjectRef) -> String {
    let namespace = object.namespace.as_ref().map_or_else(String::new, |namespace| format!("{namespace}/"));
    format!("{namespace}{}/{}", object.kind, object.name)
}

/// As a relative reference has it (RFC 3986).
fn escaped(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// The same for the same failure of the same object in another run, whatever the text says of times and numbers: made as
/// the fingerprint of a finding that has this failure alone, in whichever cluster.
fn fingerprint(object: &ObjectRef, failure: &Failure) -> String {
    asya_analysis::finding::fingerprint("", object, std::slice::from_ref(failure))
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// `ImagePullFails` as words: `Image pull fails`.
fn sentence(code: &str) -> String {
    let mut words = String::with_capacity(code.len() + 8);
    for (n, c) in code.chars().enumerate() {
        if c.is_uppercase() && n > 0 {
            words.push(' ');
            words.extend(c.to_lowercase());
        } else {
            words.push(c);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use asya_cluster::report::testing::{healthy, report};

    use super::*;

    /// What the schema of SARIF 2.1.0 demands of the objects that are used here.
    fn valid(log: &Value) {
        assert_eq!(log["version"], "2.1.0");
        for run in log["runs"].as_array().unwrap() {
            let driver = &run["tool"]["driver"];
            assert!(driver["name"].is_string());
            let rules = driver["rules"].as_array().unwrap();
            for rule in rules {
                assert!(rule["id"].is_string() && rule["shortDescription"]["text"].is_string());
            }
            for invocation in run["invocations"].as_array().unwrap() {
                assert!(invocation["executionSuccessful"].is_boolean());
                let time = invocation["endTimeUtc"].as_str().unwrap();
                assert!(time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{time}");
                for notification in invocation["toolExecutionNotifications"].as_array().unwrap() {
                    assert!(notification["message"]["text"].is_string());
                    assert!(
                        ["none", "note", "warning", "error"]
                            .contains(&notification["level"].as_str().unwrap())
                    );
                }
            }
            for result in run["results"].as_array().unwrap() {
                assert!(!result["message"]["text"].as_str().unwrap().is_empty());
                assert!(["none", "note", "warning", "error"].contains(&result["level"].as_str().unwrap()));
                let rule = &rules[usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
                assert_eq!(rule["id"], result["ruleId"]);
                for location in result["locations"].as_array().unwrap() {
                    let uri = location["physicalLocation"]["artifactLocation"]["uri"].as_str().unwrap();
                    assert!(!uri.starts_with('/') && !uri.contains(' '), "{uri}");
                    assert!(location["physicalLocation"]["region"]["startLine"].as_u64().unwrap() >= 1);
                }
                assert!(result["partialFingerprints"].as_object().unwrap().values().all(Value::is_string));
            }
        }
    }

    #[test]
    fn the_log_has_what_its_schema_demands() {
        let log = sarif(&report());
        valid(&log);
        valid(&sarif(&healthy()));
        let results = log["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results.len(), 3);
        assert_eq!(results[0]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], "Node/worker-3");
        assert_eq!(log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap().len(), 3);
        assert_eq!(
            log["runs"][0]["invocations"][0]["executionSuccessful"], false,
            "a kind could not be listed"
        );
    }

    #[test]
    fn the_fingerprint_stays_while_text_and_values_change() {
        let object = ObjectRef::of::<k8s_openapi::api::core::v1::Pod>(Some("shop"), "p");
        let failure = |text: &str, path: &str, value: &str| {
            Failure::new("ContainerRestarts", Severity::Warning, text).seen(&object, path, value.to_owned())
        };
        let path = ".status.containerStatuses[0].restartCount";
        let first = fingerprint(&object, &failure("7 times", path, "7"));
        assert_eq!(first, fingerprint(&object, &failure("8 times", path, "8")));
        assert_ne!(
            first,
            fingerprint(&object, &failure("7 times", ".status.containerStatuses[1].restartCount", "7"))
        );
    }

    #[test]
    fn a_name_with_odd_characters_makes_a_valid_reference() {
        assert_eq!(
            escaped("ClusterRole.rbac.authorization.k8s.io/system:a b%"),
            "ClusterRole.rbac.authorization.k8s.io/system%3Aa%20b%25"
        );
        assert_eq!(sentence("ImagePullFails"), "Image pull fails");
    }
}
