use serde_json::{Value, json};

use super::*;
use crate::{
    AsyncActor,
    agent::{About, Risk, rules},
};

const AROUND: Around<'_> = Around { image: "asya-crew:test", pull_policy: None, keda: true };

/// An agent with these fields besides the least that it needs; the manifest is sound.
fn agent(fields: &Value) -> Agent {
    let mut spec = json!({
        "transport": "rabbitmq", "prompt": "You help.",
        "model": { "provider": "ollama", "name": "qwen3", "baseUrl": "http://ollama:11434/v1" },
    });
    for (field, value) in fields.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let manifest = json!({ "apiVersion": API_VERSION, "kind": "Agent", "metadata": { "name": "ops", "namespace": "shop" },
        "spec": spec });
    assert_eq!(rules::check(&manifest), []);
    Agent::read(&manifest).unwrap()
}

fn compiled(fields: &Value) -> Compiled {
    compile(&agent(fields), &AROUND).unwrap()
}

fn reasons(fields: &Value) -> Vec<&'static str> {
    compile(&agent(fields), &AROUND).unwrap_err().iter().map(Objection::reason).collect()
}

fn variable<'a>(compiled: &'a Compiled, name: &str) -> Option<&'a str> {
    let env = compiled.actor["spec"]["env"].as_array().unwrap();
    env.iter().find(|variable| variable["name"] == name).and_then(|variable| variable["value"].as_str())
}

fn orders(risk: &str, approval: bool) -> Value {
    json!({ "name": "orders", "description": "Looks up an order.", "actor": "orders-api", "risk": risk, "approval": approval,
        "parameters": { "type": "object", "properties": { "id": { "type": "string" } } } })
}

