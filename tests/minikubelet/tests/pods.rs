//! Pods on the real API server, run by the real program.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::collections::BTreeSet;
use std::fs;

use bench::{Bench, LIMIT, until};
use futures::AsyncReadExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use serde_json::{Value, json};

/// Writes a line at its start and at SIGTERM, which ends it.
fn noted(name: &str) -> Value {
    let script = format!(
        "trap 'echo {name} SIGTERM >>/events/log; exit 0' TERM; echo {name} start >>/events/log; while :; do sleep 0.05; done"
    );
    json!({"name": name, "image": "x", "command": ["sh", "-c", script], "volumeMounts": [{"name": "events", "mountPath": "/events"}]})
}

fn hook(script: &str) -> Value {
    json!({"preStop": {"exec": {"command": ["sh", "-c", script]}}})
}

#[tokio::test]
async fn a_pod_starts_and_ends_in_the_kubelets_order() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let log = bench.folder().join("log");
    let mut sidecar = noted("sidecar");
    sidecar["restartPolicy"] = json!("Always");
    sidecar["startupProbe"] =
        json!({"exec": {"command": ["sh", "-c", "sleep 0.2; echo probed >>/events/log"]}});
    sidecar["lifecycle"] = hook("echo sidecar preStop >>/events/log");
    let mut main = noted("main");
    main["lifecycle"] = hook("sleep 0.3; echo main preStop >>/events/log");
    let prepare = json!({"name": "prepare", "image": "x", "command": ["sh", "-c", "echo prepared >>/events/log"],
        "volumeMounts": main["volumeMounts"]});
    let name = bench
        .create(json!({"initContainers": [prepare, sidecar], "containers": [main],
            "volumes": [{"name": "events", "hostPath": {"path": bench.folder()}}]}))
        .await;
    let lines =
        || fs::read_to_string(&log).unwrap_or_default().lines().map(str::to_owned).collect::<Vec<_>>();

    bench.condition(&name, "Ready", "True").await;
    assert_eq!(lines(), ["prepared", "sidecar start", "probed", "main start"]);
    bench.delete(&name).await;
    assert_eq!(lines()[4..], ["sidecar preStop", "main preStop", "main SIGTERM", "sidecar SIGTERM"]);
    bench.end().await;
}

#[tokio::test]
async fn a_container_that_fails_is_started_again_and_again() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let name = bench
        .create(json!({"containers": [{"name": "main", "image": "x", "command": ["sh", "-c", "exit 3"]},
            {"name": "unknown", "image": "y"}]}))
        .await;
    let pod = bench.when(&name, |pod| waiting(pod, 0).as_deref() == Some("CrashLoopBackOff")).await;
    let status = &pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap()[0];
    assert!(status.restart_count >= 1);
    assert_eq!(status.last_state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 3);
    assert_eq!(
        waiting(&pod, 1).as_deref(),
        Some("ErrImagePull"),
        "no program stands for the second container"
    );
    bench.when(&name, |pod| restarts(pod) >= 3).await;
    bench.end().await;
}

#[tokio::test]
async fn a_pod_whose_work_is_done_succeeds_and_its_sidecar_is_told() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let mut sidecar = noted("sidecar");
    sidecar["restartPolicy"] = json!("Always");
    let name = bench
        .create(json!({"restartPolicy": "Never", "initContainers": [sidecar],
            "containers": [{"name": "main", "image": "x", "command": ["true"]}],
            "volumes": [{"name": "events", "hostPath": {"path": bench.folder()}}]}))
        .await;
    bench.when(&name, |pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Succeeded")).await;
    assert!(fs::read_to_string(bench.folder().join("log")).unwrap().ends_with("sidecar SIGTERM\n"));
    bench.end().await;
}

