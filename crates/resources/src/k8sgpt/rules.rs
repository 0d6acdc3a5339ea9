//! What a schema of a `K8sGPT` cannot say. Every rule is about a field that the original does not have, so that no manifest
//! of it is refused. They stand at objects that hold declared fields only, or at none that are older than the rule.

use serde_json::Value;

use crate::{
    Problem,
    check::path_text,
    part::{broken, has},
    walk,
};

pub use crate::part::Rule;

use super::KIND;

/// Every rule.
pub const RULES: &[Rule] = &[
    Rule {
        at: "spec",
        cel: "!has(self.imageOverride) || !self.imageOverride || has(self.repository)",
        message: "imageOverride says that repository names the image: set repository",
        holds: |spec| spec["imageOverride"] != true || has(spec, "repository"),
    },
    Rule {
        at: "spec.sinks[]",
        cel: "has(self.secret) || (has(self.webhook) && !(has(self.type) && self.type == 'pagerduty'))",
        message: "nobody to send to: set secret (or webhook, but not for pagerduty)",
        holds: |sink| has(sink, "secret") || (has(sink, "webhook") && sink["type"] != "pagerduty"),
    },
    Rule {
        at: "spec.sinks[]",
        cel: "!(has(self.template) || has(self.headersFrom)) || (has(self.type) && self.type == 'webhook')",
        message: "template and headersFrom are for type webhook: the others have messages of their own",
        holds: |sink| !(has(sink, "template") || has(sink, "headersFrom")) || sink["type"] == "webhook",
    },
    Rule {
        at: "spec.suppress[]",
        cel: "has(self.kind) || has(self.namespace) || has(self.name) || has(self.analyzer) || has(self.text)",
        message: "would suppress everything: set kind, namespace, name, analyzer or text",
        holds: |entry| {
            ["kind", "namespace", "name", "analyzer", "text"].iter().any(|field| has(entry, field))
        },
    },
    Rule {
        at: "spec.prompts[]",
        cel: "has(self.text) != has(self.configMap)",
        message: "set either text or configMap",
        holds: |prompt| has(prompt, "text") != has(prompt, "configMap"),
    },
    Rule {
        at: "spec.labelSelector.matchExpressions[]",
        cel: "(self.operator == 'In' || self.operator == 'NotIn') == (has(self.values) && size(self.values) > 0)",
        message: "In and NotIn need values, Exists and DoesNotExist have none",
        holds: |expression| {
            let needs = expression["operator"] == "In" || expression["operator"] == "NotIn";
            needs == expression["values"].as_array().is_some_and(|values| !values.is_empty())
        },
    },
];

/// Lists in which no two entries may have the same key; the API server says it by itself.
const KEYED: [(&str, &str); 2] = [("spec.sinks[]", "name"), ("spec.prompts[]", "kind")];

/// Finds every problem of a `K8sGPT` that the API server would refuse, and every field that it does not know. Without one
/// it can be read as [`super::K8sGpt`].
pub fn check(manifest: &Value) -> Vec<Problem> {
    let mut problems = walk::analysis(manifest);
    problems.extend(broken(manifest, RULES, &KEYED));
    problems
}

/// Says what [`check`] finds, a line each.
pub fn report(problems: &[Problem]) -> String {
    let lines =
        problems.iter().map(|problem| format!("{KIND} {}: {}", path_text(&problem.path), problem.message));
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(spec: Value) -> Vec<String> {
        let manifest = json!({ "apiVersion": "core.k8sgpt.ai/v1alpha1", "kind": "K8sGPT", "metadata": { "name": "a" }, "spec": spec });
        check(&manifest)
            .iter()
            .map(|problem| format!("{}: {}", path_text(&problem.path), problem.message))
            .collect()
    }

    #[test]
    fn every_rule_is_broken_by_a_manifest_and_kept_by_one() {
        let cases = [
            ("spec", json!({ "imageOverride": true }), json!({ "imageOverride": true, "repository": "r" })),
            (
                "spec.sinks[0]",
                json!({ "sinks": [{ "name": "a", "type": "pagerduty", "webhook": "w" }] }),
                json!({ "sinks": [{ "name": "a", "type": "pagerduty", "secret": { "name": "s", "key": "k" } }] }),
            ),
            (
                "spec.sinks[1]",
                json!({ "sinks": [{ "name": "a", "webhook": "w" }, { "name": "b", "webhook": "w", "template": "t" }] }),
                json!({ "sinks": [{ "name": "b", "webhook": "w", "template": "t", "type": "webhook" }] }),
            ),
            (
                "spec.suppress[0]",
                json!({ "suppress": [{ "reason": "all" }] }),
                json!({ "suppress": [{ "kind": "Pod" }] }),
            ),
            (
                "spec.prompts[0]",
                json!({ "prompts": [{ "kind": "Pod" }] }),
                json!({ "prompts": [{ "kind": "Pod", "text": "t" }] }),
            ),
            (
                "spec.labelSelector.matchExpressions[0]",
                json!({ "labelSelector": { "matchExpressions": [{ "key": "a", "operator": "In", "values": [] }] } }),
                json!({ "labelSelector": { "matchExpressions": [{ "key": "a", "operator": "Exists" }] } }),
            ),
        ];
        assert_eq!(cases.len(), RULES.len());
        for (rule, (at, broken, kept)) in RULES.iter().zip(cases) {
            assert_eq!(found(broken), [format!("{at}: {}", rule.message)]);
            assert_eq!(found(kept), Vec::<String>::new());
        }
    }

    #[test]
    fn keys_stand_in_a_list_once() {
        let sinks = json!({ "sinks": [{ "name": "a", "webhook": "w" }, { "name": "a", "webhook": "w" }] });
        assert_eq!(found(sinks), ["spec.sinks[1].name: \"a\" stands there twice"]);
    }

    #[test]
    fn times_and_names_have_their_form() {
        let wrong = [
            (json!({ "analysis": { "interval": "1h30m" } }), "spec.analysis.interval"),
            (json!({ "analysis": { "grace": "30" } }), "spec.analysis.grace"),
            (json!({ "suppress": [{ "kind": "Pod", "until": "tomorrow" }] }), "spec.suppress[0].until"),
            (json!({ "sinks": [{ "name": "Ops!", "webhook": "w" }] }), "spec.sinks[0].name"),
            (json!({ "sinks": [{ "name": "spec.sink", "webhook": "w" }] }), "spec.sinks[0].name"),
            (json!({ "sinks": [{ "webhook": "w" }] }), "spec.sinks[0]"),
            (json!({ "minSeverity": "high" }), "spec.minSeverity"),
            (json!({ "sink": { "type": "email" } }), "spec.sink.type"),
            (json!({ "ai": { "maxTokens": 2048 } }), "spec.ai.maxTokens"),
        ];
        for (spec, at) in wrong {
            let found = found(spec);
            assert!(found.len() == 1 && found[0].starts_with(&format!("{at}: ")), "{at}: {found:?}");
        }
    }

    #[test]
    fn a_field_that_nobody_knows_is_named_with_the_nearest_one() {
        let found = found(json!({ "ai": { "baseURL": "x" }, "filter": [] }));
        assert_eq!(
            found,
            [
                "spec.ai.baseURL: unknown field \"baseURL\"; did you mean \"baseUrl\"?",
                "spec.filter: unknown field \"filter\"; did you mean \"filters\"?",
            ]
        );
    }
}
