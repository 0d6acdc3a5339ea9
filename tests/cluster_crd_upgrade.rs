//! A stricter CRD over objects that were stored before it: none of them may be held fast.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use anyhow::Result;
use asya_tests::{
    kubernetes::{CRDS, Cluster, until},
    manifests::{actor, actors, crd_of, files},
};
use serde_json::{Value, json};

/// What stood there before there was any rule: everything is kept, nothing is looked at.
fn permissive(mut crd: Value) -> Value {
    let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let version = &mut crd["spec"]["versions"][0];
    let schema = version["schema"]["openAPIV3Schema"].as_object_mut().unwrap();
    schema.remove("x-kubernetes-validations");
    schema["properties"]["spec"] = open;
    version["subresources"] = json!({ "status": {} });
    crd
}

/// What no older CRD let in either: these bounds and types are the contract's own. (The server has no grace here: it
/// looks by itself at what `scale` reads, and a rule cannot be asked about a text where it expects a number.)
const NEVER_STORED: [&str; 2] = ["negative-replicas.yaml", "text-as-number.yaml"];

/// As real templates are: a part with fields that the CRD does not declare never counts as unchanged to the server.
fn with_undeclared_fields(actor: &mut Value) {
    let Some(template) = actor.pointer_mut("/spec/workload/template") else { return };
    template["metadata"] = json!({ "labels": { "team": "media" } });
    if template["spec"].is_object() {
        template["spec"]["serviceAccountName"] = json!("somebody");
    }
}

#[tokio::test]
async fn objects_that_break_every_new_rule_stay_free() -> Result<()> {
    let group = format!("free-{:x}.asya.test", rand::random::<u32>());
    let Some(cluster) = Cluster::connect().await? else { return Ok(()) };
    let crd = crd_of(&group);
    cluster.install(&permissive(crd.clone())).await?;
    let stored_at = cluster.objects(&format!("apis/{group}/v1alpha1"), "asyncactors");
    let mut stored = Vec::new();
    for (index, path) in files("tests/manifests/refused").into_iter().enumerate() {
        if NEVER_STORED.iter().any(|name| path.ends_with(name)) {
            continue;
        }
        let mut actor = actors(&path).remove(0);
        let name = format!("old-{index}");
        actor["apiVersion"] = json!(format!("{group}/v1alpha1"));
        actor["metadata"] = json!({ "name": name, "finalizers": ["asya.sh/finalizer"] });
        with_undeclared_fields(&mut actor);
        cluster.create(&stored_at, &actor).await?;
        stored.push((name, path, actor));
    }

    cluster.install(&crd).await?;
    let mut wrong = stored[0].2.clone();
    wrong["metadata"] = json!({ "name": "new" });
    until("the new rules are in force", async || {
        Ok(cluster.try_create(&stored_at, &wrong).await.is_err().then_some(()))
    })
    .await?;

    for (name, path, _) in &stored {
        let said = |what: &str, answer: Result<Value>| {
            if let Err(error) = answer {
                panic!("{}: {what}: {error:#}", path.display());
            }
        };
        let status = json!({ "status": { "status": "WorkloadError", "observedGeneration": 1, "conditions": [{
            "type": "WorkloadReady", "status": "False", "reason": "ValidationError", "message": "what is wrong",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] } });
        said("writing the status", cluster.merge_part(&stored_at, name, "status", &status).await);
        let metadata = json!({ "metadata": { "labels": { "team": "a" }, "annotations": { "b": "c" } } });
        said("changing metadata", cluster.merge(&stored_at, name, &metadata).await);
        let written = cluster.get(&stored_at, name).await?;
        assert_eq!(written["status"]["conditions"][0]["message"], "what is wrong", "{}", path.display());
        cluster.delete(&stored_at, name).await?;
        let patch = json!({ "metadata": { "finalizers": null } });
        said("finishing the deletion", cluster.merge(&stored_at, name, &patch).await);
    }
    until("all are gone", async || {
        for (name, ..) in &stored {
            if cluster.get(&stored_at, name).await.is_ok() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await?;
    cluster.delete(&CRDS.into(), &format!("asyncactors.{group}")).await?;
    cluster.end().await
}

#[tokio::test]
async fn an_old_object_can_be_changed_where_it_is_right() -> Result<()> {
    let group = format!("old-{:x}.asya.test", rand::random::<u32>());
    let Some(cluster) = Cluster::connect().await? else { return Ok(()) };
    let crd = crd_of(&group);
    cluster.install(&permissive(crd.clone())).await?;
    let stored_at = cluster.objects(&format!("apis/{group}/v1alpha1"), "asyncactors");
    let mut old = actor(
        "old",
        json!({
            "transport": "rabbitmq",
            "timeout": { "processing": -5 },
            "scaling": { "enabled": true, "minReplicas": 9, "maxReplicas": 3 },
            "workload": { "replicas": 1, "template": { "spec": { "containers": [
                { "name": "asya-runtime", "image": "a", "command": ["x"] }, { "name": "asya-sidecar" },
            ] } } },
        }),
    );
    old["apiVersion"] = json!(format!("{group}/v1alpha1"));
    with_undeclared_fields(&mut old);
    cluster.create(&stored_at, &old).await?;
    cluster.install(&crd).await?;
    let mut wrong = -5;
    until("the new rules are in force", async || {
        // Another one each time: what is stored already is no change.
        wrong -= 1;
        let fresh = json!({ "spec": { "timeout": { "processing": wrong } } });
        Ok(cluster.merge(&stored_at, "old", &fresh).await.is_err().then_some(()))
    })
    .await?;
    let right = json!({ "spec": { "paused": true, "workload": { "pythonExecutable": "python3.13" } } });
    let changed = cluster.merge(&stored_at, "old", &right).await?;
    assert_eq!(changed["spec"]["paused"], true);
    cluster.delete(&CRDS.into(), &format!("asyncactors.{group}")).await?;
    cluster.end().await
}
