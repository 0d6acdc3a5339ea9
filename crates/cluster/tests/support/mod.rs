//! An API server of the test's own: lists by pages, discovery in the new form and the old one, and refusals in the words
//! of the real one.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_cluster::{Api, Catalogue, Collector, Patience, Scope};
use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{StatusCode, header},
    response::Response,
};
use kube::{Client, Config};
use serde_json::{Value, json};

/// What a test says of the server.
#[derive(Default)]
pub(crate) struct Told {
    /// Objects by the path of their list.
    pub(crate) lists: BTreeMap<String, Vec<Value>>,
    /// Paths that answer 403, with the verb and the resource of the message.
    pub(crate) forbidden: BTreeMap<String, (&'static str, &'static str)>,
    /// Answers that are given before all others, each once: the beginning of the path, and the answer.
    pub(crate) once: VecDeque<(String, Answer)>,
    /// Groups whose own API server is down.
    pub(crate) stale: Vec<&'static str>,
    /// Kinds that it does not serve yet.
    pub(crate) hidden: Vec<&'static str>,
    /// Whether it is one from before the aggregated discovery.
    pub(crate) old: bool,
    /// Most objects on a page.
    pub(crate) page: usize,
    /// What was asked, with the query.
    pub(crate) asked: Vec<String>,
}

