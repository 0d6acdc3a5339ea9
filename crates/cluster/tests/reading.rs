//! What is asked of an API server, and what its answers become.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::{collections::BTreeSet, sync::Mutex, time::Duration};

use asya_analysis::{Evaluation, GroupKind, Unverified};
use asya_cluster::{Catalogue, Collected, Patience, Progress, Refusal, Rights, Scope, list};
use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Node, Pod},
};
use serde_json::{Value, json};
use support::{Answer, Server, mount_event, owners, quick, waiting_pod};

const PODS: &str = "/api/v1/namespaces/shop/pods";
const EVENTS: &str = "/api/v1/namespaces/shop/events";

fn shop() -> Scope {
    Scope::Namespaces(["shop".to_owned()].into())
}

async fn collect(server: &Server, scope: Scope) -> Collected {
    let now: Timestamp = "2026-06-01T12:00:00Z".parse().unwrap();
    server.collector(scope).await.run(now, &|_| {}).await
}

fn codes(evaluations: &[Evaluation]) -> Vec<&str> {
    evaluations
        .iter()
        .flat_map(|evaluation| evaluation.report.failures().iter().map(|failure| failure.code.as_str()))
        .collect()
}

fn pod(name: String) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"}})
}

#[tokio::test]
async fn just_what_is_asked_for_is_read_and_each_thing_once() {
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![waiting_pod("a"), waiting_pod("b")]);
        told.lists.insert(EVENTS.to_owned(), vec![mount_event("a"), mount_event("b")]);
        told.lists.extend(owners());
    });
    let seen = Mutex::new(Vec::new());
    let collector = server.collector(shop()).await;
    let found = collector
        .run("2026-06-01T12:00:00Z".parse().unwrap(), &|progress: Progress| {
            seen.lock().unwrap().push(progress);
        })
        .await;
    assert_eq!(codes(&found.evaluations), ["VolumeMountFails", "VolumeMountFails"]);
    assert_eq!(found.evaluations[0].parent.as_ref().unwrap().to_string(), "Deployment.apps shop/web");
    assert_eq!(found.unread, []);
    let asked: Vec<String> = server.asked("/").into_iter().filter(|asked| asked.contains("shop")).collect();
    assert_eq!(
        asked,
        [
            &format!("{PODS}?limit=500"),
            &format!("{EVENTS}?limit=500"),
            "/apis/apps/v1/namespaces/shop/replicasets/web-1",
            "/apis/apps/v1/namespaces/shop/deployments/web",
        ],
        "the events of two pods are one list; their owner is one object, read by name"
    );
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.first(), Some(&Progress { round: 0, done: 1, total: 1 }));
    assert_eq!(seen.last(), Some(&Progress { round: 3, done: 1, total: 1 }));
}

#[tokio::test]
async fn a_list_of_many_pages_is_read_to_its_end() {
    let server = Server::start().await;
    server.tell(|told| {
        told.page = 100;
        told.lists.insert(PODS.to_owned(), (0..1050).map(|n| pod(format!("p{n}"))).collect());
    });
    let found = collect(&server, shop()).await;
    assert_eq!(found.evaluations.len(), 1050);
    assert_eq!(server.asked(PODS).len(), 11);
}

#[tokio::test]
async fn a_list_that_expires_while_it_is_read_begins_anew() {
    let server = Server::start().await;
    let expired = Answer::Status(
        410,
        "The provided continue parameter is too old to display a consistent list result. You can start a new list without \
         the continue parameter.",
        None,
    );
    server.tell(|told| {
        told.page = 2;
        told.lists.insert(PODS.to_owned(), (0..5).map(|n| pod(format!("p{n}"))).collect());
        for _ in 0..2 {
            told.once.push_back((format!("{PODS}?limit=500&continue=2"), expired.clone()));
        }
    });
    let found = collect(&server, shop()).await;
    assert_eq!(found.evaluations.len(), 5, "each object once");
    assert_eq!(server.asked(PODS).last().unwrap(), PODS, "the last try is one page, which cannot expire");
    assert_eq!(found.unread, []);
}