/// Everything that an agent may be granted, and what then stands in the route's grant.
#[test]
fn a_route_may_hold_what_is_granted_and_nothing_else() {
    let declared = json!([orders("low", false)]);
    let with = |allow: Value, deny: Value| json!({ "riskTier": "high", "tools": { "allow": allow, "deny": deny, "declared": declared } });
    let cases: [(Value, &[&str], &[&str]); 8] = [
        (json!({}), &[], &["ops"]),
        (json!({ "tools": { "declared": declared } }), &[], &["ops"]),
        (with(json!(["k8s_read"]), json!([])), &["k8s_read"], &["k8s-read", "ops"]),
        (with(json!(["orders"]), json!([])), &["orders"], &["ops", "orders-api"]),
        (
            with(json!(["k8s_*"]), json!([])),
            &["k8s_read", "k8s_write"],
            &["approval", "k8s-read", "k8s-write", "ops"],
        ),
        (with(json!(["k8s_*"]), json!(["*_write"])), &["k8s_read"], &["k8s-read", "ops"]),
        (with(json!(["*"]), json!(["*"])), &[], &["ops"]),
        (
            with(json!(["*"]), json!([])),
            &["k8s_read", "k8s_write", "helm", "http_get", "analyze", "notify", "orders"],
            &[
                "analyze",
                "approval",
                "helm",
                "http-get",
                "k8s-read",
                "k8s-write",
                "notify",
                "ops",
                "orders-api",
            ],
        ),
    ];
    for (fields, tools, route) in cases {
        let compiled = compiled(&fields);
        assert_eq!(compiled.tools, tools, "{fields}");
        assert_eq!(compiled.actor["spec"]["routes"]["allow"], json!(route), "{fields}");
        let told: Vec<Value> =
            serde_json::from_str(variable(&compiled, "ASYA_AGENT_TOOLS").unwrap()).unwrap();
        assert_eq!(told.len(), tools.len(), "{fields}");
        let named: Vec<_> =
            compiled.entry["tools"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
        assert_eq!(named, tools, "{fields}");
    }
}

#[test]
fn a_grant_without_tools_is_an_empty_list_and_not_everything() {
    // An absent list of the actor would let it send anywhere.
    let actor = AsyncActor::read(&compiled(&json!({})).actor).unwrap();
    assert_eq!(actor.spec.routes.unwrap().allow, ["ops"]);
}

#[test]
fn nothing_worse_than_the_tier_is_granted() {
    let with = |tier: &str, allow: Value, tool: Value| json!({ "riskTier": tier, "tools": { "allow": allow, "declared": [tool] } });
    for (fields, wrong) in [
        (with("low", json!(["k8s_read"]), orders("high", false)), 0),
        (with("low", json!(["orders"]), orders("low", false)), 0),
        (with("low", json!(["orders"]), orders("medium", false)), 1),
        (with("medium", json!(["orders"]), orders("medium", true)), 0),
        (with("medium", json!(["k8s_write"]), orders("low", false)), 1),
        (with("medium", json!(["*"]), orders("high", false)), 3),
        (with("high", json!(["*"]), orders("high", false)), 0),
    ] {
        let found = compile(&agent(&fields), &AROUND).err().unwrap_or_default();
        assert!(
            found.iter().all(|it| it.reason() == "TierExceeded" && it.about() == About::Policy),
            "{found:?}"
        );
        assert_eq!(found.len(), wrong, "{fields}");
    }
    let unsaid = json!({ "name": "orders", "description": "d", "actor": "orders-api" });
    assert_eq!(reasons(&with("medium", json!(["orders"]), unsaid)), ["TierExceeded"], "unknown is high");
    let objections = compile(&agent(&json!({ "tools": { "allow": ["k8s_write"] } })), &AROUND).unwrap_err();
    let expected =
        Objection::TierExceeded { tool: "k8s_write".to_owned(), risk: Risk::High, tier: Risk::Low };
    assert_eq!(objections, [expected], "the tier is low unless said otherwise");
}

#[test]
fn what_is_wrong_is_found_at_once_and_named() {
    let tool =
        |name: &str, actor: &str| json!({ "name": name, "description": "d", "actor": actor, "risk": "low" });
    let tools = |allow: Value, declared: Value| json!({ "tools": { "allow": allow, "declared": declared } });
    let cases = [
        (tools(json!(["k8s_raed"]), json!([])), vec!["UnknownTool"]),
        (tools(json!(["nothing_*"]), json!([])), vec![]),
        (tools(json!([]), json!([tool("k8s_write", "my-writer")])), vec!["NameTaken"]),
        (tools(json!(["t"]), json!([tool("t", "ops")])), vec!["NameTaken"]),
        (tools(json!(["t"]), json!([tool("t", "approval")])), vec!["NameTaken"]),
        (tools(json!(["a", "b"]), json!([])), vec!["UnknownTool", "UnknownTool"]),
        (json!({ "model": { "provider": "openai", "name": "m" } }), vec!["KeyNotNamed"]),
        (json!({ "model": { "provider": "ollama", "name": "m" } }), vec!["ModelIncomplete"]),
        (json!({ "model": { "provider": "oci", "name": "m" } }), vec!["ProviderUnsupported"]),
        (json!({ "model": { "provider": "customrest", "name": "m" } }), vec!["ProviderUnsupported"]),
        (json!({ "prompt": "ü".repeat(32_768) }), vec![]),
        (json!({ "prompt": "日".repeat(21_846) }), vec!["TooLong"]),
        (
            json!({ "prompt": "日".repeat(32_768), "tools": { "allow": ["x"] } }),
            vec!["UnknownTool", "TooLong"],
        ),
        (json!({ "env": [{ "name": "ASYA_SOCKET_DIR", "value": "/x" }] }), vec!["InvalidSpec"]),
    ];
    for (fields, expected) in cases {
        let found = compile(&agent(&fields), &AROUND).err().unwrap_or_default();
        let reasons: Vec<_> = found.iter().map(Objection::reason).collect();
        assert_eq!(reasons, expected, "{found:?}");
        assert!(found.iter().all(|it| !it.to_string().is_empty() && it.field().starts_with("spec")));
    }
}

#[test]
fn an_agent_is_told_the_name_of_a_tool_on_its_server() {
    let mut tool = orders("low", false);
    tool["mcpTool"] = "orders.look-up".into();
    let tools = json!({ "tools": { "allow": ["orders"], "declared": [tool] } });
    let told: Value = serde_json::from_str(variable(&compiled(&tools), "ASYA_AGENT_TOOLS").unwrap()).unwrap();
    assert_eq!(told[0]["mcpTool"], "orders.look-up");
    let plain = json!({ "tools": { "allow": ["orders"], "declared": [orders("low", false)] } });
    let told: Value = serde_json::from_str(variable(&compiled(&plain), "ASYA_AGENT_TOOLS").unwrap()).unwrap();
    assert!(told[0].get("mcpTool").is_none());
}

#[test]
fn an_actor_is_one_that_the_operator_takes() {
    let full = compiled(&json!({
        "description": "Looks after the shop.",
        "riskTier": "high",
        "model": { "provider": "openai", "name": "gpt-4o", "alternatives": ["gpt-4o-mini", "gpt-4o"], "maxTokens": 2048, "temperature": 0.5 },
        "apiKey": { "secretRef": { "name": "openai", "key": "token" } },
        "tools": { "allow": ["k8s_*", "orders"], "declared": [orders("medium", true)] },
        "budgets": { "turns": 20, "tokens": 90000, "route": 64, "depth": 2, "wallClock": "15m" },
        "approval": { "actor": "ask-sre", "timeout": "4h", "fourEyes": true },
        "observability": { "logPrompts": "full", "emitTokens": false },
        "concurrency": { "maxParallelSessions": 40 },
        "scaling": { "minReplicas": 3, "maxReplicas": 20, "queueLength": 8 },
        "env": [
            { "name": "ASYA_LLM_PROXY", "valueFrom": { "secretKeyRef": { "name": "proxy", "key": "url" } } },
            { "name": "OTHER", "valueFrom": { "secretKeyRef": { "name": "other", "key": "k", "optional": true } } },
        ],
        "pod": { "nodeSelector": { "zone": "a" }, "tolerations": [{ "key": "gpu", "operator": "Exists" }], "serviceAccountName": "bedrock" },
    }));
    let errors: Vec<_> = check(&full.actor).into_iter().filter(|it| it.severity == Severity::Error).collect();
    assert_eq!(errors, []);
    let spec = &full.actor["spec"];
    assert_eq!((&spec["handler"], &spec["embedded"]), (&json!("asya_crew.agent"), &json!(true)));
    assert_eq!(spec["routes"]["allow"], json!(["ask-sre", "k8s-read", "k8s-write", "ops", "orders-api"]));
    assert_eq!(spec["concurrency"], 16);
    assert_eq!(
        spec["scaling"],
        json!({ "enabled": true, "minReplicas": 2, "maxReplicas": 2, "queueLength": 8 })
    );
    let pod = &spec["workload"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], "bedrock");
    assert_eq!(spec["workload"]["shareCloudIdentity"], true);
    assert_eq!(pod["containers"][0]["image"], "asya-crew:test");
    assert_eq!(
        full.actor["metadata"],
        json!({ "name": "ops", "namespace": "shop", "labels": { LABEL: "ops" } })
    );
    for (name, value) in [
        ("ASYA_LLM_BACKEND", Some("openai")),
        ("ASYA_LLM_MODEL", Some("gpt-4o")),
        ("ASYA_LLM_MAX_TOKENS", Some("2048")),
        ("ASYA_LLM_TEMPERATURE", Some("0.5")),
        ("ASYA_AGENT_PROMPT", Some("You help.")),
        ("ASYA_AGENT_APPROVAL", Some("ask-sre")),
        ("ASYA_AGENT_MODELS", Some("gpt-4o-mini,gpt-4o")),
        ("ASYA_AGENT_MAX_TURNS", Some("20")),
        ("ASYA_AGENT_MAX_TOKENS", Some("90000")),
        ("ASYA_AGENT_LOG_PROMPTS", Some("full")),
        ("ASYA_AGENT_EMIT_TOKENS", Some("false")),
        ("ASYA_LLM_API_KEY", None),
    ] {
        assert_eq!(variable(&full, name), value, "{name}");
    }
    assert_eq!(full.approved, ["orders-api"]);
    let key = |name: &str, key: &str| SecretKey { name: name.to_owned(), key: key.to_owned() };
    assert_eq!(full.secrets, [key("openai", "token"), key("proxy", "url")]);
    assert_eq!(
        full.entry,
        json!({
            "name": "ops",
            "description": "Looks after the shop.",
            "models": ["gpt-4o", "gpt-4o-mini"],
            "budget": { "turns": 20, "tokens": 90000, "route": 64, "depth": 2, "wallClock": 900 },
            "tools": [
                { "name": "k8s_read", "risk": "low", "approval": false },
                { "name": "k8s_write", "risk": "high", "approval": true },
                { "name": "orders", "risk": "medium", "approval": true },
            ],
            "approval": { "timeout": 14400, "fourEyes": true },
            "account": "bedrock",
            "accounts": ["bedrock"],
        })
    );
}

