//! What a watch of a cluster tells, by what the API server answers.

#![allow(clippy::unwrap_used, reason = "a test program")]

#[allow(dead_code, reason = "the other program uses the rest")]
mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use asya_analysis::{Extent, GroupKind, Live, Looked, ObjectRef, Selection, Step};
use asya_cluster::{Catalogue, Watch, WatchOptions};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use support::{Answer, Server};
use tokio::{
    sync::{Notify, mpsc},
    task::JoinSet,
    time::{sleep, timeout},
};

const PODS: &str = "/api/v1/pods";
const WATCHED: &str = "/api/v1/pods?&watch=true";
const JOBS: &str = "/apis/batch/v1/jobs";
const LIMIT: Duration = Duration::from_secs(30);

/// A watch, and what it tells.
struct Told {
    /// The kinds that are looked at; of all others there is an empty page.
    subjects: BTreeSet<GroupKind>,
    steps: mpsc::Receiver<Step>,
    again: Arc<Notify>,
    _watch: JoinSet<()>,
}

impl Told {
    async fn by(server: &Server, analyzers: &[&str]) -> Self {
        Self::within(server, analyzers, Extent::default()).await
    }

    async fn within(server: &Server, analyzers: &[&str], extent: Extent) -> Self {
        let catalogue = Catalogue::read(&server.api()).await.unwrap();
        let selection = Selection::new(analyzers, &[], &[]).unwrap();
        let subjects = selection.subjects();
        let options = WatchOptions {
            extent,
            debounce: Duration::ZERO,
            discovery: Duration::from_millis(20),
            ..WatchOptions::default()
        };
        let (sender, steps) = mpsc::channel(64);
        let (mut watch, again) = (JoinSet::new(), Arc::new(Notify::new()));
        let watched = Watch::new(server.client.clone(), catalogue, selection, options).again(again.clone());
        watch.spawn(watched.run(sender));
        Self { subjects, steps, again, _watch: watch }
    }

    async fn next(&mut self) -> Step {
        timeout(LIMIT, self.steps.recv()).await.unwrap().unwrap()
    }

    /// The next page of names, and what was looked at before it.
    async fn live(&mut self) -> (Vec<Looked>, Live) {
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Step::Look(looked) => before.push(*looked),
                Step::Live(live) if self.subjects.contains(&live.kind) => return (before, live),
                Step::Live(live) => assert!(live.is_empty(), "{live:?}"),
                Step::Gone(object) => panic!("{object} is gone"),
            }
        }
    }
}

/// What `find` finds, as soon as it does.
async fn until<T>(find: impl Fn() -> Option<T>) -> T {
    let found = async {
        loop {
            match find() {
                Some(found) => return found,
                None => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(LIMIT, found).await.unwrap()
}

fn pod(name: &str, rest: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}});
    pod.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    pod
}

fn at(name: &str) -> ObjectRef {
    ObjectRef::of::<Pod>(Some("shop"), name)
}

/// Every list is there and empty.
fn empty(server: &Server) {
    let paths = ["pods", "events", "nodes", "secrets"].map(|plural| format!("/api/v1/{plural}"));
    let apps = ["replicasets", "daemonsets", "deployments"].map(|plural| format!("/apis/apps/v1/{plural}"));
    let all = paths.into_iter().chain(apps).chain([JOBS.to_owned()]);
    server.tell(|told| told.lists = all.map(|path| (path, Vec::new())).collect());
}

#[tokio::test]
async fn a_kind_that_failed_is_not_told_of_until_it_was_listed() {
    let server = Server::start().await;
    empty(&server);
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![pod("web", json!({}))]);
        told.once.extend((0..2).map(|_| (format!("{PODS}?"), Answer::Status(500, "etcd is down", None))));
    });
    let mut told = Told::by(&server, &["Pod"]).await;
    let (looked, live) = told.live().await;
    assert!(!live.misses(&at("web")) && live.misses(&at("went")), "{live:?}");
    assert_eq!(looked.len(), 1, "nothing was told while it could not be listed");
    assert!(server.asked(&format!("{PODS}?")).len() >= 3);
}

#[tokio::test]
async fn a_watch_that_has_ended_goes_on_behind_its_bookmark_without_a_list() {
    let server = Server::start().await;
    empty(&server);
    let bookmark = r#"{"type": "BOOKMARK", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "90"}}}"#;
    let added = r#"{"type": "ADDED", "object": {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web", "resourceVersion": "91"}}}"#;
    server.tell(|told| {
        told.once.push_back((WATCHED.to_owned(), Answer::Text(200, bookmark)));
        told.once.push_back((WATCHED.to_owned(), Answer::Text(200, added)));
    });
    let mut told = Told::by(&server, &["Pod"]).await;
    let looked = loop {
        if let Step::Look(looked) = told.next().await {
            break looked;
        }
    };
    assert_eq!(looked.object.name(), "web");
    let watches = until(|| Some(server.asked(WATCHED)).filter(|asked| asked.len() == 3)).await;
    for (watch, version) in watches.iter().zip(["7", "90", "91"]) {
        assert!(watch.contains(&format!("&resourceVersion={version}")), "{watch}");
    }
    let lists = server.asked(PODS).len() - watches.len();
    assert_eq!(lists, 1, "{:?}", server.asked(PODS));
}

#[tokio::test]
async fn a_watch_that_begins_too_late_begins_with_a_new_list() {
    let server = Server::start().await;
    empty(&server);
    let late = Answer::Status(410, "too old resource version: 7 (90)", None);
    server.tell(|told| told.once.push_back((WATCHED.to_owned(), late)));
    let mut told = Told::by(&server, &["Pod"]).await;
    for _ in 0..2 {
        told.live().await;
    }
    assert_eq!(until(|| Some(server.asked(WATCHED)).filter(|asked| asked.len() == 2)).await.len(), 2);
}

