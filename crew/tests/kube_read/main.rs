//! `k8s-read` and `analyze` against a real API server: what is answered, to whom, and what never is.
#![allow(clippy::unwrap_used, reason = "tests")]

mod refusals;
mod support;

use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use support::{PASSWORD, World, apply};

macro_rules! world {
    () => {
        match World::new().await {
            Some(world) => world,
            None => return,
        }
    };
}
pub(crate) use world;

/// The text of an answer.
pub(crate) fn text(answer: &Value) -> &str {
    answer["text"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

/// The sentence of an answer that is none.
pub(crate) fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verb_answers_and_nothing_that_looks_like_a_secret_leaves() {
    let world = world!();
    let namespace = world.namespace.as_str();
    let log = format!(
        "started\nPOST /login password={PASSWORD}\nAuthorization: Bearer {PASSWORD}A1\n\u{1b}[31mfailed\u{1b}[0m\n"
    );
    world.pod(&log).await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
        "data": {"app.ini": format!("level = debug\npassword = {PASSWORD}\n"), "api-key": PASSWORD}});
    apply(&world.admin, Some(namespace), &map).await;

    let ask = |verb: &str, kind: &str, name: Option<&str>| json!({"verb": verb, "kind": kind, "name": name, "namespace": namespace});
    let listed = world.read_soon("ann", ask("list", "pods", None)).await;
    let lines: Vec<&str> = text(&listed).lines().collect();
    assert_eq!(lines[0], format!("1 pods in namespace {namespace}"));
    assert!(lines[1].starts_with("NAME | ") && lines[1].contains("STATUS"), "{lines:?}");
    assert!(lines[2].starts_with("web | ") && lines[2].contains("ImagePullBackOff"), "{lines:?}");
    let without_a_name = world.read("ann", ask("get", "po", None)).await;
    assert!(text(&without_a_name).starts_with("1 pods"), "{without_a_name}");

    let pod = world.read("ann", ask("get", "pod", Some("web"))).await;
    let container = &pod["object"]["spec"]["containers"][0];
    assert_eq!(
        (&container["image"], &container["env"][0]["value"]),
        (&json!("registry.invalid/web:1"), &json!("***"))
    );
    assert_eq!(pod["object"]["metadata"]["annotations"]["team/db-password"], "***");
    let settings = world.read("ann", ask("get", "cm", Some("settings"))).await;
    let data = json!({"app.ini": "level = debug\npassword = ***\n", "api-key": "***"});
    assert_eq!(settings["object"]["data"], data);

    let described = world.read("ann", ask("describe", "Pod", Some("web"))).await;
    for told in [
        format!("Pod {namespace}/web (v1, created "),
        "labels: app=web".to_owned(),
        "note=postgres://app:***@db/x".to_owned(),
        "Ready=False NotPulled".to_owned(),
        "2126-01-01T00:00:00Z Warning Failed Pod".to_owned(),
        "failed with token=***".to_owned(),
        "image: registry.invalid/web:1".to_owned(),
    ] {
        assert!(text(&described).contains(&told), "{told} in {described}");
    }
    let events = world.read("ann", ask("events", "pod", Some("web"))).await;
    assert!(text(&events).lines().nth(1).unwrap().contains("failed with token=***"), "{events}");
    let logs = world.read("ann", ask("logs", "pod", Some("web"))).await;
    assert_eq!(text(&logs), "started\nPOST /login password=***\nAuthorization: Bearer ***\nfailed\n");
    let analysis = world.analyze("ann", json!({"namespace": namespace, "filters": ["Pod"]})).await;
    assert!(text(&analysis).contains("see .status.containerStatuses[0].state.waiting"), "{analysis}");
    let metrics = json!({"verb": "top", "namespace": namespace});
    let top = world.read_with(&world.settings(&[("ASYA_SUBJECT_OPTIONAL", "true")]), None, metrics).await;
    assert!(error(&top).contains("metrics-server"), "{top}");

    for answer in [listed, pod, settings, described, events, logs, analysis] {
        assert!(!answer.to_string().contains(PASSWORD), "{answer}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_secrets_there_are_names_and_keys_where_the_account_may_read_them() {
    let world = world!();
    let namespace = world.namespace.as_str();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "annotations": {"a": PASSWORD}},
        "stringData": {"password": PASSWORD}});
    apply(&world.admin, Some(namespace), &secret).await;
    let ask = |verb: &str| json!({"verb": verb, "kind": "secret", "name": "db", "namespace": namespace});
    // The page leaves them out, so ann's own right to them is not enough.
    let refused = world.read_soon("ann", ask("get")).await;
    assert!(error(&refused).contains("this tool's own account may not get secrets"), "{refused}");
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "secrets"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]});
    apply(&world.admin, Some(namespace), &role).await;
    let group = "rbac.authorization.k8s.io";
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "secrets"},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "secrets"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": world.tool()}]});
    apply(&world.admin, Some(namespace), &binding).await;
    let found = world.read_until("ann", ask("get"), |answer| answer["object"].is_object()).await;
    assert_eq!(
        (&found["object"]["keys"], &found["object"]["type"]),
        (&json!(["password"]), &json!("Opaque"))
    );
    let described = world.read("ann", ask("describe")).await;
    let listed = world.read("ann", json!({"verb": "list", "kind": "secrets", "namespace": namespace})).await;
    assert!(
        text(&described).contains("- password") && text(&listed).contains("db | "),
        "{described} {listed}"
    );
    for answer in [found, described, listed] {
        let text = answer.to_string();
        assert!(!text.contains(PASSWORD) && !text.contains("aHVudGVyMmh1bnRlcjI"), "{text}");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_ends_and_says_so() {
    let world = world!();
    let namespace = world.namespace.as_str();
    let line = "a line of a log that says nothing much\n";
    world.pod(&line.repeat(2000)).await;
    let made = (0..240).map(|number| {
        let name = format!("map-{number:03}-{}", "x".repeat(200));
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {}});
        let admin = world.admin.clone();
        async move { apply(&admin, Some(namespace), &map).await }
    });
    stream::iter(made).buffer_unordered(8).collect::<Vec<()>>().await;
    let words: serde_json::Map<String, Value> =
        (0..300).map(|number| (format!("key-{number}"), "word ".repeat(200).into())).collect();
    let large =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "large"}, "data": words});
    apply(&world.admin, Some(namespace), &large).await;

    let list = json!({"verb": "list", "kind": "configmap", "namespace": namespace, "limit": 1000});
    let listed = world.read_soon("ann", list).await;
    let get = json!({"verb": "get", "kind": "cm", "name": "large", "namespace": namespace});
    let (got, described) = (world.read("ann", get.clone()).await, {
        let mut describe = get;
        describe["verb"] = "describe".into();
        world.read("ann", describe).await
    });
    let logs = json!({"verb": "logs", "name": "web", "namespace": namespace, "tail": 2000});
    let logs = world.read("ann", logs).await;
    for answer in [&listed, &got, &described, &logs] {
        assert!(answer["truncated"] == true && answer["next"].is_string(), "{}", answer["next"]);
        assert!(answer.to_string().len() < 36 * 1024, "{}", answer.to_string().len());
    }
    assert!(text(&listed).lines().all(|line| line.len() < 400), "whole lines only");
    assert!(text(&logs).ends_with(line), "the end of it is what counts");
    let few = json!({"verb": "list", "kind": "configmap", "namespace": namespace, "limit": 3});
    let few = world.read("ann", few).await;
    assert!(text(&few).starts_with("3 of more configmaps") && few["truncated"] == true, "{few}");
    world.end().await;
}