#[tokio::test]
async fn what_may_not_be_read_is_a_doubt_and_its_right_is_named() {
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![waiting_pod("a")]);
        told.forbidden.insert(EVENTS.to_owned(), ("list", "events"));
    });
    let found = collect(&server, shop()).await;
    assert!(codes(&found.evaluations).is_empty());
    assert_eq!(found.evaluations[0].report.doubts()[0].why, Unverified::Forbidden);
    assert_eq!(found.unread[0].words(), "list events in namespace shop");
    assert!(!found.unread[0].subject);
    assert_eq!(
        Rights::missing(&found.unread).commands(),
        [
            "kubectl create clusterrole asya-analyze --verb=list --resource=events",
            "kubectl create rolebinding asya-analyze -n shop --clusterrole=asya-analyze --user=alice",
        ]
    );
    assert_eq!(server.asked(EVENTS).len(), 1, "a refusal is not asked again");
}

#[tokio::test]
async fn subjects_that_may_not_be_listed_are_told_as_such() {
    let server = Server::start().await;
    server.tell(|told| {
        told.forbidden.insert("/api/v1/pods".to_owned(), ("list", "pods"));
    });
    let found = collect(&server, Scope::Everywhere { without: BTreeSet::new() }).await;
    assert!(found.evaluations.is_empty());
    assert!(found.unread[0].subject);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_when_it_says() {
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![pod("p".to_owned())]);
        told.once.push_back((
            PODS.to_owned(),
            Answer::Status(429, "too many requests, please try again later", Some(1)),
        ));
    });
    let began = std::time::Instant::now();
    let found = collect(&server, shop()).await;
    assert_eq!((found.evaluations.len(), server.asked(PODS).len()), (1, 2));
    assert!(began.elapsed() >= Duration::from_secs(1), "not before");
}

#[tokio::test]
async fn a_server_that_asks_for_more_patience_than_there_is_has_failed() {
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![waiting_pod("a")]);
        told.once.push_back((EVENTS.to_owned(), Answer::Status(429, "come back tomorrow", Some(86_400))));
    });
    let found = collect(&server, shop()).await;
    assert_eq!(
        found.evaluations[0].report.doubts()[0].why,
        Unverified::Failed("come back tomorrow".to_owned())
    );
    assert_eq!(server.asked(EVENTS).len(), 1);
}

#[tokio::test]
async fn failures_of_the_server_are_asked_again_and_then_told() {
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![waiting_pod("a")]);
        for answer in [
            Answer::Status(500, "etcdserver: request timed out", None),
            Answer::Text(502, "<html>bad gateway</html>"),
            Answer::Status(503, "the server is currently unable to handle the request", None),
            Answer::Status(504, "last word", None),
        ] {
            told.once.push_back((EVENTS.to_owned(), answer));
        }
    });
    let found = collect(&server, shop()).await;
    assert_eq!(server.asked(EVENTS).len(), 4);
    assert_eq!(found.evaluations[0].report.doubts()[0].why, Unverified::Failed("last word".to_owned()));
    assert_eq!(found.unread[0].why, Unverified::Failed("last word".to_owned()));
}

#[tokio::test]
async fn what_is_not_json_has_failed() {
    let server = Server::start().await;
    server.tell(|told| told.once.push_back((PODS.to_owned(), Answer::Text(200, "<html>log in</html>"))));
    let found = collect(&server, shop()).await;
    assert!(matches!(&found.unread[0].why, Unverified::Failed(why) if why.contains("cannot be read")));
}

#[tokio::test]
async fn an_answer_that_never_comes_ends_with_the_time_of_all() {
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![waiting_pod("a")]);
        told.once.push_back((EVENTS.to_owned(), Answer::Never));
    });
    let mut collector = server.collector(shop()).await;
    let end = tokio::time::Instant::now() + Duration::from_secs(2);
    collector.api = asya_cluster::Api::new(server.client.clone(), Patience { end: Some(end), ..quick() });
    let began = std::time::Instant::now();
    let found = collector.run(Timestamp::UNIX_EPOCH, &|_| {}).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(found.evaluations.len(), 1, "what was read is looked at");
    assert!(
        matches!(&found.evaluations[0].report.doubts()[0].why, Unverified::Failed(why) if why.contains("did not answer")),
        "{:?}",
        found.evaluations[0].report.doubts()
    );
}

