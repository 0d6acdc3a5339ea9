//! `asya analyze` against a real API server: what is broken is found, what may not be read is told, and the commands that
//! it prints give the missing right.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{path::PathBuf, process::Output};

use anyhow::{Context as _, Result};
use asya_tests::{
    cluster::{Cluster, LIMIT, control, eventually},
    process::program,
};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::process::Command;

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

/// Runs `asya analyze` in a namespace, within [`LIMIT`].
async fn analyze(kubeconfig: &PathBuf, namespace: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(program("asya")?);
    command.arg("analyze").args(arguments).args(["-n", namespace]).env("KUBECONFIG", kubeconfig);
    let output = tokio::time::timeout(LIMIT, command.kill_on_drop(true).output()).await;
    Ok(output.with_context(|| format!("asya analyze {arguments:?} did not end within {LIMIT:?}"))??)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("no JSON: {}{}", text(&output.stdout), text(&output.stderr)))
}

/// The names of the objects with a problem.
fn names(report: &Value) -> Vec<&str> {
    report["results"].as_array().unwrap().iter().map(|result| result["name"].as_str().unwrap()).collect()
}

/// A pod that no node runs, with the status that a kubelet would have written.
async fn pod(cluster: &Cluster, name: &str, status: Value) -> Result<DynamicObject> {
    let pods = cluster.api("Pod");
    let object = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        // Not the scheduler's: there may be one.
        "spec": {"schedulerName": "nobody", "containers": [{"name": "c", "image": "registry.invalid/c:1"}]}}))?;
    pods.create(&PostParams::default(), &object).await.with_context(|| format!("making pod {name}"))?;
    set_status(cluster, name, status).await
}

async fn set_status(cluster: &Cluster, name: &str, status: Value) -> Result<DynamicObject> {
    let patch = Patch::Merge(json!({"status": status}));
    let pods = cluster.api("Pod");
    pods.patch_status(name, &PatchParams::default(), &patch)
        .await
        .with_context(|| format!("status of pod {name}"))
}

fn container(ready: bool, state: Value, last: Value) -> Value {
    json!([{"name": "c", "image": "registry.invalid/c:1", "imageID": "", "ready": ready, "restartCount": 1,
        "state": state, "lastState": last}])
}

fn pulling() -> Value {
    let waiting = json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}});
    json!({"phase": "Pending", "containerStatuses": container(false, waiting, json!({}))})
}

fn creating() -> Value {
    let waiting = json!({"waiting": {"reason": "ContainerCreating"}});
    json!({"phase": "Pending", "containerStatuses": container(false, waiting, json!({}))})
}

fn running() -> Value {
    let state = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
    json!({"phase": "Running", "containerStatuses": container(true, state, json!({}))})
}

fn out_of_memory() -> Value {
    let crashed = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
    let last = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    json!({"phase": "Running", "containerStatuses": container(false, crashed, last)})
}

