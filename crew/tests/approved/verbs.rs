//! Each verb on a real API server, and who may.

use asya_session::{Phase, Risk, Verdict};
use serde_json::{Value, json};

use super::support::{AGENT, PASSWORD, World, eventually, payload};

macro_rules! world {
    () => {
        match World::new().await {
            Some(world) => world,
            None => return,
        }
    };
}

fn web(world: &World, verb: &str, more: Value) -> Value {
    let mut arguments = json!({"verb": verb, "kind": "deploy", "namespace": world.namespace, "name": "web"});
    arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    arguments
}

/// Proposed, approved and carried out: what the model is told.
async fn done(world: &World, arguments: &Value, risk: Risk) -> String {
    let before = world.web().await["spec"].clone();
    let write = world.write(&[("ASYA_KUBE_WRITE_KINDS", "core/Node")]);
    let operation = world.proposed(&write, arguments).await;
    assert_eq!(world.web().await["spec"], before, "nothing changes before it is approved");
    let proposal = &operation.proposal;
    assert_eq!(
        (proposal.risk, proposal.review.person, proposal.review.tool),
        (risk, Some(true), Some(true)),
        "{arguments}"
    );
    assert!(!proposal.diff.is_empty() && !proposal.diff.contains(PASSWORD), "{}", proposal.diff);
    let approved = world.desks.decided(&operation, Verdict::Approve).await;
    let told = world.carried(&write, &approved).await;
    assert_eq!(told["done"], true, "{told:#}");
    let operation = world.desks.operation(&proposal.id).await;
    assert_eq!((operation.phase, operation.outcome.map(|outcome| outcome.ok)), (Phase::Done, Some(true)));
    told["summary"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verb_changes_what_it_says_once_it_is_approved() {
    let world = world!();
    let said = done(&world, &web(&world, "scale", json!({"replicas": 3})), Risk::Low).await;
    assert!(said.contains(&format!("scale Deployment {}/web from 1 to 3", world.namespace)), "{said}");
    assert!(said.contains("-  replicas: 1\n+  replicas: 3"), "{said}");
    assert_eq!(world.web().await["spec"]["replicas"], 3);
    done(&world, &web(&world, "scale", json!({"replicas": 0})), Risk::High).await;
    assert_eq!(world.web().await["spec"]["replicas"], 0);

    done(&world, &web(&world, "set-image", json!({"image": "registry.example/web:2"})), Risk::Medium).await;
    assert_eq!(
        world.web().await["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example/web:2"
    );
    // The template before this one is kept by the Deployment's controller.
    eventually("two revisions", async || {
        let revision =
            world.web().await["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone();
        (revision == "2").then_some(())
    })
    .await;
    // It has a password among its variables, which would be kept with the operation.
    let undo = web(&world, "rollout-undo", json!({}));
    let refused = payload(&world.planned(&world.write(&[]), &undo).await);
    assert!(refused["error"].as_str().unwrap().contains("roll back with kubectl"), "{refused}");
    let revised = async |text: &'static str| {
        eventually("another revision", async || {
            let revision =
                world.web().await["metadata"]["annotations"]["deployment.kubernetes.io/revision"].clone();
            (revision == text).then_some(())
        })
        .await;
    };
    let env = json!({"spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "registry.example/web:3"}]}}}});
    world.changed(&env).await;
    revised("3").await;
    done(&world, &web(&world, "set-image", json!({"image": "registry.example/web:4"})), Risk::Medium).await;
    revised("4").await;
    done(&world, &undo, Risk::Medium).await;
    let containers = world.web().await["spec"]["template"]["spec"]["containers"].clone();
    assert_eq!(containers[0]["image"], "registry.example/web:3");

    done(&world, &web(&world, "rollout-restart", json!({})), Risk::Medium).await;
    let annotations = world.web().await["spec"]["template"]["metadata"]["annotations"].clone();
    assert!(annotations["kubectl.kubernetes.io/restartedAt"].is_string(), "{annotations}");
    done(&world, &web(&world, "pause", json!({})), Risk::Low).await;
    assert_eq!(world.web().await["spec"]["paused"], true);
    done(&world, &web(&world, "resume", json!({})), Risk::Low).await;
    assert!(world.web().await["spec"]["paused"] != true);

    done(&world, &web(&world, "label", json!({"labels": {"tier": "front"}})), Risk::Low).await;
    assert_eq!(world.web().await["metadata"]["labels"]["tier"], "front");
    done(&world, &web(&world, "label", json!({"labels": {"tier": null}})), Risk::Low).await;
    assert!(world.web().await["metadata"]["labels"]["tier"].is_null());
    done(&world, &web(&world, "annotate", json!({"annotations": {"team/owner": "sre"}})), Risk::Medium).await;
    assert_eq!(world.web().await["metadata"]["annotations"]["team/owner"], "sre");

    let map = |value: &str| {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: {}}}\ndata: {{a: {value}}}\n",
            world.namespace
        );
        json!({"verb": "apply", "manifest": text})
    };
    let said = done(&world, &map("b"), Risk::Medium).await;
    assert!(said.contains("create ConfigMap"), "{said}");
    done(&world, &map("c"), Risk::Medium).await;
    let applied = world.get("v1", "ConfigMap", "m").await.unwrap();
    assert_eq!(applied["data"], json!({"a": "c"}));
    assert_eq!(applied["metadata"]["managedFields"][0]["manager"], "asya-k8s-write");

    done(&world, &web(&world, "delete", json!({})), Risk::High).await;
    eventually("the Deployment is gone", async || {
        world.get("apps/v1", "Deployment", "web").await.is_none().then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_cordoned_where_that_is_allowed() {
    let world = world!();
    let name = world.user("node");
    world.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})).await;
    let cordon = |verb: &str| json!({"verb": verb, "name": name});
    done(&world, &cordon("cordon"), Risk::High).await;
    assert_eq!(world.get("v1", "Node", &name).await.unwrap()["spec"]["unschedulable"], true);
    done(&world, &cordon("uncordon"), Risk::Medium).await;
    assert!(world.get("v1", "Node", &name).await.unwrap()["spec"]["unschedulable"] != true);
    let node = kube::Api::<k8s_openapi::api::core::v1::Node>::all(world.client.clone());
    node.delete(&name, &kube::api::DeleteParams::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_at_once_and_nobody_is_asked() {
    let world = world!();
    let scale = web(&world, "scale", json!({"replicas": 3}));
    let stranger = world.user("nobody-{sub}");
    let elsewhere = json!({"verb": "delete", "kind": "cm", "name": "x", "namespace": "default"});
    let secret = json!({"verb": "delete", "kind": "secret", "name": "x", "namespace": world.namespace});
    let service_account =
        json!({"verb": "scale", "kind": "sts", "name": "none", "namespace": world.namespace, "replicas": 2});
    let ingress = json!({"verb": "delete", "kind": "ing", "name": "x", "namespace": world.namespace});
    for (settings, arguments, told) in [
        (&[("ASYA_KUBE_USER_CLAIM", stranger.as_str())][..], &scale, "may not get deployments.apps"),
        (&[("ASYA_KUBE_USER_CLAIM", "")], &scale, "ASYA_KUBE_USER_CLAIM"),
        (&[("ASYA_KUBE_NAMESPACES", "")], &scale, "ASYA_KUBE_NAMESPACES"),
        (&[], &elsewhere, "nothing is changed in namespace"),
        (&[], &secret, "core/Secret is not changed"),
        (&[], &ingress, "may not get ingresses"),
        (&[], &service_account, "there is no StatefulSet"),
        (&[], &json!({"verb": "exec", "command": "id"}), "unknown field"),
    ] {
        let write = world.write(settings);
        let onward = world.planned(&write, arguments).await;
        assert_eq!(onward.route.current_actor(), Some(AGENT), "{arguments}");
        let error = payload(&onward)["error"].as_str().unwrap().to_owned();
        assert!(error.contains(told), "{arguments}: {error}");
    }
    assert_eq!(world.web().await["spec"]["replicas"], 1);
    assert!(world.desks.operations(Phase::Waiting).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_or_is_only_asked_about_needs_nobody() {
    let world = world!();
    let write = world.write(&[]);
    let same = payload(&world.planned(&write, &web(&world, "scale", json!({"replicas": 1}))).await);
    assert!(
        same["done"] == false && same["summary"].as_str().unwrap().contains("nothing to change"),
        "{same}"
    );
    let dry = web(&world, "set-image", json!({"image": "registry.example/web:9", "dry_run": true}));
    let dry = payload(&world.planned(&write, &dry).await);
    assert!(dry["diff"].as_str().unwrap().contains("image: registry.example/web:9"), "{dry:#}");
    assert!(!dry.to_string().contains(PASSWORD), "{dry:#}");
    assert_eq!(
        world.web().await["spec"]["template"]["spec"]["containers"][0]["image"],
        "registry.example/web:1"
    );
    let unknown = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {}}}\nspec: {{replikas: 2}}\n",
        world.namespace
    );
    let refused = payload(&world.planned(&write, &json!({"verb": "apply", "manifest": unknown})).await);
    assert!(refused["error"].as_str().unwrap().contains("replikas"), "{refused}");
    assert!(world.desks.operations(Phase::Waiting).await.is_empty());
}
