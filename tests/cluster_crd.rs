//! The CRD on a real API server: what it takes, what it refuses and how, what it fills in, and that objects older than
//! a rule stay free.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

#[path = "../crates/resources/tests/generated/mod.rs"]
mod generated;

use std::time::{Duration, Instant};

use anyhow::Result;
use asya_resources::{Severity, check, check::path_text};
use asya_tests::{
    kubernetes::{CRDS, Cluster},
    manifests::{actor, actors, crd_of, expected, files, line, with_crd},
};
use proptest::strategy::{Strategy, ValueTree};
use serde_json::{Value, json};

#[track_caller]
fn assert_refused(what: &str, answer: Result<Value>, sentence: &str) {
    let error = answer.expect_err(&format!("{what}: must be refused with: {sentence}"));
    let text = format!("{error:#}");
    assert!(text.contains(sentence), "{what}:\n  expected: {sentence}\n  got: {text}");
}

#[tokio::test]
async fn every_example_is_accepted_without_an_unknown_field() -> Result<()> {
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    for path in files("examples/manifests") {
        for actor in actors(&path) {
            let answer = cluster.try_create(&cluster.actors(), &actor).await;
            assert!(answer.is_ok(), "{}: {:#}", path.display(), answer.unwrap_err());
        }
    }
    cluster.end().await
}

#[tokio::test]
async fn every_wrong_manifest_is_refused_with_its_sentence() -> Result<()> {
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    for path in files("tests/manifests/refused") {
        let answer = cluster.try_create(&cluster.actors(), &actors(&path)[0]).await;
        assert_refused(&path.display().to_string(), answer, &expected(&path));
    }
    cluster.end().await
}

#[tokio::test]
async fn every_wrong_change_is_refused_with_its_sentence() -> Result<()> {
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    for path in files("tests/manifests/refused-changes") {
        let [old, new] = &actors(&path)[..] else { panic!("{}: two actors", path.display()) };
        let stored = cluster.create(&cluster.actors(), old).await?;
        let patch = replacement(&stored, new);
        let name = old["metadata"]["name"].as_str().unwrap();
        let answer = cluster.merge(&cluster.actors(), name, &patch).await;
        let sentence = format!("{}: Invalid value: {}", line(&path, &["# at: "]), expected(&path));
        assert_refused(&path.display().to_string(), answer, &sentence);
    }
    cluster.end().await
}

/// A merge patch from one spec to another: what goes is said to go.
fn replacement(old: &Value, new: &Value) -> Value {
    let mut patch = json!({ "spec": new["spec"] });
    for key in old["spec"].as_object().unwrap().keys() {
        if new["spec"].get(key).is_none() {
            patch["spec"][key] = Value::Null;
        }
    }
    patch
}

#[tokio::test]
async fn an_actor_that_runs_cannot_be_changed_into_a_wrong_one() -> Result<()> {
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    let right = actor("right", json!({ "transport": "rabbitmq", "handler": "handlers.echo" }));
    let right = cluster.create(&cluster.actors(), &right).await?;
    let status = json!({ "status": { "status": "Running" } });
    cluster.merge_part(&cluster.actors(), "right", "status", &status).await?;
    for path in files("tests/manifests/refused") {
        let patch = replacement(&right, &actors(&path)[0]);
        let answer = cluster.merge(&cluster.actors(), "right", &patch).await;
        assert_refused(&path.display().to_string(), answer, &expected(&path));
    }
    cluster.end().await
}

#[tokio::test]
async fn defaults_are_filled_in_only_where_a_block_is() -> Result<()> {
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    let bare = json!({ "transport": "rabbitmq", "handler": "a.b" });
    let stored = cluster.try_create(&cluster.actors(), &actor("bare", bare.clone())).await?;
    assert_eq!(stored["spec"], bare);
    let blocks = json!({
        "transport": "rabbitmq", "handler": "a.b", "scaling": {}, "timeout": {}, "sidecar": {}, "workload": {},
    });
    let stored = cluster.try_create(&cluster.actors(), &actor("blocks", blocks)).await?;
    assert_eq!(
        stored["spec"],
        json!({
            "transport": "rabbitmq",
            "handler": "a.b",
            "scaling": {
                "enabled": false, "minReplicas": 0, "maxReplicas": 50, "pollingInterval": 10, "cooldownPeriod": 60,
                "queueLength": 5,
            },
            "timeout": { "processing": 300, "gracefulShutdown": 30 },
            "sidecar": { "imagePullPolicy": "IfNotPresent" },
            // kind has none: it would disagree with whoever writes only the older spelling.
            "workload": { "replicas": 1, "pythonExecutable": "python3" },
        })
    );
    cluster.end().await
}

