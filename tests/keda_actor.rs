//! An applied actor, the real operator and the real KEDA: work wakes it from zero, by the built-in trigger and by the
//! push scaler, as a Deployment, a StatefulSet or Jobs, and it naps again. `make test-keda` runs it; pods are processes of
//! this machine.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    net::TcpListener,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use asya_tests::{
    broker::{self, Arrivals},
    cluster::{self, Cluster, actor, eventually},
    operator::{Operator, Settings},
    pods,
};
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, ListParams, PostParams},
};
use lapin::{Channel, Connection};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
};

/// Enough for three pods to be wanted.
const ENVELOPES: usize = 300;
/// Seconds between two looks of the built-in trigger: what the push scaler is there to beat.
const POLLING: u32 = 10;
/// Seconds without work before the last replica goes.
const COOLDOWN: u32 = 3;
/// Envelopes of a Job, and all that are sent to Jobs: six are needed.
const JOB_MESSAGES: usize = 5;
const JOB_ENVELOPES: usize = 30;
/// Takes so long with each envelope that more than one pod is wanted.
const SLOW: &str = "import time\n\ndef run(payload):\n    time.sleep(0.3)\n    return payload\n";
/// Within this the push scaler is to wake an actor.
const GOAL: Duration = Duration::from_secs(2);

fn envelope(number: usize) -> String {
    json!({"id": format!("e-{number}"), "route": {"actors": ["ocr"], "current": 0}, "payload": number})
        .to_string()
}

/// A namespace with an operator, a kubelet and one actor, `ocr`.
struct Stage {
    cluster: Cluster,
    settings: Settings,
    /// Of the workload.
    kind: &'static str,
    operator: Option<Operator>,
    folder: TempDir,
    channel: Channel,
    arrivals: Arrivals,
    collector: JoinHandle<()>,
    _connection: Connection,
    _kubelet: Child,
}

impl Stage {
    /// `None` without the real KEDA.
    async fn set(test: &str) -> Result<Option<Self>> {
        if std::env::var_os("ASYA_TEST_KEDA_CTL").is_none() {
            eprintln!("NOT RUN: needs the real KEDA, make test-keda runs it");
            return Ok(None);
        }
        let Some(cluster) = Cluster::new(test).await? else { return Ok(None) };
        let url = asya_tests::server("ASYA_TEST_RABBITMQ_URL").context("a broker")?;
        let folder = tempfile::Builder::new().prefix("keda").tempdir_in("/tmp")?;
        let settings =
            Settings::of(&cluster).env("ASYA_RUNTIME_SCRIPT_PATH", &pods::runtime(folder.path()).await?);
        let (connection, channel) = broker::connect(&url).await?;
        let end = format!("{}-happy-end", cluster.namespace);
        broker::declare(&channel, &end).await?;
        let arrivals = Arrivals::default();
        let collector = tokio::spawn(broker::collect(url, end, arrivals.clone()));
        let kubelet = pods::kubelet(&cluster, folder.path())?;
        Ok(Some(Self {
            cluster,
            settings,
            kind: "Deployment",
            operator: None,
            folder,
            channel,
            arrivals,
            collector,
            _connection: connection,
            _kubelet: kubelet,
        }))
    }

    async fn start_operator(&mut self) -> Result<()> {
        self.operator = Some(Operator::start(&self.settings).await?);
        Ok(())
    }

    async fn stop_operator(&mut self) -> Result<()> {
        let status = self.operator.take().context("it runs")?.stop().await?;
        ensure!(status.success(), "{status}");
        Ok(())
    }

