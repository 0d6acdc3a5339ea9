//! results on a real API server, after the real findings: what a Result says, when it goes, and that neither order nor
//! failures nor other people's hands leave it wrong.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

#[path = "results/support.rs"]
mod support;

use std::sync::Arc;

use asya_analysis::{ObjectRef, message::Transition};
use asya_crew::{analysis::Results, committed::Committed};
use asya_envelope::{ActorName, Envelope, Naming, Raw};
use asya_handler::{End, Fault};
use asya_sidecar::{Engine, EngineConfig, Observers};
use asya_transport::{Outgoing, Queues as _, Transport as _};
use axum::{Router, http::StatusCode, response::IntoResponse as _};
use k8s_openapi::api::{
    core::v1::{Node, Pod},
    rbac::v1::ClusterRole,
};
use kube::{Client, Config};
use serde_json::{Value, json};
use support::{Seen, World, ask, explained, pod, sent};
use tokio_util::sync::CancellationToken;

macro_rules! world {
    () => {
        match World::new().await {
            Some(world) => world,
            None => return,
        }
    };
}

#[tokio::test]
async fn what_breaks_is_one_result_that_says_all_and_goes_when_it_heals() {
    let world = world!();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["ImagePullFails"])).await.unwrap();
    world.told(&opened).await;
    let result = world.only().await;
    let name = result["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("pod-shop-web-"), "{name}");
    let metadata = &result["metadata"];
    assert_eq!(
        metadata["labels"],
        json!({"k8sgpts.k8sgpt.ai/name": "sample", "backstage.io/kubernetes-id": "cart",
        "k8sgpts.k8sgpt.ai/namespace": world.namespace, "k8sgpts.k8sgpt.ai/backend": "localai"})
    );
    assert_eq!(metadata["annotations"]["analysis.asya.sh/finding"], "here/Pod/shop/web");
    assert_eq!(metadata["ownerReferences"][0]["kind"], "K8sGPT");
    assert_eq!(metadata["managedFields"].as_array().unwrap().len(), 2, "spec and status, one manager");
    assert!(metadata["managedFields"].as_array().unwrap().iter().all(|it| it["manager"] == "asya-results"));
    let spec = &result["spec"];
    assert_eq!(
        (&spec["kind"], &spec["name"], &spec["parentObject"]),
        (&json!("Pod"), &json!("shop/web"), &json!("Deployment/web"))
    );
    let failure = &spec["error"][0];
    assert_eq!((&failure["code"], &failure["severity"]), (&json!("ImagePullFails"), &json!("error")));
    assert_eq!(failure["evidence"], json!(["e1", "e2", "e3"]));
    assert_eq!(failure["sensitive"][0]["unmasked"], "");
    assert!(failure["sensitive"][0]["masked"].as_str().unwrap().starts_with("masked-"), "{failure}");
    assert_eq!(
        spec["evidence"][1],
        json!({"id": "e2", "path": ".status.phase", "value": "Pending",
        "object": {"group": "", "kind": "Pod", "namespace": "shop", "name": "web"}})
    );
    let transition: Transition = serde_json::from_slice(opened.payload.as_bytes()).unwrap();
    let status = &result["status"];
    assert_eq!(status["fingerprint"], json!(transition.finding.fingerprint), "the same as in messages");
    assert_eq!((&status["lifecycle"], &status["severity"]), (&json!("created"), &json!("error")));
    assert!(status["contentHash"].is_string() && status["firstSeen"].is_string());
    let healed = world.found(2, &pod("web"), Seen::Broken(&[])).await.unwrap();
    world.told(&healed).await;
    assert_eq!(world.results().await, [] as [Value; 0]);
}

#[tokio::test]
async fn what_has_not_changed_is_not_written() {
    let world = world!();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    world.told(&opened).await;
    let before = world.only().await;
    world.told(&opened).await;
    world.told(&explained(&opened, "Pull it [e1].")).await;
    let explained_once = world.only().await;
    world.told(&opened).await;
    world.told(&explained(&opened, "Pull it [e1].")).await;
    assert_eq!(world.results().await, std::slice::from_ref(&explained_once), "to the resourceVersion");
    assert_ne!(before["metadata"]["resourceVersion"], explained_once["metadata"]["resourceVersion"]);
    let mended = world.resync().await;
    assert_eq!((mended, world.results().await), (0, vec![explained_once]));
}