#[tokio::test]
async fn a_kind_that_is_installed_later_is_watched_then() {
    let server = Server::start().await;
    empty(&server);
    let job = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "load", "namespace": "shop"},
        "spec": {"suspend": true}});
    server.tell(|told| {
        told.hidden.push("Job");
        told.lists.insert(JOBS.to_owned(), vec![job]);
    });
    let mut told = Told::by(&server, &["Pod", "Job"]).await;
    assert_eq!(told.live().await.1.kind.kind, "Pod");
    assert!(server.asked(JOBS).is_empty());
    let (_, absent) = told.live().await;
    assert_eq!((absent.kind.kind.as_ref(), absent.len()), ("Job", 0), "what was found of it is to be closed");
    server.tell(|told| told.hidden.clear());
    let (looked, live) = told.live().await;
    assert_eq!((looked[0].object.name(), live.kind.kind.as_ref(), live.len()), ("load", "Job", 1));
    let asked = server.asked("/apis").len();
    assert!(asked >= 2 && !server.asked(JOBS).is_empty());
}

#[tokio::test]
async fn values_of_variables_stay_where_they_are() {
    let server = Server::start().await;
    empty(&server);
    let container = json!({"name": "c", "env": [{"name": "PASSWORD", "value": "hunter2"}]});
    let web = pod("web", json!({"spec": {"containers": [container]}}));
    server.tell(|told| drop(told.lists.insert(PODS.to_owned(), vec![web])));
    let (looked, _) = Told::by(&server, &["Pod"]).await.live().await;
    let sent = looked[0].object.value().to_string();
    assert!(sent.contains("PASSWORD") && !sent.contains("hunter2"), "{sent}");
}

#[tokio::test]
async fn a_forbidden_kind_has_no_page_and_those_beside_it_have() {
    let server = Server::start().await;
    empty(&server);
    server.tell(|told| {
        told.lists.insert(
            "/api/v1/nodes".to_owned(),
            vec![json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "n"}})],
        );
        told.forbidden.insert(PODS.to_owned(), ("list", "pods"));
    });
    let mut told = Told::by(&server, &["Pod", "Node"]).await;
    assert_eq!(told.live().await.1.kind.kind, "Node");
    told.again.notify_one();
    assert_eq!(told.live().await.1.kind.kind, "Node", "and no page of pods in between");
}

#[tokio::test]
async fn with_named_namespaces_nothing_is_asked_of_others() {
    let server = Server::start().await;
    let list = |namespace: &str, plural: &str| format!("/api/v1/namespaces/{namespace}/{plural}");
    let creating = json!({"phase": "Pending", "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]});
    server.tell(|told| {
        for namespace in ["shop", "pay"] {
            for plural in ["pods", "events"] {
                told.lists.insert(list(namespace, plural), Vec::new());
            }
        }
        told.lists.insert(list("shop", "pods"), vec![pod("web", json!({"status": creating}))]);
        told.lists.insert("/api/v1/nodes".to_owned(), Vec::new());
        told.forbidden.insert(list("pay", "pods"), ("list", "pods"));
    });
    let named = Extent { namespaces: ["shop", "pay"].map(str::to_owned).into(), ..Extent::default() };
    let mut told = Told::within(&server, &["Pod", "Node"], named).await;
    let (looked, nodes) = told.live().await;
    let (_, live) = told.live().await;
    assert_eq!((nodes.kind.kind.as_ref(), live.kind.kind.as_ref()), ("Node", "Pod"));
    assert!(live.misses(&at("went")) && !live.misses(&at("web")));
    assert!(!live.misses(&ObjectRef::of::<Pod>(Some("pay"), "web")), "nobody may see its pods");
    assert!(live.misses(&ObjectRef::of::<Pod>(Some("left"), "web")), "not looked at any more");
    assert_eq!(looked.last().unwrap().evaluation.report.doubts(), [], "events of its namespace are read");
    assert!(server.asked(PODS).is_empty() && server.asked("/api/v1/events").is_empty());
    assert!(!server.asked(&list("shop", "events")).is_empty());
}

#[tokio::test]
async fn the_end_of_a_pass_is_noted_with_what_could_not_be_verified() {
    let server = Server::start().await;
    empty(&server);
    let creating = json!({"phase": "Pending", "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false,
        "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}]});
    server.tell(|told| {
        told.lists
            .insert(PODS.to_owned(), vec![pod("web", json!({"status": creating})), pod("well", json!({}))]);
        told.forbidden.insert("/api/v1/events".to_owned(), ("list", "events"));
    });
    let catalogue = Catalogue::read(&server.api()).await.unwrap();
    // Looked at after all was listed; and it is noted although nothing happens after.
    let options = WatchOptions { debounce: Duration::from_millis(300), ..WatchOptions::default() };
    let mut passes = options.passes.subscribe();
    let (sender, mut steps) = mpsc::channel(64);
    let selection = Selection::new(&["Pod"], &[], &[]).unwrap();
    let watch = Watch::new(server.client.clone(), catalogue, selection, options);
    let mut tasks = JoinSet::new();
    tasks.spawn(watch.run(sender));
    tasks.spawn(async move { while steps.recv().await.is_some() {} });
    timeout(LIMIT, passes.changed()).await.unwrap().unwrap();
    assert_eq!(passes.borrow().map(|pass| pass.unverified), Some(1), "events may not be listed");
}