    /// Applies the actor and waits until KEDA has taken it over.
    async fn nap(&self, push: bool) -> Result<()> {
        let scaling = json!({
            "enabled": true, "minReplicas": 0, "maxReplicas": 3, "queueLength": 50, "push": push,
            "pollingInterval": POLLING, "cooldownPeriod": COOLDOWN,
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 3}},
        });
        let manifest = actor("ocr").with("scaling", scaling).json();
        let object = self.applied(manifest, "ScaledObject").await?;
        let triggers = object["spec"]["triggers"].as_array().context("triggers")?;
        ensure!(triggers.len() == if push { 2 } else { 1 }, "{triggers:?}");
        Ok(())
    }

    /// Applies the actor with this kind of workload, and waits until KEDA has taken it over.
    async fn nap_slowly(&mut self, kind: &'static str, workload: Value, scaling: Value) -> Result<()> {
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "slow"}, "data": {"slow.py": SLOW}});
        self.cluster.apply(&config).await?;
        let mut manifest = actor("ocr").with("scaling", scaling).json();
        let mut all = workload;
        all["kind"] = kind.into();
        all["template"]["spec"]["containers"] =
            json!([{"name": "asya-runtime", "image": "python:3.13-slim"}]);
        manifest["spec"]["workload"] = all;
        manifest["spec"]["handler"] = "slow.run".into();
        manifest["spec"]["handlerFrom"] = json!({"configMap": "slow", "key": "slow.py"});
        self.kind = kind;
        let scaler = if kind == "Job" { "ScaledJob" } else { "ScaledObject" };
        self.applied(manifest, scaler).await.map(drop)
    }

    /// Applies a manifest and waits until the actor naps and KEDA's object is ready, which is returned.
    async fn applied(&self, manifest: Value, scaler: &str) -> Result<Value> {
        self.cluster.apply(&manifest).await?;
        self.cluster.until_word("ocr", "Napping").await?;
        self.cluster
            .until("AsyncActor", "ocr", "is scaled by KEDA", |o| {
                cluster::condition(o, "ScalingReady").is_some_and(|it| it["status"] == "True")
            })
            .await?;
        let ready = |o: &Value| cluster::condition(o, "Ready").is_some_and(|it| it["status"] == "True");
        self.cluster.until(scaler, "ocr", "is ready", ready).await
    }

    /// All Jobs of the namespace.
    async fn jobs(&self) -> Result<Vec<Value>> {
        let jobs = self.cluster.api("Job").list(&ListParams::default()).await?.items;
        Ok(jobs.into_iter().map(|job| job.data).collect())
    }

    async fn publish(&self, numbers: std::ops::Range<usize>) -> Result<()> {
        let ocr = format!("{}-ocr", self.cluster.namespace);
        broker::publish(&self.channel, &ocr, numbers.map(envelope)).await
    }

    /// Replicas that the workload is told to have.
    async fn wanted(&self) -> Result<u64> {
        let workload = self.cluster.get(self.kind, "ocr").await?;
        Ok(workload.and_then(|it| it["spec"]["replicas"].as_u64()).unwrap_or_default())
    }

    async fn until_awake(&self) -> Result<()> {
        eventually("a pod is wanted", async || Ok((self.wanted().await? > 0).then_some(()))).await
    }

    async fn until_asleep(&self) -> Result<()> {
        eventually("no pod is wanted", async || Ok((self.wanted().await? == 0).then_some(()))).await
    }

    fn arrived(&self) -> usize {
        self.arrivals.lock().unwrap().len()
    }

    async fn until_arrived(&self, count: usize) -> Result<()> {
        let arrived = async || Ok((self.arrived() >= count).then_some(()));
        eventually("the envelopes are done", arrived).await.with_context(|| self.kubelet_log())
    }

    fn kubelet_log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("kubelet.log")).unwrap_or_default()
    }

    /// Takes everything down, and says that nothing is left.
    async fn end(self) -> Result<()> {
        ensure!(self.arrivals.lock().unwrap().values().all(|count| *count == 1), "nothing was done twice");
        self.collector.abort();
        let namespace = &self.cluster.namespace;
        self.cluster.delete("AsyncActor", "ocr").await?;
        self.cluster.until_gone("AsyncActor", "ocr").await?;
        let queue = broker::depth(&format!("asya-{namespace}-ocr")).await?;
        ensure!(queue.is_none(), "the queue is gone with the actor");
        broker::remove(&format!("asya-{namespace}-happy-end")).await
    }
}

/// The push scaler's certificates, as the chart makes them: a server's for the operator, a client's for KEDA, and what
/// tells KEDA of them.
struct Trust {
    name: String,
    folder: TempDir,
    port: u16,
}