#[tokio::test]
async fn messages_that_come_late_or_twice_neither_bring_back_nor_overwrite() {
    let world = world!();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    let changed = world.found(2, &pod("web"), Seen::Broken(&["A", "B"])).await.unwrap();
    world.told(&changed).await;
    world.told(&opened).await;
    assert_eq!(world.only().await["spec"]["error"].as_array().unwrap().len(), 2, "the newer stays");
    let healed = world.found(3, &pod("web"), Seen::Broken(&[])).await.unwrap();
    world.told(&opened).await;
    assert_eq!(world.results().await.len(), 0, "it is known to be healed though nobody was told yet");
    world.told(&healed).await;
    world.told(&changed).await;
    world.told(&explained(&opened, "late")).await;
    assert_eq!(world.results().await.len(), 0);
    let again = world.found(4, &pod("web"), Seen::Gone).await;
    assert!(again.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_at_the_same_time_leave_what_was_told_last() {
    let world = Arc::new(world!());
    for round in 0..5 {
        let mut messages = Vec::new();
        let first = round * 10;
        for (n, codes) in [(1, &["A"][..]), (2, &[]), (3, &["B"]), (4, &["B", "C"])] {
            let seen = world.found(first + n, &pod("web"), Seen::Broken(codes)).await;
            messages.extend(seen);
            if round % 2 == 0 && n == 2 {
                // Some are on their way while the finding changes.
                let world = world.clone();
                let message = messages.last().unwrap().clone();
                tokio::spawn(async move { world.told(&message).await });
            }
        }
        if round == 3 {
            messages.extend(world.found(first + 5, &pod("web"), Seen::Broken(&[])).await);
        }
        messages.rotate_left(round as usize % 4);
        let telling = messages.into_iter().map(|message| {
            let world = world.clone();
            tokio::spawn(async move { world.told(&message).await })
        });
        for told in telling.collect::<Vec<_>>() {
            told.await.unwrap();
        }
        let codes: Vec<Value> = world
            .results()
            .await
            .iter()
            .flat_map(|result| result["spec"]["error"].as_array().unwrap().clone())
            .map(|failure| failure["code"].clone())
            .collect();
        let expected: &[&str] = if round == 3 { &[] } else { &["B", "C"] };
        assert_eq!(codes, expected, "round {round}");
    }
}

#[tokio::test]
async fn an_explanation_is_of_what_was_explained_and_of_nothing_else() {
    let world = world!();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    world.told(&opened).await;
    assert_eq!(world.only().await["spec"]["details"], "");
    world.told(&explained(&opened, "Pull it [e1].")).await;
    let result = world.only().await;
    assert_eq!(
        (&result["spec"]["details"], &result["spec"]["backend"]),
        (&json!("Pull it [e1]."), &json!("localai"))
    );
    assert_eq!(result["status"]["unknownCitations"], json!(["e9"]));
    let changed = world.found(2, &pod("web"), Seen::Broken(&["B"])).await.unwrap();
    world.told(&changed).await;
    world.told(&explained(&opened, "Pull it [e1].")).await;
    let result = world.only().await;
    assert_eq!((&result["spec"]["details"], &result["spec"]["error"][0]["code"]), (&json!(""), &json!("B")));
    assert_eq!(result["status"].get("unknownCitations"), None);
    assert_eq!(result["status"]["lifecycle"], "updated");
}

#[tokio::test]
async fn objects_that_look_alike_have_results_of_their_own() {
    let world = world!();
    let gateway = |group: &str| {
        let mut object = ObjectRef::of::<Pod>(Some("a"), "g");
        object.kind = asya_analysis::GroupKind::named(&format!("{group}/v1"), "Gateway");
        object
    };
    let objects = [
        ObjectRef::of::<Pod>(Some("a-b"), "c"),
        ObjectRef::of::<Pod>(Some("ab"), "c"),
        ObjectRef::of::<Pod>(Some("a"), "b-c"),
        ObjectRef::of::<Node>(None, "ip-10-0-0-1.ec2.internal"),
        ObjectRef::of::<ClusterRole>(None, "system:Node_Admin"),
        ObjectRef::of::<ClusterRole>(None, "system:node-admin"),
        gateway("gateway.networking.k8s.io"),
        gateway("networking.istio.io"),
    ];
    for (n, object) in (1..).zip(&objects) {
        let opened = world.found(n, object, Seen::Broken(&["A"])).await.unwrap();
        world.told(&opened).await;
    }
    let results = world.results().await;
    assert_eq!(results.len(), objects.len());
    for object in &objects {
        assert!(results.iter().any(|result| result["spec"]["name"] == object.path()), "{object}");
    }
}

#[tokio::test]
async fn what_somebody_deleted_comes_back_and_what_nobody_took_away_goes() {
    let world = world!();
    for (n, name) in (1..).zip(["web", "db"]) {
        let opened = world.found(n, &pod(name), Seen::Broken(&["A"])).await.unwrap();
        world.told(&opened).await;
    }
    for result in world.results().await {
        world.delete(result["metadata"]["name"].as_str().unwrap()).await;
    }
    // Healed, and the message of it is lost.
    let left = world.found(3, &pod("left"), Seen::Broken(&["A"])).await.unwrap();
    world.told(&left).await;
    world.found(4, &pod("left"), Seen::Broken(&[])).await.unwrap();
    assert_eq!(world.resync().await, 3);
    let mut names: Vec<_> = world.results().await.iter().map(|it| it["spec"]["name"].clone()).collect();
    names.sort_by_key(Value::to_string);
    assert_eq!(names, ["shop/db", "shop/web"]);
    assert_eq!(world.resync().await, 0);
}

#[tokio::test]
async fn what_others_write_on_a_result_stays_and_what_is_ours_comes_back() {
    let world = world!();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    world.told(&opened).await;
    let name = world.only().await["metadata"]["name"].as_str().unwrap().to_owned();
    let edit = json!({"metadata": {"labels": {"team": "shop"}},
        "spec": {"details": "by hand", "kind": "Node", "autoRemediationStatus": {"phase": 2}}});
    world.edit(&name, &edit).await;
    world.told(&explained(&opened, "Pull it [e1].")).await;
    let result = world.only().await;
    assert_eq!(
        (&result["spec"]["kind"], &result["spec"]["details"]),
        (&json!("Pod"), &json!("Pull it [e1]."))
    );
    assert_eq!(result["metadata"]["labels"]["team"], "shop");
    assert_eq!(result["spec"]["autoRemediationStatus"]["phase"], 2);
}

#[tokio::test]
async fn a_right_that_is_missing_and_a_namespace_that_is_not_there_are_tried_again() {
    let world = world!();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    let stranger = world.client_as("nobody-at-all");
    for (client, namespace, word) in [
        (stranger, world.namespace.as_str(), "cannot"),
        (world.client.clone(), "not-there-at-all", "not found"),
    ] {
        let results = Results::within(world.store.clone(), world.settings(), client, namespace);
        let End::Failed(failure) = ask(&Committed::new(world.store.clone(), results, 1), &opened).await
        else {
            panic!("it cannot have been written")
        };
        assert_eq!(failure.fault, Fault::Infrastructure, "{}", failure.message);
        assert!(failure.message.contains(word), "{}", failure.message);
    }
    world.told(&opened).await;
    world.only().await;
}

#[tokio::test]
async fn what_the_server_calls_wrong_fails_for_good() {
    let world = world!();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    let nameless = asya_crew::analysis::results::Settings { k8sgpt: String::new(), ..world.settings() };
    let results = Results::within(world.store.clone(), nameless, world.client.clone(), &world.namespace);
    let End::Failed(failure) = ask(&Committed::new(world.store.clone(), results, 1), &opened).await else {
        panic!("an owner without a name")
    };
    assert_eq!(failure.fault, Fault::Final);
    assert!(failure.message.contains("ownerReferences"), "{}", failure.message);
}

#[tokio::test]
async fn two_clusters_do_not_write_over_each_other() {
    let world = world!();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    world.told(&opened).await;
    let there = world.found_in("there", 2, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    let End::Failed(failure) = world.ask(&there).await else { panic!("it is of another cluster") };
    assert_eq!(failure.fault, Fault::Final);
    assert!(failure.message.contains("here/Pod/shop/web"), "{}", failure.message);
}

/// A client of a server that says the same to everything.
async fn says(code: u16, body: Value) -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer =
        move || async move { (StatusCode::from_u16(code).unwrap(), body.to_string()).into_response() };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    let mut config = Config::new(address.parse().unwrap());
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn a_server_that_fails_closes_nothing_and_is_asked_again() {
    let world = World::without_a_server();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    let healed = world.found(2, &pod("web"), Seen::Broken(&[])).await.unwrap();
    let status = |code: u16, message: &str| {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": message, "code": code})
    };
    for (code, message) in [(500, "etcd is away"), (429, "too many"), (503, "starting"), (401, "who are you")]
    {
        for message_of in [&opened, &healed] {
            let client = says(code, status(code, message)).await;
            let results = Results::within(world.store.clone(), world.settings(), client, "default");
            let End::Failed(failure) =
                ask(&Committed::new(world.store.clone(), results, 1), message_of).await
            else {
                panic!("{code}: nothing was done")
            };
            assert_eq!(failure.fault, Fault::Infrastructure, "{}", failure.message);
            assert!(failure.message.contains(message), "{}", failure.message);
        }
    }
    let nobody = Config::new("http://127.0.0.1:9".parse().unwrap());
    let results =
        Results::within(world.store.clone(), world.settings(), Client::try_from(nobody).unwrap(), "default");
    let End::Failed(failure) = ask(&Committed::new(world.store.clone(), results, 1), &opened).await else {
        panic!("nobody was there")
    };
    assert_eq!(failure.fault, Fault::Infrastructure);
}

#[tokio::test]
async fn an_actor_may_stand_twice_in_a_route() {
    let world = world!();
    let queue = |actor: &str| Naming::bare().queue(actor);
    for actor in ["results", "explain", "happy-end", "error-end"] {
        world.local.ensure(&queue(actor)).await.unwrap();
    }
    let results =
        Results::within(world.store.clone(), world.settings(), world.client.clone(), &world.namespace);
    let handler = Arc::new(Committed::new(world.store.clone(), results, 4));
    let config = EngineConfig::new(ActorName::parse("results").unwrap());
    let engine = Engine::new(config, world.local.clone(), handler, Observers::default());
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.run(stop.clone()));
    let mut opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    opened.route = asya_envelope::Route::new(["results", "explain", "results"]);
    let publish = async |to: &str, envelope: &Envelope| {
        let message = Outgoing { queue: queue(to), body: envelope.encode() };
        world.local.publish(message, None).await.unwrap();
    };
    publish("results", &opened).await;
    let unexplained = world.take("explain").await;
    assert_eq!(unexplained.payload.as_bytes(), opened.payload.as_bytes(), "as it came");
    assert_eq!(world.only().await["spec"]["details"], "", "there before the model has said anything");
    let mut told = explained(&unexplained, "Pull it [e1].");
    told.route = unexplained.route.advanced();
    publish("results", &told).await;
    let end = world.take("happy-end").await;
    assert_eq!(end.payload.as_bytes(), told.payload.as_bytes());
    assert_eq!(world.only().await["spec"]["details"], "Pull it [e1].");
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_payload_that_is_no_transition_is_refused_for_good() {
    let world = World::without_a_server();
    let results =
        Results::within(world.store.clone(), world.settings(), says(500, json!({})).await, "default");
    let envelope =
        Envelope::new("bad", asya_envelope::Route::new(["results", "b"]), Raw::of(&json!({"change": 1})));
    let End::Failed(failure) = ask(&Committed::new(world.store.clone(), results, 1), &envelope).await else {
        panic!("accepted")
    };
    assert_eq!(failure.fault, Fault::Final);
}

#[tokio::test]
async fn what_findings_has_forgotten_is_not_written() {
    let world = world!();
    let opened = world.found(1, &pod("web"), Seen::Broken(&["A"])).await.unwrap();
    world.forget("here/Pod/shop/web").await;
    let onward = sent(world.ask(&opened).await);
    assert!(onward.is_some(), "it goes on");
    assert_eq!(world.results().await.len(), 0);
}
