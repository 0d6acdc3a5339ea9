#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{path::Path, sync::Arc, time::Duration};

use asya_envelope::{Envelope, ErrorReport, Headers, Limits, Naming, Raw, Route, Wrapped};
use asya_payload::Reference;
use asya_store::{
    EnvelopeStore, StoreOptions,
    envelopes::{
        AuditFilter, Creation, DeadFilter, DeadLetter, Ended, Ending, Filter, NewChild, Report, Reported,
        Status, Step,
    },
    testing::on_each_home,
};
use asya_subject::Signer;
use asya_transport::{
    Outcome, Queues, Transport,
    local::{Local, LocalOptions},
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

use super::{
    Error, Reporter, Rules, Service,
    chat::{Chat, People},
    send::{Draft, Edits, Extras},
};
use crate::{
    actors::Depths,
    agents::Agents,
    auth::{Principal, Role, Roles, TokensAt},
    dead_queues::DeadQueues,
    outbox::Outbox,
    subjects::Subjects,
    tools::{ToolSet, config::File, tool::assemble},
};

const TRUSTED: Reporter = Reporter { namespace: None, account: None };

pub(crate) struct World {
    pub(crate) service: Service,
    pub(crate) transport: Arc<Local>,
    folder: TempDir,
}

pub(crate) async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("gateway.db");
    world_on(EnvelopeStore::open(url.to_str().unwrap(), StoreOptions::default()).await.unwrap(), folder)
}

/// Runs one test on every database there is.
pub(crate) async fn on_each(test: impl AsyncFn(World)) {
    on_each_home(async |home| test(world_on(home.open().await, tempfile::tempdir().unwrap())).await).await;
}

fn world_on(store: EnvelopeStore, folder: TempDir) -> World {
    let file: File = serde_saphyr::from_str(
        "tools: [{name: ocr, route: [split, read], timeout: 60, parameters: {page: {type: integer, required: true}}}]",
    )
    .unwrap();
    let tools = ToolSet::new(assemble(vec![("tools.yaml".to_owned(), file)]).unwrap());
    let (_, tools) = watch::channel(Arc::new(tools));
    let rules = Rules { namespace: Some("team".to_owned()), ..Rules::default() };
    let transport = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
    let (naming, namespace) = (Naming::bare(), rules.namespace.clone());
    let actors = Depths::new(tools.clone(), transport.clone(), naming.clone(), "local", namespace);
    let service = Service::new(store, tools, rules);
    let service = service.with_dead_queues(DeadQueues::new(transport.clone(), Arc::new(actors), naming));
    let service = service.with_chat(chat(folder.path()));
    World { service, transport, folder }
}

/// One agent, a key, and ann and bob, who have tokens that they may talk with it by.
pub(crate) fn chat(folder: &Path) -> Chat {
    let sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    let tokens = ["ann", "bob"].map(|name| format!("{{name: {name}, roles: [chat], sha256: {sha256}}}"));
    let tokens = format!("[{}]", tokens.join(", "));
    let tokens = TokensAt { inline: Some(tokens), ..TokensAt::default() }.read().unwrap();
    chat_of(folder, People { open: false, tokens: watch::channel(tokens).1 })
}

/// The same, for these people.
fn chat_of(folder: &Path, people: People) -> Chat {
    let agent = json!({"name": "helper", "models": ["x/one"], "budget": {"turns": 9, "wallClock": 60}, "account": "helper"});
    std::fs::write(folder.join("helper.json"), agent.to_string()).unwrap();
    let agents = Agents::load(folder).unwrap();
    let key = folder.join("key.der");
    std::fs::write(&key, Signer::generate().unwrap().1).unwrap();
    Chat::new(agents.subscribe(), Subjects::of_file(None, &key).unwrap(), people)
}

impl Service {
    /// The same with other rules.
    pub(crate) fn with_rules(self, rules: Rules) -> Self {
        Self { rules: Arc::new(rules), ..self }
    }
}

impl World {
    /// The same, for these people.
    pub(crate) fn for_people(mut self, people: People) -> Self {
        self.service = self.service.with_chat(chat_of(self.folder.path(), people));
        self
    }