#[tokio::test]
async fn everything_in_a_template_is_kept() -> Result<()> {
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    let template = json!({
        "metadata": { "labels": { "a": "b" }, "annotations": { "c": "d" }, "later": [1] },
        "spec": {
            "later": { "than": ["this", 1, null] },
            "containers": [{
                "name": "asya-runtime", "later": true, "securityContext": { "runAsUser": 1 },
                "env": [{ "name": "A", "value": "1" }, { "name": "A", "later": 1 }],
                "volumeMounts": [{ "name": "v", "mountPath": "/tmp", "later": "x" }],
            }],
            "volumes": [{ "name": "v", "emptyDir": {}, "later": {} }],
        },
    });
    let spec = json!({ "transport": "rabbitmq", "workload": { "template": template } });
    let stored = cluster.try_create(&cluster.actors(), &actor("open", spec)).await?;
    assert_eq!(stored["spec"]["workload"]["template"], template);
    cluster.end().await
}

#[tokio::test]
async fn kubectl_scale_works_unless_scaling_is_on() -> Result<()> {
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    let actors = cluster.actors();
    let spec = json!({ "transport": "rabbitmq", "workload": { "template": {
        "spec": { "containers": [{ "name": "asya-runtime", "image": "example" }] }
    } } });
    cluster.create(&actors, &actor("scaled", spec)).await?;
    let status = json!({ "status": { "totalReplicas": 1, "selector": "asya.sh/asya=scaled" } });
    cluster.merge_part(&actors, "scaled", "status", &status).await?;
    let three = json!({ "spec": { "replicas": 3 } });
    let scale = cluster.merge_part(&actors, "scaled", "scale", &three).await?;
    assert_eq!((&scale["spec"]["replicas"], &scale["status"]["replicas"]), (&json!(3), &json!(1)));
    assert_eq!(scale["status"]["selector"], "asya.sh/asya=scaled");
    assert_eq!(cluster.get(&actors, "scaled").await?["spec"]["workload"]["replicas"], 3);

    // Turning it on may set the number in the same step, and so may turning it off.
    let on = json!({ "spec": { "scaling": { "enabled": true }, "workload": { "replicas": 2 } } });
    cluster.merge(&actors, "scaled", &on).await?;
    let answer = cluster.merge_part(&actors, "scaled", "scale", &three).await;
    assert_refused("scale while scaling is on", answer, "edit scaling.minReplicas");
    let off = json!({ "spec": { "scaling": { "enabled": false }, "workload": { "replicas": 5 } } });
    cluster.merge(&actors, "scaled", &off).await?;
    cluster.end().await
}

#[tokio::test]
async fn kubectl_explain_teaches_and_get_shows_the_columns() -> Result<()> {
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    if cluster.kubectl().is_none() {
        return cluster.end().await;
    }
    let actors = cluster.actors();
    let spec =
        json!({ "transport": "rabbitmq", "handler": "handlers.echo", "scaling": { "minReplicas": 2 } });
    cluster.create(&actors, &actor("shown", spec)).await?;
    let created = cluster.get(&actors, "shown").await?["metadata"]["creationTimestamp"].clone();
    let status = json!({ "status": {
        "status": "Running", "replicas": 2, "failingPods": 0, "totalReplicas": 3, "desiredReplicas": 4,
        "lastScaleTime": created, "queuedMessages": 17, "transportStatus": "Ready", "scalingMode": "KEDA",
        "workloadRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "shown", "namespace": "x" },
    } });
    cluster.merge_part(&actors, "shown", "status", &status).await?;

    // It breaks its lines.
    let flowing = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = flowing(run(&cluster, &["explain", "asyncactor.spec.scaling"]).await);
    for part in
        ["queueLength", "Messages per replica that are aimed at.", "While false, workload.replicas counts."]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    let text = flowing(run(&cluster, &["explain", "asya.spec.workload.template.spec.containers"]).await);
    assert!(text.contains("One must be named asya-runtime."), "{text}");

    let text = run(&cluster, &["get", "asyas"]).await;
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines[0],
        ["NAME", "STATUS", "RUNNING", "FAILING", "TOTAL", "DESIRED", "MIN", "MAX", "LAST-SCALE", "AGE"]
    );
    assert_eq!(lines[1][..8], ["shown", "Running", "2", "0", "3", "4", "2", "50"]);
    assert!(lines[1][8].ends_with(['s', 'm']), "Last-Scale is an age, not a text: {text}");
    let text = run(&cluster, &["get", "asyncactor", "-o", "wide"]).await;
    for part in
        ["WORKLOAD", "TRANSPORT", "SCALING", "QUEUED", "PROCESSING", "Deployment", "Ready", "KEDA", "17"]
    {
        assert!(text.contains(part), "{part} in\n{text}");
    }
    cluster.end().await
}

