//! An applied actor, the real operator and the real KEDA: work wakes it from zero, and it naps again. `make test-keda`
//! runs it; pods are processes of this machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use asya_tests::{
    broker::{self, Arrivals},
    cluster::{self, Cluster, actor, eventually},
    operator::{Operator, Settings},
    process::{program, root},
};
use serde_json::json;
use tokio::process::{Child, Command};

/// Enough for three pods to be wanted.
const ENVELOPES: usize = 300;
/// Seconds between two looks of the built-in trigger, in both tests: what the push scaler is there to beat.
const POLLING: u32 = 10;

/// The Python runtime as the operator's image has it.
async fn runtime(folder: &tempfile::TempDir) -> Result<String> {
    let file = folder.path().join("asya_runtime.py");
    let built =
        Command::new("python3").arg(root().join("runtime-py/build_zipapp.py")).arg(&file).status().await?;
    ensure!(built.success(), "the runtime could not be built");
    Ok(file.to_string_lossy().into_owned())
}

/// Runs the pods of a namespace.
fn kubelet(cluster: &Cluster, folder: &tempfile::TempDir) -> Result<Child> {
    let log = std::fs::File::create(folder.path().join("kubelet.log"))?;
    Command::new(program("minikubelet")?)
        .arg("--kubeconfig")
        .arg(&cluster.kubeconfig)
        .args(["--namespace", &cluster.namespace, "--node", &cluster.namespace, "--command"])
        .arg(format!("asya-sidecar={}", program("asya-sidecar")?.display()))
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("starting minikubelet")
}

fn envelope(number: usize) -> String {
    json!({"id": format!("e-{number}"), "route": {"actors": ["ocr"], "current": 0}, "payload": number})
        .to_string()
}

/// From an empty queue to three pods and back; returns the time from the first message to the first wanted pod.
async fn wakes_and_naps(
    test: &str,
    operator: impl FnOnce(Settings) -> Settings,
    push: bool,
) -> Result<Option<Duration>> {
    if std::env::var_os("ASYA_TEST_KEDA_CTL").is_none() {
        eprintln!("NOT RUN: needs the real KEDA, make test-keda runs it");
        return Ok(None);
    }
    let Some(cluster) = Cluster::new(test).await? else { return Ok(None) };
    let url = asya_tests::server("ASYA_TEST_RABBITMQ_URL").context("a broker")?;
    let folder = tempfile::Builder::new().prefix("keda").tempdir_in("/tmp")?;
    let settings = Settings::of(&cluster).env("ASYA_RUNTIME_SCRIPT_PATH", &runtime(&folder).await?);
    let operator = Operator::start(&operator(settings)).await?;
    let _kubelet = kubelet(&cluster, &folder)?;

    let (ocr, end) = (format!("{}-ocr", cluster.namespace), format!("{}-happy-end", cluster.namespace));
    let (_connection, channel) = broker::connect(&url).await?;
    broker::declare(&channel, &end).await?;
    let arrivals = Arrivals::default();
    let collector = tokio::spawn(broker::collect(url.clone(), end.clone(), arrivals.clone()));
    let scaling = json!({
        "enabled": true, "minReplicas": 0, "maxReplicas": 3, "queueLength": 50, "push": push,
        "pollingInterval": POLLING, "cooldownPeriod": 3,
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 3}},
    });
    let manifest = actor("ocr").env("ASYA_HANDLER", "handlers.echo").with("scaling", scaling).json();
    cluster.apply(&manifest).await?;
    cluster.until_word("ocr", "Napping").await?;
    cluster
        .until("AsyncActor", "ocr", "is scaled by KEDA", |o| {
            cluster::condition(o, "ScalingReady").is_some_and(|it| it["status"] == "True")
        })
        .await?;

    let wanted = async || {
        let deployment = cluster.get("Deployment", "ocr").await?;
        Ok::<_, anyhow::Error>(deployment.and_then(|it| it["spec"]["replicas"].as_u64()).unwrap_or_default())
    };
    let started = Instant::now();
    broker::publish(&channel, &ocr, (0..ENVELOPES).map(envelope)).await?;
    eventually("a pod is wanted", async || Ok((wanted().await? > 0).then_some(()))).await?;
    let activated = started.elapsed();
    let arrived = || arrivals.lock().unwrap().len();
    eventually("the first envelope is done", async || Ok((arrived() > 0).then_some(()))).await?;
    let first = started.elapsed();
    eventually("every envelope is done", async || Ok((arrived() == ENVELOPES).then_some(())))
        .await
        .with_context(|| std::fs::read_to_string(folder.path().join("kubelet.log")).unwrap_or_default())?;
    let done = started.elapsed();
    eventually("no pod is wanted", async || Ok((wanted().await? == 0).then_some(()))).await?;
    let status = cluster.until_word("ocr", "Napping").await?;
    ensure!(status["status"]["lastScaleDirection"] == "down", "{status}");
    println!(
        "{test}: activation {activated:.1?}, first result {first:.1?}, {ENVELOPES} results {done:.1?}, napping again \
         {:.1?}",
        started.elapsed()
    );
    ensure!(arrivals.lock().unwrap().values().all(|count| *count == 1), "nothing was done twice");
    collector.abort();

    cluster.delete("AsyncActor", "ocr").await?;
    cluster.until_gone("AsyncActor", "ocr").await?;
    ensure!(broker::depth(&format!("asya-{ocr}")).await?.is_none(), "the queue is gone with the actor");
    broker::remove(&format!("asya-{end}")).await?;
    drop(operator);
    Ok(Some(activated))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_trigger_wakes_an_actor_and_lets_it_nap() -> Result<()> {
    wakes_and_naps("keda-polling", |settings| settings, false).await.map(drop)
}

/// A free port of the loopback interface.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_push_scaler_wakes_an_actor_long_before_the_next_look() -> Result<()> {
    let address = format!("127.0.0.1:{}", free_port()?);
    let pushing = |settings: Settings| {
        settings.env("ASYA_SCALER_BIND_ADDRESS", &address).env("ASYA_SCALER_ADDRESS", &address)
    };
    let Some(activated) = wakes_and_naps("keda-push", pushing, true).await? else { return Ok(()) };
    ensure!(
        activated < Duration::from_secs(u64::from(POLLING) / 2),
        "woken by polling, it seems: {activated:?}"
    );
    Ok(())
}
