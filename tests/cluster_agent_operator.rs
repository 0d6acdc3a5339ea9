//! The operator as a process against a real API server: what an `Agent` becomes, what is said of it, and what is left when it
//! goes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use anyhow::{Context as _, Result};
use asya_resources::agent::REGISTRY;
use asya_tests::{
    cluster::{Cluster, condition, eventually},
    manifests::documents,
    operator::{Operator, Settings},
    process::root,
};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

/// How long nothing may be written for it to count as rest: longer than anything is collected for, and than agents that are
/// not ready are left alone.
const REST: Duration = Duration::from_secs(12);

fn settings(cluster: &Cluster) -> Settings {
    Settings::of(cluster).env("ASYA_AGENTS", "true").env("ASYA_AGENT_IMAGE", "asya-crew:test")
}

async fn started(cluster: &Cluster) -> Result<Operator> {
    Operator::start(&settings(cluster)).await
}

/// An agent that needs no Secret, with these fields.
fn agent(name: &str, fields: &Value) -> Value {
    let mut spec = json!({
        "transport": "rabbitmq", "prompt": "You help.",
        "model": {"provider": "ollama", "name": "qwen3", "baseUrl": "http://ollama:11434/v1"},
    });
    for (field, value) in fields.as_object().unwrap() {
        spec[field] = value.clone();
    }
    spec.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    json!({"apiVersion": "asya.sh/v1alpha1", "kind": "Agent", "metadata": {"name": name}, "spec": spec})
}