    /// Publishes what is in the outbox, or comes there, and takes it from its queue.
    pub(crate) async fn published(&self, actor: &str) -> Envelope {
        let queue = Naming::bare().queue(actor);
        self.transport.ensure(&queue).await.unwrap();
        let outbox = Outbox::new(self.service.store().clone(), self.transport.clone(), Naming::bare());
        let mut queue = self.transport.consume(&queue, 1.try_into().unwrap()).await.unwrap();
        let taken = async {
            loop {
                let mut sent = Vec::new();
                outbox.step(&mut sent).await.unwrap();
                self.service.store().confirm(&sent).await.unwrap();
                let taken = tokio::time::timeout(Duration::from_millis(100), queue.next()).await;
                if let Ok(taken) = taken {
                    return taken.unwrap();
                }
            }
        };
        let taken = tokio::time::timeout(Duration::from_secs(30), taken).await.unwrap();
        let envelope = Envelope::parse(taken.body.clone()).unwrap();
        taken.settle(Outcome::forward(Vec::new())).await.unwrap();
        envelope
    }
}

fn person(name: &str, roles: &[Role]) -> Principal {
    Principal::named(name, Roles::from_iter(roles.iter().copied()))
}

fn page(number: u32) -> Map<String, Value> {
    Map::from_iter([("page".to_owned(), json!(number))])
}

fn draft(route: &[&str], payload: &Value) -> Draft {
    Draft {
        route: route.iter().map(|&actor| actor.to_owned()).collect(),
        payload: Raw::of(payload),
        timeout: None,
        extras: Extras::default(),
    }
}

fn report(step: Step, current: usize, seq: u32) -> Report {
    let actors = vec!["split".to_owned(), "read".to_owned()];
    let actor = Some(actors[current].clone());
    Report {
        actors,
        current,
        actor,
        step,
        message: None,
        fraction: None,
        attempt: 1,
        seq,
        duration: None,
        size: None,
        offspring: Default::default(),
    }
}

#[tokio::test]
async fn a_call_becomes_an_envelope_on_the_first_queue_of_its_route() {
    let world = world().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let headers = Headers::from_pairs([
        ("tenant".to_owned(), Raw::of(&"t")),
        ("x-asya-hops".to_owned(), Raw::of(&999)),
    ]);
    let extras = Extras { headers, traceparent: Some(trace.to_owned()), ..Extras::default() };
    let (sent, tool) = world.service.call(&Principal::anonymous(), "ocr", page(1), extras).await.unwrap();
    assert_eq!(tool.name, "ocr");
    let envelope = world.published("split").await;
    assert_eq!(envelope.id, sent.id);
    assert_eq!(envelope.route, Route::new(["split", "read"]));
    assert_eq!(envelope.payload.as_str(), r#"{"page":1}"#);
    assert!(envelope.deadline.is_some());
    assert_eq!(envelope.headers.get_text("tenant").as_deref(), Some("t"));
    assert_eq!(envelope.headers.get_text("traceparent").as_deref(), Some(trace));
    assert_eq!(envelope.headers.get("x-asya-hops"), None, "the platform's headers are not a client's");
    let record = world.service.record(&Principal::anonymous(), &sent.id).await.unwrap();
    assert_eq!(record.summary.status, Status::Running);
    assert_eq!(record.summary.sender.as_deref(), Some("anonymous"));
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let world = world().await;
    let all = Principal::anonymous();
    let unknown = world.service.call(&all, "orc", page(1), Extras::default()).await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound { what: "tool", .. }), "{unknown}");
    let missing = world.service.call(&all, "ocr", Map::new(), Extras::default()).await.unwrap_err();
    assert_eq!(missing.to_string(), "missing required parameter: page");
    let reader = person("eve", &[Role::Read]);
    let denied = world.service.call(&reader, "ocr", page(1), Extras::default()).await.unwrap_err();
    assert!(matches!(denied, Error::Denied { needed: Role::Send, .. }));
    let long = "x".repeat(Limits::default().max_envelope);
    let large = world.service.send(&all, draft(&["split"], &json!(long))).await.unwrap_err();
    assert!(matches!(large, Error::TooLarge { .. }), "{large}");
    for route in [&[][..], &["UPPER"], &["asya-split"]] {
        let wrong = world.service.send(&all, draft(route, &json!(1))).await.unwrap_err();
        assert!(matches!(wrong, Error::Invalid(_)), "{wrong}");
    }
    assert!(world.service.list(&all, &Filter::default(), None, 10).await.unwrap().envelopes.is_empty());
}