#[tokio::test]
async fn a_secret_is_waited_for_and_followed() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let script = "while :; do echo \"$WORD $(cat $FILE/word)\" >/events/log; sleep 0.1; done";
    let name = bench
        .create(json!({"containers": [{"name": "main", "image": "x", "command": ["sh", "-c", script],
            "env": [{"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "late", "key": "word"}}},
                {"name": "FILE", "value": "/var/run/secret"}],
            "volumeMounts": [{"name": "events", "mountPath": "/events"}, {"name": "secret", "mountPath": "/var/run/secret"}]}],
            "volumes": [{"name": "events", "hostPath": {"path": bench.folder()}},
                {"name": "secret", "secret": {"secretName": "late", "optional": true}}]}))
        .await;
    bench.when(&name, |pod| waiting(pod, 0).as_deref() == Some("CreateContainerConfigError")).await;
    let said = || fs::read_to_string(bench.folder().join("log")).unwrap_or_default();
    bench.secret("late", "word", "first").await;
    until("the secret is seen", async || said() == "first first\n").await;
    bench.secret("late", "word", "second").await;
    until("the file follows, the variable does not", async || said() == "first second\n").await;
    bench.end().await;
}

#[tokio::test]
async fn pods_listen_on_the_same_port_at_addresses_of_their_own() {
    let Some(bench) = Bench::start(&["--command", "web=python3 -m http.server"]).await else { return };
    let web = json!({"containers": [{"name": "web", "image": "x", "args": ["8080", "--bind", "$(IP)", "--directory", "/www"],
        "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/index.html", "port": "http"}, "periodSeconds": 1},
        "volumeMounts": [{"name": "www", "mountPath": "/www"}]}],
        "volumes": [{"name": "www", "configMap": {"name": "www"}}]});
    let names = [bench.create(web.clone()).await, bench.create(web).await];
    bench.config_map("www", "index.html", "hello").await;
    let mut addresses = BTreeSet::new();
    for name in &names {
        let pod = bench.condition(name, "Ready", "True").await;
        addresses.insert(pod.status.unwrap().pod_ip.unwrap());
    }
    assert_eq!(addresses.len(), 2);
    bench.config_map("www", "index.html", "").await;
    bench.end().await;
}

#[tokio::test]
async fn what_a_container_prints_is_read_through_the_api_server() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let script = "echo one; echo two; while [ ! -e /events/go ]; do sleep 0.05; done; echo three";
    let name = bench
        .create(json!({"restartPolicy": "Never", "containers": [{"name": "main", "image": "x", "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "events", "mountPath": "/events"}]}],
            "volumes": [{"name": "events", "hostPath": {"path": bench.folder()}}]}))
        .await;
    bench.condition(&name, "Ready", "True").await;
    let pods = bench.pods();
    until("both lines are there", async || {
        pods.logs(&name, &LogParams::default()).await.is_ok_and(|text| text == "one\ntwo\n")
    })
    .await;
    let last = LogParams { tail_lines: Some(1), ..LogParams::default() };
    assert_eq!(pods.logs(&name, &last).await.unwrap(), "two\n");

    let follow = LogParams { follow: true, ..LogParams::default() };
    let mut stream = Box::pin(pods.log_stream(&name, &follow).await.unwrap());
    fs::write(bench.folder().join("go"), "").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "one\ntwo\nthree\n", "followed to the container's end");
    bench.end().await;
}

#[tokio::test]
async fn no_process_outlives_a_kubelet_that_is_killed() {
    let Some(mut bench) = Bench::start(&[]).await else { return };
    let mark = format!("777777.{}", std::process::id());
    let name = bench
        .create(json!({"containers": [{"name": "main", "image": "x", "command": ["sleep", mark]}]}))
        .await;
    bench.condition(&name, "Ready", "True").await;
    assert!(runs(&mark));
    bench.kill().await;
    until("its process is gone", async || !runs(&mark)).await;
    bench.restart();
    // The pod is still bound to the node, so the next kubelet of that name runs it again.
    until("the pod runs again", async || runs(&mark)).await;
    bench.end().await;
    assert!(!runs(&mark), "the end within {LIMIT:?} left nothing");
}

fn waiting(pod: &Pod, container: usize) -> Option<String> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.get(container)?.state.as_ref()?.waiting.as_ref()?.reason.clone()
}

fn restarts(pod: &Pod) -> i32 {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    statuses.and_then(|statuses| statuses.first()).map_or(0, |status| status.restart_count)
}

/// Whether a process has this argument.
fn runs(argument: &str) -> bool {
    let arguments = |entry: fs::DirEntry| fs::read(entry.path().join("cmdline")).ok();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(arguments)
        .any(|line| line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes()))
}