/// What a kubelet tells of a pod that waits for a volume.
async fn mount_event(cluster: &Cluster, pod: &DynamicObject) -> Result<()> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("", "v1", "Event"), "events");
    let events: Api<DynamicObject> =
        Api::namespaced_with(cluster.client.clone(), &cluster.namespace, &resource);
    let event = serde_json::from_value(json!({"apiVersion": "v1", "kind": "Event",
        "metadata": {"name": format!("{}.1", pod.name_any())},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": cluster.namespace, "name": pod.name_any(),
            "uid": pod.uid()},
        "type": "Warning", "reason": "FailedMount", "message": "secret \"db\" not found",
        "lastTimestamp": "2026-01-01T00:00:00Z", "firstTimestamp": "2026-01-01T00:00:00Z", "count": 1,
        "source": {"component": "kubelet"}}))?;
    events.create(&PostParams::default(), &event).await.context("making an event")?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_is_found_with_evidence_and_is_gone_when_it_is_mended() -> Result<()> {
    let cluster = cluster!("analyze");
    pod(&cluster, "pulls", pulling()).await?;
    pod(&cluster, "memory", out_of_memory()).await?;
    let mounts = pod(&cluster, "mounts", creating()).await?;
    mount_event(&cluster, &mounts).await?;
    pod(&cluster, "fine", running()).await?;
    let run =
        |arguments: &'static [&'static str]| analyze(&cluster.kubeconfig, &cluster.namespace, arguments);
    let named = |pod: &str| format!("{}/{pod}", cluster.namespace);

    let output = run(&["--filter", "Pod", "-o", "json", "--with-doc"]).await?;
    let report = json_of(&output);
    assert_eq!(output.status.code(), Some(2), "{report:#}");
    assert_eq!(names(&report), [named("memory"), named("mounts"), named("pulls")], "{report:#}");
    assert_eq!((&report["status"], &report["errors"]), (&json!("ProblemDetected"), &json!([])));
    assert_eq!(report["unverified"]["count"], 0, "{report:#}");
    let failures = |n: usize| report["results"][n]["failures"].clone();
    assert_eq!(failures(2)[0]["code"], "ImagePullFails");
    assert_eq!(failures(2)[0]["evidence"][0]["path"], ".status.containerStatuses[0].state.waiting.reason");
    assert_eq!(
        (&failures(1)[0]["code"], &failures(1)[0]["text"]),
        (&json!("VolumeMountFails"), &json!("secret \"db\" not found"))
    );
    assert_eq!(failures(1)[0]["evidence"][1]["object"]["kind"], "Event");
    let documented = report["results"][0]["error"].as_array().unwrap().iter().any(|error| {
        error["KubernetesDoc"]
            .as_str()
            .is_some_and(|said| said.contains("maximum amount of compute resources"))
    });
    assert!(documented, "the field's description of the server itself: {:#}", report["results"][0]);
    // Discovery, namespace, version, pods, events, two documents: no list for each object.
    let requests = report["looked"]["requests"].as_u64().unwrap();
    assert!(requests <= 12, "{requests} requests for four pods");

    let labelled = json_of(&run(&["--filter", "Pod", "-l", "app=pulls", "-o", "json"]).await?);
    assert_eq!(
        (names(&labelled), &labelled["looked"]["objects"]),
        (vec![named("pulls").as_str()], &json!(1))
    );
    let sarif = json_of(&run(&["--filter", "Pod", "-o", "sarif"]).await?);
    assert_eq!(sarif["version"], "2.1.0");
    assert!(sarif["runs"][0]["results"].as_array().unwrap().len() >= 3, "{sarif:#}");
    let page = run(&["--filter", "Pod", "-o", "html"]).await?;
    assert!(
        text(&page.stdout).starts_with("<!doctype html>") && text(&page.stdout).contains("ImagePullFails")
    );
    let told = text(&run(&["--filter", "Pod"]).await?.stdout);
    assert!(told.contains(&format!("Pod {}", named("pulls"))) && !told.contains('\x1b'), "{told}");
    // All analyzers that run by default: whatever they say of an empty namespace, they can read it.
    let all = run(&["-o", "json"]).await?;
    assert_eq!(all.status.code(), Some(2), "{}", text(&all.stderr));
    let all = json_of(&all);
    assert_eq!(all["errors"], json!([]), "an administrator may list everything");
    for result in all["results"].as_array().unwrap() {
        for failure in result["failures"].as_array().unwrap() {
            assert!(failure["evidence"].as_array().is_some_and(|seen| !seen.is_empty()), "{failure:#}");
        }
    }

    for name in ["pulls", "memory", "mounts"] {
        set_status(&cluster, name, running()).await?;
    }
    let healed = run(&["--filter", "Pod"]).await?;
    assert_eq!(healed.status.code(), Some(0), "{}", text(&healed.stdout));
    assert_eq!(
        text(&healed.stdout).trim(),
        format!("no problems: looked at 4 objects in namespace {}", cluster.namespace)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_that_are_printed_give_the_right_that_was_missing() -> Result<()> {
    let cluster = cluster!("analyze-rights");
    let mounts = pod(&cluster, "mounts", creating()).await?;
    mount_event(&cluster, &mounts).await?;
    let kubeconfig = PathBuf::from(control(&["kubeconfig", "analyze-carol"]).await?);

    // Without any right nobody knows.
    let blind = analyze(&kubeconfig, &cluster.namespace, &["--filter", "Pod"]).await?;
    assert_eq!(blind.status.code(), Some(1), "{}{}", text(&blind.stdout), text(&blind.stderr));
    assert!(
        text(&blind.stdout).contains("could not look: list pods in namespace"),
        "{}",
        text(&blind.stdout)
    );

    for missing in ["pods", "events"] {
        let refused = analyze(&kubeconfig, &cluster.namespace, &["--filter", "Pod", "-o", "json"]).await?;
        let report = json_of(&refused);
        assert_eq!(report["results"], json!([]), "what may not be read is no problem");
        let commands: Vec<String> = serde_json::from_value(report["missingRights"]["commands"].clone())?;
        assert!(commands[0].ends_with(&format!("--verb=list --resource={missing}")), "{report:#}");
        // Another test's role of that name would not give this right: the names here are this namespace's.
        for command in &commands {
            let own = command.replace("asya-analyze", &format!("{}-{missing}", cluster.namespace));
            let words: Vec<&str> = own.split_whitespace().collect();
            assert_eq!(words[0], "kubectl");
            control(&words).await.with_context(|| own.clone())?;
        }
        // The authorizer sees a new role a moment later.
        let (kubeconfig, namespace) = (&kubeconfig, &cluster.namespace);
        eventually(&format!("analyze-carol may list {missing}"), || async move {
            let report = json_of(&analyze(kubeconfig, namespace, &["--filter", "Pod", "-o", "json"]).await?);
            let commands = report["missingRights"]["commands"].as_array().cloned().unwrap_or_default();
            Ok((!commands.iter().any(|command| command.to_string().contains(missing))).then_some(()))
        })
        .await?;
    }
    let seen = analyze(&kubeconfig, &cluster.namespace, &["--filter", "Pod"]).await?;
    assert_eq!(seen.status.code(), Some(2), "{}", text(&seen.stdout));
    assert!(text(&seen.stdout).contains("VolumeMountFails"), "{}", text(&seen.stdout));
    for missing in ["pods", "events"] {
        let role = format!("{}-{missing}", cluster.namespace);
        control(&["kubectl", "delete", "clusterrole", &role]).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_namespace_or_selector_is_no_healthy_cluster() -> Result<()> {
    let cluster = cluster!("analyze-wrong");
    let missing = analyze(&cluster.kubeconfig, &format!("{}-not", cluster.namespace), &[]).await?;
    assert_eq!(missing.status.code(), Some(1));
    assert!(text(&missing.stderr).contains("there is no namespace"), "{}", text(&missing.stderr));
    let selector =
        analyze(&cluster.kubeconfig, &cluster.namespace, &["--filter", "Pod", "-l", "a b c"]).await?;
    assert_eq!(selector.status.code(), Some(64), "{}{}", text(&selector.stdout), text(&selector.stderr));
    assert!(text(&selector.stderr).contains("--selector a b c"), "{}", text(&selector.stderr));
    Ok(())
}

#[tokio::test]
async fn rules_of_the_user_find_what_no_analyzer_looks_for_and_wrong_ones_are_refused() -> Result<()> {
    let cluster = cluster!("rules");
    pod(&cluster, "plain", running()).await?;
    let folder = tempfile::tempdir()?;
    let rules = folder.path().join("rules.yaml");
    let run = async |text: &str| -> Result<Output> {
        std::fs::write(&rules, text)?;
        let filter = ["--filter", "Service", "--output", "json", "--rules", rules.to_str().unwrap()];
        analyze(&cluster.kubeconfig, &cluster.namespace, &filter).await
    };
    let output =
        run("- {group: '', kind: Pod, standard: false, rules: [{code: OwnerMissing, severity: info, \
         when: [{pointer: /metadata/labels/owner, is: absent}], text: 'nobody owns {name}'}]}")
        .await?;
    let report = json_of(&output);
    assert_eq!((output.status.code(), names(&report).len()), (Some(2), 1), "{report}");
    assert_eq!(report["results"][0]["failures"][0]["text"], "nobody owns plain");
    let absent = run("- {group: example.com, kind: Database}").await?;
    assert_eq!(absent.status.code(), Some(0), "a kind that is not installed: {}", text(&absent.stdout));
    let wrong = run("- {group: example.com, kind: database}").await?;
    assert_eq!(wrong.status.code(), Some(64));
    assert!(text(&wrong.stderr).contains("[0].kind"), "{}", text(&wrong.stderr));
    Ok(())
}