#[tokio::test]
async fn sending_an_id_twice_sends_it_once() {
    let world = world().await;
    let all = Principal::anonymous();
    let mut one = draft(&["split"], &json!(1));
    one.extras.id = Some("order-7".to_owned());
    assert_eq!(world.service.send(&all, one.clone()).await.unwrap().creation, Creation::Created);
    assert_eq!(world.service.send(&all, one).await.unwrap().creation, Creation::Exists);
    assert_eq!(world.service.store().outbox_depth().await.unwrap().waiting, 1);
}

#[tokio::test]
async fn a_direct_route_must_be_allowed() {
    let mut world = world().await;
    world.service.rules = Arc::new(Rules { routes: vec!["pub-*".to_owned()], ..Rules::default() });
    let all = Principal::anonymous();
    world.service.send(&all, draft(&["pub-a"], &json!(1))).await.unwrap();
    let refused = world.service.send(&all, draft(&["pub-a", "inner"], &json!(1))).await.unwrap_err();
    let Error::Invalid(wrong) = &refused else { panic!("{refused}") };
    assert_eq!(wrong[0].field, "route.1");
    world
        .service
        .call(&all, "ocr", page(1), Extras::default())
        .await
        .expect("tools are allowed by being declared");
}

#[tokio::test]
async fn contents_are_for_those_who_may_see_them() {
    let world = world().await;
    let sent =
        world.service.send(&Principal::anonymous(), draft(&["split"], &json!("secret"))).await.unwrap();
    let reader = world.service.record(&person("eve", &[Role::Read]), &sent.id).await.unwrap();
    assert!(!format!("{reader:?}").contains("secret"));
    let other = person("pat", &[Role::Read, Role::Payload]);
    assert_eq!(world.service.record(&other, &sent.id).await.unwrap().payload.unwrap().as_str(), "\"secret\"");
}

#[tokio::test]
async fn who_waits_gets_the_end() {
    let world = world().await;
    let all = Principal::anonymous();
    let (sent, _) = world.service.call(&all, "ocr", page(1), Extras::default()).await.unwrap();
    assert!(world.service.wait(&all, &sent.id, Duration::from_millis(50)).await.unwrap().is_none());
    let waiting = tokio::spawn({
        let (service, id) = (world.service.clone(), sent.id.clone());
        async move { service.wait(&Principal::anonymous(), &id, Duration::from_secs(30)).await }
    });
    let reported = world.service.progress(&TRUSTED, &sent.id, &report(Step::Completed, 0, 1)).await.unwrap();
    assert_eq!(reported, Reported::Applied(50.0));
    let end = Ending::Succeeded { result: Some(Raw::of(&42)), stored_at: None };
    assert_eq!(world.service.finish(&TRUSTED, &sent.id, &end).await.unwrap(), Ended::Applied);
    let ended = waiting.await.unwrap().unwrap().unwrap();
    assert_eq!((ended.summary.status, ended.summary.percent), (Status::Succeeded, 100.0));
    assert_eq!(ended.result.unwrap().as_str(), "42");
    assert_eq!(world.service.active(&sent.id).await.unwrap(), Some(false));
    assert_eq!(world.service.active("nobody").await.unwrap(), None);
}

