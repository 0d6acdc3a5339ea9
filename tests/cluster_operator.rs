//! The real operator on a real API server: what a person applies comes true, and stays true.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use anyhow::Result;
use asya_tests::{
    broker,
    cluster::{self, Cluster, actor},
    operator::{Operator, Settings},
};
use serde_json::json;

/// Long enough for every watch and every look that a change causes.
const QUIET: Duration = Duration::from_secs(5);

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_actor_naps_with_everything_it_needs() -> Result<()> {
    let cluster = cluster!("applied");
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;
    let deployment = cluster.get("Deployment", "ocr").await?.unwrap();
    assert_eq!(deployment["spec"]["replicas"], 0);
    let uid = cluster.get("AsyncActor", "ocr").await?.unwrap()["metadata"]["uid"].clone();
    for (kind, name) in [("Deployment", "ocr"), ("ScaledObject", "ocr")] {
        let object = cluster.get(kind, name).await?.unwrap();
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], uid, "{kind}");
    }
    operator.rests(QUIET).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_edits_or_deletes_comes_back() -> Result<()> {
    let cluster = cluster!("drift");
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;

    cluster.edit("ScaledObject", "ocr", &json!({"spec": {"maxReplicaCount": 1}})).await?;
    cluster
        .until("ScaledObject", "ocr", "has its maximum again", |o| o["spec"]["maxReplicaCount"] == 20)
        .await?;
    cluster.edit("ScaledObject", "ocr", &json!({"metadata": {"labels": {"asya.sh/asya": null}}})).await?;
    cluster
        .until("ScaledObject", "ocr", "has its label again", |o| {
            o["metadata"]["labels"]["asya.sh/asya"] == "ocr"
        })
        .await?;
    let image = json!({"spec": {"template": {"spec": {"containers": [{"name": "asya-runtime", "image": "other:1"}]}}}});
    cluster.edit_lists("Deployment", "ocr", &image).await?;
    cluster
        .until("Deployment", "ocr", "has its image again", |o| {
            o["spec"]["template"]["spec"]["containers"]
                .as_array()
                .is_some_and(|all| all.iter().all(|c| c["image"] != "other:1"))
        })
        .await?;
    cluster.edit("ConfigMap", "asya-runtime", &json!({"data": {"asya_runtime.py": "print()"}})).await?;
    cluster
        .until("ConfigMap", "asya-runtime", "has its script again", |o| {
            o["data"]["asya_runtime.py"] != "print()"
        })
        .await?;
    cluster.delete("ConfigMap", "asya-runtime").await?;
    cluster.until("ConfigMap", "asya-runtime", "is made again", |_| true).await?;

    for kind in ["ScaledObject", "Deployment"] {
        let uid = cluster.get(kind, "ocr").await?.unwrap()["metadata"]["uid"].clone();
        cluster.delete(kind, "ocr").await?;
        cluster.until(kind, "ocr", "is made again", |object| object["metadata"]["uid"] != uid).await?;
    }
    let deployment = cluster.get("Deployment", "ocr").await?.unwrap();
    assert_eq!(deployment["spec"]["replicas"], 0, "made again at zero");
    Ok(())
}

