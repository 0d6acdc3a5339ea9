//! The CRDs of cluster analysis on a real API server: what it takes, what it refuses and how, what it fills in and shows.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../crates/resources/tests/generated/mod.rs"]
mod generated;

use anyhow::Result;
use asya_resources::k8sgpt::{self, K8sGpt, rules::check, rules::report};
use asya_tests::{
    kubernetes::{Cluster, Objects, until},
    manifests::{documents, files},
};
use proptest::strategy::{Strategy, ValueTree};
use serde_json::{Value, json};

/// A cluster that takes the three kinds; nothing, said loudly, when there is none.
async fn with_crds() -> Result<Option<Cluster>> {
    let Some(cluster) = Cluster::connect().await? else { return Ok(None) };
    for crd in k8sgpt::CRDS {
        cluster.install(&serde_saphyr::from_str(crd)?).await?;
    }
    // The server answers for a new schema a moment after it says that it is established.
    let wrong = k8sgpt("wrong", json!({ "suppress": [{}] }));
    until("the rules are in force", async || {
        let answer = cluster.try_create(&of(&cluster, "k8sgpts"), &wrong).await;
        Ok(answer.is_err_and(|error| format!("{error:#}").contains("suppress everything")).then_some(()))
    })
    .await?;
    Ok(Some(cluster))
}

fn of(cluster: &Cluster, plural: &str) -> Objects {
    cluster.objects("apis/core.k8sgpt.ai/v1alpha1", plural)
}

fn k8sgpt(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": k8sgpt::API_VERSION, "kind": k8sgpt::KIND, "metadata": { "name": name }, "spec": spec })
}

/// An object of a fixture as somebody would write it into the test's namespace.
fn without_place(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| !["namespace", "ownerReferences"].contains(&key.as_str()));
    object
}

fn fixtures() -> Vec<Value> {
    files("tests/manifests/k8sgpt").iter().flat_map(|path| documents(path)).map(without_place).collect()
}

#[tokio::test]
async fn every_sample_and_every_stored_object_of_the_original_is_accepted_and_kept_whole() -> Result<()> {
    let Some(cluster) = with_crds().await? else { return Ok(()) };
    for object in fixtures() {
        let kind = object["kind"].as_str().unwrap();
        let stored = cluster.try_create(&of(&cluster, &format!("{}s", kind.to_lowercase())), &object).await?;
        if kind == k8sgpt::KIND {
            // What was filled in is what the types fill in.
            assert_eq!(K8sGpt::read(&stored)?.spec, K8sGpt::read(&object)?.spec, "{object:#}");
        } else {
            assert_eq!(stored["spec"], object["spec"]);
        }
    }
    cluster.end().await
}

#[tokio::test]
async fn defaults_are_filled_in_only_where_a_block_is() -> Result<()> {
    let Some(cluster) = with_crds().await? else { return Ok(()) };
    let objects = of(&cluster, "k8sgpts");
    let bare = cluster.try_create(&objects, &k8sgpt("bare", json!({}))).await?;
    assert_eq!(bare["spec"], json!({ "noCache": false }));
    let blocks = json!({ "ai": { "backOff": {}, "autoRemediation": {} }, "analysis": {}, "sinks": [
        { "name": "a", "webhook": "w", "batch": {}, "rate": {} },
    ] });
    let stored = cluster.try_create(&objects, &k8sgpt("blocks", blocks)).await?;
    assert_eq!(
        stored["spec"],
        json!({
            "noCache": false,
            "ai": {
                "enabled": false, "backend": "openai", "model": "gpt-4o-mini", "anonymized": true, "language": "english",
                "maxTokens": "2048", "topk": "50",
                "backOff": { "enabled": false, "maxRetries": 5 },
                "autoRemediation": {
                    "enabled": false, "similarityRequirement": "90",
                    "resources": ["Pod", "Deployment", "Service", "Ingress"],
                },
            },
            "analysis": { "interval": "10m", "grace": "30s", "secrets": "none" },
            "sinks": [{ "name": "a", "webhook": "w", "batch": { "max": 20, "wait": 10 }, "rate": { "perMinute": 60 } }],
        })
    );
    let none =
        json!({ "apiVersion": k8sgpt::API_VERSION, "kind": k8sgpt::KIND, "metadata": { "name": "none" } });
    cluster.try_create(&objects, &none).await?;
    cluster.end().await
}