#[tokio::test]
async fn sidecars_report_on_envelopes_of_their_own_namespace_only() {
    let world = world().await;
    let sent = world.service.send(&Principal::anonymous(), draft(&["split"], &json!(1))).await.unwrap();
    let from = |namespace: &str| Reporter { namespace: Some(namespace.to_owned()), account: None };
    let step = report(Step::Received, 0, 1);
    let refused = world.service.progress(&from("other"), &sent.id, &step).await.unwrap_err();
    assert!(matches!(refused, Error::Forbidden(_)), "{refused}");
    let child = NewChild {
        id: "c".to_owned(),
        parent: Some(sent.id.clone()),
        actors: vec!["a".to_owned()],
        current: 0,
    };
    assert!(matches!(world.service.child(&from("other"), &child).await, Err(Error::Forbidden(_))));
    world.service.progress(&from("team"), &sent.id, &step).await.unwrap();
    assert_eq!(world.service.child(&from("team"), &child).await.unwrap(), Creation::Created);
    assert_eq!(
        world.service.store().outbox_depth().await.unwrap().waiting,
        1,
        "a child is not published again"
    );
    let unknown = world.service.progress(&TRUSTED, "nobody", &step).await.unwrap_err();
    assert!(matches!(unknown, Error::NotFound { .. }));
}

#[tokio::test]
async fn an_envelope_of_no_namespace_is_the_gateways_and_not_everybodys() {
    on_each(async |mut world| {
        let from = |namespace: &str| Reporter { namespace: Some(namespace.to_owned()), account: None };
        let end = Ending::Succeeded { result: None, stored_at: None };
        // Nobody knows its parent, so it is stored without a namespace, as those of the Go system are.
        let child = |id: &str| NewChild {
            id: id.to_owned(),
            parent: Some("nobody".to_owned()),
            actors: vec!["a".to_owned()],
            current: 0,
        };
        world.service.child(&from("team"), &child("c")).await.unwrap();
        assert_eq!(world.service.store().summary("c").await.unwrap().unwrap().namespace, None);
        let refused = world.service.finish(&from("other"), "c", &end).await.unwrap_err();
        assert!(matches!(refused, Error::Forbidden(_)), "{refused}");
        assert!(matches!(world.service.asked(&from("other"), "c").await, Err(Error::Forbidden(_))));
        let elsewhere = world.service.child(&from("other"), &child("d")).await.unwrap_err();
        assert!(matches!(elsewhere, Error::NotFound { .. }), "{elsewhere}");
        assert_eq!(world.service.asked(&from("team"), "c").await.unwrap(), Some(true));
        assert_eq!(world.service.asked(&from("other"), "nobody").await.unwrap(), None);
        let all = Principal::anonymous();
        let log = world.service.audit_log(&all, &AuditFilter::default(), 10).await.unwrap();
        let entry = log.last().unwrap();
        assert_eq!(
            (entry.who.as_str(), entry.action.as_str(), entry.envelope.as_deref()),
            ("system:serviceaccounts:other", "refused", Some("c"))
        );
        assert!(log.len() <= 3, "who is refused again and again does not fill the log");

        // Whoever serves actors of several namespaces says so; where nobody says one, nobody else's is meant.
        let rules = |namespace: Option<&str>, reporters: &[&str]| {
            let reporters = reporters.iter().map(|&name| name.to_owned()).collect();
            Arc::new(Rules { namespace: namespace.map(str::to_owned), reporters, ..Rules::default() })
        };
        world.service.rules = rules(None, &[]);
        assert!(matches!(world.service.finish(&from("team"), "c", &end).await, Err(Error::Forbidden(_))));
        world.service.rules = rules(Some("team"), &["crew"]);
        assert!(matches!(world.service.finish(&from("other"), "c", &end).await, Err(Error::Forbidden(_))));
        assert_eq!(world.service.finish(&from("crew"), "c", &end).await.unwrap(), Ended::Applied);
        world.service.rules = rules(None, &["*"]);
        assert_eq!(
            world.service.finish(&from("other"), "c", &end).await.unwrap(),
            Ended::Before(Status::Succeeded)
        );
        assert_eq!(
            world.service.finish(&TRUSTED, "c", &end).await.unwrap(),
            Ended::Before(Status::Succeeded)
        );
    })
    .await;
}

