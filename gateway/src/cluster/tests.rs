//! Each tool against an API server of the test's own, which says what a real one would, and worse.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::header,
    response::Response,
};
use kube::{Client, Config};
use serde_json::{Map, Value, json};

use super::{Look, Tool};
use crate::{
    auth::{Principal, Role, Roles},
    service::Error,
};

/// What the server answers: the status and the body of a path with its query.
type Answers = Arc<dyn Fn(&str) -> (u16, String) + Send + Sync>;

struct Server {
    look: Look,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(answers: impl Fn(&str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let state: (Answers, _) = (Arc::new(answers), Arc::clone(&asked));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut config = Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        Self { look: Look::with(Client::try_from(config).unwrap()), asked }
    }

    async fn call(&self, tool: Tool, arguments: Value) -> Result<Value, Error> {
        self.look.call(&person(&[Role::Cluster]), tool, members(arguments)).await
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(
    State((answers, asked)): State<(Answers, Arc<Mutex<Vec<String>>>)>,
    request: Request,
) -> Response {
    let path = request.uri().to_string();
    asked.lock().unwrap().push(path.clone());
    let (code, body) = answers(&path);
    Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .unwrap()
}

fn person(roles: &[Role]) -> Principal {
    Principal::named("ann", Roles::from_iter(roles.iter().copied()))
}

fn members(arguments: Value) -> Map<String, Value> {
    serde_json::from_value(arguments).unwrap()
}

fn refusal(code: u16, message: &str, name: &str) -> (u16, String) {
    let status = json!({"kind": "Status", "message": message, "details": {"name": name}, "code": code});
    (code, status.to_string())
}

fn ok(body: Value) -> (u16, String) {
    (200, body.to_string())
}

fn row(number: usize, note: &str) -> Value {
    let name = format!("web-{number}");
    json!({"cells": [name, note], "object": {"metadata": {"name": name, "namespace": "shop",
        "labels": {"app": "web"}, "annotations": {"token": "hunter2-hunter2"}}}})
}

fn table(rows: Vec<Value>, next: &str) -> (u16, String) {
    let columns = json!([{"name": "Name"}, {"name": "Status"}]);
    ok(json!({"kind": "Table", "metadata": {"continue": next}, "columnDefinitions": columns, "rows": rows}))
}

/// The value of a query's member.
fn member<'a>(path: &'a str, name: &str) -> Option<&'a str> {
    let query = path.split_once('?')?.1;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[tokio::test]
async fn without_the_role_nothing_is_asked_and_admins_have_it() {
    let server = Server::start(|_| table(Vec::new(), "")).await;
    let all_but_it = person(&[Role::Read, Role::Send, Role::Payload]);
    let denied = server.look.call(&all_but_it, Tool::ListNamespaces, Map::new()).await;
    assert!(matches!(denied, Err(Error::Denied { needed: Role::Cluster, .. })), "{denied:?}");
    assert!(server.asked().is_empty());
    server.look.call(&person(&[Role::Admin]), Tool::ListNamespaces, Map::new()).await.unwrap();
}

#[tokio::test]
async fn lists_come_by_pages_until_the_limit_and_say_what_is_next() {
    let server = Server::start(|path| {
        let from: usize = member(path, "continue").map_or(0, |next| next.parse().unwrap());
        let limit: usize = member(path, "limit").unwrap().parse().unwrap();
        table((from..from + limit).map(|n| row(n, "Running")).collect(), &(from + limit).to_string())
    })
    .await;
    let asked = json!({"resourceType": "po", "namespace": "shop", "labelSelector": "app=web,tier!=a b", "limit": 90.0});
    let answer = server.call(Tool::ListResources, asked).await.unwrap();
    assert_eq!(
        (&answer["count"], &answer["kind"], &answer["more"]),
        (&json!(90), &json!("Pod"), &json!(true))
    );
    assert_eq!(answer["items"][0]["columns"], json!({"Status": "Running"}));
    assert!(!answer.to_string().contains("hunter2"), "annotations stay behind");
    assert!(answer["next"].as_str().unwrap().contains("limit"), "{answer}");
    let pages = server.asked();
    assert_eq!(pages.len(), 3, "{pages:?}");
    assert!(pages[0].starts_with("/api/v1/namespaces/shop/pods?limit=40&"), "{pages:?}");
    assert!(pages[0].contains("labelSelector=app%3Dweb%2Ctier%21%3Da%20b"), "{pages:?}");
    // The bound of the answer's bytes holds whatever limit somebody asks for.
    let endless =
        server.call(Tool::ListResources, json!({"resourceType": "pods", "limit": 1e3})).await.unwrap();
    assert!(endless["count"].as_u64().unwrap() <= 1000);
    let huge = json!({"resourceType": "pods", "limit": 99_999_999_999_999_999_999_u128.to_string()});
    assert_eq!(server.call(Tool::ListResources, huge).await.unwrap()["count"], 1000);
}

#[tokio::test]
async fn an_answer_has_an_end_in_bytes() {
    let server =
        Server::start(|_| table((0..40).map(|n| row(n, &"a b ".repeat(5000))).collect(), "more")).await;
    let answer =
        server.call(Tool::ListResources, json!({"resourceType": "pods", "limit": 1000})).await.unwrap();
    assert!(answer.to_string().len() < 300 * 1024, "{}", answer.to_string().len());
    assert_eq!(answer["more"], true);
    assert!(answer["next"].as_str().unwrap().contains("narrow"), "{}", answer["next"]);
}

#[tokio::test]
async fn more_than_may_be_read_is_refused_with_a_next_step() {
    let server = Server::start(|_| (200, " ".repeat(17 * 1024 * 1024))).await;
    let asked = json!({"resourceType": "pod", "name": "p", "namespace": "shop"});
    let error = server.call(Tool::GetResource, asked).await.unwrap_err().to_string();
    assert!(error.contains("16 MiB") && error.contains("ask for"), "{error}");
}

#[tokio::test]
async fn names_that_would_leave_their_path_are_refused_before_anything_is_asked() {
    let server = Server::start(|_| ok(json!({}))).await;
    for name in ["../secrets/db", "..", "a/b", "a%2fb", "a?x=1", "a#b", "", "a\nb", "ä", &"a".repeat(300)] {
        for (tool, arguments) in [
            (Tool::GetResource, json!({"resourceType": "pod", "name": name, "namespace": "shop"})),
            (Tool::GetResource, json!({"resourceType": name, "name": "p", "namespace": "shop"})),
            (Tool::GetLogs, json!({"podName": name, "namespace": "shop"})),
            (Tool::GetLogs, json!({"podName": "p", "namespace": "shop", "container": name})),
            (Tool::ListEvents, json!({"involvedObjectName": name})),
            (Tool::ListEvents, json!({"involvedObjectKind": name})),
        ] {
            let refused = server.call(tool, arguments).await;
            assert!(matches!(refused, Err(Error::Invalid(_))), "{tool:?} {name:?}: {refused:?}");
        }
        if !name.is_empty() {
            let refused = server.call(Tool::ListEvents, json!({"namespace": name})).await;
            assert!(matches!(refused, Err(Error::Invalid(_))), "{name:?}: {refused:?}");
        }
    }
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

#[tokio::test]
async fn arguments_that_nobody_knows_or_that_have_another_type_are_told() {
    let server = Server::start(|_| ok(json!({}))).await;
    for (tool, arguments, told) in [
        (Tool::ListResources, json!({"resourceType": "pod", "limits": 5}), "limits"),
        (Tool::ListResources, json!({"resourceType": "pod", "limit": -1}), "limit"),
        (Tool::ListResources, json!({"resourceType": "pod", "limit": 0}), "limit"),
        (Tool::ListResources, json!({"resourceType": "pod", "limit": {"a": 1}}), "limit"),
        (
            Tool::ListResources,
            json!({"resourceType": "pod", "labelSelector": "a".repeat(5000)}),
            "label selector",
        ),
        (Tool::ListResources, json!({}), "resourceType"),
        (Tool::GetLogs, json!({"podName": "p"}), "namespace"),
        (Tool::GetResource, json!({"resourceType": "pod", "name": "p"}), "namespace"),
        (Tool::Analyze, json!({"filters": ["Pods"]}), "list-filters"),
        (Tool::ClusterInfo, json!({"why": 1}), "why"),
    ] {
        let error = server.call(tool, arguments).await.unwrap_err();
        assert!(matches!(error, Error::Invalid(_)) && error.to_string().contains(told), "{tool:?}: {error}");
    }
    assert!(server.asked().is_empty(), "{:?}", server.asked());
}

#[tokio::test]
async fn refusals_say_which_right_is_missing_and_what_to_do() {
    let server = Server::start(|path| match path {
        path if path.contains("labelSelector") => refusal(400, "unable to parse requirement: found '='", ""),
        path if path.contains("/secrets") => refusal(
            403,
            "secrets is forbidden: User \"system:serviceaccount:asya:gateway\" cannot list resource \"secrets\"",
            "",
        ),
        path if path.contains("/pods/") => refusal(404, "pods \"p\" not found", "p"),
        _ => refusal(404, "the server could not find the requested resource", ""),
    })
    .await;
    let error =
        server.call(Tool::ListResources, json!({"resourceType": "secret", "namespace": "shop"})).await;
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Forbidden(_)), "{error:?}");
    let error = error.to_string();
    assert!(error.contains("list secrets in namespace shop"), "{error}");
    assert!(
        error.contains("kubectl create rolebinding") && error.contains("--serviceaccount=asya:gateway"),
        "{error}"
    );
    let gone = json!({"resourceType": "pod", "name": "p", "namespace": "shop"});
    let error = server.call(Tool::GetResource, gone).await.unwrap_err().to_string();
    assert!(error.contains("Pod p in namespace shop") && error.contains("list-resources"), "{error}");
    let wrong = json!({"resourceType": "pod", "labelSelector": "=="});
    let error = server.call(Tool::ListResources, wrong).await.unwrap_err();
    assert!(matches!(error, Error::Invalid(_)) && error.to_string().contains("app=web"), "{error}");
}

#[tokio::test]
async fn objects_come_without_secrets() {
    let server = Server::start(|path| {
        if path.contains("/secrets/") {
            return ok(json!({"metadata": {"name": "db", "annotations": {
                "kubectl.kubernetes.io/last-applied-configuration": "{\"stringData\":{\"a\":\"hunter2\"}}"}},
                "data": {"password": "aHVudGVyMg=="}, "type": "Opaque"}));
        }
        ok(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "web:1",
            "env": [{"name": "DB_PASSWORD", "value": "hunter2"}], "args": ["--api-token", "hunter2"]}]}}))
    })
    .await;
    for kind in ["secret", "pod"] {
        let asked = json!({"resourceType": kind, "name": "db", "namespace": "shop"});
        let answer = server.call(Tool::GetResource, asked).await.unwrap();
        let text = answer.to_string();
        assert!(!text.contains("hunter2") && !text.contains("aHVudGVyMg"), "{text}");
    }
    let pod =
        server.call(Tool::GetResource, json!({"resourceType": "Pod", "name": "p", "namespace": "shop"}));
    assert_eq!(pod.await.unwrap()["object"]["spec"]["containers"][0]["image"], "web:1");
}

