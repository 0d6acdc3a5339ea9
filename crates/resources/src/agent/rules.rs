//! What a schema of an `Agent` cannot say.

use serde_json::Value;

use super::limits::DEFAULT_MAX_REPLICAS;
use crate::{
    Problem,
    check::identity,
    part::{self, Rule, has},
    walk,
};

/// Variables that are made from fields of the spec.
const RESERVED: [&str; 6] = [
    "ASYA_LLM_BACKEND",
    "ASYA_LLM_MODEL",
    "ASYA_LLM_BASE_URL",
    "ASYA_LLM_API_KEY",
    "ASYA_LLM_MAX_TOKENS",
    "ASYA_LLM_TEMPERATURE",
];
/// The same, by what they begin with.
const RESERVED_PREFIX: &str = "ASYA_AGENT_";

/// Every rule.
pub const RULES: &[Rule] = &[
    Rule {
        at: "spec",
        cel: "(has(self.prompt) ? 1 : 0) + (has(self.promptFrom) ? 1 : 0) + (has(self.definitionRef) ? 1 : 0) == 1",
        message: "set one of prompt, promptFrom and definitionRef: it says what the model is told",
        holds: |spec| {
            ["prompt", "promptFrom", "definitionRef"].iter().filter(|field| has(spec, field)).count() == 1
        },
    },
    Rule {
        at: "spec",
        cel: "has(self.model) || has(self.definitionRef)",
        message: "nothing says which model answers: set model",
        holds: |spec| has(spec, "model") || has(spec, "definitionRef"),
    },
    Rule {
        at: "spec",
        cel: "!has(self.env) || self.env.all(e, !e.name.startsWith('ASYA_AGENT_') && !(e.name in ['ASYA_LLM_BACKEND', \
              'ASYA_LLM_MODEL', 'ASYA_LLM_BASE_URL', 'ASYA_LLM_API_KEY', 'ASYA_LLM_MAX_TOKENS', 'ASYA_LLM_TEMPERATURE']))",
        message: "env sets what has a field of its own: use model, apiKey and the other fields for ASYA_AGENT_* and for \
                  backend, model, address, key, maxTokens and temperature of ASYA_LLM_*",
        holds: |spec| {
            let mut env = spec["env"].as_array().into_iter().flatten();
            env.all(|variable| {
                let name = variable["name"].as_str().unwrap_or_default();
                !name.starts_with(RESERVED_PREFIX) && !RESERVED.contains(&name)
            })
        },
    },
    Rule {
        at: "spec.scaling",
        cel: "self.minReplicas <= self.maxReplicas",
        message: "minReplicas is above maxReplicas: lower it or raise maxReplicas",
        holds: |scaling| {
            let number = |field: &str, default: u32| scaling[field].as_i64().unwrap_or(default.into());
            number("minReplicas", 0) <= number("maxReplicas", DEFAULT_MAX_REPLICAS)
        },
    },
    Rule {
        at: "spec.tools.declared[]",
        cel: "!self.actor.startsWith('asya-') && !(self.actor in ['happy-end', 'error-end'])",
        message: "actor must be one that answers: not happy-end or error-end, where envelopes end, and not a name with asya- \
                  before it, which is that of a queue",
        holds: |tool| {
            let actor = tool["actor"].as_str().unwrap_or_default();
            !actor.starts_with("asya-") && !["happy-end", "error-end"].contains(&actor)
        },
    },
];

/// Lists in which no two entries may have the same key; the API server says it by itself.
const KEYED: [(&str, &str); 1] = [("spec.tools.declared[]", "name")];