#[test]
fn an_agent_that_names_no_account_has_one_of_its_own() {
    let longest = "a".repeat(63);
    let empty = json!({ "pod": { "serviceAccountName": "" } });
    for (name, fields) in
        [("ops", json!({})), ("ops", json!({ "pod": {} })), ("ops", empty), (&longest, json!({}))]
    {
        let mut agent = agent(&fields);
        name.clone_into(&mut agent.metadata.name);
        let made = compile(&agent, &AROUND).unwrap();
        let own = format!("asya-{name}");
        let workload = &made.actor["spec"]["workload"];
        assert_eq!(workload["template"]["spec"]["serviceAccountName"], own);
        assert_eq!(workload["shareCloudIdentity"], true);
        assert_eq!(made.actor["metadata"]["annotations"], json!({ OWN_ACCOUNT: "true" }));
        assert_eq!((&made.entry["account"], &made.entry["accounts"]), (&json!(own), &json!([own])));
        assert_eq!((made.account, made.own_account), (own, true));
    }
    // One that is named is somebody else's to make, whatever its name.
    for name in ["bedrock", "default", "asya-ops"] {
        let made = compiled(&json!({ "pod": { "serviceAccountName": name } }));
        let workload = &made.actor["spec"]["workload"];
        assert_eq!(workload["template"]["spec"]["serviceAccountName"], name);
        assert_eq!(workload["shareCloudIdentity"], true);
        assert_eq!(made.actor["metadata"].get("annotations"), None);
        assert_eq!((&made.entry["account"], &made.entry["accounts"]), (&json!(name), &json!([name])));
        assert_eq!((&*made.account, made.own_account), (name, false));
    }
}

