//! An operator with a new runtime or sidecar on a real API server: which running pods follow, and when.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use asya_tests::{
    cluster::{Cluster, actor, condition, eventually},
    operator::{Operator, Settings},
};
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::{Value, json};

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

const OLD: &str = "asya-sidecar:1";
const NEW: &str = "asya-sidecar:2";

/// The next version of the operator: another sidecar and another runtime.
fn upgraded(settings: &Settings, folder: &tempfile::TempDir) -> Result<Settings> {
    let runtime = folder.path().join("asya_runtime.py");
    std::fs::write(&runtime, "print('the next version')\n")?;
    Ok(settings
        .clone()
        .env("ASYA_SIDECAR_IMAGE", NEW)
        .env("ASYA_RUNTIME_SCRIPT_PATH", &runtime.to_string_lossy()))
}

fn sidecar(deployment: &Value) -> &str {
    let pod = &deployment["spec"]["template"]["spec"];
    ["initContainers", "containers"]
        .iter()
        .flat_map(|list| pod[list].as_array().into_iter().flatten())
        .find(|container| container["name"] == "asya-sidecar")
        .and_then(|container| container["image"].as_str())
        .unwrap_or_default()
}

fn runtime(deployment: &Value) -> String {
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array();
    let volume = volumes.into_iter().flatten().find(|volume| volume["name"] == "asya-runtime");
    volume.and_then(|volume| volume["configMap"]["name"].as_str()).unwrap_or_default().to_owned()
}

fn waits(actor: &Value) -> bool {
    condition(actor, "UpdateAvailable").is_some_and(|found| found["status"] == "True")
}

/// Images of the sidecars of these actors' Deployments.
async fn images(cluster: &Cluster, names: &[&str]) -> Result<BTreeMap<String, String>> {
    let mut images = BTreeMap::new();
    for name in names {
        let deployment = cluster.get("Deployment", name).await?.context("the Deployment is there")?;
        images.insert((*name).to_owned(), sidecar(&deployment).to_owned());
    }
    Ok(images)
}

