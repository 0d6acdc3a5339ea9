//! What the CRD's rules ask of a server: nothing that Kubernetes 1.29, the oldest that is supported, does not have.

use asya_resources::{agent, k8sgpt::rules::RULES, rules::validations};

/// Functions and macros of the rules, each with the first Kubernetes whose CRDs know it.
const KNOWN: [(&str, &str); 7] = [
    ("all", "1.25"),
    ("exists", "1.25"),
    ("filter", "1.25"),
    ("has", "1.25"),
    ("matches", "1.25"),
    ("size", "1.25"),
    ("startsWith", "1.25"),
];

/// The rule without what stands in quotes.
fn code(rule: &str) -> String {
    rule.split(['\'', '"']).step_by(2).collect::<Vec<_>>().join("\"\"")
}

/// Names before an opening parenthesis.
fn called(code: &str) -> Vec<&str> {
    let parts: Vec<_> = code.split('(').collect();
    let name =
        |part: &&str| part.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    parts[..parts.len() - 1]
        .iter()
        .map(|part| &part[name(part)..])
        .filter(|name| !name.is_empty() && *name != "in")
        .collect()
}

#[test]
fn rules_use_only_functions_that_the_oldest_supported_server_has() {
    let mut seen = 0;
    let others = RULES.iter().chain(agent::rules::RULES).map(|rule| rule.cel.to_owned());
    let rules = validations().map(|validation| validation.rule).chain(others);
    for rule in rules {
        let code = code(&rule);
        for name in called(&code) {
            assert!(KNOWN.iter().any(|(known, _)| *known == name), "{name} in {rule}");
            seen += 1;
        }
        for newer in [".?", "[?", "optional."] {
            assert!(!code.contains(newer), "{newer} in {rule}");
        }
    }
    assert!(seen > 20, "only {seen} calls were found");
}
