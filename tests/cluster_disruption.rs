//! What the operator does when its surroundings fail. One test at a time: they share the servers that they break.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use anyhow::Result;
use asya_tests::{
    broker,
    cluster::{self, Cluster, actor, control, eventually, keda_crds},
    operator::{Operator, Settings},
};
use serde_json::json;
use tokio::sync::Mutex;

/// One test at a time.
static SERVERS: Mutex<()> = Mutex::const_new(());

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_outlives_a_restart_of_the_api_server() -> Result<()> {
    let _alone = SERVERS.lock().await;
    let cluster = cluster!("apiserver");
    let operator = Operator::start(&Settings::of(&cluster).flag("--leader-elect")).await?;
    cluster.apply(&actor("before").scaling(0..=20).json()).await?;
    cluster.until_word("before", "Napping").await?;
    control(&["restart-apiserver"]).await?;
    eventually("the API server takes actors again", async || {
        cluster.apply(&actor("after").scaling(0..=20).json()).await.map(Some)
    })
    .await?;
    cluster.until_word("after", "Napping").await?;
    let queue = |name: &str| format!("asya-{}-{name}", cluster.namespace);
    for name in ["before", "after"] {
        assert_eq!(broker::depth(&queue(name)).await?, Some(0));
        cluster.delete("AsyncActor", name).await?;
        cluster.until_gone("AsyncActor", name).await?;
    }
    assert!(operator.get("/healthz").await?.contains(" 200 "));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keda_actors_wait_and_scale_once_it_comes() -> Result<()> {
    let _alone = SERVERS.lock().await;
    let cluster = cluster!("nokeda");
    keda_crds("delete", &["--wait=true"]).await?;
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_condition("ocr", "ScalingReady", "False", "KedaNotInstalled").await?;
    let deployment = cluster.until("Deployment", "ocr", "exists", |_| true).await?;
    assert_eq!(deployment["spec"]["replicas"], 0);
    keda_crds("apply", &["--server-side", "--force-conflicts"]).await?;
    cluster.until("ScaledObject", "ocr", "exists", |_| true).await?;
    cluster.until_word("ocr", "Napping").await?;
    assert!(operator.get("/healthz").await?.contains(" 200 "));
    cluster.delete("AsyncActor", "ocr").await?;
    cluster.until_gone("AsyncActor", "ocr").await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_crds_the_operator_says_so_and_waits() -> Result<()> {
    let _alone = SERVERS.lock().await;
    let cluster = cluster!("nocrds");
    control(&["kubectl", "delete", "crd", "asyncactors.asya.sh", "--wait=true"]).await?;
    let operator = Operator::spawn(&Settings::of(&cluster))?;
    eventually("it says what is missing", async || Ok(operator.said("CRDs not installed").then_some(())))
        .await?;
    assert!(operator.get("/readyz").await?.contains("503"), "it is not ready");
    assert!(operator.get("/healthz").await?.contains(" 200 "), "and still healthy");
    let mut applied = Operator::spawn(&Settings::of(&cluster).flag("crds").flag("apply"))?;
    assert!(applied.end().await?.success(), "{}", applied.log());
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;
    cluster.delete("AsyncActor", "ocr").await?;
    cluster.until_gone("AsyncActor", "ocr").await
}

#[tokio::test(flavor = "multi_thread")]
async fn crds_apply_takes_over_what_kubectl_made() -> Result<()> {
    let _alone = SERVERS.lock().await;
    let cluster = cluster!("adoptcrd");
    let file = asya_tests::process::root().join("crds/asya.sh_asyncactors.yaml");
    control(&["kubectl", "delete", "crd", "asyncactors.asya.sh", "--wait=true"]).await?;
    control(&["kubectl", "apply", "-f", &file.to_string_lossy()]).await?;
    let mut applied = Operator::spawn(&Settings::of(&cluster).flag("crds").flag("apply"))?;
    assert!(applied.end().await?.success(), "{}", applied.log());
    let fields = ["kubectl", "get", "crd", "asyncactors.asya.sh", "--show-managed-fields", "-o", "json"];
    let crd: serde_json::Value = serde_json::from_str(&control(&fields).await?)?;
    let managers = crd["metadata"]["managedFields"].as_array().unwrap();
    assert!(
        managers.iter().any(|entry| entry["manager"] == "asya-operator" && entry["operation"] == "Apply")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_broker_holds_a_deletion_for_a_bounded_time() -> Result<()> {
    let _alone = SERVERS.lock().await;
    let cluster = cluster!("nobroker");
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;
    assert!(operator.stop().await?.success());

    // The same transport, but nothing listens there.
    let nowhere = json!({"transports": {"rabbitmq": {"enabled": true, "config": {
        "host": "127.0.0.1", "port": 1, "username": "guest"}}}});
    let settings = Settings::of(&cluster)
        .env("ASYA_TRANSPORT_CONFIG", &nowhere.to_string())
        .env("ASYA_DELETION_TIMEOUT", "8s");
    let operator = Operator::start(&settings).await?;
    cluster.until_condition("ocr", "TransportReady", "False", "BrokerUnreachable").await?;
    cluster.delete("AsyncActor", "ocr").await?;
    cluster.until_condition("ocr", "Deleting", "True", "WaitsForQueue").await?;
    cluster.until_gone("AsyncActor", "ocr").await?;
    assert!(operator.said("QueueRetained"), "{}", operator.log());
    broker::remove(&format!("asya-{}-ocr", cluster.namespace)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_broker_shows_in_the_status_and_heals() -> Result<()> {
    let _alone = SERVERS.lock().await;
    let cluster = cluster!("broker");
    let Some(script) = asya_tests::server("ASYA_TEST_RABBITMQ_CTL") else { return Ok(()) };
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;
    let run = async |verb: &str| -> Result<()> {
        let status = tokio::process::Command::new(&script).arg(verb).output().await?.status;
        anyhow::ensure!(status.success(), "{verb}");
        Ok(())
    };
    run("stop").await?;
    cluster.apply(&actor("new").scaling(0..=20).json()).await?;
    cluster.until_condition("new", "TransportReady", "False", "BrokerUnreachable").await?;
    assert!(operator.get("/healthz").await?.contains(" 200 "), "a lost broker restarts nothing");
    run("start").await?;
    cluster.until_word("new", "Napping").await?;
    for name in ["ocr", "new"] {
        cluster.delete("AsyncActor", name).await?;
        cluster.until_gone("AsyncActor", name).await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(
        cluster::eventually("the metric is there", async || Ok(Some(
            operator.metric("asya_operator_actors", "Napping").await?
        )))
        .await?,
        0.0
    );
    Ok(())
}