#[tokio::test]
async fn a_large_object_is_shortened_and_says_so() {
    let server = Server::start(|_| {
        ok(json!({"metadata": {"name": "m"}, "data": {"a": "word ".repeat(100_000), "b": "kept"}}))
    })
    .await;
    let asked = json!({"resourceType": "cm", "name": "m", "namespace": "shop"});
    let answer = server.call(Tool::GetResource, asked).await.unwrap();
    assert_eq!(answer["object"]["data"]["b"], "kept");
    assert!(answer.to_string().len() < 300 * 1024 && answer["notes"][0].is_string(), "{}", answer["notes"]);
}

#[tokio::test]
async fn logs_come_without_secrets_and_without_control_characters() {
    let server = Server::start(|path| {
        let text = if path.contains("binary") {
            "\u{0}\u{1}\u{1b}[31mred\u{1b}[0m\u{fffd}\u{fffd}\nnext\n".to_owned()
        } else {
            "connecting to postgres://app:hunter2@db/shop\npassword=hunter2\nAuthorization: Bearer hunter2hunter2A1\n".to_owned()
        };
        (200, text)
    })
    .await;
    let asked = json!({"podName": "p", "namespace": "shop", "tailLines": 10_000_000, "sinceSeconds": 1e12,
        "previous": true, "container": "c"});
    let answer = server.call(Tool::GetLogs, asked).await.unwrap();
    let log = answer["log"].as_str().unwrap();
    assert!(!log.contains("hunter2") && log.contains("connecting to postgres://app:***@db/shop"), "{log}");
    let path = server.asked().remove(0);
    assert_eq!(member(&path, "tailLines"), Some("2000"));
    assert_eq!(member(&path, "sinceSeconds"), Some("2147483647"));
    assert_eq!((member(&path, "previous"), member(&path, "container")), (Some("true"), Some("c")));
    let binary = json!({"podName": "binary", "namespace": "shop"});
    let answer = server.call(Tool::GetLogs, binary).await.unwrap();
    assert!(answer["log"].as_str().unwrap().starts_with("red"), "{answer}");
    assert_eq!(answer["lines"], 2);
}