impl Trust {
    async fn make(cluster: &Cluster) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let script = r#"
            openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=authority" -keyout ca.key -out ca.crt
            for name in tls client; do
                openssl req -newkey rsa:2048 -nodes -subj /CN=$name -keyout $name.key -out $name.csr
                echo "subjectAltName=DNS:localhost" >extensions
                openssl x509 -req -in $name.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 \
                    -extfile extensions -out $name.crt
            done"#;
        let made = Command::new("sh").args(["-ec", script]).current_dir(folder.path()).output().await?;
        ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let read = |file: &str| std::fs::read_to_string(folder.path().join(file));
        let (name, port) =
            (cluster.namespace.clone(), TcpListener::bind("127.0.0.1:0")?.local_addr()?.port());
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "keda"},
            "stringData": {"ca.crt": read("ca.crt")?, "tls.crt": read("client.crt")?, "tls.key": read("client.key")?}});
        let key = |parameter: &str, key: &str| json!({"parameter": parameter, "name": name, "key": key});
        let authentication = json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ClusterTriggerAuthentication",
            "metadata": {"name": name}, "spec": {"secretTargetRef": [key("caCert", "ca.crt"),
                key("tlsClientCert", "tls.crt"), key("tlsClientKey", "tls.key")]}});
        let post = PostParams::default();
        Self::secrets(cluster).create(&post, &serde_json::from_value(secret)?).await?;
        Self::authentications(cluster).create(&post, &serde_json::from_value(authentication)?).await?;
        Ok(Self { name, folder, port })
    }

    fn secrets(cluster: &Cluster) -> Api<DynamicObject> {
        Api::namespaced_with(cluster.client.clone(), "keda", &cluster::resource("Secret"))
    }

    fn authentications(cluster: &Cluster) -> Api<DynamicObject> {
        Api::all_with(cluster.client.clone(), &cluster::resource("ClusterTriggerAuthentication"))
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn of(&self, settings: Settings) -> Settings {
        settings
            .env("ASYA_SCALER_BIND_ADDRESS", &format!("127.0.0.1:{}", self.port))
            .env("ASYA_SCALER_ADDRESS", &format!("localhost:{}", self.port))
            .env("ASYA_SCALER_TLS_DIR", &self.folder().to_string_lossy())
            .env("ASYA_SCALER_AUTHENTICATION", &self.name)
    }

    async fn end(self, cluster: &Cluster) -> Result<()> {
        let delete = DeleteParams::default();
        Self::secrets(cluster).delete(&self.name, &delete).await?;
        Self::authentications(cluster).delete(&self.name, &delete).await?;
        Ok(())
    }
}

