//! A real API server under watch: what breaks is told, what is well again is told, and what may not be read is not closed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    path::PathBuf,
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use asya_analysis::{Evaluation, ObjectRef, Selection, Step, Unverified};
use asya_cluster::{Api, Catalogue, Patience, Watch, WatchOptions};
use asya_tests::{
    cluster::{Cluster, LIMIT, client, control, eventually},
    process::{program, root},
};
use kube::Client;
use serde_json::{Value, json};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

/// What is told of one namespace; the test cluster has others.
struct Told {
    namespace: String,
    steps: mpsc::Receiver<Step>,
    watch: JoinHandle<()>,
}

impl Told {
    async fn by(client: Client, cluster: &Cluster, analyzers: &[&str]) -> Result<Self> {
        let catalogue = Catalogue::read(&Api::new(client.clone(), Patience::default())).await?;
        let selection = Selection::new(analyzers, &[], &[])?;
        let options = WatchOptions { debounce: Duration::from_millis(50), ..WatchOptions::default() };
        let (sender, steps) = mpsc::channel(64);
        let watch = tokio::spawn(Watch::new(client, catalogue, selection, options).run(sender));
        Ok(Self { namespace: cluster.namespace.clone(), steps, watch })
    }

    async fn next(&mut self) -> Result<Step> {
        loop {
            let step =
                timeout(LIMIT, self.steps.recv()).await.context("nothing was told")?.context("it ended")?;
            let object = match &step {
                Step::Look(looked) => &looked.evaluation.object,
                Step::Gone(object) => object,
                Step::Live(_) => continue,
            };
            if object.namespace.as_ref() == Some(&self.namespace) {
                return Ok(step);
            }
        }
    }

    /// The next evaluation with these failures.
    async fn until(&mut self, codes: &[&str]) -> Result<Evaluation> {
        loop {
            if let Step::Look(looked) = self.next().await? {
                let found: Vec<&str> =
                    looked.evaluation.report.failures().iter().map(|it| it.code.as_str()).collect();
                if found == codes {
                    return Ok(looked.evaluation);
                }
            }
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn pod(cluster: &Cluster) -> Result<()> {
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {
        "automountServiceAccountToken": false, "containers": [{"name": "c", "image": "registry.example/none:1"}]}});
    eventually("the namespace takes pods", async || Ok(Some(cluster.apply(&pod).await?))).await?;
    Ok(())
}

/// What a kubelet would say of the pod's container.
async fn says(cluster: &Cluster, state: Value, ready: bool) -> Result<()> {
    let status = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "status": {"phase": "Pending",
        "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": ready, "restartCount": 0, "state": state}]}});
    let patch = kube::api::Patch::Merge(&status);
    cluster.api("Pod").patch_status("web", &kube::api::PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn what_breaks_is_told_and_what_it_depends_on_too() -> Result<()> {
    let cluster = cluster!("watch");
    let mut told = Told::by(cluster.client.clone(), &cluster, &["Pod"]).await?;
    pod(&cluster).await?;
    told.until(&[]).await?;
    says(&cluster, json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}), false).await?;
    let found = told.until(&["ImagePullFails"]).await?;
    assert_eq!(
        found.report.failures()[0].evidence[0].path,
        ".status.containerStatuses[0].state.waiting.reason"
    );
    says(&cluster, json!({"waiting": {"reason": "ContainerCreating"}}), false).await?;
    told.until(&[]).await?;
    let uid = cluster.get("Pod", "web").await?.unwrap()["metadata"]["uid"].clone();
    let event = json!({"metadata": {"name": "web.1", "namespace": cluster.namespace}, "type": "Warning",
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": "web", "namespace": cluster.namespace, "uid": uid},
        "reason": "FailedMount", "message": "secret \"db\" not found", "lastTimestamp": "2026-01-01T00:00:00Z"});
    let event: k8s_openapi::api::core::v1::Event = serde_json::from_value(event)?;
    kube::Api::namespaced(cluster.client.clone(), &cluster.namespace)
        .create(&kube::api::PostParams::default(), &event)
        .await?;
    told.until(&["VolumeMountFails"]).await?;
    cluster.delete("Pod", "web").await?;
    loop {
        if let Step::Gone(object) = told.next().await? {
            assert_eq!(object.name, "web");
            return Ok(());
        }
    }
}

#[tokio::test]
async fn who_begins_to_watch_tells_which_objects_there_are() -> Result<()> {
    let cluster = cluster!("live");
    pod(&cluster).await?;
    let mut told = Told::by(cluster.client.clone(), &cluster, &["Pod"]).await?;
    loop {
        let step =
            timeout(LIMIT, told.steps.recv()).await.context("nothing was told")?.context("it ended")?;
        let Step::Live(live) = step else { continue };
        if !live.kind.is::<k8s_openapi::api::core::v1::Pod>() {
            continue;
        }
        let of = |name| ObjectRef::of::<k8s_openapi::api::core::v1::Pod>(Some(&cluster.namespace), name);
        if live.until.is_none() {
            assert!(!live.misses(&of("web")) && live.misses(&of("went-before")));
            return Ok(());
        }
    }
}

