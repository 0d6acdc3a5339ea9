//! Binding mode on a real API server: the sidecar joins a Deployment that somebody else made, and leaves it again.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use anyhow::{Context, Result};
use asya_tests::{
    broker,
    cluster::{Cluster, eventually},
    operator::{Operator, Settings},
    pods,
};
use serde_json::{Value, json};

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

fn deployment(image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "vllm", "labels": {"team": "llm"}, "annotations": {"mine": "yes"}},
        // No kubelet makes pods ready here, so a rolling update would keep one more of them for ever.
        "spec": {"replicas": 2, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": {"app": "vllm"}}, "template": {
            "metadata": {"labels": {"app": "vllm"}},
            "spec": {
                "terminationGracePeriodSeconds": 90,
                "volumes": [{"name": "models", "emptyDir": {}}],
                "containers": [{"name": "server", "image": image, "command": ["serve"],
                    "volumeMounts": [{"name": "models", "mountPath": "/models"}]}],
            }}},
    })
}

fn binding(container: Option<&str>) -> Value {
    let mut target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"});
    if let Some(container) = container {
        target["container"] = json!(container);
    }
    json!({
        "apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": {"name": "llm"},
        "spec": {"transport": "rabbitmq", "workloadRef": target},
    })
}

fn has_sidecar(object: &Value) -> bool {
    let containers = object["spec"]["template"]["spec"]["initContainers"].as_array();
    containers.into_iter().flatten().any(|container| container["name"] == "asya-sidecar")
}