fn says(object: &Value, r#type: &str, status: &str, reason: &str) -> bool {
    condition(object, r#type).is_some_and(|it| it["status"] == status && it["reason"] == reason)
}

async fn until_says(
    cluster: &Cluster,
    name: &str,
    r#type: &str,
    status: &str,
    reason: &str,
) -> Result<Value> {
    let what = format!("says {type}={status} {reason}");
    cluster.until("Agent", name, &what, |it| says(it, r#type, status, reason)).await
}

fn variable(actor: &Value, name: &str) -> Option<Value> {
    let env = actor.pointer("/spec/env")?.as_array()?;
    env.iter().find(|variable| variable["name"] == name).cloned()
}

/// What gateways are told of an agent.
async fn entry(cluster: &Cluster, name: &str) -> Result<Option<Value>> {
    let map = cluster.get("ConfigMap", REGISTRY).await?;
    let text = map.and_then(|map| map["data"][format!("{name}.json")].as_str().map(str::to_owned));
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

async fn until_entry(cluster: &Cluster, name: &str, wanted: impl Fn(Option<&Value>) -> bool) -> Result<()> {
    eventually(&format!("gateways are told of {name}"), async || {
        Ok(wanted(entry(cluster, name).await?.as_ref()).then_some(()))
    })
    .await
}

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

#[tokio::test]
async fn the_example_becomes_an_actor_and_an_entry_and_goes_without_a_trace() -> Result<()> {
    let cluster = cluster!("agent");
    let operator = started(&cluster).await?;
    cluster.apply(&documents(&root().join("examples/agents/ops.yaml")).remove(0)).await?;
    let agent = until_says(&cluster, "ops", "SecretsReady", "False", "SecretMissing")
        .await
        .with_context(|| operator.log())?;
    let sentence = condition(&agent, "SecretsReady").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(sentence.contains("kubectl create secret generic openai"), "{sentence}");
    assert!(says(&agent, "Ready", "False", "SecretMissing"), "{agent:#}");
    assert_eq!(agent["status"]["observedGeneration"], agent["metadata"]["generation"]);
    assert_eq!(agent["status"]["tools"], json!(["k8s_read", "k8s_write", "order_status"]));

    let actor = cluster.until("AsyncActor", "ops", "is made", |_| true).await?;
    assert_eq!(actor["metadata"]["ownerReferences"][0]["uid"], agent["metadata"]["uid"]);
    assert_eq!(actor["spec"]["handler"], "asya_crew.agent");
    assert_eq!(
        actor["spec"]["routes"]["allow"],
        json!(["approval", "k8s-read", "k8s-write", "ops", "orders"])
    );
    let key = variable(&actor, "ASYA_LLM_API_KEY").unwrap();
    assert_eq!(key["valueFrom"]["secretKeyRef"], json!({"name": "openai", "key": "token"}));
    assert_eq!(actor["spec"]["workload"]["template"]["spec"]["containers"][0]["image"], "asya-crew:test");
    until_entry(&cluster, "ops", |entry| {
        entry.is_some_and(|it| {
            it["budget"]["wallClock"] == 900 && it["models"] == json!(["gpt-4o", "gpt-4o-mini"])
        })
    })
    .await?;
    // It is an actor like any other: the operator gives it a queue and a workload.
    let deployment = cluster.until("Deployment", "ops", "is made", |_| true).await?;
    assert_eq!(deployment["spec"]["template"]["spec"]["serviceAccountName"], "asya-ops");
    let account = cluster.get("ServiceAccount", "asya-ops").await?.unwrap();
    assert_eq!(account["metadata"]["ownerReferences"][0]["uid"], actor["metadata"]["uid"]);
    assert_eq!(account["automountServiceAccountToken"], false);
    until_entry(&cluster, "ops", |entry| entry.is_some_and(|it| it["account"] == "asya-ops")).await?;

    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai"}, "stringData": {"token": "sk-x"}});
    cluster.apply(&secret).await?;
    until_says(&cluster, "ops", "SecretsReady", "True", "Found").await?;
    let events = cluster.api("Event").list(&ListParams::default()).await?;
    let told = |reason: &str| {
        events.items.iter().any(|it| it.data["reason"] == reason && it.data["regarding"]["kind"] == "Agent")
    };
    assert!(
        told("SecretMissing"),
        "{:#?}",
        events.items.iter().map(|it| &it.data["reason"]).collect::<Vec<_>>()
    );
    assert!(!operator.said("sk-x"), "the key is in the log");

    operator.rests(REST).await?;
    cluster.delete("Agent", "ops").await?;
    cluster.until_gone("Agent", "ops").await?;
    until_entry(&cluster, "ops", |entry| entry.is_none()).await?;
    cluster.until_gone("AsyncActor", "ops").await?;
    cluster.until_gone("ServiceAccount", "asya-ops").await?;
    operator.stop().await?;
    Ok(())
}

/// The pods that run as an account.
async fn pods_of(cluster: &Cluster, account: &str) -> Result<Vec<Value>> {
    let pods = cluster.api("Pod").list(&ListParams::default()).await?.items;
    let pods = pods.into_iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>()?;
    Ok(pods.into_iter().filter(|pod| pod["spec"]["serviceAccountName"] == account).collect())
}

async fn until_pod_of(cluster: &Cluster, account: &str) -> Result<String> {
    eventually(&format!("a pod runs as {account}"), async || {
        let pods = pods_of(cluster, account).await?;
        Ok(pods.first().and_then(|pod| pod["metadata"]["name"].as_str()).map(str::to_owned))
    })
    .await
}

#[tokio::test]
async fn an_agent_moves_to_its_own_account_and_gateways_hear_of_it_when_its_last_pod_has() -> Result<()> {
    let cluster = cluster!("agent-moves");
    let operator = started(&cluster).await?;
    // As agents without an account ran before.
    let before = json!({"pod": {"serviceAccountName": "default"}, "scaling": {"minReplicas": 1}});
    cluster.apply(&agent("ops", &before)).await?;
    let old = until_pod_of(&cluster, "default").await?;
    until_entry(&cluster, "ops", |entry| entry.is_some_and(|it| it["account"] == "default")).await?;
    assert!(cluster.get("ServiceAccount", "asya-ops").await?.is_none());

    // No kubelet is there: the test says when the pod is ready, and when the old one has stopped.
    cluster.edit("Pod", &old, &json!({"metadata": {"finalizers": ["asya.sh/test"]}})).await?;
    let knows = |turns: u64, accounts: &'static [&'static str]| {
        move |entry: Option<&Value>| {
            entry.is_some_and(|it| {
                it["budget"]["turns"] == turns
                    && it["account"] == accounts[0]
                    && it["accounts"] == json!(accounts)
            })
        }
    };
    let both = &["default", "asya-ops"];
    cluster.edit("Agent", "ops", &json!({"spec": {"pod": null, "budgets": {"turns": 7}}})).await?;
    // Gateways hear of it first, and have the time to.
    until_entry(&cluster, "ops", knows(7, both)).await?;
    let started = std::time::Instant::now();
    let waits = |it: &Value| {
        condition(it, "WorkloadReady").is_some_and(|it| it.to_string().contains("before pods run as it"))
    };
    cluster.until("Agent", "ops", "waits", waits).await?;
    assert_eq!(pods_of(&cluster, "asya-ops").await?, Vec::<Value>::new());
    tokio::time::sleep(Duration::from_secs(80).saturating_sub(started.elapsed())).await;
    assert_eq!(pods_of(&cluster, "asya-ops").await?, Vec::<Value>::new());
    let new = until_pod_of(&cluster, "asya-ops").await?;
    let ready = json!({"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    cluster.api("Pod").patch_status(&new, &PatchParams::default(), &Patch::Merge(&ready)).await?;
    cluster
        .until("Pod", &old, "is being stopped", |pod| !pod["metadata"]["deletionTimestamp"].is_null())
        .await?;
    cluster.edit("Agent", "ops", &json!({"spec": {"description": "Moves."}})).await?;
    until_entry(&cluster, "ops", |entry| {
        entry.is_some_and(|it| it["description"] == "Moves.") && knows(7, both)(entry)
    })
    .await?;
    let names = |it: &Value| condition(it, "WorkloadReady").is_some_and(|it| it.to_string().contains(&old));
    cluster.until("Agent", "ops", "names the pod that it waits for", names).await?;
    cluster.edit("Pod", &old, &json!({"metadata": {"finalizers": null}})).await?;
    until_entry(&cluster, "ops", knows(7, &["asya-ops"])).await?;
    assert_eq!(pods_of(&cluster, "default").await?, Vec::<Value>::new());
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_account_of_its_name_that_is_somebody_elses_is_not_taken() -> Result<()> {
    let cluster = cluster!("agent-account");
    let operator = started(&cluster).await?;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "asya-ops"}});
    cluster.apply(&account).await?;
    let theirs = cluster.get("ServiceAccount", "asya-ops").await?.unwrap();
    cluster.apply(&agent("ops", &json!({}))).await?;
    let agent = until_says(&cluster, "ops", "WorkloadReady", "False", "ActorNotReady").await?;
    let sentence = condition(&agent, "WorkloadReady").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(sentence.contains("asya-ops") && sentence.contains("serviceAccountName"), "{sentence}");
    assert!(cluster.get("Deployment", "ops").await?.is_none());
    // What runs as it must not act for the agent.
    operator.rests(REST).await?;
    assert_eq!(entry(&cluster, "ops").await?, None);

    // Named it is taken as it is.
    let named = json!({"spec": {"pod": {"serviceAccountName": "asya-ops"}}});
    cluster.edit("Agent", "ops", &named).await?;
    until_entry(&cluster, "ops", |entry| entry.is_some_and(|it| it["account"] == "asya-ops")).await?;
    cluster.until("Deployment", "ops", "is made", |_| true).await?;
    assert_eq!(cluster.get("ServiceAccount", "asya-ops").await?, Some(theirs));
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn an_agent_that_may_too_much_has_no_actor() -> Result<()> {
    let cluster = cluster!("agent-tier");
    let operator = started(&cluster).await?;
    let tools = json!({"tools": {"allow": ["k8s_*"]}});
    cluster.apply(&agent("bold", &tools)).await?;
    cluster.apply(&agent("modest", &json!({"tools": {"allow": ["k8s_read"]}}))).await?;
    let bold = until_says(&cluster, "bold", "PolicyCompliant", "False", "TierExceeded").await?;
    assert!(says(&bold, "Ready", "False", "TierExceeded"), "{bold:#}");
    let sentence = condition(&bold, "PolicyCompliant").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(sentence.contains("k8s_write") && sentence.contains("riskTier"), "{sentence}");
    until_entry(&cluster, "modest", |entry| entry.is_some()).await?;
    assert!(cluster.get("AsyncActor", "bold").await?.is_none());
    assert!(entry(&cluster, "bold").await?.is_none());

    // Denied what it may not have it runs, and stops when it may less.
    cluster.edit("Agent", "bold", &json!({"spec": {"tools": {"deny": ["*_write"]}}})).await?;
    let actor = cluster.until("AsyncActor", "bold", "is made", |_| true).await?;
    assert_eq!(actor["spec"]["routes"]["allow"], json!(["bold", "k8s-read"]));
    until_entry(&cluster, "bold", |entry| entry.is_some()).await?;
    cluster
        .edit("Agent", "bold", &json!({"spec": {"tools": {"allow": ["k8s_write"], "deny": null}}}))
        .await?;
    until_says(&cluster, "bold", "PolicyCompliant", "False", "TierExceeded").await?;
    cluster.until_gone("AsyncActor", "bold").await?;
    until_entry(&cluster, "bold", |entry| entry.is_none()).await?;
    assert!(entry(&cluster, "modest").await?.is_some());
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn changes_are_followed_and_nothing_is_written_at_rest_or_after_a_restart() -> Result<()> {
    let cluster = cluster!("agent-change");
    let map = |text: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "prompts"}, "data": {"ops": text}});
    let operator = started(&cluster).await?;
    let from = json!({"prompt": null, "promptFrom": {"name": "prompts", "key": "ops"}});
    cluster.apply(&agent("ops", &from)).await?;
    until_says(&cluster, "ops", "DefinitionResolved", "False", "ConfigMapMissing").await?;
    assert!(cluster.get("AsyncActor", "ops").await?.is_none());
    cluster.apply(&map("First.")).await?;
    let says = |words: &'static str| {
        move |it: &Value| variable(it, "ASYA_AGENT_PROMPT").is_some_and(|it| it["value"] == words)
    };
    cluster.until("AsyncActor", "ops", "has the prompt", says("First.")).await?;
    until_entry(&cluster, "ops", |entry| entry.is_some()).await?;

    // A text that is away for a while takes nothing away.
    cluster.delete("ConfigMap", "prompts").await?;
    until_says(&cluster, "ops", "DefinitionResolved", "False", "ConfigMapMissing").await?;
    assert!(cluster.get("AsyncActor", "ops").await?.is_some());
    assert!(entry(&cluster, "ops").await?.is_some());
    // But what it may not have any more is taken at once.
    cluster.edit("Agent", "ops", &json!({"spec": {"tools": {"allow": ["k8s_write"]}}})).await?;
    until_says(&cluster, "ops", "PolicyCompliant", "False", "TierExceeded").await?;
    cluster.until_gone("AsyncActor", "ops").await?;
    cluster.edit("Agent", "ops", &json!({"spec": {"tools": null}})).await?;
    cluster.edit("Agent", "ops", &json!({"spec": {"promptFrom": null, "prompt": "Second."}})).await?;
    cluster.until("AsyncActor", "ops", "has the new prompt", says("Second.")).await?;
    cluster.edit("Agent", "ops", &json!({"spec": {"budgets": {"turns": 7}}})).await?;
    until_entry(&cluster, "ops", |entry| entry.is_some_and(|it| it["budget"]["turns"] == 7)).await?;

    // What somebody else changes is put right, and what they add stays theirs.
    cluster.edit("AsyncActor", "ops", &json!({"spec": {"routes": {"allow": ["*"]}}})).await?;
    cluster
        .until("AsyncActor", "ops", "has its grant back", |it| {
            it["spec"]["routes"]["allow"] == json!(["ops"])
        })
        .await?;
    cluster.edit("ConfigMap", REGISTRY, &json!({"data": {"other.json": "{}"}})).await?;
    operator.rests(REST).await?;
    assert!(entry(&cluster, "other").await?.is_some());

    // Gone while nobody looked: the next one tidies up. Another finds everything as it should be.
    cluster.apply(&agent("brief", &json!({}))).await?;
    until_entry(&cluster, "brief", |entry| entry.is_some()).await?;
    operator.rests(REST).await?;
    let version = |object: Option<Value>| object.unwrap()["metadata"]["resourceVersion"].clone();
    let before = version(cluster.get("Agent", "ops").await?);
    operator.kill().await?;
    cluster.delete("Agent", "brief").await?;
    let operator = started(&cluster).await?;
    until_entry(&cluster, "brief", |entry| entry.is_none()).await?;
    operator.rests(REST).await?;
    assert_eq!(version(cluster.get("Agent", "ops").await?), before, "its status was written again");
    assert!(entry(&cluster, "ops").await?.is_some() && entry(&cluster, "other").await?.is_some());
    let ready = operator.metric("asya_operator_agents", "").await?;
    assert!((ready - 1.0).abs() < f64::EPSILON, "{ready} agents are counted");
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn somebody_elses_actor_is_not_touched() -> Result<()> {
    let cluster = cluster!("agent-taken");
    let operator = started(&cluster).await?;
    // It runs as the agent would: on SQS with a role every actor has such an account.
    let template = json!({"spec": {"serviceAccountName": "asya-ops",
        "containers": [{"name": "asya-runtime", "image": "shop:1"}]}});
    let theirs = json!({"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor",
        "metadata": {"name": "ops", "annotations": {"asya.sh/own-account": "true"}},
        "spec": {"transport": "rabbitmq", "handler": "handlers.echo", "scaling": {"enabled": false},
            "workload": {"kind": "Deployment", "template": template}}});
    cluster.apply(&theirs).await?;
    until_pod_of(&cluster, "asya-ops").await?;
    for fields in [json!({}), json!({"pod": {"serviceAccountName": "mine"}})] {
        cluster.apply(&agent("ops", &fields)).await?;
        until_says(&cluster, "ops", "WorkloadReady", "False", "NameTaken").await?;
        operator.rests(REST).await?;
        assert_eq!(entry(&cluster, "ops").await?, None, "turns would go to the other one: {fields}");
        cluster.delete("Agent", "ops").await?;
        cluster.until_gone("Agent", "ops").await?;
    }
    let actor = cluster.get("AsyncActor", "ops").await?.unwrap();
    assert_eq!(actor["spec"]["handler"], "handlers.echo");
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn agents_are_left_alone_unless_asked_for() -> Result<()> {
    let cluster = cluster!("agent-off");
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&agent("ops", &json!({}))).await?;
    operator.rests(REST).await?;
    assert!(cluster.get("AsyncActor", "ops").await?.is_none());
    assert!(cluster.get("Agent", "ops").await?.unwrap().get("status").is_none());
    operator.stop().await?;
    Ok(())
}