/// Plays the kubelet: all pods of the namespace are running and ready.
async fn ready(cluster: &Cluster) -> Result<()> {
    let pods = cluster.api("Pod");
    let ready = json!({"status": {"phase": "Running", "conditions": [
        {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    for pod in pods.list(&ListParams::default()).await? {
        let name = pod.metadata.name.unwrap_or_default();
        match pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&ready)).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Starts the first version with actors of one pod each.
async fn started(cluster: &Cluster, settings: &Settings, names: &[&str]) -> Result<Operator> {
    let operator = Operator::start(settings).await?;
    for name in names {
        cluster.apply(&actor(name).replicas(1).json()).await?;
    }
    for name in names {
        cluster.until("Deployment", name, "has its pod", |found| found["status"]["replicas"] == 1).await?;
    }
    ready(cluster).await?;
    for name in names {
        cluster.until("Deployment", name, "is ready", |found| found["status"]["readyReplicas"] == 1).await?;
    }
    Ok(operator)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_rolls_nothing_until_somebody_restarts_it_and_drift_is_repaired_meanwhile() -> Result<()> {
    let cluster = cluster!("onrestart");
    let folder = tempfile::tempdir()?;
    let settings = Settings::of(&cluster).env("ASYA_SIDECAR_IMAGE", OLD);
    started(&cluster, &settings, &["one", "two"]).await?.stop().await?;
    let before = cluster.get("Deployment", "one").await?.unwrap();
    cluster.apply(&actor("asleep").replicas(0).json()).await?;

    let settings = upgraded(&settings, &folder)?;
    let operator = Operator::start(&settings).await?;
    for name in ["one", "two"] {
        let found = cluster.until("AsyncActor", name, "waits", waits).await?;
        let sentence = condition(&found, "UpdateAvailable").unwrap()["message"].as_str().unwrap().to_owned();
        assert!(sentence.contains(&format!("kubectl rollout restart deployment/{name}")), "{sentence}");
    }
    cluster.until("Deployment", "asleep", "is new", |found| sidecar(found) == NEW).await?;
    let held = cluster.get("Deployment", "one").await?.unwrap();
    assert_eq!(held["metadata"]["generation"], before["metadata"]["generation"], "nothing was changed");

    let image = json!({"spec": {"template": {"spec": {"initContainers": [{"name": "asya-sidecar", "image": "mine:1"}]}}}});
    cluster.edit_lists("Deployment", "one", &image).await?;
    cluster.until("Deployment", "one", "is as it was", |found| found["spec"] == before["spec"]).await?;
    cluster.edit("Deployment", "one", &json!({"metadata": {"labels": {"asya.sh/asya": null}}})).await?;
    cluster
        .until("Deployment", "one", "has its label again", |found| {
            found["metadata"]["labels"]["asya.sh/asya"] == "one"
        })
        .await?;

    // What waits survives another restart, and the runtime that old pods mount is kept for them.
    operator.kill().await?;
    let _operator = Operator::start(&settings).await?;
    let restart = json!({"spec": {"template": {"metadata": {"annotations":
        {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}}});
    cluster.edit("Deployment", "one", &restart).await?;
    let new = cluster.until("Deployment", "one", "is new", |found| sidecar(found) == NEW).await?;
    cluster.until("AsyncActor", "one", "waits no more", |found| !waits(found)).await?;
    let two = cluster.get("Deployment", "two").await?.unwrap();
    assert_eq!(sidecar(&two), OLD, "one restart releases one actor");
    assert!(waits(&cluster.get("AsyncActor", "two").await?.unwrap()));
    assert_ne!(runtime(&two), runtime(&new));
    assert!(cluster.get("ConfigMap", &runtime(&two)).await?.is_some(), "its pods may have to mount it again");

    // The actor's own change takes the update along.
    cluster.apply(&actor("two").replicas(1).env("MINE", "1").json()).await?;
    cluster.until("Deployment", "two", "is new", |found| sidecar(found) == NEW).await?;
    cluster.until("AsyncActor", "two", "waits no more", |found| !waits(found)).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_actors_roll_at_a_time_also_after_a_restart_of_the_operator() -> Result<()> {
    const NAMES: [&str; 3] = ["one", "two", "three"];
    let cluster = cluster!("rolling");
    let folder = tempfile::tempdir()?;
    let settings = Settings::of(&cluster)
        .env("ASYA_SIDECAR_IMAGE", OLD)
        .env("ASYA_ROLLOUT_POLICY", "Rolling")
        .env("ASYA_ROLLOUT_MAX_CONCURRENT", "1");
    started(&cluster, &settings, &NAMES).await?.stop().await?;

    let settings = upgraded(&settings, &folder)?;
    let mut operator = Operator::start(&settings).await?;
    for rolled in 1..=NAMES.len() {
        eventually("the next one rolls and the others wait", async || {
            let new = images(&cluster, &NAMES).await?.values().filter(|image| *image == NEW).count();
            let mut waiting = 0;
            for name in NAMES {
                waiting +=
                    usize::from(waits(&cluster.get("AsyncActor", name).await?.context("it is there")?));
            }
            anyhow::ensure!(new <= rolled, "{new} roll, and {rolled} may");
            Ok((new == rolled && waiting == NAMES.len() - rolled).then_some(()))
        })
        .await?;
        // Its pods are not ready: another operator finds its place taken.
        operator.kill().await?;
        operator = Operator::start(&settings).await?;
        if rolled < NAMES.len() {
            let drift = images(&cluster, &NAMES).await?;
            let (name, _) = drift.iter().find(|(_, image)| *image == OLD).unwrap();
            let image = json!({"spec": {"template": {"spec": {"initContainers": [{"name": "asya-sidecar", "image": "mine:1"}]}}}});
            cluster.edit_lists("Deployment", name, &image).await?;
            cluster.until("Deployment", name, "is as it was", |found| sidecar(found) == OLD).await?;
            let new = images(&cluster, &NAMES).await?.values().filter(|image| *image == NEW).count();
            assert_eq!(new, rolled, "the place is still taken");
        }
        ready(&cluster).await?;
    }
    Ok(())
}
