//! `asya-operator analysis` as a process against a real API server: what a `K8sGPT` becomes, what is said of it, and what is
//! left when it goes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use asya_resources::k8sgpt::CRDS;
use asya_tests::{
    cluster::{Cluster, condition, eventually, resource},
    manifests::documents,
    operator::{Operator, Settings},
    process::root,
};
use kube::{
    Api,
    api::{DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::sync::RwLock;

/// How long nothing may be written for it to count as rest: longer than anything is collected for.
const REST: Duration = Duration::from_secs(12);

/// A namespace with the kinds of cluster analysis, and the Secret of the database unless a test leaves it out.
async fn cluster(test: &str, database: bool) -> Result<Option<Cluster>> {
    let Some(cluster) = Cluster::new(test).await? else { return Ok(None) };
    let crds: Api<DynamicObject> =
        Api::all_with(cluster.client.clone(), &resource("CustomResourceDefinition"));
    for text in CRDS {
        let crd: Value = serde_saphyr::from_str(text)?;
        let name = crd["metadata"]["name"].as_str().context("a CRD has a name")?.to_owned();
        crds.patch(&name, &PatchParams::apply("kubectl").force(), &Patch::Apply(&crd)).await?;
    }
    eventually("the kinds are served", async || {
        Ok(Some(cluster.api("K8sGPT").list(&ListParams::default()).await?))
    })
    .await?;
    if database {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "asya-analysis-database"},
            "stringData": {"url": "postgres://u:p@db/analysis"}});
        cluster.apply(&secret).await?;
    }
    Ok(Some(cluster))
}

async fn started(cluster: &Cluster) -> Result<Operator> {
    Operator::start(&settings(cluster)).await
}

fn settings(cluster: &Cluster) -> Settings {
    // It talks to no broker.
    let settings = Settings::of(cluster).env("ASYA_TRANSPORT_CONFIG", "{}");
    settings.env("ASYA_ANALYSIS_IMAGE", "asya-crew:test").flag("analysis")
}

fn gpt(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "core.k8sgpt.ai/v1alpha1", "kind": "K8sGPT", "metadata": {"name": name}, "spec": spec})
}

/// The sample of the original's README, but for the namespace.
fn sample() -> Value {
    let mut sample = documents(&root().join("tests/manifests/k8sgpt/openai.yaml")).remove(0);
    sample["metadata"].as_object_mut().unwrap().remove("namespace");
    sample
}