#[test]
fn kubernetes_puts_no_variable_into_a_prompt() {
    let prompt = "Costs $5. Never say $(ASYA_LLM_API_KEY) or $$.";
    let compiled = compiled(&json!({ "prompt": prompt }));
    let stored = variable(&compiled, "ASYA_AGENT_PROMPT").unwrap();
    // Kubernetes makes one of two, and looks for a name only behind a single one.
    assert_eq!(stored.replace("$$", "$"), prompt);
    assert!(!stored.replace("$$", "").contains('$'), "{stored}");
}

#[test]
fn no_more_sessions_than_asked_for_are_worked_on() {
    for (sessions, most, expected) in [
        (1, 10, (1, 1)),
        (10, 10, (10, 1)),
        (40, 10, (16, 2)),
        (100, 3, (33, 3)),
        (200, 1, (200, 1)),
        (2000, 4, (250, 4)),
    ] {
        let fields =
            json!({ "concurrency": { "maxParallelSessions": sessions }, "scaling": { "maxReplicas": most } });
        let actor = compiled(&fields).actor;
        let (each, replicas) = (&actor["spec"]["concurrency"], &actor["spec"]["scaling"]["maxReplicas"]);
        assert_eq!((each.as_u64(), replicas.as_u64()), (Some(expected.0), Some(expected.1)), "{fields}");
        assert!(expected.0 * expected.1 <= sessions);
    }
}

