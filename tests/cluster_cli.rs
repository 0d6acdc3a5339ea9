//! `asya` against a real API server with the real operator: explain, pause, resume, logs, doctor.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    path::PathBuf,
    process::{Output, Stdio},
};

use anyhow::Result;
use asya_tests::{
    cluster::{Cluster, LIMIT, actor, control},
    operator::{Operator, Settings},
    process::program,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::Command,
};

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

async fn asya(kubeconfig: &PathBuf, namespace: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program("asya")?);
    command.args(arguments).args(["-n", namespace]).env("KUBECONFIG", kubeconfig);
    Ok(command.output().await?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}{}", text(&output.stdout), text(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_actor_is_explained_paused_and_resumed() -> Result<()> {
    let cluster = cluster!("cli-pause");
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").replicas(1).json()).await?;
    cluster.until_word("ocr", "ScalingUp").await?;
    let run = |arguments: &'static [&'static str]| asya(&cluster.kubeconfig, &cluster.namespace, arguments);

    let report = json_of(&run(&["explain", "actor", "ocr", "-o", "json"]).await?);
    assert_eq!(
        (report["word"].as_str(), report["workload"]["kind"].as_str()),
        (Some("ScalingUp"), Some("Deployment"))
    );
    assert_eq!(report["queue"]["transport"], "rabbitmq", "{report:#}");
    assert!(report["workload"]["images"].as_array().is_some_and(|images| images.len() >= 2), "{report:#}");
    let page = text(&run(&["explain", "actor", "ocr"]).await?.stdout);
    for label in [
        "queue ",
        "workload ",
        "credentials ",
        "scaling ",
        "pods ",
        "conditions ",
        "last error ",
        "next step ",
    ] {
        assert!(page.lines().any(|line| line.starts_with(label)), "no {label:?} in\n{page}");
    }
    assert!(!page.contains('\x1b'), "colours are for terminals");

    let paused = run(&["pause", "ocr"]).await?;
    assert!(paused.status.success(), "{}", text(&paused.stderr));
    let object = cluster.get("AsyncActor", "ocr").await?.unwrap();
    assert_eq!((&object["spec"]["paused"], &object["status"]["status"]), (&json!(true), &json!("Paused")));
    assert_eq!(object["spec"]["transport"], "rabbitmq", "nothing else is touched");
    assert_eq!(cluster.get("Deployment", "ocr").await?.unwrap()["spec"]["replicas"], 0);
    let told = text(&run(&["explain", "actor", "ocr"]).await?.stdout);
    assert!(told.contains(&format!("asya resume ocr -n {}", cluster.namespace)), "{told}");

    let resumed = run(&["resume", "--all"]).await?;
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert_eq!(cluster.get("AsyncActor", "ocr").await?.unwrap()["spec"].get("paused"), None, "given back");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_manifest_pauses_is_resumed_and_its_owner_is_named() -> Result<()> {
    let cluster = cluster!("cli-owner");
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(0..=2).with("paused", json!(true)).json()).await?;
    cluster.until_word("ocr", "Paused").await?;
    let resumed = asya(&cluster.kubeconfig, &cluster.namespace, &["resume", "ocr"]).await?;
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert!(text(&resumed.stderr).contains("was also set by kubectl"), "{}", text(&resumed.stderr));
    cluster.until_word("ocr", "Napping").await?;
    let nobody = asya(&cluster.kubeconfig, &cluster.namespace, &["logs", "ocr"]).await?;
    assert!(nobody.status.success());
    assert!(text(&nobody.stderr).contains("no pod (Napping"), "{}", text(&nobody.stderr));
    let missing = asya(&cluster.kubeconfig, &cluster.namespace, &["explain", "actor", "orc"]).await?;
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("there are: ocr"), "{}", text(&missing.stderr));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_operator_a_pause_ends_with_what_to_look_at() -> Result<()> {
    let cluster = cluster!("cli-alone");
    cluster.apply(&actor("ocr").replicas(1).json()).await?;
    let paused = asya(&cluster.kubeconfig, &cluster.namespace, &["pause", "ocr", "--timeout", "1s"]).await?;
    assert_eq!(paused.status.code(), Some(1));
    assert!(text(&paused.stderr).contains("asya doctor --cluster"), "{}", text(&paused.stderr));
    let doctor =
        asya(&cluster.kubeconfig, &cluster.namespace, &["doctor", "--cluster", "-o", "json"]).await?;
    assert_eq!(doctor.status.code(), Some(1), "{}", text(&doctor.stdout));
    let checks: Vec<Value> =
        text(&doctor.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let state = |check: &str| checks.iter().find(|c| c["check"] == check).map(|c| c["state"].clone());
    assert_eq!(state("crd"), Some(json!("ok")), "{checks:#?}");
    assert_eq!(state("operator"), Some(json!("fail")), "{checks:#?}");
    assert_eq!(state("your rights"), Some(json!("ok")), "{checks:#?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_right_is_told_which_one_is_missing() -> Result<()> {
    let cluster = cluster!("cli-rights");
    let kubeconfig = PathBuf::from(control(&["kubeconfig", "cli-alice"]).await?);
    let refused = asya(&kubeconfig, &cluster.namespace, &["explain", "actor", "ocr"]).await?;
    assert_eq!(refused.status.code(), Some(1));
    let words = text(&refused.stderr);
    assert!(words.contains("you may not get asyncactors.asya.sh"), "{words}");
    assert!(words.contains("resources [asyncactors], verbs [get]"), "{words}");
    let doctor = asya(&kubeconfig, &cluster.namespace, &["doctor", "--cluster"]).await?;
    assert!(
        text(&doctor.stdout).contains("patch asyncactors.asya.sh (pause, resume)"),
        "{}",
        text(&doctor.stdout)
    );
    Ok(())
}

/// What it shows when a pod comes is in minikubelet's tests.
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_following_quietly() -> Result<()> {
    let cluster = cluster!("cli-follow");
    cluster.apply(&actor("ocr").scaling(0..=2).json()).await?;
    let mut child = Command::new(program("asya")?)
        .args(["logs", "ocr", "-f", "-n", &cluster.namespace])
        .env("KUBECONFIG", &cluster.kubeconfig)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = tokio::time::timeout(LIMIT, told.next_line()).await??.unwrap_or_default();
    assert!(first.contains("lines appear when one comes up"), "{first}");
    let id = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw).unwrap();
    kill_process(id, Signal::INT)?;
    assert_eq!(child.wait().await?.code(), Some(0));
    assert_eq!(told.next_line().await?, None, "no word at the end");
    Ok(())
}
