//! Who is refused what, and what they are told.

use serde_json::json;

use super::{
    error,
    support::{World, answer, apply, request},
    text, world,
};
use asya_crew::kube::read::K8sRead;
use asya_handler::Handler as _;

#[tokio::test(flavor = "multi_thread")]
async fn a_person_reads_what_the_cluster_gives_them_and_nothing_else() {
    let world = world!();
    let (namespace, other) = (world.namespace.as_str(), world.other.as_str());
    world.pod("hello\n").await;
    let logs = |pod: &str| json!({"verb": "logs", "name": pod, "namespace": namespace});
    assert_eq!(text(&world.read_soon("ann", logs("web")).await), "hello\n");
    // Of this one pod only.
    let refused = world.read("ann", logs("other")).await;
    let told = format!("oidc:ann may not get pods/log in namespace {namespace}; ask");
    assert!(error(&refused).contains(&told), "{refused}");
    let refused = world.read("bob", logs("web")).await;
    assert!(error(&refused).contains(&told.replace("ann", "bob")), "{refused}");
    for (arguments, right) in [
        (
            json!({"verb": "list", "kind": "pod", "namespace": other}),
            format!("list pods in namespace {other}"),
        ),
        (json!({"verb": "list", "kind": "pod"}), "list pods;".to_owned()),
        (json!({"verb": "list", "kind": "node"}), "list nodes;".to_owned()),
        (json!({"verb": "events", "namespace": other}), format!("list events in namespace {other}")),
        (
            json!({"verb": "describe", "kind": "deploy", "name": "web", "namespace": namespace}),
            format!("get deployments.apps in namespace {namespace}"),
        ),
        (
            json!({"verb": "top", "kind": "pod", "namespace": namespace}),
            format!("list pods.metrics.k8s.io in namespace {namespace}"),
        ),
    ] {
        let refused = world.read("ann", arguments).await;
        assert!(error(&refused).contains(&format!("oidc:ann may not {right}")), "{right} in {refused}");
    }
    // Analyses tell it, and never take it for health.
    let analysis = world.analyze("bob", json!({"namespace": namespace, "filters": ["Pod"]})).await;
    assert!(text(&analysis).contains("not looked at: list pods"), "{analysis}");
    // By a group, and not by one that the cluster has for itself.
    let list = json!({"verb": "list", "kind": "pod", "namespace": namespace});
    let by_groups = |groups: &[&str]| world.token("eve", groups, "e-1");
    let settings = world.settings(&[("ASYA_KUBE_GROUP_CLAIM", "{group}")]);
    let refused = world.read_with(&settings, Some(&by_groups(&["system:masters"])), list.clone()).await;
    assert!(error(&refused).contains("oidc:eve may not list pods"), "{refused}");
    let settings = world.settings(&[]);
    let allowed = world.read_with(&settings, Some(&by_groups(&["sre"])), list).await;
    assert!(text(&allowed).starts_with("1 pods"), "{allowed}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_known_is_refused_unless_nobody_needs_to_be() {
    let world = world!();
    let list = json!({"verb": "list", "kind": "pod", "namespace": world.namespace});
    let usual = world.settings(&[]);
    let refused = world.read_with(&usual, None, list.clone()).await;
    assert!(error(&refused).starts_with("refused: "), "{refused}");
    let (good, another) = (world.token("ann", &[], "e-1"), world.token("ann", &[], "e-2"));
    let optional = world.settings(&[("ASYA_SUBJECT_OPTIONAL", "true")]);
    let forged = format!("{}x", &good[..good.len() - 1]);
    for token in [another.as_str(), forged.as_str(), "nonsense"] {
        for settings in [&usual, &optional] {
            let refused = world.read_with(settings, Some(token), list.clone()).await;
            assert!(error(&refused).starts_with("refused: "), "{token}: {refused}");
        }
    }
    // The tool's own rights, which are more than those of whoever asks without being known.
    let answered = world.read_with(&optional, None, list.clone()).await;
    assert!(text(&answered).starts_with("0 pods"), "{answered}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_review_nothing_is_read() {
    let world = world!();
    let list = json!({"verb": "list", "kind": "pod", "namespace": world.namespace});
    assert!(world.read_soon("ann", list.clone()).await["text"].is_string());
    // An account that may read everything, and may not have anybody reviewed.
    let name = format!("{}-blind", world.tool());
    let group = "rbac.authorization.k8s.io";
    let binding = json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": {"name": "blind"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": name}]});
    apply(&world.admin, Some(&world.namespace), &binding).await;
    let actor = K8sRead::with(&world.settings(&[]), world.client(&name)).unwrap();
    let refused = answer(actor.handle(request(Some(&world.token("ann", &[], "e-1")), list))).await;
    assert!(error(&refused).contains("could not be reviewed"), "{refused}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn namespaces_that_match_no_glob_are_out_of_reach_even_for_those_who_may() {
    let world = world!();
    let (namespace, other) = (world.namespace.as_str(), world.other.as_str());
    let globs = format!("shop, {}?", &namespace[..namespace.len() - 1]);
    let settings = world.settings(&[("ASYA_KUBE_NAMESPACES", &globs), ("ASYA_SUBJECT_OPTIONAL", "true")]);
    let read = async |arguments| world.read_with(&settings, None, arguments).await;
    let inside = read(json!({"verb": "list", "kind": "pod", "namespace": namespace})).await;
    assert!(text(&inside).starts_with("0 pods"), "{inside}");
    for (arguments, told) in [
        (
            json!({"verb": "list", "kind": "pod", "namespace": other}),
            format!("pods of namespace {other} may not"),
        ),
        (json!({"verb": "get", "kind": "namespace", "name": other}), format!("namespace {other} may not")),
        (json!({"verb": "list", "kind": "pod"}), "pods of all namespaces may not".to_owned()),
        (json!({"verb": "events"}), "events of all namespaces may not".to_owned()),
        (json!({"verb": "logs", "name": "p", "namespace": other}), "pods/log of namespace".to_owned()),
    ] {
        let refused = read(arguments).await;
        assert!(error(&refused).contains(&told) && error(&refused).contains(&globs), "{told} in {refused}");
    }
    // Neither by their names.
    let listed = read(json!({"verb": "list", "kind": "ns", "limit": 1000})).await;
    assert!(text(&listed).contains(namespace) && !text(&listed).contains(other), "{listed}");
    let near = read(json!({"verb": "list", "kind": "pod", "namespace": format!("{}z", &namespace[..namespace.len() - 1])})).await;
    assert!(error(&near).contains(namespace) && !error(&near).contains(other), "{near}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_or_is_no_reading_is_answered_with_what_is() {
    let world = world!();
    let namespace = world.namespace.as_str();
    world.pod("").await;
    let get =
        |kind: &str, name: &str| json!({"verb": "get", "kind": kind, "name": name, "namespace": namespace});
    let near = world.read_soon("ann", get("pod", "wbe")).await;
    assert_eq!(error(&near), format!("there is no Pod wbe in namespace {namespace}; there is web"));
    let absent = format!("{}x", &namespace[..namespace.len() - 1]);
    for (arguments, told) in [
        (get("widget", "w"), "serves no \"widget\""),
        (json!({"verb": "get", "kind": "pod", "name": "web"}), "namespace"),
        (json!({"verb": "get", "name": "web"}), "kind"),
        (
            json!({"verb": "logs", "kind": "deployment", "name": "web", "namespace": namespace}),
            "only pods have logs",
        ),
        (json!({"verb": "logs", "name": "web", "namespace": namespace, "container": "none"}), "none"),
        (json!({"verb": "list", "kind": "pod", "namespace": namespace, "selector": "=="}), "selector"),
        (json!({"verb": "top", "kind": "service", "namespace": namespace}), "only pods and nodes"),
        (json!("get pods"), "JSON object"),
        (json!({}), "get, list, describe"),
    ] {
        let refused = world.read("ann", arguments).await;
        assert!(error(&refused).contains(told), "{told} in {refused}");
    }
    for verb in ["exec", "port-forward", "cp", "attach", "apply", "delete", "scale", "proxy", "edit"] {
        let asked =
            json!({"verb": verb, "kind": "pod", "name": "web", "namespace": namespace, "command": ["sh"]});
        let refused = world.read("ann", asked).await;
        let told =
            format!("verb: {verb:?} is none of get, list, describe, logs, events, top; this tool only reads");
        assert_eq!(error(&refused), told);
    }
    let wrong = world.analyze("ann", json!({"filters": ["Pods"]})).await;
    assert!(error(&wrong).contains("filters"), "{wrong}");
    let settings = world.settings(&[("ASYA_SUBJECT_OPTIONAL", "true")]);
    let list = json!({"verb": "list", "kind": "pod", "namespace": absent});
    let gone = world.read_with(&settings, None, list).await;
    assert!(
        error(&gone).contains(&format!("no namespace {absent}")) && error(&gone).contains(namespace),
        "{gone}"
    );
    world.end().await;
}