#[tokio::test]
async fn with_labels_the_server_is_asked_for_these_alone() {
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![waiting_pod("a"), waiting_pod("b")]);
        told.lists.insert(EVENTS.to_owned(), vec![mount_event("a")]);
        told.lists.extend(owners());
    });
    let mut collector = server.collector(shop()).await;
    collector.labels = "app=a".to_owned();
    let found = collector.run(Timestamp::UNIX_EPOCH, &|_| {}).await;
    assert_eq!(codes(&found.evaluations), ["VolumeMountFails"]);
    assert_eq!(server.asked(PODS), [format!("{PODS}?limit=500&labelSelector=app%3Da")]);
}

#[tokio::test]
async fn excluded_namespaces_are_not_looked_at() {
    let server = Server::start().await;
    let mut other = pod("system".to_owned());
    other["metadata"]["namespace"] = json!("kube-system");
    server.tell(|told| {
        told.lists.insert("/api/v1/pods".to_owned(), vec![pod("p".to_owned()), other]);
    });
    let found = collect(&server, Scope::Everywhere { without: ["kube-system".to_owned()].into() }).await;
    assert_eq!(found.evaluations.len(), 1);
    assert_eq!(server.asked("/api/v1/pods").len(), 1);
}

#[tokio::test]
async fn the_discovery_is_two_questions_and_knows_what_is_not_installed() {
    let server = Server::start().await;
    server.tell(|told| told.stale.push("metrics.k8s.io"));
    let catalogue = Catalogue::read(&server.api()).await.unwrap();
    assert_eq!(server.asked("/api").len(), 2);
    let deployments = catalogue.find(&GroupKind::of::<Deployment>()).unwrap();
    assert_eq!(deployments.path(Some("shop")), "/apis/apps/v1/namespaces/shop/deployments");
    assert_eq!(catalogue.find(&GroupKind::of::<Node>()).unwrap().path(Some("shop")), "/api/v1/nodes");
    let gateway = GroupKind::new("gateway.networking.k8s.io", "Gateway");
    assert_eq!(catalogue.find(&gateway), Err(Unverified::NotInstalled));
    let metrics = catalogue.find(&GroupKind::new("metrics.k8s.io", "PodMetrics"));
    assert!(
        matches!(&metrics, Err(Unverified::Failed(why)) if why.contains("metrics.k8s.io")),
        "a group whose server is down may have the kind: {metrics:?}"
    );
}

#[tokio::test]
async fn an_old_server_is_asked_group_by_group() {
    let server = Server::start().await;
    server.tell(|told| {
        told.old = true;
        told.stale.push("metrics.k8s.io");
        for _ in 0..4 {
            told.once.push_back(("/apis/metrics.k8s.io/v1".to_owned(), Answer::Status(503, "down", None)));
        }
    });
    let catalogue = Catalogue::read(&server.api()).await.unwrap();
    assert!(catalogue.find(&GroupKind::of::<Pod>()).unwrap().namespaced);
    assert_eq!(catalogue.find(&GroupKind::of::<Deployment>()).unwrap().full_name(), "deployments.apps");
    let metrics = catalogue.find(&GroupKind::new("metrics.k8s.io", "PodMetrics"));
    assert!(matches!(metrics, Err(Unverified::Failed(_))), "{metrics:?}");
}

#[tokio::test]
async fn an_object_that_is_gone_is_told_from_a_kind_that_is_gone() {
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![]);
    });
    let api = server.api();
    let gone = api.json::<Value>(&format!("{PODS}/p")).await;
    assert_eq!(gone, Err(Refusal::NotFound { object: true }));
    let unknown = api.json::<Value>("/apis/keda.sh/v1/scaledobjects").await;
    assert_eq!(unknown, Err(Refusal::NotFound { object: false }));
    assert_eq!(unknown.unwrap_err().unverified(), Unverified::NotInstalled);
}