fn says(object: &Value, r#type: &str, status: &str, reason: &str) -> bool {
    condition(object, r#type).is_some_and(|it| it["status"] == status && it["reason"] == reason)
}

fn variable(actor: &Value, name: &str) -> Option<Value> {
    let env = actor.pointer("/spec/workload/template/spec/containers/0/env")?.as_array()?;
    env.iter().find(|variable| variable["name"] == name).cloned()
}

async fn abroad(cluster: &Cluster, name: &str) -> Result<Option<DynamicObject>> {
    let api: Api<DynamicObject> = Api::all_with(cluster.client.clone(), &resource("ClusterRoleBinding"));
    Ok(api.get_opt(&format!("asya-analysis:{}:{name}", cluster.namespace)).await?)
}

/// The original operator acts in the whole cluster: the test that installs it runs alone.
static ORIGINAL: RwLock<()> = RwLock::const_new(());

macro_rules! cluster {
    ($name:literal, $database:literal) => {
        match cluster($name, $database).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

#[tokio::test]
async fn the_sample_of_the_readme_becomes_actors_and_goes_without_a_trace() -> Result<()> {
    let _without_original = ORIGINAL.read().await;
    let cluster = cluster!("gpt", true);
    let operator = started(&cluster).await?;
    let name = sample()["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.apply(&sample()).await?;
    let gpt = cluster
        .until("K8sGPT", &name, "is looked at", |it| says(it, "ConfigurationWarning", "True", "ImageIgnored"))
        .await
        .with_context(|| operator.log())?;
    assert_eq!(gpt["status"]["observedGeneration"], gpt["metadata"]["generation"]);
    assert_eq!(gpt["status"]["cluster"]["name"], "in-cluster");
    let explain = cluster.until("AsyncActor", &format!("{name}-explain"), "is made", |_| true).await?;
    let key = variable(&explain, "ASYA_LLM_API_KEY").unwrap();
    assert_eq!(
        key["valueFrom"]["secretKeyRef"],
        json!({"name": "k8sgpt-sample-secret", "key": "openai-api-key"})
    );
    assert_eq!(explain["spec"]["workload"]["template"]["spec"]["containers"][0]["image"], "asya-crew:test");
    for part in ["watch", "analyze", "findings", "results"] {
        let actor = cluster.get("AsyncActor", &format!("{name}-{part}")).await?.context(part)?;
        assert_eq!(actor["metadata"]["ownerReferences"][0]["uid"], gpt["metadata"]["uid"], "{part}");
    }
    assert!(abroad(&cluster, &name).await?.is_some(), "the watcher may read the cluster");

    // Another spec, other objects.
    let patch = json!({"spec": {"ai": {"enabled": false}, "targetNamespace": cluster.namespace,
        "sink": {"type": "slack", "secret": {"name": "slack", "key": "url"}}}});
    cluster.edit("K8sGPT", &name, &patch).await?;
    cluster.until_gone("AsyncActor", &format!("{name}-explain")).await?;
    cluster.until_gone("ServiceAccount", &format!("{name}-explain")).await?;
    let notify = cluster.until("AsyncActor", &format!("{name}-notify"), "is made", |_| true).await?;
    assert!(variable(&notify, "ASYA_NOTIFY_SINKS").unwrap().to_string().contains("ASYA_SINK_0"));
    cluster
        .until("AsyncActor", &format!("{name}-watch"), "looks at one namespace", |it| {
            variable(it, "ASYA_WATCH_NAMESPACES").is_some_and(|it| it["value"] == cluster.namespace)
        })
        .await?;
    let binding = format!("asya-analysis:{}:{name}", cluster.namespace);
    cluster.until("RoleBinding", &binding, "is made", |_| true).await?;
    eventually("rights in the whole cluster are taken away", async || {
        Ok(abroad(&cluster, &name).await?.is_none().then_some(()))
    })
    .await?;

    // What somebody else takes away comes back.
    cluster.delete("Role", &format!("{name}-results")).await?;
    cluster.until("Role", &format!("{name}-results"), "is back", |_| true).await?;

    operator.rests(REST).await?;
    cluster.delete("K8sGPT", &name).await?;
    cluster.until_gone("K8sGPT", &name).await?;
    cluster.until_gone("RoleBinding", &binding).await?;
    // What has an owner is the garbage collector's.
    for kind in ["AsyncActor", "ServiceAccount", "Role", "RoleBinding", "ConfigMap"] {
        let left = cluster.api(kind).list(&ListParams::default().labels("analysis.asya.sh/k8sgpt")).await?;
        for object in left.items {
            ensure!(object.metadata.owner_references.is_some(), "{kind} {:?} stays", object.metadata.name);
        }
    }
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn results_are_counted_with_few_writes_and_none_at_rest() -> Result<()> {
    let _without_original = ORIGINAL.read().await;
    let cluster = cluster!("gptcounts", true);
    let operator = started(&cluster).await?;
    cluster.apply(&gpt("counts", &json!({}))).await?;
    cluster.until("AsyncActor", "counts-watch", "is made", |_| true).await?;
    operator.rests(REST).await?;
    let before = operator.writes().await?;
    let results = cluster.api("Result");
    for number in 0..200 {
        let kind = if number % 2 == 0 { "Pod" } else { "Service" };
        let result = json!({"apiVersion": "core.k8sgpt.ai/v1alpha1", "kind": "Result", "metadata": {
            "name": format!("r{number}"), "labels": {"k8sgpts.k8sgpt.ai/name": "counts", "k8sgpts.k8sgpt.ai/namespace": cluster.namespace}},
            "spec": {"backend": "", "kind": kind, "name": format!("shop/o{number}"), "details": "", "parentObject": "",
                "error": [{"text": "broken", "severity": "warning"}]}});
        results.create(&PostParams::default(), &serde_json::from_value(result)?).await?;
    }
    let counted = cluster
        .until("K8sGPT", "counts", "counts them", |it| it["status"]["findings"]["total"] == 200)
        .await?;
    assert_eq!(counted["status"]["findings"]["byKind"], json!({"Pod": 100, "Service": 100}));
    assert_eq!(counted["status"]["findings"]["bySeverity"], json!({"warning": 200}));
    let writes = operator.writes().await? - before;
    ensure!(writes <= 30.0, "{writes} writes for 200 findings");
    let labels = r#"kind="Pod",k8sgpt="counts""#;
    assert_eq!(operator.metric("k8sgpt_number_of_results_by_type", labels).await?, 100.0);
    results.delete_collection(&Default::default(), &ListParams::default()).await?;
    cluster.until("K8sGPT", "counts", "has none left", |it| it["status"]["findings"]["total"] == 0).await?;
    assert_eq!(operator.metric("k8sgpt_number_of_results", "").await?, 0.0);

    // The watcher's Lease says when it had looked at everything.
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "counts-watch",
        "annotations": {"analysis.asya.sh/last-pass": jiff_now(), "analysis.asya.sh/version": "v1.33.0",
            "analysis.asya.sh/server": "https://here", "analysis.asya.sh/unverified": "2"}}, "spec": {}});
    cluster.apply(&lease).await?;
    let run = cluster
        .until("K8sGPT", "counts", "has looked", |it| says(it, "ClusterReachable", "True", "Answers"))
        .await?;
    assert_eq!(run["status"]["cluster"]["version"], "v1.33.0");
    assert_eq!(run["status"]["findings"]["unverified"], 2);
    operator.rests(REST).await?;
    operator.stop().await?;
    Ok(())
}

fn jiff_now() -> String {
    k8s_openapi::jiff::Timestamp::now().to_string()
}

#[tokio::test]
async fn a_kubeconfig_that_runs_programs_is_refused_and_a_harmless_one_is_used_in_part() -> Result<()> {
    let _without_original = ORIGINAL.read().await;
    let cluster = cluster!("gptremote", true);
    let operator = started(&cluster).await?;
    let secret = |user: &Value| {
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            "clusters": [{"name": "c", "cluster": {"server": "https://far.example:6443"}}],
            "users": [{"name": "c", "user": user}, {"name": "other", "user": {"token": "not-ours"}}]});
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "far-kubeconfig"},
            "stringData": {"value": config.to_string()}})
    };
    cluster.apply(&secret(&json!({"exec": {"command": "/bin/steal"}}))).await?;
    cluster.apply(&gpt("far", &json!({"kubeconfig": {"name": "far-kubeconfig", "key": "value"}}))).await?;
    let refused = cluster
        .until("K8sGPT", "far", "refuses it", |it| says(it, "ClusterReachable", "False", "KubeconfigRefused"))
        .await
        .with_context(|| operator.log())?;
    let message = condition(&refused, "ClusterReachable").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("users[0].user.exec") && !message.contains("steal"), "{message}");
    assert_eq!(cluster.get("AsyncActor", "far-watch").await?, None);
    assert_eq!(
        cluster.get("Secret", "far-kubeconfig").await?.unwrap()["metadata"]["ownerReferences"],
        Value::Null
    );
    operator.rests(REST).await?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn another_cluster_gets_nothing_and_the_rest_of_a_kubeconfig_goes_nowhere() -> Result<()> {
    let _without_original = ORIGINAL.read().await;
    let cluster = cluster!("gptfar", true);
    let operator = started(&cluster).await?;
    let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://far.example:6443"}}],
        "users": [{"name": "c", "user": {"token": "ours"}}, {"name": "other", "user": {"token": "not-ours"}}]});
    cluster
        .apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "far-kubeconfig"},
        "stringData": {"value": config.to_string()}}))
        .await?;
    cluster.apply(&gpt("far", &json!({"kubeconfig": {"name": "far-kubeconfig"}}))).await?;
    let actor = cluster
        .until("AsyncActor", "far-watch", "is made", |_| true)
        .await
        .with_context(|| operator.log())?;
    assert_eq!(variable(&actor, "KUBECONFIG").unwrap()["value"], "/run/asya/kubeconfig/kubeconfig");
    let own: DynamicObject = cluster.api("Secret").get("far-watch-kubeconfig").await?;
    let used = own.data["data"]["kubeconfig"].as_str().unwrap().to_owned();
    // Base64 of JSON: the other user's token would make it longer than what is used by far.
    ensure!(used.len() < 700, "{} bytes", used.len());
    assert!(abroad(&cluster, "far").await?.is_none(), "no rights in this cluster");
    operator.rests(REST).await?;
    // A Secret that somebody deletes comes back although nobody watches Secrets.
    cluster.delete("Secret", "far-watch-kubeconfig").await?;
    cluster.edit("K8sGPT", "far", &json!({"spec": {"noCache": true}})).await?;
    cluster.until("Secret", "far-watch-kubeconfig", "is back", |_| true).await?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn beside_the_original_operator_nothing_is_made_and_nothing_taken_away() -> Result<()> {
    let _alone = ORIGINAL.write().await;
    let cluster = cluster!("gptother", true);
    let original = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "release-k8sgpt-operator"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "manager", "image": "ghcr.io/k8sgpt-ai/k8sgpt-operator:v0.2.27"}]}}}});
    cluster.apply(&original).await?;
    let operator = started(&cluster).await?;
    cluster.apply(&gpt("shared", &json!({}))).await?;
    let gpt = cluster
        .until("K8sGPT", "shared", "is left alone", |it| {
            says(it, "AnotherOperator", "True", "AnotherOperator")
        })
        .await
        .with_context(|| operator.log())?;
    assert!(says(&gpt, "Ready", "False", "AnotherOperator"), "{gpt:#}");
    operator.rests(REST).await?;
    assert_eq!(cluster.api("AsyncActor").list(&ListParams::default()).await?.items.len(), 0);
    // Gone, and it is looked for again from time to time.
    cluster.edit("Deployment", "release-k8sgpt-operator", &json!({"spec": {"replicas": 0}})).await?;
    cluster.until("AsyncActor", "shared-watch", "is made", |_| true).await?;
    cluster.until("K8sGPT", "shared", "is ours", |it| condition(it, "AnotherOperator").is_none()).await?;
    // Somebody writes its status: hands off, and what is there stays.
    let status = json!({"status": {"lastRun": "2026-01-01T00:00:00Z"}});
    let other = PatchParams { field_manager: Some("manager".to_owned()), ..PatchParams::default() };
    cluster.api("K8sGPT").patch_status("shared", &other, &Patch::Merge(&status)).await?;
    cluster
        .until("K8sGPT", "shared", "is another's", |it| {
            says(it, "AnotherOperator", "True", "AnotherOperator")
        })
        .await?;
    cluster
        .edit(
            "K8sGPT",
            "shared",
            &json!({"spec": {"ai": {"enabled": true, "backend": "ollama", "baseUrl": "http://o"}}}),
        )
        .await?;
    operator.rests(REST).await?;
    assert_eq!(cluster.get("AsyncActor", "shared-explain").await?, None);
    assert!(cluster.get("AsyncActor", "shared-watch").await?.is_some());
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn changes_are_proposed_where_the_chart_lets_them_be() -> Result<()> {
    let _without_original = ORIGINAL.read().await;
    let cluster = cluster!("gptremedy", true);
    let spec = json!({"targetNamespace": cluster.namespace, "ai": {"enabled": true, "backend": "ollama",
        "baseUrl": "http://o", "autoRemediation": {"enabled": true}}});
    cluster.apply(&gpt("mends", &spec)).await?;
    let operator = started(&cluster).await?;
    let said = |it: &Value| says(it, "ConfigurationWarning", "True", "NotDone");
    let gpt = cluster.until("K8sGPT", "mends", "says what is missing", said).await?;
    let message = condition(&gpt, "ConfigurationWarning").unwrap()["message"].to_string();
    assert!(message.contains("remediation.enabled"), "{message}");
    cluster.until("AsyncActor", "mends-explain", "is made", |_| true).await?;
    assert_eq!(cluster.get("AsyncActor", "mends-remedy").await?, None);
    operator.stop().await?;

    let operator = Operator::start(&settings(&cluster).env("ASYA_ANALYSIS_REMEDIATION", "true")).await?;
    let remedy = cluster.until("AsyncActor", "mends-remedy", "is made", |_| true).await?;
    assert_eq!(variable(&remedy, "ASYA_REMEDY_NAMESPACES").unwrap()["value"], cluster.namespace);
    let account = remedy["spec"]["workload"]["template"]["spec"]["serviceAccountName"].clone();
    assert_eq!(account, "mends-remedy");
    cluster
        .until("AsyncActor", "mends-watch", "sends to it", |it| {
            variable(it, "ASYA_WATCH_ROUTE").is_some_and(|it| {
                it["value"].as_str().unwrap().ends_with("mends-explain,mends-results,mends-remedy")
            })
        })
        .await?;
    let binding = format!("asya-analysis:{}:mends:remedy", cluster.namespace);
    let rights = cluster.until("RoleBinding", &binding, "is made", |_| true).await?;
    assert_eq!(rights["roleRef"]["name"], "asya-analysis-remedy");
    assert!(abroad(&cluster, "mends:remedy").await?.is_none(), "one namespace, and not the whole cluster");
    let policy = abroad(&cluster, "mends:remedy-policy").await?.context("it may see the policy")?;
    assert_eq!(policy.data["roleRef"]["name"], "asya-analysis-remedy-policy");
    operator.rests(REST).await?;

    let patch = json!({"spec": {"ai": {"autoRemediation": {"enabled": false}}}});
    cluster.edit("K8sGPT", "mends", &patch).await?;
    cluster.until_gone("AsyncActor", "mends-remedy").await?;
    for kind in ["ServiceAccount", "Role"] {
        cluster.until_gone(kind, "mends-remedy").await?;
    }
    cluster.until_gone("RoleBinding", &binding).await?;
    eventually("the right to see the policy is taken away", async || {
        Ok(abroad(&cluster, "mends:remedy-policy").await?.is_none().then_some(()))
    })
    .await?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn without_analyzers_of_ones_own_their_actor_stays_until_it_has_closed_what_is_open() -> Result<()> {
    let _without_original = ORIGINAL.read().await;
    let cluster = cluster!("gptcustom", true);
    let operator = started(&cluster).await?;
    let analyzers = json!([{"name": "mine", "connection": {"url": "mine.svc", "port": 8085}}]);
    cluster.apply(&gpt("own", &json!({"customAnalyzers": analyzers}))).await?;
    cluster.until("AsyncActor", "own-custom", "is made", |_| true).await?;
    let open = json!({"apiVersion": "core.k8sgpt.ai/v1alpha1", "kind": "Result", "metadata": {"name": "open",
        "labels": {"k8sgpts.k8sgpt.ai/name": "own", "k8sgpts.k8sgpt.ai/namespace": cluster.namespace}},
        "spec": {"backend": "", "kind": "CustomAnalyzer", "name": "mine", "details": "", "parentObject": "",
            "error": [{"text": "broken"}]}});
    cluster.apply(&open).await?;
    cluster.edit("K8sGPT", "own", &json!({"spec": {"customAnalyzers": null}})).await?;
    let closes = |it: &Value| variable(it, "ASYA_CUSTOM_ANALYZERS").is_some_and(|it| it["value"] == "[]");
    let actor = cluster.until("AsyncActor", "own-custom", "has no analyzer", closes).await?;
    let until = &actor["metadata"]["annotations"]["analysis.asya.sh/until"];
    assert!(until.as_str().unwrap() > jiff_now().as_str(), "{until}");
    operator.rests(REST).await?;

    // Its time is over, and something is open.
    let over = json!({"metadata": {"annotations": {"analysis.asya.sh/until": "2026-01-01T00:00:00Z"}}});
    cluster.edit("AsyncActor", "own-custom", &over).await?;
    operator.rests(REST).await?;
    assert!(cluster.get("AsyncActor", "own-custom").await?.is_some());
    cluster.delete("Result", "open").await?;
    cluster.until_gone("AsyncActor", "own-custom").await?;
    operator.stop().await?;
    Ok(())
}

#[tokio::test]
async fn without_a_database_nothing_is_made_and_the_next_step_is_said() -> Result<()> {
    let _without_original = ORIGINAL.read().await;
    let cluster = cluster!("gptdb", false);
    let operator = started(&cluster).await?;
    // As the original leaves it behind.
    let mut left = gpt("poor", &json!({}));
    left["metadata"]["finalizers"] = json!(["k8sgpt.ai/finalizer"]);
    cluster.apply(&left).await?;
    let poor = cluster
        .until("K8sGPT", "poor", "asks for one", |it| says(it, "Ready", "False", "NoDatabase"))
        .await
        .with_context(|| operator.log())?;
    assert!(
        condition(&poor, "Ready").unwrap()["message"].as_str().unwrap().contains("kubectl create secret")
    );
    assert_eq!(cluster.api("AsyncActor").list(&ListParams::default()).await?.items.len(), 0);
    operator.rests(REST).await?;
    cluster.delete("K8sGPT", "poor").await?;
    cluster.until_gone("K8sGPT", "poor").await?;
    operator.stop().await?;
    Ok(())
}