#[tokio::test]
async fn what_may_not_be_read_is_in_doubt() -> Result<()> {
    let cluster = cluster!("doubt");
    let user = format!("watcher-{}", cluster.namespace);
    let kubeconfig: PathBuf = control(&["kubeconfig", &user]).await?.into();
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": user}, "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user}});
    let post = kube::api::PostParams::default();
    let roles: kube::Api<k8s_openapi::api::rbac::v1::ClusterRole> = kube::Api::all(cluster.client.clone());
    roles.create(&post, &serde_json::from_value(role)?).await?;
    let bindings: kube::Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> =
        kube::Api::all(cluster.client.clone());
    bindings.create(&post, &serde_json::from_value(binding)?).await?;
    pod(&cluster).await?;
    says(&cluster, json!({"waiting": {"reason": "ContainerCreating"}}), false).await?;
    let mut told = Told::by(client(&kubeconfig).await?, &cluster, &["Pod"]).await?;
    let found = loop {
        let found = told.until(&[]).await?;
        if found.report.doubts().iter().any(|doubt| doubt.why == Unverified::Forbidden) {
            break found;
        }
    };
    assert_eq!(found.report.doubts()[0].code, "VolumeMountFails", "events may not be listed");
    bindings.delete(&user, &kube::api::DeleteParams::default()).await?;
    roles.delete(&user, &kube::api::DeleteParams::default()).await?;
    Ok(())
}

/// A server that takes every request; the findings it was sent.
fn webhook() -> Result<(String, std::sync::mpsc::Receiver<Value>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = format!("http://{}/", listener.local_addr()?);
    let (sender, bodies) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            let (mut line, mut length) = (String::new(), 0);
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(given) = line.to_lowercase().strip_prefix("content-length:") {
                    length = given.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
            reader.get_mut().write_all(answer).unwrap();
            let body: Value = serde_json::from_slice(&body).unwrap();
            for told in body["findings"].as_array().unwrap() {
                if sender.send(told.clone()).is_err() {
                    return;
                }
            }
        }
    });
    Ok((address, bodies))
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_watches_a_cluster_and_posts_what_breaks_and_what_heals() -> Result<()> {
    let cluster = cluster!("posted");
    let (address, bodies) = webhook()?;
    let folder = tempfile::tempdir()?;
    let example = std::fs::read_to_string(root().join("examples/watch-cluster/actors.yaml"))?;
    let own = example.replace("http://localhost:9000/", &address).replace("value: 30s", "value: 0s");
    std::fs::write(folder.path().join("actors.yaml"), own)?;
    let log = std::fs::File::create(folder.path().join("log"))?;
    let mut up = Command::new(program("asya")?)
        .args(["up", "--gateway", "off", "."])
        .current_dir(folder.path())
        .env("KUBECONFIG", &cluster.kubeconfig)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let said = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    // Of this namespace: the test cluster has others.
    let next = |change: &str| -> Result<Value> {
        loop {
            let body = bodies.recv_timeout(LIMIT).with_context(|| format!("nothing posted:\n{}", said()))?;
            if body["finding"]["object"]["namespace"] == cluster.namespace.as_str() {
                anyhow::ensure!(body["change"] == change, "{body}");
                return Ok(body);
            }
        }
    };
    pod(&cluster).await?;
    says(&cluster, json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}), false).await?;
    let opened = next("opened")?;
    assert_eq!(opened["finding"]["cluster"], "my-cluster");
    assert_eq!(opened["finding"]["object"]["name"], "web");
    assert_eq!(opened["finding"]["failures"][0]["code"], "ImagePullFails");
    assert_eq!(opened["explanation"]["provider"], "noop");
    says(&cluster, json!({"running": {}}), true).await?;
    next("resolved")?;
    up.kill()?;
    up.wait()?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_the_user_look_at_what_changes_and_their_findings_heal() -> Result<()> {
    let cluster = cluster!("custom");
    let (address, bodies) = webhook()?;
    let folder = tempfile::tempdir()?;
    let example = root().join("examples/custom-analyzer");
    let own = std::fs::read_to_string(example.join("actors.yaml"))?;
    let own = own.replace("http://localhost:9000/", &address).replace("value: 30s", "value: 0s");
    std::fs::write(folder.path().join("actors.yaml"), own)?;
    std::fs::copy(example.join("policies.py"), folder.path().join("policies.py"))?;
    let log = std::fs::File::create(folder.path().join("log"))?;
    let mut up = Command::new(program("asya")?)
        .args(["up", "--gateway", "off", "."])
        .current_dir(folder.path())
        .env("KUBECONFIG", &cluster.kubeconfig)
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let said = || std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    // Of this namespace, and of the analyzers of the example.
    let next = |change: &str| -> Result<Value> {
        loop {
            let body = bodies.recv_timeout(LIMIT).with_context(|| format!("nothing posted:\n{}", said()))?;
            let object = &body["finding"]["object"];
            let is_ours = object["group"].as_str().is_some_and(|group| group.ends_with("custom.asya.sh"));
            if is_ours && object["namespace"] == cluster.namespace.as_str() {
                anyhow::ensure!(body["change"] == change, "{body}");
                return Ok(body);
            }
        }
    };
    let image = async |image: &str| -> Result<()> {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {
            "automountServiceAccountToken": false, "containers": [{"name": "c", "image": image}]}});
        eventually("the namespace takes pods", async || Ok(Some(cluster.apply(&pod).await?))).await?;
        Ok(())
    };
    image("registry.example/none:latest").await?;
    let opened = next("opened")?;
    assert_eq!(opened["finding"]["failures"][0]["code"], "ImageNotPinned");
    // No built-in analyzer says something else of the pod by this.
    image("registry.example/none:1").await?;
    next("resolved")?;
    image("registry.example/none:latest").await?;
    next("opened")?;
    cluster.delete("Pod", "web").await?;
    next("resolved")?;
    up.kill()?;
    up.wait()?;
    Ok(())
}