#[tokio::test]
async fn a_status_is_written_through_its_subresource_only() -> Result<()> {
    let Some(cluster) = with_crds().await? else { return Ok(()) };
    for mut object in fixtures().into_iter().filter(|object| object.get("status").is_some()) {
        let kind = object["kind"].as_str().unwrap().to_lowercase();
        let objects = of(&cluster, &format!("{kind}s"));
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        object["metadata"].as_object_mut().unwrap().remove("finalizers");
        let status = object["status"].clone();
        assert_eq!(cluster.create(&objects, &object).await?.get("status"), None, "{kind}");
        let stored = cluster.merge_part(&objects, &name, "status", &json!({ "status": status })).await?;
        assert_eq!(stored["status"], status, "{kind}");
    }
    cluster.end().await
}

#[tokio::test]
async fn kubectl_explain_teaches_and_get_shows_the_columns() -> Result<()> {
    let Some(cluster) = with_crds().await? else { return Ok(()) };
    if cluster.kubectl().is_none() {
        return cluster.end().await;
    }
    let text = run(&cluster, &["explain", "k8sgpt.spec.analysis"]).await;
    assert!(
        text.split_whitespace().collect::<Vec<_>>().join(" ").contains("Less than 1m counts as 1m."),
        "{text}"
    );

    let objects = of(&cluster, "k8sgpts");
    cluster.create(&objects, &k8sgpt("shown", json!({ "ai": { "backend": "ollama" } }))).await?;
    let status = json!({ "status": {
        "conditions": [{ "type": "Ready", "status": "True", "reason": "Watching", "message": "",
                         "lastTransitionTime": "2026-01-01T00:00:00Z" }],
        "findings": { "total": 3, "byKind": { "Pod": 3 }, "bySeverity": { "error": 3 } },
        "cluster": { "name": "in-cluster" }, "lastRun": "2026-01-01T00:00:00Z",
    } });
    cluster.merge_part(&objects, "shown", "status", &status).await?;
    let text = run(&cluster, &["get", "k8sgpts"]).await;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["NAME", "READY", "FINDINGS", "CLUSTER", "BACKEND", "LAST-RUN", "AGE"]);
    assert_eq!(lines[1][..5], ["shown", "True", "3", "in-cluster", "ollama"]);
    for (plural, columns) in [
        ("results", "NAME KIND SUBJECT SEVERITY STATE BACKEND AGE"),
        ("mutations", "NAME STATE SIMILARITY SCORE KIND NAME AGE"),
    ] {
        for object in fixtures()
            .into_iter()
            .filter(|it| format!("{}s", it["kind"].as_str().unwrap().to_lowercase()) == plural)
        {
            let mut object = object;
            object["metadata"].as_object_mut().unwrap().remove("finalizers");
            cluster.create(&of(&cluster, plural), &object).await?;
        }
        let text = run(&cluster, &["get", &format!("{plural}.core.k8sgpt.ai")]).await;
        assert_eq!(text.lines().next().unwrap().split_whitespace().collect::<Vec<_>>().join(" "), columns);
    }
    cluster.end().await
}

async fn run(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.kubectl().unwrap().args(arguments).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[tokio::test]
async fn check_and_the_server_agree_on_manifests_that_are_nearly_right() -> Result<()> {
    const MANIFESTS: usize = 500;
    let Some(cluster) = with_crds().await? else { return Ok(()) };
    let objects = of(&cluster, "k8sgpts");
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (strategy, mut right) = (generated::spec(k8sgpt::JSON_SCHEMA), 0);
    for _ in 0..MANIFESTS {
        let manifest = k8sgpt("a", strategy.new_tree(&mut runner).unwrap().current());
        let found = report(&check(&manifest));
        match cluster.try_create(&objects, &manifest).await {
            Ok(_) => assert_eq!(found, "", "only check refuses\n{manifest:#}"),
            Err(error) => assert!(!found.is_empty(), "only the server refuses: {error:#}\n{manifest:#}"),
        }
        right += usize::from(found.is_empty());
    }
    eprintln!("{right} of {MANIFESTS} are right, to both");
    cluster.end().await
}