async fn run(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = cluster.kubectl().unwrap().args(arguments).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Every list that a rule walks through may be so many times longer before the server finds the rules too dear. The
/// measured factor stands in docs/decisions/0009-crd-schema.md.
const ROOM: u64 = 2;

#[tokio::test]
async fn the_rules_cost_less_than_half_of_what_the_server_allows() -> Result<()> {
    let Some(cluster) = Cluster::connect().await? else { return Ok(()) };
    let mut accepted = 0;
    for factor in [1, ROOM, 4, 8, 16, 32, 64, 128] {
        let mut wider = crd_of(&format!("cost-{:x}.asya.test", rand::random::<u32>()));
        widen(&mut wider["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"], factor);
        match cluster.apply(&CRDS.into(), &wider, true).await {
            Ok(_) => accepted = factor,
            Err(error) => {
                let text = format!("{error:#}");
                assert!(text.contains("budget"), "{text}");
                eprintln!("with lists {factor} times as long: {text}");
                break;
            }
        }
    }
    eprintln!("the rules are accepted with lists {accepted} times as long");
    assert!(accepted >= ROOM, "the server's budget is nearly used up");
    cluster.end().await
}

/// Makes the innermost lists longer, which the rules' cost is proportional to.
fn widen(schema: &mut Value, factor: u64) {
    let Some(node) = schema.as_object_mut() else { return };
    let inner = !node.get("items").is_some_and(|items| items.to_string().contains("maxItems"));
    if let Some(most) = node.get("maxItems").and_then(Value::as_u64).filter(|_| inner) {
        node.insert("maxItems".to_owned(), json!(most * factor));
    }
    for child in node.values_mut() {
        widen(child, factor);
    }
}

#[tokio::test]
async fn two_hundred_actors_with_big_templates_are_taken_quickly() -> Result<()> {
    const ACTORS: usize = 200;
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    let names = |what: &str, count: usize| (0..count).map(|i| format!("{what}-{i}")).collect::<Vec<_>>();
    let env: Vec<_> =
        names("VARIABLE", 100).iter().map(|name| json!({ "name": name, "value": "x" })).collect();
    let mounts: Vec<_> =
        names("v", 30).iter().map(|name| json!({ "name": name, "mountPath": format!("/{name}") })).collect();
    let mut containers: Vec<_> = names("helper", 9)
        .iter()
        .map(|name| json!({ "name": name, "image": "a", "env": env, "volumeMounts": mounts }))
        .collect();
    containers.push(json!({ "name": "asya-runtime", "image": "a", "env": env, "volumeMounts": mounts }));
    let volumes: Vec<_> = names("v", 30).iter().map(|name| json!({ "name": name, "emptyDir": {} })).collect();
    let template = json!({ "spec": { "containers": containers, "volumes": volumes } });
    let spec = json!({ "transport": "rabbitmq", "handler": "a.b", "workload": { "template": template } });
    let bytes = serde_json::to_vec(&spec)?.len();

    let actors = cluster.actors();
    let start = Instant::now();
    for index in 0..ACTORS {
        cluster.create(&actors, &actor(&format!("big-{index}"), spec.clone())).await?;
    }
    let created = start.elapsed() / u32::try_from(ACTORS)?;
    let start = Instant::now();
    for index in 0..ACTORS {
        let status = json!({ "status": { "status": "Running" } });
        cluster.merge_part(&actors, &format!("big-{index}"), "status", &status).await?;
    }
    let written = start.elapsed() / u32::try_from(ACTORS)?;
    eprintln!("actors of {bytes} bytes: created in {created:?} each, a status written in {written:?}");
    // Fifty times what it takes on two idle cores: rules that are too dear would not be near.
    assert!(created < Duration::from_secs(2), "{created:?}");
    cluster.end().await
}

#[tokio::test]
async fn a_manifest_at_the_bounds_is_within_the_servers_cost_of_running_rules() -> Result<()> {
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    // As much as fits into the megabyte and a half that an object may have.
    let env: Vec<_> = (0..512).map(|i| json!({ "name": format!("V{i}") })).collect();
    let mut containers: Vec<_> = (0..63).map(|i| json!({ "name": format!("c{i}"), "env": env })).collect();
    containers.push(json!({ "name": "asya-runtime", "env": env }));
    let volumes: Vec<_> = (0..128).map(|i| json!({ "name": format!("v{i}") })).collect();
    let template = json!({ "spec": { "containers": containers, "volumes": volumes } });
    let spec = json!({ "transport": "rabbitmq", "env": env, "workload": { "template": template } });
    cluster.try_create(&cluster.actors(), &actor("widest", spec)).await?;
    cluster.end().await
}

#[tokio::test]
async fn check_and_the_server_agree_on_manifests_that_are_nearly_right() -> Result<()> {
    const MANIFESTS: usize = 1000;
    let Some(cluster) = with_crd().await? else { return Ok(()) };
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (strategy, mut right) = (generated::manifest(), 0);
    for _ in 0..MANIFESTS {
        let manifest = strategy.new_tree(&mut runner).unwrap().current();
        let mut problems = check(&manifest);
        problems.retain(|problem| problem.severity == Severity::Error);
        let answer = cluster.try_create(&cluster.actors(), &manifest).await;
        match answer {
            Ok(_) => {
                // Of a container's environment the CRD declares the names; values are refused with the workload.
                problems.retain(|problem| !path_text(&problem.path).to_string().contains("ontainers["));
                assert!(problems.is_empty(), "only check refuses: {problems:?}\n{manifest:#}");
            }
            Err(error) => assert!(!problems.is_empty(), "only the server refuses: {error:#}\n{manifest:#}"),
        }
        right += usize::from(problems.is_empty());
    }
    eprintln!("{right} of {MANIFESTS} are right, to both");
    cluster.end().await
}
