//! Actors on SQS, from the manifest to the result and its queues' end: the real operator, the real sidecar in pods that are
//! processes of this machine, and a server that speaks SQS.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::Path, process::Output};

use anyhow::{Context, Result, ensure};
use asya_tests::{
    cluster::{Cluster, actor, eventually},
    operator::{Operator, Settings},
    pods,
    process::program,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

struct Stage {
    cluster: Cluster,
    settings: Settings,
    endpoint: String,
    folder: TempDir,
}

impl Stage {
    async fn set(test: &str) -> Result<Option<Self>> {
        let Some(endpoint) = asya_tests::server("ASYA_TEST_SQS_ENDPOINT") else { return Ok(None) };
        let Some(cluster) = Cluster::new(test).await? else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("sqs").tempdir_in("/tmp")?;
        let keys = [("id", "test"), ("secret", "test")];
        std::fs::create_dir(folder.path().join("sqs"))?;
        for (key, value) in keys {
            std::fs::write(folder.path().join("sqs").join(key), value)?;
        }
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws"},
            "stringData": {"id": "test", "secret": "test"}});
        cluster.apply(&secret).await?;
        let transports = json!({"transports": {"sqs": {"enabled": true, "config": {
            "region": "us-east-1", "endpoint": endpoint, "credentials": {
                "accessKeyIdSecretRef": {"name": "aws", "key": "id"},
                "secretAccessKeySecretRef": {"name": "aws", "key": "secret"}}}}}});
        let settings = Settings::of(&cluster)
            .env("ASYA_TRANSPORT_CONFIG", &transports.to_string())
            .env("ASYA_TRANSPORT_SECRETS_DIR", &folder.path().to_string_lossy())
            .env("ASYA_RUNTIME_SCRIPT_PATH", &pods::runtime(folder.path()).await?);
        Ok(Some(Self { cluster, settings, endpoint, folder }))
    }

    /// Applies an actor on SQS, without scaling.
    async fn apply(&self, name: &str, handler: &str, replicas: u32) -> Result<()> {
        let mut object = actor(name).json();
        object["spec"]["transport"] = json!("sqs");
        object["spec"]["deletionPolicy"] = json!("Delete");
        object["spec"]["workload"]["replicas"] = json!(replicas);
        object["spec"]["workload"]["template"]["spec"]["containers"] = json!([{"name": "asya-runtime", "image": "python:3.13-slim",
                "env": [{"name": "ASYA_HANDLER", "value": handler}]}]);
        self.cluster.apply(&object).await?;
        Ok(())
    }

    /// Runs `asya` as a person would, against the same server.
    async fn asya(&self, arguments: &[&str]) -> Result<Output> {
        let host = self.endpoint.trim_start_matches("http://").trim_end_matches('/');
        let output = Command::new(program("asya")?)
            .args(arguments)
            .args(["--output", "json", "--transport", &format!("sqs://{host}?region=us-east-1")])
            .envs([("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")])
            .env("ASYA_QUEUE_TEMPLATE", "asya-{namespace}-{actor}")
            .env("ASYA_NAMESPACE", &self.cluster.namespace)
            .output()
            .await?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output)
    }

    /// How many messages wait for an actor; an error without its queue.
    async fn waiting(&self, actor: &str) -> Result<u64> {
        let output = self.asya(&["queues", actor]).await?;
        let line: Value = serde_json::from_slice(&output.stdout)?;
        line["ready"].as_u64().with_context(|| format!("a number of messages in {line}"))
    }

    async fn until_waiting(&self, actor: &str, wanted: u64) -> Result<()> {
        eventually(&format!("{wanted} messages wait for {actor}"), async || {
            Ok((self.waiting(actor).await? == wanted).then_some(()))
        })
        .await
        .with_context(|| kubelet_log(self.folder.path()))
    }
}

fn kubelet_log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("kubelet.log")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_goes_its_route_over_sqs_and_its_queues_go() -> Result<()> {
    let Some(stage) = Stage::set("sqs").await? else { return Ok(()) };
    let cluster = &stage.cluster;
    let operator = Operator::start(&stage.settings).await?;
    stage.apply("first", "handlers.echo", 1).await?;
    stage.apply("second", "handlers.echo", 1).await?;
    stage.apply("happy-end", "handlers.echo", 0).await?;
    let _kubelet = pods::kubelet(cluster, stage.folder.path())?;
    for name in ["first", "second"] {
        cluster.until_word(name, "Running").await.with_context(|| kubelet_log(stage.folder.path()))?;
    }

    stage.asya(&["send", "first,second", "1", "2", "3"]).await?;
    stage.until_waiting("happy-end", 3).await?;
    stage.asya(&["purge", "happy-end", "--yes"]).await?;
    stage.until_waiting("happy-end", 0).await?;

    for name in ["first", "second", "happy-end"] {
        cluster.delete("AsyncActor", name).await?;
    }
    // The actor itself goes when its dead-letter queue, which is never deleted with messages, was found empty three times,
    // a minute apart.
    for name in ["first", "second", "happy-end"] {
        let what = format!("the queue of {name} is gone");
        let gone = eventually(&what, async || Ok(stage.waiting(name).await.is_err().then_some(()))).await;
        gone.with_context(|| operator.log())?;
    }
    Ok(())
}