#[tokio::test]
async fn one_may_cancel_what_one_sent_and_an_admin_everything() {
    let world = world().await;
    let ann = person("ann", &[Role::Read, Role::Send]);
    let sent = world.service.send(&ann, draft(&["split"], &json!(1))).await.unwrap();
    let bob = person("bob", &[Role::Read, Role::Send]);
    assert!(matches!(world.service.cancel(&bob, &sent.id, "").await, Err(Error::Denied { .. })));
    let ended = world.service.cancel(&ann, &sent.id, "wrong one").await.unwrap();
    assert_eq!(ended, std::slice::from_ref(&sent.id));
    let again = world.service.cancel(&ann, &sent.id, "").await.unwrap_err();
    assert!(matches!(again, Error::Conflict(_)), "{again}");
    let end = Ending::Succeeded { result: None, stored_at: None };
    let late = world.service.finish(&TRUSTED, &sent.id, &end).await.unwrap();
    assert_eq!(late, Ended::Before(Status::Failed), "it stays as it ended");
    let log = world.service.audit_log(&Principal::anonymous(), &AuditFilter::default(), 10).await.unwrap();
    let log: Vec<_> = log.iter().map(|entry| (entry.who.as_str(), entry.action.as_str())).collect();
    assert_eq!(log, [("ann", "cancel"), ("ann", "send")]);
}