#[tokio::test]
async fn a_list_with_an_object_that_nobody_understands_proves_no_absence() {
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![pod("p".to_owned()), json!({"metadata": {}})]);
    });
    let catalogue = Catalogue::read(&server.api()).await.unwrap();
    let served = catalogue.find(&GroupKind::of::<Pod>()).unwrap();
    let answer = list::list(&server.api(), served, Some("shop"), "").await;
    assert!(matches!(&answer, Err(Refusal::Failed(why)) if why.contains("metadata.name")), "{answer:?}");
}

#[tokio::test]
async fn a_selector_that_nobody_understands_is_told_from_a_failure() {
    let server = Server::start().await;
    let said = "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt";
    server.tell(|told| told.once.push_back((PODS.to_owned(), Answer::Status(400, said, None))));
    let mut collector = server.collector(shop()).await;
    collector.labels = "a b".to_owned();
    let found = collector.run(Timestamp::UNIX_EPOCH, &|_| {}).await;
    assert!(
        found.unread[0].wrong && found.unread[0].subject && found.unread[0].said == said,
        "{:?}",
        found.unread
    );
    assert_eq!(server.asked(PODS).len(), 1);
}

#[tokio::test]
async fn an_owner_that_belongs_to_no_namespace_is_read_without_one() {
    let mut mirror = waiting_pod("mirror");
    mirror["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "n", "controller": true}]);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}});
    let server = Server::start().await;
    server.tell(|told| {
        told.lists.insert(PODS.to_owned(), vec![mirror]);
        told.lists.insert(EVENTS.to_owned(), vec![mount_event("mirror")]);
        told.lists.insert("/api/v1/nodes".to_owned(), vec![node]);
    });
    let found = collect(&server, shop()).await;
    assert_eq!(server.asked("/api/v1/nodes"), ["/api/v1/nodes/n1"]);
    assert_eq!(found.evaluations[0].parent.as_ref().unwrap().name, "n1");
    server.tell(|told| {
        told.forbidden.insert("/api/v1/nodes/n1".to_owned(), ("get", "nodes"));
    });
    let refused = collect(&server, shop()).await;
    assert_eq!(refused.evaluations[0].parent.as_ref().unwrap().name, "n1", "known from below");
    assert_eq!(refused.unread[0].words(), "get nodes");
    let commands = Rights::missing(&refused.unread).commands();
    assert!(commands[1].starts_with("kubectl create clusterrolebinding"), "{commands:?}");
}

/// A workload whose pull secret may or may not be there.
fn daemon_set() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "shop"},
        "spec": {"selector": {"matchLabels": {"app": "agent"}},
            "template": {"spec": {"containers": [], "imagePullSecrets": [{"name": "registry"}]}}},
        "status": {"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0}})
}

#[tokio::test]
async fn no_secret_is_read_unless_it_is_asked_for_and_then_only_the_one_that_is_named() {
    let server = Server::start().await;
    let secrets = "/api/v1/namespaces/shop/secrets";
    server.tell(|told| {
        told.lists.insert("/apis/apps/v1/namespaces/shop/daemonsets".to_owned(), vec![daemon_set()]);
        told.lists.insert(secrets.to_owned(), vec![]);
    });
    let mut collector = server.collector(shop()).await;
    collector.selection = asya_analysis::Selection::new(&["DaemonSet"], &[], &[]).unwrap();
    let unread = collector.run(Timestamp::UNIX_EPOCH, &|_| {}).await;
    assert!(server.asked(secrets).is_empty());
    assert_eq!(unread.evaluations[0].report.doubts()[0].why, Unverified::NotRead);
    assert!(
        codes(&unread.evaluations).is_empty() && unread.unread.is_empty(),
        "a setting is no missing right"
    );
    collector.secrets = true;
    let read = collector.run(Timestamp::UNIX_EPOCH, &|_| {}).await;
    assert_eq!(server.asked(secrets), [format!("{secrets}/registry")]);
    assert_eq!(codes(&read.evaluations), ["PullSecretMissing"]);
}