/// From an empty queue to three pods and back; returns the time from the first message to the first wanted pod.
async fn wakes_and_naps(test: &str, stage: &Stage) -> Result<Duration> {
    let started = Instant::now();
    stage.publish(0..ENVELOPES).await?;
    stage.until_awake().await?;
    let activated = started.elapsed();
    stage.until_arrived(1).await?;
    let first = started.elapsed();
    stage.until_arrived(ENVELOPES).await?;
    let done = started.elapsed();
    stage.until_asleep().await?;
    let status = stage.cluster.until_word("ocr", "Napping").await?;
    ensure!(status["status"]["lastScaleDirection"] == "down", "{status}");
    println!(
        "{test}: activation {activated:.1?}, first result {first:.1?}, {ENVELOPES} results {done:.1?}, napping again \
         {:.1?}",
        started.elapsed()
    );
    Ok(activated)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_trigger_wakes_an_actor_and_lets_it_nap() -> Result<()> {
    let Some(mut stage) = Stage::set("keda-polling").await? else { return Ok(()) };
    stage.start_operator().await?;
    stage.nap(false).await?;
    wakes_and_naps("keda-polling", &stage).await?;
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_push_scaler_wakes_an_actor_within_two_seconds_and_lets_it_nap() -> Result<()> {
    let Some(mut stage) = Stage::set("keda-push").await? else { return Ok(()) };
    let trust = Trust::make(&stage.cluster).await?;
    stage.settings = trust.of(stage.settings);
    stage.start_operator().await?;
    stage.nap(true).await?;
    let activated = wakes_and_naps("keda-push", &stage).await?;
    ensure!(activated < GOAL, "woken after {activated:?}");
    trust.end(&stage.cluster).await?;
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_operator_actors_wake_within_a_polling_interval_and_stay_up() -> Result<()> {
    let Some(mut stage) = Stage::set("keda-alone").await? else { return Ok(()) };
    let trust = Trust::make(&stage.cluster).await?;
    stage.settings = trust.of(stage.settings);
    stage.start_operator().await?;
    stage.nap(true).await?;
    stage.stop_operator().await?;

    let started = Instant::now();
    stage.publish(0..1).await?;
    stage.until_awake().await?;
    let activated = started.elapsed();
    ensure!(activated < Duration::from_secs(POLLING.into()) + GOAL, "woken after {activated:?}");
    stage.until_arrived(1).await?;

    // Twice as long as a nap takes otherwise: KEDA keeps what it has while a trigger cannot be asked.
    let hold = Duration::from_secs((2 * (POLLING + COOLDOWN)).into());
    let idle = Instant::now();
    while idle.elapsed() < hold {
        ensure!(stage.wanted().await? > 0, "asleep {:?} after the last message", idle.elapsed());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stage.publish(1..2).await?;
    stage.until_arrived(2).await?;
    let back = Instant::now();
    stage.start_operator().await?;
    stage.until_asleep().await?;
    println!(
        "keda-alone: activation without an operator {activated:.1?}, awake for {hold:.0?} without one or work, \
         napping {:.1?} after it came back",
        back.elapsed()
    );
    trust.end(&stage.cluster).await?;
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stateful_set_goes_from_zero_to_several_replicas_and_back() -> Result<()> {
    let Some(mut stage) = Stage::set("keda-stateful").await? else { return Ok(()) };
    stage.start_operator().await?;
    let scaling = json!({
        "enabled": true, "minReplicas": 0, "maxReplicas": 3, "queueLength": 10, "pollingInterval": 2,
        "cooldownPeriod": COOLDOWN, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 3}},
    });
    stage.nap_slowly("StatefulSet", json!({}), scaling).await?;
    let replicas = stage.cluster.replica_log("StatefulSet", "ocr").await?;
    wakes_and_naps("keda-stateful", &stage).await?;
    let numbers = replicas.until(0).await;
    println!("keda-stateful: replicas wanted {numbers:?}");
    ensure!(numbers.first() == Some(&0) && numbers.last() == Some(&0), "{numbers:?}");
    ensure!(numbers.iter().any(|number| *number > 1), "{numbers:?}");
    stage.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_are_made_for_messages_and_end_when_these_are_done() -> Result<()> {
    let Some(mut stage) = Stage::set("keda-job").await? else { return Ok(()) };
    stage.start_operator().await?;
    let scaling = json!({"enabled": true, "minReplicas": 0, "maxReplicas": 3, "pollingInterval": 2});
    let job = json!({"job": {"messages": JOB_MESSAGES, "idleTimeout": 5, "ttlSecondsAfterFinished": 600}});
    stage.nap_slowly("Job", job, scaling).await?;
    ensure!(stage.jobs().await?.is_empty(), "without messages there is no Job");

    let started = Instant::now();
    stage.publish(0..JOB_ENVELOPES).await?;
    eventually("a Job is made", async || Ok((!stage.jobs().await?.is_empty()).then_some(()))).await?;
    let activated = started.elapsed();
    stage.until_arrived(JOB_ENVELOPES).await?;
    let done = started.elapsed();
    let finished = async || {
        let jobs = stage.jobs().await?;
        let done = jobs.iter().all(|job| job["status"]["completionTime"].is_string());
        Ok(done.then_some(jobs))
    };
    let jobs = eventually("all Jobs are complete", finished).await.with_context(|| stage.kubelet_log())?;
    ensure!(jobs.iter().all(|job| job["status"]["failed"].is_null()), "none failed: {jobs:#?}");
    ensure!(
        jobs.len() >= JOB_ENVELOPES / JOB_MESSAGES,
        "each Job takes {JOB_MESSAGES} envelopes: {}",
        jobs.len()
    );
    stage.cluster.until_word("ocr", "Napping").await?;
    let queue = broker::depth(&format!("asya-{}-ocr", stage.cluster.namespace)).await?;
    ensure!(queue == Some(0), "nothing is left on the queue: {queue:?}");
    println!(
        "keda-job: first Job {activated:.1?}, {JOB_ENVELOPES} results {done:.1?}, {} Jobs complete and napping again {:.1?}",
        jobs.len(),
        started.elapsed()
    );
    stage.end().await
}
