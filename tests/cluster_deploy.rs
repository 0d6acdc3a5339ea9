//! `asya deploy` and `asya migrate check` against a real API server and the real operator.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Output;

use anyhow::Result;
use asya_tests::{
    cluster::{Cluster, actor},
    operator::{Operator, Settings},
    process::program,
};
use serde_json::{Value, json};
use tokio::process::Command;

async fn asya(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    let place = ["--namespace", &cluster.namespace, "--output", "json"];
    Ok(Command::new(program("asya")?)
        .args(arguments)
        .args(place)
        .env("KUBECONFIG", &cluster.kubeconfig)
        .env_remove("ASYA_TRANSPORT_URL")
        .output()
        .await?)
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_file_becomes_an_actor_and_another_text_rolls_it() -> Result<()> {
    let Some(cluster) = Cluster::new("deploy").await? else { return Ok(()) };
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("shout.py");
    let path = file.to_string_lossy().into_owned();
    std::fs::write(&file, "def handle(payload):\n    return payload\n")?;

    let first = asya(&cluster, &["deploy", &path, "--via", "rabbitmq"]).await?;
    assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
    let said = lines(&first);
    assert_eq!((&said[0]["result"], &said[1]["status"]), (&json!("made"), &json!("Napping")));
    let mounted = said[0]["configMap"].as_str().unwrap().to_owned();
    let map = cluster.get("ConfigMap", &mounted).await?.unwrap();
    assert_eq!(map["metadata"]["ownerReferences"][0]["name"], "shout");

    let same = asya(&cluster, &["deploy", &path]).await?;
    assert_eq!(lines(&same)[0]["result"], "unchanged");

    std::fs::write(&file, "def handle(payload):\n    return [payload]\n")?;
    let other = lines(&asya(&cluster, &["deploy", &path]).await?)[0].clone();
    assert_eq!(other["result"], "changed");
    let wanted = other["configMap"].clone();
    assert_ne!(wanted, mounted.as_str());
    let mounts = |deployment: &Value| {
        let volumes =
            deployment["spec"]["template"]["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        volumes.iter().any(|volume| volume["configMap"]["name"] == wanted)
    };
    cluster.until("Deployment", "shout", "mounts the new text", mounts).await?;

    cluster.apply(&actor("own").scaling(0..=1).json()).await?;
    let refused = asya(&cluster, &["deploy", &path, "--name", "own"]).await?;
    assert_eq!(refused.status.code(), Some(1));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(words.contains("was not made by asya deploy"), "{words}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_operators_way_is_found_in_a_cluster() -> Result<()> {
    let Some(cluster) = Cluster::new("migrate").await? else { return Ok(()) };
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    let fine = asya(&cluster, &["migrate", "check"]).await?;
    assert!(fine.status.success(), "{fine:?}");
    assert_eq!(lines(&fine)[0]["verdict"], "unchanged", "{fine:?}");
    let stray = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "by-hand"},
        "spec": {"scaleTargetRef": {"name": "ocr"}, "triggers": [{"type": "cron", "metadata": {}}]}});
    cluster.apply(&stray).await?;
    let found = asya(&cluster, &["migrate", "check"]).await?;
    assert_eq!(found.status.code(), Some(1), "{found:?}");
    assert!(lines(&found).iter().any(|line| line["verdict"] == "change"), "{found:?}");
    Ok(())
}