#[derive(Clone)]
pub(crate) enum Answer {
    Status(u16, &'static str, Option<u32>),
    Text(u16, &'static str),
    Never,
}

/// The kinds that it serves: path, kind, plural, namespaced.
const KINDS: [(&str, &str, &str, &str, bool); 8] = [
    ("", "v1", "Pod", "pods", true),
    ("", "v1", "Event", "events", true),
    ("", "v1", "Node", "nodes", false),
    ("", "v1", "Secret", "secrets", true),
    ("apps", "v1", "ReplicaSet", "replicasets", true),
    ("apps", "v1", "DaemonSet", "daemonsets", true),
    ("apps", "v1", "Deployment", "deployments", true),
    ("batch", "v1", "Job", "jobs", true),
];

pub(crate) struct Server {
    pub(crate) told: Arc<Mutex<Told>>,
    pub(crate) client: Client,
}

impl Server {
    pub(crate) async fn start() -> Self {
        // Clients bring rustls; whichever test is first names the provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let told = Arc::new(Mutex::new(Told { page: usize::MAX, ..Told::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(told.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut config = Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        Self { told, client: Client::try_from(config).unwrap() }
    }

    pub(crate) fn tell(&self, say: impl FnOnce(&mut Told)) {
        say(&mut self.told.lock().unwrap());
    }

    /// Questions whose path begins so.
    pub(crate) fn asked(&self, path: &str) -> Vec<String> {
        self.told.lock().unwrap().asked.iter().filter(|asked| asked.starts_with(path)).cloned().collect()
    }

    pub(crate) fn api(&self) -> Api {
        Api::new(self.client.clone(), quick())
    }

    pub(crate) async fn collector(&self, scope: Scope) -> Collector {
        let api = self.api();
        Collector {
            catalogue: Catalogue::read(&api).await.unwrap(),
            api,
            selection: asya_analysis::Selection::new(&["Pod"], &[], &[]).unwrap(),
            named: Default::default(),
            scope,
            labels: String::new(),
            secrets: false,
            logs: false,
            at_once: 4,
        }
    }
}

/// Tries as the default has them, without its pauses.
pub(crate) fn quick() -> Patience {
    Patience {
        answer: Duration::from_secs(10),
        pause: Duration::from_millis(1),
        longest_pause: Duration::from_secs(2),
        ..Patience::default()
    }
}

fn json_answer(code: u16, body: &Value) -> Response {
    Response::builder()
        .status(StatusCode::from_u16(code).unwrap())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

fn status(code: u16, reason: &str, message: &str, name: &str) -> Response {
    json_answer(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
            "reason": reason, "details": {"name": name}, "code": code}),
    )
}

async fn answer(State(told): State<Arc<Mutex<Told>>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let query: BTreeMap<String, String> = request
        .uri()
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter_map(|pair| pair.split_once('='))
        // The only escape that these tests send.
        .map(|(name, value)| (name.to_owned(), value.replace("%3D", "=")))
        .collect();
    let scripted = {
        let mut told = told.lock().unwrap();
        told.asked.push(request.uri().to_string());
        let uri = request.uri().to_string();
        let first = told.once.iter().position(|(beginning, _)| uri.starts_with(beginning.as_str()));
        first.and_then(|n| told.once.remove(n))
    };
    match scripted.map(|(_, answer)| answer) {
        Some(Answer::Never) => std::future::pending::<()>().await,
        Some(Answer::Text(code, text)) => {
            return Response::builder().status(code).body(Body::from(text)).unwrap();
        }
        Some(Answer::Status(code, message, retry)) => {
            let mut answer = status(code, "Scripted", message, "");
            if let Some(seconds) = retry {
                answer.headers_mut().insert(header::RETRY_AFTER, seconds.into());
            }
            return answer;
        }
        None => {}
    }
    // Nothing ever changes.
    if query.contains_key("watch") {
        std::future::pending::<()>().await;
    }
    let told = told.lock().unwrap();
    if let Some((verb, resource)) = told.forbidden.get(&path) {
        let message = format!(
            "{resource} is forbidden: User \"alice\" cannot {verb} resource \"{resource}\" in API group \"\" in the namespace \
             \"shop\""
        );
        return status(403, "Forbidden", &message, "");
    }
    let accept =
        request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    if let Some(found) = discovery(&told, &path, accept.contains("apidiscovery.k8s.io")) {
        return json_answer(200, &found);
    }
    if let Some(objects) = told.lists.get(&path) {
        return page(&told, objects, &query);
    }
    let (list, name) = path.rsplit_once('/').unwrap();
    let Some(objects) = told.lists.get(list) else {
        return status(404, "NotFound", "the server could not find the requested resource", "");
    };
    match objects.iter().find(|object| object["metadata"]["name"] == name) {
        Some(object) => json_answer(200, object),
        None => {
            let plural = list.rsplit('/').next().unwrap();
            status(404, "NotFound", &format!("{plural} \"{name}\" not found"), name)
        }
    }
}

/// A page; its token is where the next begins.
fn page(told: &Told, objects: &[Value], query: &BTreeMap<String, String>) -> Response {
    let labelled = |object: &&Value| {
        query.get("labelSelector").is_none_or(|selector| {
            let (key, value) = selector.split_once('=').unwrap();
            object["metadata"]["labels"][key] == value
        })
    };
    let matching: Vec<&Value> = objects.iter().filter(labelled).collect();
    let first: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
    let limit = query.get("limit").map_or(usize::MAX, |limit| limit.parse::<usize>().unwrap().min(told.page));
    let end = first.saturating_add(limit).min(matching.len());
    let next = if end < matching.len() { end.to_string() } else { String::new() };
    // Items of a list do not say their kind.
    let items: Vec<Value> = matching[first..end]
        .iter()
        .map(|object| {
            let mut item = (*object).clone();
            item.as_object_mut().unwrap().retain(|field, _| field != "kind" && field != "apiVersion");
            item
        })
        .collect();
    json_answer(
        200,
        &json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": next}, "items": items}),
    )
}

fn discovery(told: &Told, path: &str, aggregated: bool) -> Option<Value> {
    let verbs = json!(["get", "list", "watch"]);
    let of = |group: &str| {
        KINDS
            .iter()
            .filter(move |kind| kind.0 == group && !told.hidden.contains(&kind.2))
            .copied()
            .collect::<Vec<_>>()
    };
    let groups: &[&str] = if path == "/api" { &[""] } else { &["apps", "batch", "metrics.k8s.io"] };
    let fresh = |group: &str| if told.stale.contains(&group) { "Stale" } else { "Current" };
    match path {
        "/api" | "/apis" if aggregated && !told.old => {
            let item = |group: &&str| {
                let resources: Vec<Value> = of(group)
                    .into_iter()
                    .map(|(group, version, kind, plural, namespaced)| {
                        json!({"resource": plural, "responseKind": {"group": group, "version": version, "kind": kind},
                            "scope": if namespaced { "Namespaced" } else { "Cluster" }, "verbs": verbs})
                    })
                    .collect();
                json!({"metadata": {"name": group}, "versions": [
                    {"version": "v2beta9", "freshness": fresh(group), "resources": []},
                    {"version": "v1", "freshness": fresh(group), "resources": resources}]})
            };
            let items: Vec<Value> = groups.iter().map(item).collect();
            Some(
                json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "items": items}),
            )
        }
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => Some(
            json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.iter().map(|group| json!({
            "name": group, "versions": [{"groupVersion": format!("{group}/v1"), "version": "v1"}],
            "preferredVersion": {"groupVersion": format!("{group}/v1"), "version": "v1"}})).collect::<Vec<_>>()}),
        ),
        _ => {
            let group =
                if path == "/api/v1" { "" } else { path.strip_prefix("/apis/")?.strip_suffix("/v1")? };
            if told.stale.contains(&group) {
                return None;
            }
            let resources: Vec<Value> = of(group)
                .into_iter()
                .map(|(_, _, kind, plural, namespaced)| {
                    json!({"name": plural, "kind": kind, "namespaced": namespaced, "verbs": verbs})
                })
                .chain([json!({"name": "pods/log", "kind": "Pod", "namespaced": true, "verbs": ["get"]})])
                .collect();
            Some(json!({"kind": "APIResourceList", "groupVersion": "v1", "resources": resources}))
        }
    }
}

/// A pod of `shop` that waits for a volume, as the kubelet tells in an event.
pub(crate) fn waiting_pod(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-{name}"), "labels": {"app": name},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "uid": "r", "controller": true}]},
        "spec": {"containers": []},
        "status": {"phase": "Pending", "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]}})
}

/// What the kubelet tells of it.
pub(crate) fn mount_event(pod: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("{pod}.1"), "namespace": "shop"},
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "shop", "name": pod, "uid": format!("uid-{pod}")},
        "type": "Warning", "reason": "FailedMount", "message": "secret \"db\" not found",
        "lastTimestamp": "2026-06-01T11:00:00Z"})
}

/// The owners of the pods above.
pub(crate) fn owners() -> [(String, Vec<Value>); 2] {
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web-1", "namespace": "shop",
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]}});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"}});
    [
        ("/apis/apps/v1/namespaces/shop/replicasets".to_owned(), vec![set]),
        ("/apis/apps/v1/namespaces/shop/deployments".to_owned(), vec![deployment]),
    ]
}
