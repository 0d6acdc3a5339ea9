//! Moving from the Go operator: what it made is taken over where it is.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{collections::BTreeSet, time::Duration};

use anyhow::Result;
use asya_tests::{
    broker,
    cluster::{self, Cluster, actor, eventually},
    former,
    operator::{Operator, Settings},
    pods::runtime,
};
use kube::api::ListParams;
use serde_json::{Value, json};

/// Long enough to notice a fight.
const QUIET: Duration = Duration::from_secs(3);

/// Uids of the pods that are there and not going.
async fn pods(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let all = cluster.api("Pod").list(&ListParams::default()).await?;
    let there = all.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(there.filter_map(|pod| pod.metadata.uid).collect())
}

/// Who wrote what by Update, its status aside.
fn updaters(object: &Value) -> Vec<&str> {
    let fields = object["metadata"]["managedFields"].as_array().unwrap();
    let updates = fields.iter().filter(|it| it["operation"] == "Update" && it["subresource"].is_null());
    updates.map(|it| it["manager"].as_str().unwrap()).collect()
}

/// The template without what `kubectl rollout restart` writes.
fn template(deployment: &Value) -> Value {
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"].as_object_mut().unwrap().retain(|key, _| key == "labels");
    template
}

struct Stage {
    cluster: Cluster,
    settings: Settings,
    name: String,
    _secrets: tempfile::TempDir,
}