#[test]
fn without_keda_as_many_run_as_must() {
    for (least, expected) in [(0, 1), (3, 3)] {
        let agent = agent(&json!({ "scaling": { "minReplicas": least } }));
        let actor = compile(&agent, &Around { keda: false, ..AROUND }).unwrap().actor;
        assert_eq!(actor["spec"]["workload"]["replicas"], expected);
        assert_eq!(actor["spec"].get("scaling"), None);
    }
}

/// An agent whose texts come from a ConfigMap.
fn referring(fields: &Value) -> Agent {
    let manifest =
        json!({ "apiVersion": API_VERSION, "kind": "Agent", "metadata": { "name": "ops" }, "spec": fields });
    assert_eq!(rules::check(&manifest), []);
    Agent::read(&manifest).unwrap()
}

#[test]
fn a_definition_fills_in_what_the_spec_does_not_say() {
    let text = json!({ "prompt": "From afar.", "tools": { "allow": ["k8s_write"] }, "model": { "provider": "localai", "name": "m", "baseUrl": "http://v" } })
        .to_string();
    let bare = referring(&json!({ "transport": "t", "riskTier": "high", "definitionRef": { "name": "d" } }));
    assert_eq!(bare.spec.source(), Some(("d", "definition.json")));
    let whole = bare.resolved(Some(&text)).unwrap();
    let made = compile(&whole, &AROUND).unwrap();
    assert_eq!((made.model.as_str(), &made.tools[..]), ("localai/m", &["k8s_write".to_owned()][..]));
    let own = referring(&json!({
        "transport": "t", "definitionRef": { "name": "d" }, "tools": { "allow": ["k8s_read"] },
        "model": { "provider": "ollama", "name": "own", "baseUrl": "http://o" },
    }));
    let made = compile(&own.resolved(Some(&text)).unwrap(), &AROUND).unwrap();
    assert_eq!((made.model.as_str(), &made.tools[..]), ("ollama/own", &["k8s_read".to_owned()][..]));
}

#[test]
fn a_definition_keeps_the_rules_of_a_manifest() {
    let agent = referring(&json!({ "transport": "t", "riskTier": "high", "definitionRef": { "name": "d" } }));
    let model = json!({ "provider": "localai", "name": "m", "baseUrl": "http://v" });
    let tool = |actor: &str| json!({ "declared": [{ "name": "t", "description": "d", "actor": actor }] });
    for text in [
        "not json".to_owned(),
        json!({ "model": model }).to_string(),
        json!({ "prompt": "p" }).to_string(),
        json!({ "prompt": "", "model": model }).to_string(),
        json!({ "prompt": "p", "model": model, "riskTier": "high" }).to_string(),
        // A pattern instead of an actor would open the route to all of them.
        json!({ "prompt": "p", "model": model, "tools": tool("*") }).to_string(),
        json!({ "prompt": "p", "model": model, "tools": tool("error-end") }).to_string(),
    ] {
        let refused = agent.resolved(Some(&text));
        assert!(matches!(refused, Err(Objection::DefinitionInvalid(_))), "{text}: {refused:?}");
    }
    let from =
        referring(&json!({ "transport": "t", "model": model, "promptFrom": { "name": "c", "key": "k" } }));
    assert_eq!(from.resolved(Some("Hello")).unwrap().spec.prompt.as_deref(), Some("Hello"));
    assert!(from.resolved(Some("")).is_err() && from.resolved(Some(&"x".repeat(40_000))).is_err());
}