#[tokio::test]
async fn an_envelope_is_sent_again_as_a_new_one() {
    let world = world().await;
    let all = Principal::anonymous();
    let (first, _) = world.service.call(&all, "ocr", page(1), Extras::default()).await.unwrap();
    let edits = Edits { payload: Some(Raw::of(&json!({"page": 2}))), ..Edits::default() };
    let second = world.service.resubmit(&all, &first.id, edits).await.unwrap();
    assert_ne!(first.id, second.id);
    let record = world.service.record(&all, &second.id).await.unwrap();
    assert_eq!(record.summary.resubmit_of.as_deref(), Some(&*first.id));
    assert_eq!(record.summary.tool.as_deref(), Some("ocr"));
    assert_eq!(record.payload.unwrap().as_str(), r#"{"page":2}"#);
    let beyond = Edits { current: Some(2), ..Edits::default() };
    assert!(matches!(world.service.resubmit(&all, &first.id, beyond).await, Err(Error::Invalid(_))));
}

fn letter(id: &str, body: Bytes) -> DeadLetter {
    DeadLetter {
        id: id.to_owned(),
        envelope: id.to_owned(),
        actor: "read".to_owned(),
        code: "processing_error".to_owned(),
        error: "no".to_owned(),
        attempts: 3,
        body,
        detail: None,
        since: Timestamp::now(),
        replayed_as: None,
        replayed: None,
    }
}

#[tokio::test]
async fn a_dead_letter_is_replayed_where_it_failed_and_once() {
    let world = world().await;
    let all = Principal::anonymous();
    let mut failed = Envelope::new("7", Route::new(["split", "read"]), Raw::of(&json!({"page": 1})));
    failed.route.current = 1;
    failed.headers.set("x-asya-attempt", Raw::of(&3));
    let error = ErrorReport::new("processing_error", "no", "read", 3, Timestamp::now());
    let Wrapped::Whole(body) = error.wrap(&failed, &Limits::default()) else { panic!("it is small") };
    world.service.store().bury(&letter("7", body)).await.unwrap();
    world.service.store().bury(&letter("8", Bytes::from_static(b"no envelope"))).await.unwrap();
    let (ann, any, edits) = (person("ann", &[Role::Send]), DeadFilter::default(), Edits::default());
    let denied = world.service.replay_letters(&ann, &any, &edits, 10);
    assert!(matches!(denied.await, Err(Error::Denied { .. })));
    let done =
        world.service.replay_letters(&all, &DeadFilter::default(), &Edits::default(), 10).await.unwrap();
    assert_eq!(done.sent.len(), 1);
    assert_eq!(done.refused[0].0, "8", "it stays");
    let envelope = world.published("read").await;
    assert_eq!(envelope.payload.as_str(), r#"{"page":1}"#);
    assert_eq!(envelope.route, failed.route);
    assert_eq!(envelope.headers.get("x-asya-attempt"), None, "it begins anew");
    let again =
        world.service.replay_letters(&all, &DeadFilter::default(), &Edits::default(), 10).await.unwrap();
    assert!(again.sent.is_empty());
    assert_eq!(world.service.delete_letters(&all, &DeadFilter::default()).await.unwrap(), 1);
}

/// A world with a payload store, and the folder that it is in.
async fn storing() -> (World, TempDir) {
    let (mut world, folder) = (world().await, tempfile::tempdir().unwrap());
    let store = asya_payload::store::directory(folder.path()).unwrap();
    let payloads = Some(asya_payload::Claims::new(store, asya_payload::Options::default()));
    world.service.rules = Arc::new(Rules { payloads, ..Rules::default() });
    (world, folder)
}

fn text_of(size: usize) -> Value {
    json!("x".repeat(size))
}

#[tokio::test]
async fn a_large_payload_is_sent_by_reference_and_an_id_twice_once() {
    let (world, _folder) = storing().await;
    let all = Principal::anonymous();
    for _again in 0..2 {
        let mut draft = draft(&["split"], &text_of(3 << 20));
        draft.extras.id = Some("large".to_owned());
        let sent = world.service.send(&all, draft).await.unwrap();
        assert_eq!(sent.id, "large");
    }
    let envelope = world.published("split").await;
    assert!(envelope.encode().len() < 2000);
    let reference = Reference::of(&envelope).unwrap();
    let claims = world.service.rules().payloads.clone().unwrap();
    assert_eq!(claims.redeem("large", &reference).await.unwrap(), Raw::of(&text_of(3 << 20)));
    let mut other = draft(&["split"], &text_of((3 << 20) + 1));
    other.extras.id = Some("large".to_owned());
    assert!(matches!(world.service.send(&all, other).await, Err(Error::Conflict(_))));
    let huge = world.service.send(&all, draft(&["split"], &text_of(65 << 20))).await.unwrap_err();
    assert!(matches!(huge, Error::TooLarge { .. }), "{huge}");
}

#[tokio::test]
async fn what_is_sent_again_under_another_id_has_a_payload_of_its_own() {
    let (world, folder) = storing().await;
    let all = Principal::anonymous();
    let first = world.service.send(&all, draft(&["split"], &text_of(3 << 20))).await.unwrap();
    let sent = world.published("split").await;
    let to = |actor: &str| Edits { route: Some(vec![actor.to_owned()]), ..Edits::default() };
    let second = world.service.resubmit(&all, &first.id, to("again")).await.unwrap();
    let again = world.published("again").await;
    assert_eq!((&again.id, Reference::of(&again).unwrap().owner), (&second.id, second.id.clone()));

    let error = ErrorReport::new("timeout", "no", "split", 1, Timestamp::now());
    let Wrapped::Whole(body) = error.wrap(&sent, &Limits::default()) else { panic!("it is small") };
    world.service.store().bury(&letter("7", body.clone())).await.unwrap();
    let any = DeadFilter::default();
    let replayed = world.service.replay_letters(&all, &any, &to("third"), 10).await.unwrap();
    assert_eq!(replayed.sent[0].1.id, Reference::of(&world.published("third").await).unwrap().owner);

    // What is gone is said, and the letter stays.
    std::fs::remove_dir_all(folder.path().join(&first.id)).unwrap();
    world.service.store().bury(&letter("8", body)).await.unwrap();
    let refused = world.service.replay_letters(&all, &any, &Edits::default(), 10).await.unwrap().refused;
    assert!(refused[0].0 == "8" && refused[0].1.contains("is not in file://"), "{refused:?}");
}

#[tokio::test]
async fn a_client_forges_no_reference() {
    let (world, _folder) = storing().await;
    let all = Principal::anonymous();
    world.service.send(&all, draft(&["split"], &text_of(3 << 20))).await.unwrap();
    let theirs = world.published("split").await;
    let mut forged = draft(&["split"], &serde_json::from_str(theirs.payload.as_str()).unwrap());
    forged.extras.headers = theirs.headers;
    forged.route = vec!["other".to_owned()];
    world.service.send(&all, forged).await.unwrap();
    let sent = world.published("other").await;
    assert_eq!((Reference::of(&sent), sent.headers.is_empty()), (None, true));
}