#[tokio::test]
async fn a_log_that_needs_a_container_says_which_there_are() {
    let words = "a container name must be specified for pod p, choose one of: [web proxy]";
    let server = Server::start(move |_| refusal(400, words, "p")).await;
    let error = server.call(Tool::GetLogs, json!({"podName": "p", "namespace": "shop"})).await.unwrap_err();
    assert!(error.to_string().contains("[web proxy]"), "{error}");
}

fn event(number: usize, message: &str) -> Value {
    json!({"metadata": {"name": format!("e{number}"), "namespace": "shop"}, "reason": "R", "type": "Warning",
        "involvedObject": {"kind": "Pod", "name": "p"}, "message": message,
        "lastTimestamp": format!("2026-01-01T{:02}:{:02}:{:02}Z", number / 3600, number / 60 % 60, number % 60)})
}

#[tokio::test]
async fn events_are_the_newest_of_all_that_match_whatever_page_they_are_on() {
    let server = Server::start(|path| {
        // The newest is in the middle of the first of three pages.
        let page: usize = member(path, "continue").map_or(0, |next| next.parse().unwrap());
        let times = [vec![1, 9000, 2], vec![3, 8000], vec![7000, 4]];
        let items: Vec<_> = times[page].iter().map(|n| event(*n, "token=hunter2hunter2")).collect();
        let next = if page < 2 { (page + 1).to_string() } else { String::new() };
        ok(json!({"metadata": {"continue": next}, "items": items}))
    })
    .await;
    let asked =
        json!({"namespace": "shop", "involvedObjectKind": "pods", "involvedObjectName": "p", "limit": 3});
    let answer = server.call(Tool::ListEvents, asked).await.unwrap();
    let names: Vec<_> = answer["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
    assert_eq!(names, ["e7000", "e8000", "e9000"], "oldest first");
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
    let first = server.asked().remove(0);
    let selector = member(&first, "fieldSelector");
    assert_eq!(selector, Some("involvedObject.kind%3DPod%2CinvolvedObject.name%3Dp"), "before the limit");
}

#[tokio::test]
async fn too_many_events_end_and_say_so() {
    let server =
        Server::start(|_| ok(json!({"metadata": {"continue": "on"}, "items": [event(1, "m")]}))).await;
    let answer = server.call(Tool::ListEvents, json!({})).await.unwrap();
    assert!(answer["next"].as_str().unwrap().contains("narrow"), "{answer}");
    assert_eq!(server.asked().len(), 25);
}

#[tokio::test]
async fn an_analysis_finds_what_is_broken_and_tells_what_it_may_not_read() {
    let server = Server::start(|path| match path.split('?').next().unwrap() {
        "/version" => ok(json!({"gitVersion": "v1.33.1"})),
        "/api" => ok(json!({"versions": ["v1"]})),
        "/apis" => ok(json!({"groups": []})),
        "/api/v1" => ok(json!({"resources": [
            {"name": "pods", "kind": "Pod", "namespaced": true, "verbs": ["list", "get"]},
            {"name": "events", "kind": "Event", "namespaced": true, "verbs": ["list", "get"]}]})),
        "/api/v1/namespaces/shop" => ok(json!({"metadata": {"name": "shop"}})),
        "/api/v1/namespaces/gone" => refusal(404, "namespaces \"gone\" not found", "gone"),
        "/api/v1/namespaces/shop/pods" => ok(json!({"items": [{"metadata": {"name": "p", "namespace": "shop"},
            "spec": {"containers": [{"name": "c"}]},
            "status": {"phase": "Pending", "containerStatuses": [{"name": "c", "ready": false, "restartCount": 0,
                "image": "web", "imageID": "", "state": {"waiting": {"reason": "ImagePullBackOff",
                    "message": "Back-off pulling image: password=hunter2hunter2"}}}]}}]})),
        _ => refusal(403, "events is forbidden: User \"system:serviceaccount:asya:gateway\" cannot list", ""),
    })
    .await;
    let asked = json!({"namespace": "shop", "filters": ["Pod"], "explain": true, "backend": "openai"});
    let answer = server.call(Tool::Analyze, asked).await.unwrap();
    assert_eq!(
        (&answer["status"], &answer["results"][0]["name"]),
        (&json!("ProblemDetected"), &json!("shop/p"))
    );
    assert_eq!(answer["cluster"]["version"], "v1.33.1");
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
    assert!(answer["notes"].to_string().contains("list-findings"), "{}", answer["notes"]);
    let absent = server.call(Tool::Analyze, json!({"namespace": "gone"})).await.unwrap_err();
    assert!(absent.to_string().contains("list-namespaces"), "{absent}");
}

#[test]
fn every_tool_says_what_it_takes_and_takes_what_it_says() {
    for tool in Tool::ALL {
        assert_eq!(Tool::named(tool.name()), Some(tool));
        let schema = Value::Object(tool.schema());
        jsonschema::validator_for(&schema).unwrap();
        assert_eq!(schema["additionalProperties"], false, "{}", tool.name());
    }
    assert_eq!(Tool::named("config"), None);
}