/// Secrets of existing installations hold the password alone: KEDA has the user's name from a ConfigMap.
#[tokio::test(flavor = "multi_thread")]
async fn what_tells_keda_the_user_comes_back_and_goes_with_scaling() -> Result<()> {
    let cluster = cluster!("username");
    let secrets = tempfile::tempdir()?;
    std::fs::create_dir(secrets.path().join("rabbitmq"))?;
    std::fs::write(secrets.path().join("rabbitmq/password"), "guest")?;
    let settings = Settings::with_password(&cluster, secrets.path());
    let _operator = Operator::start(&settings).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;
    let name = "ocr-trigger-auth";
    let named = |o: &serde_json::Value| o["data"]["username"] == "guest";
    cluster.until("ConfigMap", name, "names the user", named).await?;
    cluster.edit("ConfigMap", name, &json!({"data": {"username": "other"}})).await?;
    cluster.until("ConfigMap", name, "names the user again", named).await?;
    for kind in ["ConfigMap", "TriggerAuthentication"] {
        let uid = cluster.get(kind, name).await?.unwrap()["metadata"]["uid"].clone();
        cluster.delete(kind, name).await?;
        cluster.until(kind, name, "is made again", |object| object["metadata"]["uid"] != uid).await?;
    }
    cluster.apply(&actor("ocr").replicas(0).json()).await?;
    for kind in ["ScaledObject", "ConfigMap", "TriggerAuthentication"] {
        let name = if kind == "ScaledObject" { "ocr" } else { name };
        cluster.until_gone(kind, name).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn turning_scaling_on_and_off_never_passes_through_another_number() -> Result<()> {
    let cluster = cluster!("handover");
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    let log = cluster.replica_log("Deployment", "ocr").await?;
    cluster.apply(&actor("ocr").replicas(3).json()).await?;
    cluster.until("Deployment", "ocr", "has three replicas", |o| o["spec"]["replicas"] == 3).await?;

    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until("ScaledObject", "ocr", "exists", |_| true).await?;
    // What an autoscaler does from now on is its own business.
    cluster.edit("Deployment", "ocr", &json!({"spec": {"replicas": 7}})).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).env("A", "1").json()).await?;
    cluster
        .until("Deployment", "ocr", "has the new variable", |o| {
            o["spec"]["template"].to_string().contains("\"A\"")
        })
        .await?;

    // KEDA's finalizer holds the ScaledObject, and with it the replicas.
    let hold = json!({"metadata": {"finalizers": ["finalizer.keda.sh"]}});
    cluster.edit("ScaledObject", "ocr", &hold).await?;
    cluster.apply(&actor("ocr").replicas(2).env("A", "1").env("B", "2").json()).await?;
    cluster
        .until("ScaledObject", "ocr", "is being deleted", |o| !o["metadata"]["deletionTimestamp"].is_null())
        .await?;
    cluster
        .until("Deployment", "ocr", "has the second variable", |o| {
            o["spec"]["template"].to_string().contains("\"B\"")
        })
        .await?;
    assert_eq!(
        cluster.get("Deployment", "ocr").await?.unwrap()["spec"]["replicas"],
        7,
        "KEDA still holds it"
    );
    cluster.edit("ScaledObject", "ocr", &json!({"metadata": {"finalizers": null}})).await?;
    cluster.until("Deployment", "ocr", "has two replicas", |o| o["spec"]["replicas"] == 2).await?;
    assert_eq!(log.until(2).await, [3, 7, 2]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scaled_actor_begins_at_its_minimum() -> Result<()> {
    let cluster = cluster!("minimum");
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    let log = cluster.replica_log("Deployment", "ocr").await?;
    cluster.apply(&actor("ocr").scaling(2..=20).json()).await?;
    cluster.until("ScaledObject", "ocr", "exists", |_| true).await?;
    tokio::time::sleep(QUIET).await;
    assert_eq!(log.until(2).await, [2]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_actor_leaves_nothing_behind() -> Result<()> {
    let cluster = cluster!("deleted");
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(1..=20).json()).await?;
    cluster.until("ScaledObject", "ocr", "exists", |_| true).await?;
    cluster.until_condition("ocr", "ScalingReady", "True", "ScaledObjectCreated").await?;
    cluster.delete("AsyncActor", "ocr").await?;
    for kind in ["AsyncActor", "ScaledObject", "Deployment"] {
        cluster.until_gone(kind, "ocr").await?;
    }
    // Not by the collector of garbage alone, which may be minutes late.
    assert!(
        operator.metric("asya_operator_api_writes_total", "kind=\"Deployment\",verb=\"delete\"").await? > 0.0
    );
    assert!(!operator.said("QueueRetained"), "{}", operator.log());
    let queue = format!("asya-{}-ocr", cluster.namespace);
    assert_eq!(broker::depth(&queue).await?, None, "the queue is gone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_orphans_the_workload_keeps_it_with_its_pods_and_queue() -> Result<()> {
    let cluster = cluster!("orphan");
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").json()).await?;
    cluster.until("Deployment", "ocr", "has a pod", |it| it["status"]["replicas"] == 1).await?;
    cluster.orphan("AsyncActor", "ocr").await?;
    cluster.until_gone("AsyncActor", "ocr").await?;
    let left = cluster
        .until("Deployment", "ocr", "is nobody's", |it| it["metadata"]["ownerReferences"].is_null())
        .await?;
    assert_eq!(left["spec"]["replicas"], 1, "it goes on working");
    let queue = format!("asya-{}-ocr", cluster.namespace);
    assert_eq!(broker::depth(&queue).await?, Some(0), "its queue is there");
    assert!(operator.said("QueueRetained"), "an event names the queue");
    cluster.delete("Deployment", "ocr").await?;
    broker::remove(&queue).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_with_messages_outlives_its_actor() -> Result<()> {
    let cluster = cluster!("retained");
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;
    let queue = format!("asya-{}-ocr", cluster.namespace);
    broker::put(&queue, 3).await?;
    cluster.delete("AsyncActor", "ocr").await?;
    cluster.until_gone("AsyncActor", "ocr").await?;
    assert_eq!(broker::depth(&queue).await?, Some(3));
    assert!(operator.said("QueueRetained"), "an event names the queue");
    broker::remove(&queue).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_the_middle_ends_as_if_there_was_none() -> Result<()> {
    let cluster = cluster!("restart");
    let settings = Settings::of(&cluster);
    let operator = Operator::start(&settings).await?;
    for number in 0..20 {
        cluster.apply(&actor(&format!("actor-{number}")).scaling(0..=20).json()).await?;
    }
    operator.kill().await?;
    let operator = Operator::start(&settings).await?;
    for number in 0..20 {
        cluster.until_word(&format!("actor-{number}"), "Napping").await?;
    }
    assert!(operator.stop().await?.success(), "a stop in order");

    // Everything is as it should be: each object is applied once more, nothing else is written.
    let operator = Operator::start(&settings).await?;
    tokio::time::sleep(QUIET).await;
    assert_eq!(operator.metric("asya_operator_api_writes_total", "verb=\"status\"").await?, 0.0);
    assert_eq!(operator.metric("asya_operator_api_writes_total", "verb=\"create\"").await?, 0.0);
    let version = |object: serde_json::Value| object["metadata"]["resourceVersion"].clone();
    let before = version(cluster.get("Deployment", "actor-0").await?.unwrap());
    operator.kill().await?;
    let _operator = Operator::start(&settings).await?;
    tokio::time::sleep(QUIET).await;
    assert_eq!(
        version(cluster.get("Deployment", "actor-0").await?.unwrap()),
        before,
        "the applies changed nothing"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_replicas_acts_and_the_other_takes_over() -> Result<()> {
    let cluster = cluster!("leader");
    let settings = Settings::of(&cluster).flag("--leader-elect");
    let first = Operator::start(&settings.clone().env("ASYA_POD_NAME", "first")).await?;
    cluster::eventually("the first leads", async || {
        Ok((first.metric("asya_operator_leader", "").await? > 0.0).then_some(()))
    })
    .await?;
    let second = Operator::start(&settings.env("ASYA_POD_NAME", "second")).await?;
    cluster.apply(&actor("one").scaling(0..=20).json()).await?;
    cluster.until_word("one", "Napping").await?;
    assert_eq!(second.writes().await?, 0.0, "who stands by writes nothing");
    assert!(second.get("/readyz").await?.contains(" 200 "), "who stands by is ready");

    // A stop in order hands over at once, a kill within the time of the lease.
    assert!(first.stop().await?.success());
    cluster.apply(&actor("two").scaling(0..=20).json()).await?;
    cluster.until_word("two", "Napping").await?;
    let third =
        Operator::start(&Settings::of(&cluster).flag("--leader-elect").env("ASYA_POD_NAME", "third")).await?;
    second.kill().await?;
    cluster.apply(&actor("three").scaling(0..=20).json()).await?;
    cluster.until_word("three", "Napping").await?;
    assert!(third.writes().await? > 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_actors_with_one_queue_the_older_has_it() -> Result<()> {
    let cluster = cluster!("conflict");
    let other = cluster!("conflict-b");
    let namespaces = format!("{},{}", cluster.namespace, other.namespace);
    let settings = Settings::of(&cluster)
        .env("ASYA_WATCH_NAMESPACES", &namespaces)
        .env("ASYA_QUEUE_TEMPLATE", "asya-{actor}");
    let _operator = Operator::start(&settings).await?;
    let name = format!("shared-{:06x}", rand::random::<u32>() & 0xff_ffff);
    let queue = format!("asya-{name}");
    cluster.apply(&actor(&name).scaling(0..=20).json()).await?;
    cluster.until_word(&name, "Napping").await?;
    // Creation times are whole seconds.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    other.apply(&actor(&name).scaling(0..=20).json()).await?;
    other.until_condition(&name, "TransportReady", "False", "QueueConflict").await?;
    assert_eq!(other.get("Deployment", &name).await?, None, "no workload");
    other.delete("AsyncActor", &name).await?;
    other.until_gone("AsyncActor", &name).await?;
    assert_eq!(broker::depth(&queue).await?, Some(0), "the older one's queue was not touched");
    cluster.delete("AsyncActor", &name).await?;
    cluster.until_gone("AsyncActor", &name).await?;
    assert_eq!(broker::depth(&queue).await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_somebody_else_is_never_touched() -> Result<()> {
    let cluster = cluster!("foreign");
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    let labels = json!({"mine": "yes"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ocr"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "mine:1"}]}}},
    });
    let before = serde_json::to_value(cluster.apply(&deployment).await?)?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_condition("ocr", "WorkloadReady", "False", "NameTaken").await?;
    cluster.delete("AsyncActor", "ocr").await?;
    cluster.until_gone("AsyncActor", "ocr").await?;
    let after = cluster.get("Deployment", "ocr").await?.unwrap();
    assert_eq!(after["spec"], before["spec"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_permission_is_a_condition_with_the_servers_words() -> Result<()> {
    let cluster = cluster!("forbidden");
    let user = format!("operator-{}", cluster.namespace);
    let kubeconfig = cluster::control(&["kubeconfig", &user]).await?;
    // Everything but ScaledObjects and their watches.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "operator"},
        "rules": [
            {"apiGroups": ["asya.sh"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": ["", "apps", "autoscaling", "coordination.k8s.io", "events.k8s.io"], "resources": ["*"], "verbs": ["*"]},
            {"apiGroups": ["keda.sh"], "resources": ["scaledjobs", "triggerauthentications"], "verbs": ["*"]},
        ],
    });
    cluster.apply(&role).await?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "operator"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    cluster.apply(&binding).await?;
    let operator = Operator::start(&Settings::of(&cluster).env("KUBECONFIG", &kubeconfig)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    let found = cluster.until_condition("ocr", "ScalingReady", "False", "Forbidden").await?;
    let words = cluster::condition(&found, "ScalingReady").unwrap()["message"].as_str().unwrap().to_owned();
    assert!(words.contains("scaledobjects") && words.contains("cannot"), "{words}");
    assert!(operator.said("cannot watch"), "{}", operator.log());
    let before = operator.writes().await?;
    tokio::time::sleep(QUIET * 2).await;
    let more = operator.writes().await? - before;
    assert!(more <= 4.0, "tried {more} times in ten seconds");

    let mut allowed = role;
    allowed["rules"][2]["resources"] = json!(["*"]);
    cluster.apply(&allowed).await?;
    cluster.until_word("ocr", "Napping").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_runtime_the_condition_says_so() -> Result<()> {
    let cluster = cluster!("noruntime");
    let settings = Settings::of(&cluster).env("ASYA_RUNTIME_SCRIPT_PATH", "/nowhere/asya_runtime.py");
    let _operator = Operator::start(&settings).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    let found = cluster.until_condition("ocr", "WorkloadReady", "False", "RuntimeMissing").await?;
    let words = cluster::condition(&found, "WorkloadReady").unwrap()["message"].as_str().unwrap();
    assert!(words.contains("runtime ConfigMap") && words.contains("/nowhere"), "{words}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn finalizers_are_removed_for_good_and_twice_does_nothing() -> Result<()> {
    let cluster = cluster!("uninstall");
    let settings = Settings::of(&cluster);
    let operator = Operator::start(&settings).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;
    assert!(operator.stop().await?.success());
    for _ in 0..2 {
        let mut removal = Operator::spawn(&settings.clone().flag("finalizers").flag("remove"))?;
        assert!(removal.end().await?.success(), "{}", removal.log());
    }
    cluster.delete("AsyncActor", "ocr").await?;
    cluster.until_gone("AsyncActor", "ocr").await?;
    broker::remove(&format!("asya-{}-ocr", cluster.namespace)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_configuration_is_listed_at_once_and_ends_with_64() -> Result<()> {
    let cluster = cluster!("usage");
    let settings = Settings::of(&cluster)
        .env("ASYA_TRANSPORT_CONFIG", r#"{"transports":{"rabbitmq":{"enabled":true,"config":{"hots":"x"}}}}"#)
        .env("ASYA_MAX_CONCURRENT_RECONCILES", "none")
        .env("ASYA_LOG_FORMAT", "xml");
    let mut operator = Operator::spawn(&settings)?;
    assert_eq!(operator.end().await?.code(), Some(64));
    let log = operator.log();
    for words in ["hots", "ASYA_MAX_CONCURRENT_RECONCILES", "xml"] {
        assert!(log.contains(words), "{words} is missing in:\n{log}");
    }
    Ok(())
}