#[tokio::test]
async fn a_log_that_is_not_there_is_no_doubt_and_one_that_may_not_be_read_is() {
    let mut restarted = pod("web".to_owned());
    restarted["spec"] = json!({"containers": [{"name": "c"}]});
    restarted["status"] = json!({"phase": "Running", "containerStatuses": [{"name": "c", "image": "i", "imageID": "",
        "ready": true, "restartCount": 1, "state": {"running": {}}}]});
    let server = Server::start().await;
    let path = format!("{PODS}/web/log?container=c&tailLines=100&limitBytes=262144");
    let log = |answer: Answer, before: Answer| {
        server.tell(|told| {
            told.lists.insert(PODS.to_owned(), vec![restarted.clone()]);
            told.once.push_back((format!("{path}&previous=true"), before));
            told.once.push_back((path.clone(), answer));
        });
    };
    let none = "previous terminated container \"c\" in pod \"web\" not found";
    let mut collector = server.collector(shop()).await;
    collector.selection = asya_analysis::Selection::new(&["Log"], &[], &[]).unwrap();
    collector.logs = true;
    log(Answer::Text(200, "all is well\nERROR no connection to db\n"), Answer::Status(400, none, None));
    let found = collector.run(Timestamp::UNIX_EPOCH, &|_| {}).await;
    assert_eq!(codes(&found.evaluations), ["LogErrors"]);
    assert!(found.evaluations[0].report.doubts().is_empty(), "{:?}", found.evaluations[0].report.doubts());
    log(
        Answer::Status(
            403,
            "pods \"web\" is forbidden: User \"alice\" cannot get resource \"pods/log\"",
            None,
        ),
        Answer::Status(400, none, None),
    );
    let refused = collector.run(Timestamp::UNIX_EPOCH, &|_| {}).await;
    assert_eq!(refused.evaluations[0].report.doubts()[0].why, Unverified::Forbidden);
    assert_eq!(refused.unread[0].words(), "get pods/log in namespace shop");
    collector.logs = false;
    let asked = server.asked(&path).len();
    let off = collector.run(Timestamp::UNIX_EPOCH, &|_| {}).await;
    assert_eq!(off.evaluations[0].report.doubts()[0].why, Unverified::NotRead);
    assert_eq!(server.asked(&path).len(), asked, "no log is read");
}

#[tokio::test]
async fn documentation_is_read_once_for_a_group_and_only_from_this_server() {
    let server = Server::start().await;
    let catalogue = Catalogue::read(&server.api()).await.unwrap();
    let wanted = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<String>>();
    let index = r#"{"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1?hash=1"},
        "apis/apps/v1": {"serverRelativeURL": "https://elsewhere.invalid/x"}}}"#;
    let document = r#"{"components": {"schemas": {"pod": {"x-kubernetes-group-version-kind": [
        {"group": "", "kind": "Pod", "version": "v1"}], "properties": {"spec": {"description": "What it shall be."},
        "status": {"description": "What it is."}}}}}}"#;
    server.tell(|told| {
        told.once.push_back(("/openapi/v3/api/v1".to_owned(), Answer::Text(200, document)));
        told.once.push_back(("/openapi/v3".to_owned(), Answer::Text(200, index)));
    });
    let fields = wanted(&["pod.spec", "pod.status", "pod.gone", "deployment.spec", "nonsense.spec"]);
    let found = asya_cluster::Fields::read(&server.api(), &catalogue, &fields).await.unwrap();
    assert_eq!(
        (found.of("pod.spec"), found.of("pod.status")),
        (Some("What it shall be."), Some("What it is."))
    );
    assert_eq!((found.of("pod.gone"), found.of("deployment.spec")), (None, None));
    assert_eq!(server.asked("/openapi").len(), 2);
    let none = asya_cluster::Fields::read(&server.api(), &catalogue, &wanted(&["nonsense.spec"])).await;
    assert!(none.is_ok() && server.asked("/openapi").len() == 2, "nothing is asked for nothing");
}
