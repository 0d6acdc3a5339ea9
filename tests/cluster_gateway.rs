//! A gateway on a real API server: the actors of its namespace are known with their states, and without the right to see
//! them everything else goes on and says so.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use anyhow::{Context as _, Result};
use asya_tests::{
    cluster::{Cluster, actor, control, eventually},
    process::program,
};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    sync::watch,
};

/// The way to the API server, which can be cut: a watch that is under way is not asked for its rights again.
struct Way {
    address: SocketAddr,
    cut: watch::Sender<()>,
}

impl Way {
    async fn to(server: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (cut, cuts) = watch::channel(());
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (server, mut cuts) = (server.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(server).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Ok(Self { address, cut })
    }
}

/// A gateway with the rights of a user who has none at first.
struct Gateway {
    address: SocketAddr,
    way: Way,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Gateway {
    async fn start(cluster: &Cluster, user: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let kubeconfig: PathBuf = control(&["kubeconfig", user]).await?.into();
        let text = std::fs::read_to_string(kubeconfig)?;
        let (_, rest) = text.split_once("https://").context("a kubeconfig names its server")?;
        let server = rest.split('"').next().unwrap_or_default().to_owned();
        let way = Way::to(server.clone()).await?;
        let own = folder.path().join("kubeconfig");
        std::fs::write(&own, text.replace(&server, &way.address.to_string()))?;
        let tools = folder.path().join("tools.yaml");
        std::fs::write(&tools, "tools: [{name: hello, route: [ocr]}]")?;
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let process = Command::new(program("asya-gateway")?)
            .env_clear()
            .env("ASYA_GATEWAY_BIND", "127.0.0.1")
            .env("ASYA_GATEWAY_PORT", address.port().to_string())
            .env("ASYA_TRANSPORT", "local")
            .env("ASYA_LOCAL_PATH", folder.path().join("queue.db"))
            .env("ASYA_CONFIG_PATH", tools)
            .env("ASYA_QUEUE_TEMPLATE", "asya-{namespace}-{actor}")
            .env("ASYA_NAMESPACE", &cluster.namespace)
            .env("ASYA_GATEWAY_KUBERNETES", "on")
            .env("KUBECONFIG", own)
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { address, way, _process: process, _folder: folder })
    }

    async fn get(&self, path: &str) -> Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        let host = self.address;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "{path}: {text}");
        Ok(text.split_once("\r\n\r\n").context("an answer has a body")?.1.to_owned())
    }

    /// Waits until what is told of actors is so.
    async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let told = async || {
            let told: Value = serde_json::from_str(&self.get("/api/v1/actors").await?)?;
            Ok(wanted(&told).then_some(told))
        };
        match eventually(what, told).await {
            Ok(told) => Ok(told),
            Err(error) => Err(error.context(self.get("/api/v1/actors").await.unwrap_or_default())),
        }
    }
}

fn named<'a>(told: &'a Value, name: &str) -> &'a Value {
    let actors = told["actors"].as_array().map(Vec::as_slice).unwrap_or_default();
    actors.iter().find(|actor| actor["name"] == name).unwrap_or(&Value::Null)
}

fn forbidden(told: &Value) -> bool {
    told["warnings"][0].as_str().is_some_and(|text| text.contains("may not list and watch asyncactors"))
}

/// What an operator would say of the actor.
async fn says(cluster: &Cluster, name: &str, status: Value) -> Result<()> {
    let patch = Patch::Merge(json!({ "status": status }));
    cluster.api("AsyncActor").patch_status(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn actors_of_the_cluster_are_known_as_long_as_they_may_be_seen() -> Result<()> {
    let Some(cluster) = Cluster::new("seen").await? else { return Ok(()) };
    let user = format!("gateway-{}", cluster.namespace);
    let gateway = Gateway::start(&cluster, &user).await?;
    let told = gateway.until("a missing right is told", forbidden).await?;
    let warning = told["warnings"][0].as_str().unwrap();
    assert!(warning.contains("kubernetes.enabled") && warning.contains(&user), "{warning}");
    assert_eq!(named(&told, "ocr")["status"], Value::Null, "a tool names it");
    assert!(gateway.get("/").await?.contains("<html"), "the page is there");

    // As the chart's.
    let rbac = "rbac.authorization.k8s.io";
    let role = json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": "gateway"},
        "rules": [{"apiGroups": ["asya.sh"], "resources": ["asyncactors"], "verbs": ["get", "list", "watch"]}]});
    let binding = json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": "gateway"},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "gateway"},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": user}]});
    cluster.apply(&role).await?;
    cluster.apply(&binding).await?;
    cluster.apply(&actor("ocr").scaling(1..=4).json()).await?;
    let queue = json!({"transport": "rabbitmq", "name": format!("asya-{}-ocr", cluster.namespace)});
    says(
        &cluster,
        "ocr",
        json!({"status": "Running", "readyReplicas": 2, "desiredReplicas": 2,
        "queuedMessages": 7, "queue": queue}),
    )
    .await?;
    let told = gateway.until("its state is told", |told| named(told, "ocr")["status"] == "Running").await?;
    let ocr = named(&told, "ocr");
    assert_eq!(told["warnings"], Value::Null);
    let numbers =
        ["ready", "desired", "min_replicas", "max_replicas", "queued"].map(|field| ocr[field].as_u64());
    assert_eq!(numbers, [2, 2, 1, 4, 7].map(Some), "{ocr}");
    assert_eq!((&ocr["queue"], &ocr["namespace"]), (&queue["name"], &json!(cluster.namespace)));

    // An actor that no tool names, and one that is not well any more.
    cluster.apply(&actor("mail").json()).await?;
    let condition = json!({"type": "WorkloadReady", "status": "False", "reason": "PodsNotReady",
        "message": "1 of 2 pods is not ready", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    says(&cluster, "ocr", json!({"status": "Degraded", "readyReplicas": 1, "conditions": [condition]}))
        .await?;
    let told = gateway
        .until("a change is told", |told| {
            named(told, "ocr")["status"] == "Degraded" && !named(told, "mail").is_null()
        })
        .await?;
    let problem = &named(&told, "ocr")["problems"][0];
    assert_eq!(
        (&problem["reason"], &problem["condition"]),
        (&json!("PodsNotReady"), &json!("WorkloadReady"))
    );
    let metrics = gateway.get("/metrics").await?;
    let line = format!("kubernetes_actors{{namespace=\"{}\"}} 2", cluster.namespace);
    assert!(metrics.contains(&line), "{metrics}");
    cluster.delete("AsyncActor", "mail").await?;
    gateway.until("it is gone", |told| named(told, "mail").is_null()).await?;

    cluster.delete("RoleBinding", "gateway").await?;
    gateway.way.cut.send_replace(());
    let told = gateway
        .until("a right that was taken away is told", |told| {
            forbidden(told) && named(told, "ocr")["ready"].is_null()
        })
        .await?;
    assert_eq!(named(&told, "ocr")["status"], Value::Null, "what may not be seen is not told");
    assert!(gateway.get("/").await?.contains("<html"), "the page is there");
    Ok(())
}