/// Finds every problem of an `Agent` that the API server would refuse, every field that it does not know, and a name that no
/// actor can have. Without one it can be read as [`super::Agent`].
pub fn check(manifest: &Value) -> Vec<Problem> {
    let mut problems = walk::agent(manifest);
    identity(manifest, &mut problems);
    problems.extend(part::broken(manifest, RULES, &KEYED));
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::path_text;

    fn found(spec: Value) -> Vec<String> {
        let mut all =
            json!({ "transport": "rabbitmq", "prompt": "p", "model": { "provider": "openai", "name": "m" } });
        for (field, value) in spec.as_object().unwrap() {
            all[field] = value.clone();
        }
        let manifest = json!({ "apiVersion": crate::API_VERSION, "kind": "Agent", "metadata": { "name": "ops" }, "spec": all });
        check(&manifest)
            .iter()
            .map(|problem| format!("{}: {}", path_text(&problem.path), problem.message))
            .collect()
    }

    #[test]
    fn every_rule_is_broken_by_a_manifest_and_kept_by_one() {
        let tool = |actor: &str| json!({ "tools": { "declared": [{ "name": "t", "description": "d", "actor": actor }] } });
        let cases = [
            ("spec", json!({ "promptFrom": { "name": "a", "key": "b" } }), json!({})),
            (
                "spec",
                json!({ "model": null }),
                json!({ "model": null, "prompt": null, "definitionRef": { "name": "d" } }),
            ),
            (
                "spec",
                json!({ "env": [{ "name": "ASYA_AGENT_TOOLS", "value": "[]" }] }),
                json!({ "env": [{ "name": "ASYA_LLM_REGION", "value": "eu-west-1" }] }),
            ),
            (
                "spec.scaling",
                json!({ "scaling": { "minReplicas": 11 } }),
                json!({ "scaling": { "minReplicas": 10 } }),
            ),
            ("spec.tools.declared[0]", tool("happy-end"), tool("orders")),
        ];
        assert_eq!(cases.len(), RULES.len());
        for (rule, (at, broken, kept)) in RULES.iter().zip(cases) {
            assert_eq!(found(broken), [format!("{at}: {}", rule.message)]);
            assert_eq!(found(kept), Vec::<String>::new());
        }
        for name in RESERVED {
            let env = json!({ "env": [{ "name": name, "value": "x" }] });
            assert_eq!(found(env), [format!("spec: {}", RULES[2].message)], "{name}");
        }
    }

    #[test]
    fn names_of_tools_and_actors_are_no_patterns() {
        let tool = |name: &str, actor: &str| json!({ "tools": { "declared": [{ "name": name, "description": "d", "actor": actor }] } });
        for (spec, at) in [
            (tool("a*", "orders"), "spec.tools.declared[0].name"),
            (tool("a", "*"), "spec.tools.declared[0].actor"),
            (tool("a", "orders.other"), "spec.tools.declared[0].actor"),
            (
                json!({ "tools": { "declared": [{ "name": "t", "description": "d", "actor": "a", "parameters": { "type": "array" } }] } }),
                "spec.tools.declared[0].parameters.type",
            ),
            (json!({ "tools": { "allow": ["k8s read"] } }), "spec.tools.allow[0]"),
            (json!({ "tools": { "allowed": ["k8s_read"] } }), "spec.tools.allowed"),
            (json!({ "budgets": { "wallClock": "1h30m" } }), "spec.budgets.wallClock"),
            (json!({ "budgets": { "turns": 0 } }), "spec.budgets.turns"),
            (json!({ "model": { "provider": "gpt", "name": "m" } }), "spec.model.provider"),
            (json!({ "riskTier": "none" }), "spec.riskTier"),
        ] {
            let found = found(spec);
            assert!(found.len() == 1 && found[0].starts_with(&format!("{at}: ")), "{at}: {found:?}");
        }
        let twice = json!({ "tools": { "declared": [
            { "name": "t", "description": "d", "actor": "a" }, { "name": "t", "description": "d", "actor": "b" },
        ] } });
        assert_eq!(found(twice), ["spec.tools.declared[1].name: \"t\" stands there twice"]);
    }

    #[test]
    fn a_name_that_no_actor_can_have_is_told() {
        let manifest = json!({ "apiVersion": crate::API_VERSION, "kind": "Agent", "metadata": { "name": "asya-ops" },
            "spec": { "transport": "t", "prompt": "p", "model": { "provider": "openai", "name": "m" } } });
        assert_eq!(check(&manifest).len(), 1);
    }
}