impl Stage {
    /// An actor with two pods and two messages, and no operator.
    async fn set(test: &str) -> Result<Option<Self>> {
        let Some(cluster) = Cluster::new(test).await? else { return Ok(None) };
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("rabbitmq"))?;
        std::fs::write(folder.path().join("rabbitmq/password"), "guest")?;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "rabbitmq"},
            "stringData": {"username": "guest", "password": "guest"}});
        cluster.apply(&secret).await?;
        let settings = Settings::with_password(&cluster, folder.path())
            .env("ASYA_QUEUE_TEMPLATE", "asya-{actor}")
            .env("ASYA_RUNTIME_SCRIPT_PATH", &runtime(folder.path()).await?);
        let name = format!("former-{:06x}", rand::random::<u32>() & 0xff_ffff);
        former::queue(&name, 2).await?;
        former::leave(&cluster, actor(&name).scaling(0..=20)).await?;
        eventually("two pods", async || Ok((pods(&cluster).await?.len() == 2).then_some(()))).await?;
        Ok(Some(Self { cluster, settings, name, _secrets: folder }))
    }

    fn queue(&self) -> String {
        format!("asya-{}", self.name)
    }

    async fn end(self) -> Result<()> {
        broker::remove(&self.queue()).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_go_operator_made_is_taken_over_where_it_is() -> Result<()> {
    let Some(stage) = Stage::set("adoption").await? else { return Ok(()) };
    let (cluster, name) = (&stage.cluster, stage.name.as_str());
    let log = cluster.replica_log("Deployment", name).await?;
    let before = pods(cluster).await?;
    let operator = Operator::start(&stage.settings).await?;
    cluster.until_condition(name, "UpdateAvailable", "True", "PodsOutdated").await?;
    cluster.until_condition(name, "ScalingReady", "True", "ScaledObjectCreated").await?;

    // Every object is ours, without leftovers, and nobody else claims it.
    let trigger = |o: &Value| o["spec"]["triggers"][0]["metadata"]["protocol"] == "http";
    let scaled = cluster.until("ScaledObject", name, "counts what is in hand", trigger).await?;
    assert_eq!(scaled["metadata"]["annotations"]["asya.sh/source-generation"], Value::Null);
    let authentication = format!("{name}-trigger-auth");
    for (kind, name) in [
        ("Deployment", name),
        ("ScaledObject", name),
        ("TriggerAuthentication", &authentication),
        ("ConfigMap", "asya-runtime"),
    ] {
        let ours = |o: &Value| o["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "asya-operator";
        let object = cluster.until(kind, name, "is ours", ours).await?;
        assert!(updaters(&object).is_empty(), "{kind}: {:?}", updaters(&object));
    }
    let map = cluster.get("ConfigMap", "asya-runtime").await?.unwrap();
    assert!(!map.to_string().contains("the runtime of the Go system"), "the documented name has our runtime");

    // Nothing restarts, nothing is lost, nobody fights.
    operator.rests(QUIET).await?;
    assert_eq!(pods(cluster).await?, before, "the pods run on");
    assert_eq!(log.until(2).await, [2]);
    assert_eq!(broker::depth(&stage.queue()).await?, Some(2), "the messages wait as they did");
    let url = asya_tests::server("ASYA_TEST_RABBITMQ_URL").unwrap();
    let (_connection, channel) = broker::connect(&url).await?;
    broker::publish(&channel, name, ["{}".to_owned()]).await?;
    assert_eq!(broker::depth(&stage.queue()).await?, Some(3), "the bare name leads to the queue now");

    // Drift is repaired, of the template that runs too.
    cluster.edit("ScaledObject", name, &json!({"spec": {"maxReplicaCount": 3}})).await?;
    cluster.until("ScaledObject", name, "is repaired", |o| o["spec"]["maxReplicaCount"] == 20).await?;
    cluster.delete("TriggerAuthentication", &authentication).await?;
    let again =
        |o: &Value| o["metadata"]["uid"] != Value::Null && o["metadata"]["deletionTimestamp"].is_null();
    cluster.until("TriggerAuthentication", &authentication, "is made again", again).await?;

    // A restart brings what would be made anew.
    let restart = json!({"spec": {"template": {"metadata": {"annotations":
        {"kubectl.kubernetes.io/restartedAt": "2026-01-02T03:04:05Z"}}}}});
    cluster.edit("Deployment", name, &restart).await?;
    let native = |o: &Value| o["spec"]["template"]["spec"]["initContainers"][0]["name"] == "asya-sidecar";
    let adopted = cluster.until("Deployment", name, "has our sidecar", native).await?;
    assert_eq!(adopted["spec"]["template"]["spec"]["containers"].as_array().unwrap().len(), 1, "one sidecar");
    assert_eq!(adopted["spec"]["replicas"], 2);
    let uid = adopted["metadata"]["uid"].clone();
    cluster.delete("Deployment", name).await?;
    let anew = cluster.until("Deployment", name, "is made again", |o| o["metadata"]["uid"] != uid).await?;
    assert_eq!(template(&adopted), template(&anew), "adopting leaves nothing of the old template");

    cluster.delete("AsyncActor", name).await?;
    cluster.until_gone("AsyncActor", name).await?;
    assert_eq!(broker::depth(&stage.queue()).await?, Some(3), "a queue with messages outlives its actor");
    drop(operator);
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_edited_while_no_operator_ran_is_rolled_out() -> Result<()> {
    let Some(stage) = Stage::set("adoption-edit").await? else { return Ok(()) };
    let (cluster, name) = (&stage.cluster, stage.name.as_str());
    let log = cluster.replica_log("Deployment", name).await?;
    let actor = actor(name).scaling(0..=20).env("NEW", "1");
    cluster.apply(&actor.json()).await?;
    let _operator = Operator::start(&stage.settings).await?;
    let native = |o: &Value| {
        let template = &o["spec"]["template"]["spec"];
        template["initContainers"][0]["name"] == "asya-sidecar" && template.to_string().contains("\"NEW\"")
    };
    cluster.until("Deployment", name, "has our sidecar", native).await?;
    assert_eq!(log.until(2).await, [2], "as many pods as there were");
    let condition = cluster.get("AsyncActor", name).await?.unwrap();
    assert!(cluster::condition(&condition, "UpdateAvailable").is_none_or(|it| it["status"] == "False"));
    stage.end().await
}
