//! The CRD of `Agent` on a real API server: what it takes, what it refuses and how, what it fills in and shows.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../crates/resources/tests/generated/mod.rs"]
mod generated;

use anyhow::Result;
use asya_resources::{
    agent::{self, Agent, rules},
    check::path_text,
};
use asya_tests::{
    kubernetes::{Cluster, Objects, until},
    manifests::{documents, files},
};
use proptest::strategy::{Strategy, ValueTree};
use serde_json::{Value, json};

/// A cluster that takes agents; nothing, said loudly, when there is none.
async fn with_crd() -> Result<Option<(Cluster, Objects)>> {
    let Some(cluster) = Cluster::connect().await? else { return Ok(None) };
    cluster.install(&serde_saphyr::from_str(agent::CRD)?).await?;
    let agents = cluster.objects("apis/asya.sh/v1alpha1", "agents");
    // The server answers for a new schema a moment after it says that it is established.
    let wrong = agent("wrong", &json!({ "prompt": null }));
    until("the rules are in force", async || {
        let answer = cluster.try_create(&agents, &wrong).await;
        Ok(answer.is_err_and(|error| format!("{error:#}").contains("what the model is told")).then_some(()))
    })
    .await?;
    Ok(Some((cluster, agents)))
}

/// The least that an agent says, and these fields.
fn agent(name: &str, fields: &Value) -> Value {
    let mut spec =
        json!({ "transport": "rabbitmq", "prompt": "p", "model": { "provider": "openai", "name": "m" } });
    for (field, value) in fields.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    json!({ "apiVersion": "asya.sh/v1alpha1", "kind": "Agent", "metadata": { "name": name }, "spec": spec })
}

fn found(manifest: &Value) -> Vec<String> {
    let problems = rules::check(manifest);
    problems.iter().map(|it| format!("{}: {}", path_text(&it.path), it.message)).collect()
}

#[tokio::test]
async fn every_example_is_accepted_and_kept_whole() -> Result<()> {
    let Some((cluster, agents)) = with_crd().await? else { return Ok(()) };
    for path in files("examples/agents") {
        for object in documents(&path) {
            assert_eq!(found(&object), Vec::<String>::new(), "{}", path.display());
            let stored = cluster.try_create(&agents, &object).await?;
            // What was filled in is what the types fill in.
            assert_eq!(Agent::read(&stored)?.spec, Agent::read(&object)?.spec, "{}", path.display());
        }
    }
    cluster.end().await
}

#[tokio::test]
async fn every_rule_is_said_by_the_server() -> Result<()> {
    let Some((cluster, agents)) = with_crd().await? else { return Ok(()) };
    let tool = |actor: &str| json!({ "tools": { "declared": [{ "name": "t", "description": "d", "actor": actor }] } });
    let broken = [
        json!({ "promptFrom": { "name": "a", "key": "b" } }),
        json!({ "model": null }),
        json!({ "env": [{ "name": "ASYA_AGENT_TOOLS", "value": "[]" }] }),
        json!({ "scaling": { "minReplicas": 11 } }),
        tool("happy-end"),
    ];
    assert_eq!(broken.len(), rules::RULES.len());
    for (rule, fields) in rules::RULES.iter().zip(broken) {
        let error = cluster.try_create(&agents, &agent("a", &fields)).await.unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains(rule.message), "expected: {}\ngot: {text}", rule.message);
    }
    for fields in
        [tool("*"), tool("asya-orders"), json!({ "riskTier": "none" }), json!({ "budgets": { "turns": 0 } })]
    {
        assert!(cluster.try_create(&agents, &agent("a", &fields)).await.is_err(), "{fields}");
    }
    cluster.end().await
}

#[tokio::test]
async fn defaults_are_filled_in_only_where_a_block_is() -> Result<()> {
    let Some((cluster, agents)) = with_crd().await? else { return Ok(()) };
    let stored = cluster.try_create(&agents, &agent("bare", &json!({}))).await?;
    let mut bare = agent("bare", &json!({}))["spec"].clone();
    bare["riskTier"] = json!("low");
    assert_eq!(stored["spec"], bare);
    let blocks = json!({ "scaling": {}, "observability": {}, "tools": { "declared": [
        { "name": "t", "description": "d", "actor": "orders" },
    ] } });
    let stored = cluster.try_create(&agents, &agent("blocks", &blocks)).await?;
    let spec = &stored["spec"];
    assert_eq!(spec["scaling"], json!({ "minReplicas": 0, "maxReplicas": 10, "queueLength": 5 }));
    assert_eq!(spec["observability"], json!({ "logPrompts": "redacted", "emitTokens": true }));
    let tool = &spec["tools"]["declared"][0];
    assert_eq!((&tool["risk"], &tool["approval"]), (&json!("high"), &json!(false)));
    cluster.end().await
}

/// What the server says of manifests that are nearly right, and what `check` says.
#[tokio::test]
async fn check_and_the_server_are_of_one_mind() -> Result<()> {
    let Some((cluster, agents)) = with_crd().await? else { return Ok(()) };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let strategy = generated::spec(agent::JSON_SCHEMA);
    let mut right = 0;
    for number in 0..400 {
        let mut spec = strategy.new_tree(&mut runner).unwrap().current();
        if let Some(members) = spec.as_object_mut() {
            for field in ["promptFrom", "definitionRef"] {
                members.remove(field);
            }
            members.insert("prompt".to_owned(), json!("p"));
            members.entry("transport").or_insert(json!("rabbitmq"));
            members.entry("model").or_insert(json!({ "provider": "openai", "name": "m" }));
        }
        let manifest = json!({ "apiVersion": "asya.sh/v1alpha1", "kind": "Agent", "metadata": { "name": "a" }, "spec": spec });
        let answer = cluster.try_create(&agents, &manifest).await;
        let sentences = found(&manifest);
        assert_eq!(answer.is_ok(), sentences.is_empty(), "{number}: {answer:?}\n{sentences:?}\n{manifest:#}");
        right += usize::from(answer.is_ok());
    }
    assert!((20..380).contains(&right), "{right} of 400 are right");
    cluster.end().await
}