/// What a person wrote or sees: the spec, labels and annotations, without what the controllers count.
fn visible(object: &Value) -> Value {
    let mut annotations = object["metadata"]["annotations"].clone();
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    json!({"spec": object["spec"], "labels": object["metadata"]["labels"], "annotations": annotations})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_deployment_gets_the_sidecar_and_nothing_else_and_is_given_back() -> Result<()> {
    let cluster = cluster!("binding");
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&binding(None)).await?;
    cluster.until_condition("llm", "WorkloadReady", "False", "WorkloadNotFound").await?;
    cluster.apply(&deployment("vllm:1")).await?;
    let before = cluster.until("Deployment", "vllm", "exists", |_| true).await?;

    cluster.apply(&binding(Some("other"))).await?;
    cluster.until_condition("llm", "WorkloadReady", "False", "ContainerNotFound").await?;
    cluster.apply(&binding(None)).await?;
    let bound = cluster.until("Deployment", "vllm", "has the sidecar", has_sidecar).await?;
    let (spec, was) = (&bound["spec"], &before["spec"]);
    assert_eq!(spec["replicas"], was["replicas"]);
    assert_eq!(spec["selector"], was["selector"]);
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    let server = &pod["containers"][0];
    assert_eq!(server["command"], json!(["serve"]));
    assert_eq!(server.get("env"), None, "what it is told is its owner's");
    let mounts: Vec<_> =
        server["volumeMounts"].as_array().unwrap().iter().map(|it| &it["mountPath"]).collect();
    assert_eq!(mounts.len(), 2);
    assert!(mounts.contains(&&json!("/models")) && mounts.contains(&&json!("/var/run/asya")), "{mounts:?}");
    assert_eq!(pod["terminationGracePeriodSeconds"], 90);
    let env = pod["initContainers"][0]["env"].as_array().unwrap();
    let grace = env.iter().find(|var| var["name"] == "ASYA_GRACE").unwrap();
    assert_eq!(grace["value"], "82s", "as long as its pods have, less the time to settle");

    let seen = cluster
        .until("AsyncActor", "llm", "sees the workload", |found| found["status"]["totalReplicas"] == 2)
        .await?;
    assert_eq!(seen["status"]["workloadRef"]["name"], "vllm");
    cluster.edit("Deployment", "vllm", &json!({"spec": {"replicas": 3}})).await?;
    cluster
        .until("AsyncActor", "llm", "sees the third pod", |found| found["status"]["totalReplicas"] == 3)
        .await?;
    let version = cluster.get("Deployment", "vllm").await?.unwrap()["metadata"]["generation"].clone();
    cluster.apply(&deployment("vllm:2")).await?;
    let next = cluster
        .until("Deployment", "vllm", "is its owner's next version", |found| {
            found["spec"]["template"]["spec"]["containers"][0]["image"] == "vllm:2"
        })
        .await?;
    assert!(has_sidecar(&next) && next["metadata"]["generation"].as_i64() > version.as_i64());

    cluster.delete("AsyncActor", "llm").await?;
    cluster.until_gone("AsyncActor", "llm").await?;
    let after = cluster.get("Deployment", "vllm").await?.unwrap();
    let mut was = visible(&before);
    was["spec"]["template"]["spec"]["containers"][0]["image"] = json!("vllm:2");
    assert_eq!(visible(&after), was, "as if nobody had been there\n{}", operator.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_that_insists_on_a_workload_without_the_sidecar_is_given_way() -> Result<()> {
    let cluster = cluster!("contested");
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&deployment("vllm:1")).await?;
    cluster.apply(&binding(None)).await?;
    for _ in 0..3 {
        cluster.until("Deployment", "vllm", "has the sidecar", has_sidecar).await?;
        // As `kubectl replace` does: all that the manifest does not say goes, our label, too.
        let whole = deployment("vllm:1");
        cluster.replace("Deployment", "vllm", &whole).await?;
    }
    cluster.until_condition("llm", "WorkloadReady", "False", "Contested").await?;
    let left = cluster.get("Deployment", "vllm").await?.unwrap();
    assert!(!has_sidecar(&left), "it was given way");
    Ok(())
}

/// A server as somebody else writes it: it knows nothing of envelopes.
const SHOUT: &str = "
import http.server, json, sys

class Shout(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        payload = json.loads(self.rfile.read(int(self.headers['content-length'])))
        answer = json.dumps({'path': self.path, 'id': self.headers['x-asya-envelope-id'], 'text': payload.upper()}).encode()
        self.send_response(200)
        self.send_header('content-length', str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), Shout).serve_forever()
";

#[tokio::test(flavor = "multi_thread")]
async fn an_envelope_goes_through_a_bound_http_server_that_knows_nothing_of_it() -> Result<()> {
    let cluster = cluster!("binding-http");
    let Some(url) = asya_tests::server("ASYA_TEST_RABBITMQ_URL") else { return Ok(()) };
    let folder = tempfile::Builder::new().prefix("http").tempdir_in("/tmp")?;
    let (_connection, channel) = broker::connect(&url).await?;
    let (actor, end) = (format!("{}-llm", cluster.namespace), format!("{}-happy-end", cluster.namespace));
    broker::declare(&channel, &end).await?;
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    let _kubelet = pods::kubelet(&cluster, folder.path())?;
    let log = || std::fs::read_to_string(folder.path().join("kubelet.log")).unwrap_or_default();

    // Free a moment ago; the test has no pod network in which a number could be chosen.
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await?.local_addr()?.port();
    let mut workload = deployment("shout:1");
    workload["spec"]["replicas"] = json!(1);
    let pod = &mut workload["spec"]["template"]["spec"];
    pod["terminationGracePeriodSeconds"] = json!(12);
    pod["containers"][0]["command"] = json!(["python3", "-c", SHOUT, port.to_string()]);
    cluster.apply(&workload).await?;
    let mut bound = binding(None);
    bound["spec"]["workloadRef"]["http"] = json!({"port": port, "path": "/shout"});
    cluster.apply(&bound).await?;
    let seen = cluster.until("Deployment", "vllm", "has the sidecar", has_sidecar).await?;
    let containers = &seen["spec"]["template"]["spec"]["containers"];
    assert_eq!(containers[0]["volumeMounts"].as_array().unwrap().len(), 1, "its own mount: {containers}");
    cluster.until_word("llm", "Running").await.with_context(log)?;

    let envelope = json!({"id": "e-1", "route": {"actors": ["llm"], "current": 0}, "payload": "hello"});
    broker::publish(&channel, &actor, [envelope.to_string()]).await?;
    let queue = format!("asya-{end}");
    let result =
        eventually("the result is there", async || broker::take(&queue).await).await.with_context(log)?;
    assert_eq!(result["payload"], json!({"path": "/shout", "id": "e-1", "text": "HELLO"}));
    cluster.delete("AsyncActor", "llm").await?;
    broker::remove(&queue).await?;
    broker::remove(&format!("asya-{actor}")).await
}
