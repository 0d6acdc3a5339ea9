//! The real operator and the transports' credentials in the namespaces of actors.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use asya_tests::{
    broker,
    cluster::{self, Cluster, actor, condition, eventually},
    operator::{Operator, Settings},
};
use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Long enough for every watch and every look that a change causes.
const QUIET: Duration = Duration::from_secs(5);
/// How often Secrets are compared with the server here; people wait five minutes.
const CHECK: &str = "2s";
const SECRET: &str = "asya-transport-rabbitmq";

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

/// The operator's own copy of the password, as the chart mounts it.
fn own(password: &str) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("rabbitmq"))?;
    fs::write(folder.path().join("rabbitmq/password"), password)?;
    Ok(folder)
}

fn settings(cluster: &Cluster, secrets: &TempDir, more: &Value) -> Settings {
    Settings::with_transport(cluster, secrets.path(), more).env("ASYA_QUEUE_HEALTH_CHECK_INTERVAL", CHECK)
}

fn value(secret: &Value, key: &str) -> String {
    let secret: Secret = serde_json::from_value(secret.clone()).unwrap();
    let data = secret.data.unwrap_or_default();
    data.get(key).map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned()).unwrap_or_default()
}

fn owners(secret: &Value) -> Vec<&str> {
    let owners = secret["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    owners.map(|owner| owner["name"].as_str().unwrap_or_default()).collect()
}

fn sentence(actor: &Value, name: &str) -> String {
    let condition = condition(actor, name).unwrap();
    condition["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_namespace_has_the_credentials_as_long_as_an_actor_uses_them() -> Result<()> {
    let cluster = cluster!("listed");
    let secrets = own("guest")?;
    let settings = settings(&cluster, &secrets, &json!({"projectTo": [&cluster.namespace]}));
    let operator = Operator::start(&settings).await?;
    for name in ["ocr", "llm"] {
        cluster.apply(&actor(name).scaling(0..=20).json()).await?;
        cluster.until_word(name, "Napping").await?;
    }
    let secret = cluster.until("Secret", SECRET, "has both owners", |o| owners(o) == ["llm", "ocr"]).await?;
    assert_eq!(secret["type"], "Opaque");
    assert_eq!((value(&secret, "username"), value(&secret, "password")), ("guest".into(), "guest".into()));
    broker::connect(&value(&secret, "url")).await.context("the address in the Secret")?;
    let deployment = cluster.get("Deployment", "ocr").await?.unwrap();
    assert!(deployment["spec"]["template"]["spec"]["volumes"].to_string().contains(SECRET));

    operator.rests(QUIET).await?;

    // The rest is about the Secret alone: the broker does not know the new password.
    fs::write(secrets.path().join("rabbitmq/password"), "other-one")?;
    let rotated = |o: &Value| value(o, "password") == "other-one" && value(o, "url").contains("other-one");
    cluster.until("Secret", SECRET, "has the new password", rotated).await?;
    assert!(!operator.said("other-one"), "a password is in the log");
    cluster.edit("Secret", SECRET, &json!({"stringData": {"password": "mine"}})).await?;
    cluster.until("Secret", SECRET, "has the password again", rotated).await?;
    cluster.delete("Secret", SECRET).await?;
    cluster.until("Secret", SECRET, "is made again", rotated).await?;
    fs::write(secrets.path().join("rabbitmq/password"), "guest")?;
    let secret = cluster.until("Secret", SECRET, "is as before", |o| value(o, "password") == "guest").await?;

    // A restart changes nothing.
    assert!(operator.stop().await?.success());
    let operator = Operator::start(&settings).await?;
    eventually("the Secret is applied once more", async || {
        let applied = operator.metric("asya_operator_api_writes_total", "kind=\"Secret\"").await?;
        Ok((applied > 0.0).then_some(()))
    })
    .await?;
    let after = cluster.get("Secret", SECRET).await?.unwrap();
    assert_eq!(after["metadata"]["resourceVersion"], secret["metadata"]["resourceVersion"]);

    cluster.delete("AsyncActor", "llm").await?;
    cluster.until("Secret", SECRET, "has one owner", |o| owners(o) == ["ocr"]).await?;
    // The last one turns to a Secret of its own, and back.
    let annotation = |value: Value| json!({"metadata": {"annotations": {"asya.sh/transport-secret": value}}});
    cluster.edit("AsyncActor", "ocr", &annotation(json!("mine"))).await?;
    cluster.until_gone("Secret", SECRET).await?;
    cluster.edit("AsyncActor", "ocr", &annotation(Value::Null)).await?;
    cluster.until("Secret", SECRET, "is made again", |o| owners(o) == ["ocr"]).await?;
    cluster.delete("AsyncActor", "ocr").await?;
    cluster.until_gone("AsyncActor", "ocr").await?;
    cluster.until_gone("Secret", SECRET).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_of_another_namespace_is_told_what_it_needs() -> Result<()> {
    let cluster = cluster!("unlisted");
    let secrets = own("guest")?;
    let settings = settings(&cluster, &secrets, &json!({"projectTo": ["elsewhere"]}));
    let _operator = Operator::start(&settings).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    let found =
        cluster.until_condition("ocr", "ConfigurationWarning", "True", "CredentialsNotProjected").await?;
    let words = sentence(&found, "ConfigurationWarning");
    assert!(words.contains("is not in transports.rabbitmq.config.projectTo"), "{words}");
    assert!(words.contains("the Secret rabbitmq of this namespace"), "{words}");
    assert_eq!(condition(&found, "TransportReady").unwrap()["status"], "True", "the queue is there");
    assert_eq!(cluster.get("Secret", SECRET).await?, None);
    // Another Secret of the namespace is an answer.
    let annotation = json!({"metadata": {"annotations": {"asya.sh/transport-secret": "mine"}}});
    cluster.edit("AsyncActor", "ocr", &annotation).await?;
    cluster
        .until("AsyncActor", "ocr", "is no longer warned", |o| {
            condition(o, "ConfigurationWarning").is_none_or(|c| c["reason"] != "CredentialsNotProjected")
        })
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_write_secrets_the_condition_says_what_to_do() -> Result<()> {
    let cluster = cluster!("nosecrets");
    let secrets = own("guest")?;
    let user = format!("operator-{}", cluster.namespace);
    let kubeconfig = cluster::control(&["kubeconfig", &user]).await?;
    let all =
        |group: &str, resources: Value| json!({"apiGroups": [group], "resources": resources, "verbs": ["*"]});
    let core = json!(["configmaps", "services", "pods", "serviceaccounts", "events"]);
    let mut rules = vec![all("", core)];
    let groups = ["asya.sh", "apps", "autoscaling", "coordination.k8s.io", "events.k8s.io", "keda.sh"];
    rules.extend(groups.map(|group| all(group, json!(["*"]))));
    let role = |rules: &[Value]| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "operator"},
            "rules": rules})
    };
    cluster.apply(&role(&rules)).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    cluster.apply(&binding).await?;
    let settings = settings(&cluster, &secrets, &json!({"projectTo": [&cluster.namespace]}));
    let operator = Operator::start(&settings.env("KUBECONFIG", &kubeconfig)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    let found = cluster.until_condition("ocr", "TransportReady", "False", "CredentialsNotProjected").await?;
    let words = sentence(&found, "TransportReady");
    for part in ["secrets", "cannot", "transports.rabbitmq.projectTo"] {
        assert!(words.contains(part), "{words}");
    }
    assert_eq!(cluster.get("Deployment", "ocr").await?, None, "its pods would hang");
    // It does not try to write what it may not read.
    operator.rests(QUIET * 2).await?;

    // What the chart renders for a listed namespace is enough.
    rules.push(json!({"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}));
    rules.push(json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SECRET],
        "verbs": ["get", "patch", "delete"]}));
    cluster.apply(&role(&rules)).await?;
    cluster.until_word("ocr", "Napping").await?;
    assert_eq!(owners(&cluster.get("Secret", SECRET).await?.unwrap()), ["ocr"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_somebody_else_keeps_is_not_touched() -> Result<()> {
    let cluster = cluster!("kept");
    let secrets = own("guest")?;
    let keeper = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keeper"}});
    let keeper = serde_json::to_value(cluster.apply(&keeper).await?)?;
    let owner = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "keeper", "controller": true,
        "uid": keeper["metadata"]["uid"]});
    let kept = json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "stringData": {"password": "mine"},
        "metadata": {"name": SECRET, "ownerReferences": [owner]}});
    cluster.apply(&kept).await?;
    let settings = settings(&cluster, &secrets, &json!({"projectTo": [&cluster.namespace]}));
    let _operator = Operator::start(&settings).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    let found = cluster.until_condition("ocr", "TransportReady", "False", "CredentialsNotProjected").await?;
    let words = sentence(&found, "TransportReady");
    assert!(words.contains("belongs to ConfigMap keeper") && words.contains("annotation"), "{words}");
    assert_eq!(value(&cluster.get("Secret", SECRET).await?.unwrap(), "password"), "mine");
    cluster.delete("Secret", SECRET).await?;
    cluster.until_word("ocr", "Napping").await?;
    assert_eq!(value(&cluster.get("Secret", SECRET).await?.unwrap(), "password"), "guest");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_with_a_user_of_its_own_keeps_its_password() -> Result<()> {
    let cluster = cluster!("user");
    let secrets = own("guest")?;
    let more = json!({"projectTo": [&cluster.namespace], "perNamespaceUsers": true});
    let settings = settings(&cluster, &secrets, &more);
    let operator = Operator::start(&settings).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;
    let secret = cluster.get("Secret", SECRET).await?.unwrap();
    assert_eq!(value(&secret, "username"), format!("asya-{}", cluster.namespace));
    broker::connect(&value(&secret, "url")).await.context("the user of the namespace")?;

    operator.rests(QUIET).await?;
    assert!(operator.stop().await?.success());
    let operator = Operator::start(&settings).await?;
    eventually("the Secret is applied once more", async || {
        let applied = operator.metric("asya_operator_api_writes_total", "kind=\"Secret\"").await?;
        Ok((applied > 0.0).then_some(()))
    })
    .await?;
    assert_eq!(cluster.get("Secret", SECRET).await?.unwrap()["data"], secret["data"]);

    // Who may write the Secret chooses the password.
    cluster.edit("Secret", SECRET, &json!({"stringData": {"password": "chosen"}})).await?;
    let chosen = |o: &Value| value(o, "url").contains(":chosen@");
    let secret = cluster.until("Secret", SECRET, "has the chosen password everywhere", chosen).await?;
    broker::connect(&value(&secret, "url")).await.context("the chosen password")?;
    // A Secret that is gone comes back as it was: running sidecars connect again with what they have.
    cluster.delete("Secret", SECRET).await?;
    cluster.until("Secret", SECRET, "is made again", chosen).await?;
    Ok(())
}
