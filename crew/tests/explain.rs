//! explain on a real store, a real queue file and a model behind a real server: what goes on, when it is explained, and
//! what is asked.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_analysis::{
    Change, Evaluation, Evidence, Failure, Finding, Lifecycle, ObjectRef, Observation, Report, Sequence,
    Severity,
    message::{Observed, Told, Transition},
};
use asya_crew::{
    analysis::explain::{Backfill, EXPLANATIONS, Explain, Explained, Settings, later::UNEXPLAINED},
    analysis::findings::{FINDINGS, Findings},
    committed::Committed,
    shipped::Variables,
};
use asya_envelope::{Envelope, Naming, Raw, Route};
use asya_handler::{End, Handler, Reply, Request};
use asya_sidecar::Means;
use asya_store::{Expect, Store, Write, testing::on_each_home};
use asya_transport::{
    Queues as _, Transport as _,
    local::{Local, LocalOptions},
};
use axum::{extract::State, http::StatusCode, response::IntoResponse as _, response::Response};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

/// No condition of these tests takes longer.
const LIMIT: Duration = Duration::from_secs(30);

/// Stands for a bucket of the S3 server of the tests as the place of answers.
#[cfg(feature = "objects")]
const BUCKET: &str = "bucket of the tests";

/// How the model is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Well,
    Failing,
    /// Too many calls: come back in an hour.
    Busy,
    /// Answers when it is allowed to.
    Slow,
}

/// A model that speaks chat completions.
#[derive(Clone)]
struct Server {
    address: String,
    mood: Arc<Mutex<Mood>>,
    asked: Arc<Mutex<Vec<String>>>,
    answered: Arc<Mutex<Vec<String>>>,
    gate: Arc<Semaphore>,
}

impl Server {
    async fn start(mood: Mood) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: format!("http://{}/v1", listener.local_addr().unwrap()),
            mood: Arc::new(Mutex::new(mood)),
            asked: Arc::default(),
            answered: Arc::default(),
            gate: Arc::new(Semaphore::new(0)),
        };
        let router = axum::Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        server
    }

    fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn answered(&self) -> Vec<String> {
        self.answered.lock().unwrap().clone()
    }
}

async fn answer(State(server): State<Server>, request: String) -> Response {
    let request: Value = serde_json::from_str(&request).unwrap();
    let question =
        request["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap().to_owned();
    server.asked.lock().unwrap().push(question.clone());
    let mood = *server.mood.lock().unwrap();
    match mood {
        Mood::Failing => return (StatusCode::INTERNAL_SERVER_ERROR, "out of memory").into_response(),
        Mood::Busy => {
            return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")], "{}").into_response();
        }
        Mood::Slow => server.gate.acquire().await.unwrap().forget(),
        Mood::Well => {}
    }
    server.answered.lock().unwrap().push(question.clone());
    let masked = question.split(|c: char| !(c.is_ascii_lowercase() || c == '-'));
    let masked = masked.into_iter().find(|word| word.starts_with("masked-")).unwrap_or("nothing");
    let text = format!("Problem: {masked} has no image [e1], as [e9] shows.");
    let answer = json!({"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5}});
    ([("content-type", "application/json")], answer.to_string()).into_response()
}

/// The actor and what explains later, on one store.
struct World {
    folder: tempfile::TempDir,
    local: Arc<Local>,
    store: Arc<dyn Store>,
    explain: Box<dyn Handler>,
    backfill: Option<Backfill>,
    now: Timestamp,
}

impl World {
    async fn at(server: Option<&Server>, more: &[(&str, &str)]) -> Self {
        Self::on(None, server, more).await
    }

    /// `None`: records are in the queue file.
    async fn on(store: Option<Arc<dyn Store>>, server: Option<&Server>, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        local.ensure(&Naming::bare().queue("notify")).await.unwrap();
        let store = store.unwrap_or_else(|| local.store());
        let (explain, backfill) = actor(&local, &store, server, more);
        Self { folder, local, store, explain, backfill, now: Timestamp::now() }
    }

    /// Another process in the place of this one.
    fn restarted(&mut self, server: &Server, more: &[(&str, &str)]) {
        (self.explain, self.backfill) = actor(&self.local, &self.store, Some(server), more);
    }

    async fn told(&self, envelope: &Envelope) -> Told {
        let End::Platform { envelopes, writes, .. } = ask(&*self.explain, envelope).await else {
            panic!("failed")
        };
        assert!(writes.is_empty() && envelopes.len() == 1);
        assert_eq!(envelopes[0].route.current_actor(), Some("notify"));
        read(&envelopes[0])
    }

    /// Looks as if a minute had passed, until so many explanations were sent later.
    async fn explained_later(&mut self, many: u64) -> Vec<Told> {
        let queue = Naming::bare().queue("notify");
        let backfill = self.backfill.as_ref().unwrap();
        let began = std::time::Instant::now();
        while self.local.depth(&queue).await.unwrap().ready < many {
            assert!(began.elapsed() < LIMIT, "{:?}", self.local.depth(&queue).await);
            self.now += SignedDuration::from_secs(60);
            backfill.look(self.now).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut deliveries = self.local.consume(&queue, 64.try_into().unwrap()).await.unwrap();
        let mut told = Vec::new();
        for _ in 0..many {
            let delivery = tokio::time::timeout(LIMIT, deliveries.next()).await.unwrap().unwrap();
            let envelope = Envelope::parse(delivery.body.clone()).unwrap();
            assert!(envelope.id.ends_with("-explained"), "{}", envelope.id);
            told.push(read(&envelope));
        }
        told
    }

    async fn unexplained(&self) -> usize {
        self.store.list(UNEXPLAINED, "", 1000).await.unwrap().len()
    }
}

fn actor(
    local: &Arc<Local>,
    store: &Arc<dyn Store>,
    server: Option<&Server>,
    more: &[(&str, &str)],
) -> (Box<dyn Handler>, Option<Backfill>) {
    let usual = server.map(|server| {
        [
            ("ASYA_LLM_BACKEND", "openai-compatible"),
            ("ASYA_LLM_MODEL", "m"),
            ("ASYA_LLM_BASE_URL", server.address.as_str()),
            ("ASYA_LLM_TRIES", "1"),
            ("ASYA_LLM_BREAK_PAUSE", "10ms"),
        ]
    });
    let find = |name: &str| {
        let mut all = more.iter().chain(usual.iter().flatten());
        all.find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    #[cfg_attr(not(feature = "objects"), expect(unused_mut, reason = "there is no other place of answers"))]
    let mut settings = Settings::read(&Variables { find: &find, base: Path::new("/") }).unwrap();
    #[cfg(feature = "objects")]
    if let Some((_, bucket)) = more.iter().find(|(name, _)| *name == BUCKET) {
        settings.cache = Some(asya_objects::Place::S3(asya_objects::S3 {
            bucket: (*bucket).to_owned(),
            endpoint: std::env::var("ASYA_TEST_S3_ENDPOINT").ok(),
            key: Some(("test".to_owned(), "test".to_owned())),
            region: Some("eu-central-1".to_owned()),
        }));
    }
    let explain = Explain::new(store.clone(), &settings).unwrap();
    let means = Means { transport: local.clone(), metrics: None, payloads: None };
    let backfill = explain.later().with(means, Naming::bare());
    (Box::new(Committed::new(store.clone(), explain, 16)), backfill)
}

async fn ask(actor: &dyn Handler, envelope: &Envelope) -> End {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: "explain".to_owned(),
        attempt: 1,
        timeout: LIMIT,
    };
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

fn read(envelope: &Envelope) -> Told {
    serde_json::from_slice(envelope.payload.as_bytes()).unwrap()
}

/// What is wrong with this pod.
fn finding(name: &str, number: u64) -> Finding {
    let object = ObjectRef::of::<Pod>(Some("acme-prod"), name);
    let failure = Failure {
        evidence: vec![Evidence {
            object: object.clone(),
            path: ".status.containerStatuses[0].state.waiting.reason".to_owned(),
            value: Some("ErrImagePull".to_owned()),
        }],
        ..Failure::new(
            "ImagePullFails",
            Severity::Error,
            format!("{name} has no image, password=hunter2hunter2"),
        )
    };
    Finding {
        cluster: "here".to_owned(),
        object,
        uid: None,
        parent: None,
        backstage: None,
        failures: vec![failure],
        fingerprint: format!("print-of-{name}"),
        lifecycle: Lifecycle::Created,
        first_seen: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
        sequence: Sequence { at: 1, number },
    }
}

fn envelope(change: Change, finding: Finding) -> Envelope {
    let id = format!("change-{}", finding.sequence.number);
    Envelope::new(
        id,
        Route { current: 0, ..Route::new(["explain", "notify"]) },
        Raw::of(&Transition { change, finding }),
    )
}

fn opened(name: &str, number: u64) -> Envelope {
    envelope(Change::Opened, finding(name, number))
}

fn resolved(name: &str, number: u64) -> Envelope {
    envelope(Change::Resolved, Finding { lifecycle: Lifecycle::Resolved, ..finding(name, number) })
}

#[tokio::test]
async fn a_finding_is_explained_once_without_its_names_and_with_what_it_invents() {
    let server = Server::start(Mood::Well).await;
    let world = World::at(Some(&server), &[]).await;
    let first = world.told(&opened("checkout-api", 1)).await;
    let explanation = first.explanation.clone().unwrap();
    assert!(
        explanation.text.contains("checkout-api has no image [e1]") || explanation.text.contains("acme-prod")
    );
    assert!(!explanation.text.contains("masked-"), "{}", explanation.text);
    assert_eq!((explanation.invented, first.late), (vec!["e9".to_owned()], false));
    assert_eq!(explanation.evidence[0].source, "ImagePullFails");
    let again = world.told(&opened("checkout-api", 1)).await;
    assert_eq!(again, first, "delivered twice");
    let changed = world.told(&envelope(Change::Changed, finding("checkout-api", 2))).await;
    assert_eq!(changed.explanation, first.explanation, "the same fingerprint");
    let [asked] = &server.asked()[..] else { panic!("{:?}", server.asked()) };
    for hidden in ["checkout-api", "acme-prod", "hunter2"] {
        assert!(!asked.contains(hidden), "{hidden} in {asked}");
    }
    let kept = world.store.get(EXPLANATIONS, "here/Pod/acme-prod/checkout-api").await.unwrap().unwrap();
    let kept: Explained = serde_json::from_slice(&kept.value).unwrap();
    assert_eq!(
        (kept.fingerprint.as_str(), Some(kept.explanation)),
        ("print-of-checkout-api", first.explanation)
    );
    let well = world.told(&resolved("checkout-api", 3)).await;
    assert_eq!((well.transition.change, well.explanation), (Change::Resolved, None));
    assert!(world.store.list(EXPLANATIONS, "", 10).await.unwrap().is_empty(), "nothing to explain");
}

#[tokio::test]
async fn while_the_model_is_down_all_findings_pass_and_afterwards_each_is_explained_with_one_call() {
    all_are_explained_afterwards(None).await;
    on_each_home(async |home| all_are_explained_afterwards(Some(home.open().await.records())).await).await;
}

async fn all_are_explained_afterwards(store: Option<Arc<dyn Store>>) {
    const MANY: usize = 40;
    let server = Server::start(Mood::Failing).await;
    let mut world = World::on(store, Some(&server), &[]).await;
    for number in 0..MANY {
        let told = world.told(&opened(&format!("pod-{number}"), number as u64)).await;
        assert_eq!((told.explanation, told.transition.change), (None, Change::Opened));
    }
    assert_eq!(world.unexplained().await, MANY);
    assert!(server.asked().len() < MANY, "the model is left alone: {} calls", server.asked().len());
    world.backfill.as_ref().unwrap().look(world.now + SignedDuration::from_secs(30)).await.unwrap();
    assert_eq!(server.answered().len(), 0);
    // The process ends meanwhile, too.
    world.restarted(&server, &[]);
    server.becomes(Mood::Well);
    let told = world.explained_later(MANY as u64).await;
    assert!(told.iter().all(|told| told.late && told.explanation.is_some()));
    let mut names: Vec<_> = told.iter().map(|told| told.transition.finding.object.name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!((names.len(), server.answered().len()), (MANY, MANY), "each once");
    assert_eq!(world.unexplained().await, 0);
    assert_eq!(world.store.list(EXPLANATIONS, "", 100).await.unwrap().len(), MANY);
}

#[tokio::test]
async fn a_model_that_asks_to_wait_is_not_asked_meanwhile_and_nothing_waits_for_it() {
    let server = Server::start(Mood::Busy).await;
    let mut world = World::at(Some(&server), &[]).await;
    for number in 0..5 {
        assert_eq!(world.told(&opened(&format!("pod-{number}"), number)).await.explanation, None);
    }
    for _ in 0..5 {
        world.now += SignedDuration::from_secs(60);
        world.backfill.as_ref().unwrap().look(world.now).await.unwrap();
    }
    assert_eq!((server.asked().len(), world.unexplained().await), (1, 5));
}

#[tokio::test]
async fn a_slow_model_holds_nothing_back_and_its_answer_comes_after_with_one_call() {
    let server = Server::start(Mood::Slow).await;
    let mut world = World::at(Some(&server), &[("ASYA_EXPLAIN_WAIT", "50ms")]).await;
    let told = world.told(&opened("pod", 1)).await;
    assert_eq!(told.explanation, None);
    // Looked at meanwhile, and not asked again.
    world.now += SignedDuration::from_secs(60);
    world.backfill.as_ref().unwrap().look(world.now).await.unwrap();
    server.gate.add_permits(10);
    let told = world.explained_later(1).await;
    assert!(told[0].explanation.is_some());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn the_same_at_the_same_time_is_asked_once_and_explained_each_time() {
    let server = Server::start(Mood::Slow).await;
    let world = World::at(Some(&server), &[]).await;
    let came = opened("pod", 1);
    let allow = async {
        while server.asked().is_empty() {
            tokio::task::yield_now().await;
        }
        server.gate.add_permits(10);
    };
    let (one, two, three, ()) = tokio::join!(world.told(&came), world.told(&came), world.told(&came), allow);
    assert!([&one, &two, &three].iter().all(|told| told.explanation.is_some()));
    assert_eq!((server.asked().len(), world.unexplained().await), (1, 0));
}

#[tokio::test]
async fn what_heals_before_it_is_explained_is_not_asked_and_nobody_hears_of_it() {
    let server = Server::start(Mood::Failing).await;
    let mut world = World::at(Some(&server), &[("ASYA_LLM_BREAK_AFTER", "1000")]).await;
    for (name, number) in [("healed", 1), ("forgotten", 2)] {
        assert_eq!(world.told(&opened(name, number)).await.explanation, None);
    }
    world.told(&resolved("healed", 3)).await;
    assert_eq!(world.unexplained().await, 1);
    // The other one is well, and its change is still on its way.
    let well = Finding { lifecycle: Lifecycle::Resolved, ..finding("forgotten", 4) };
    let value = Some(serde_json::to_vec(&json!({"finding": well})).unwrap().into());
    let (table, key) = ("analysis_findings", "here/Pod/acme-prod/forgotten".to_owned());
    world.store.commit(vec![Write { table, key, value, expect: Expect::Anything }]).await.unwrap();
    server.becomes(Mood::Well);
    world.now += SignedDuration::from_secs(60);
    world.backfill.as_ref().unwrap().look(world.now).await.unwrap();
    assert_eq!((server.answered().len(), world.unexplained().await), (0, 0));
    assert_eq!(world.local.depth(&Naming::bare().queue("notify")).await.unwrap().ready, 0);
    // A change that comes late does not wait for an explanation of what is well.
    world.told(&resolved("healed", 3)).await;
    assert_eq!(world.unexplained().await, 0);
}

#[tokio::test]
async fn an_answer_is_kept_before_its_change_is_acknowledged() {
    let server = Server::start(Mood::Well).await;
    let mut world = World::at(Some(&server), &[]).await;
    let first = world.told(&opened("pod", 1)).await;
    world.restarted(&server, &[]);
    assert_eq!(world.told(&opened("pod", 1)).await, first, "it comes again after a crash");
    assert_eq!(server.asked().len(), 1);
    world.restarted(&server, &[("ASYA_EXPLAIN_LANGUAGE", "german")]);
    world.told(&opened("pod", 2)).await;
    assert_eq!(server.asked().len(), 2, "another language is another question");
}

#[tokio::test]
async fn an_explanation_has_the_key_of_its_finding() {
    let server = Server::start(Mood::Well).await;
    let world = World::at(Some(&server), &[]).await;
    let wrong = finding("pod", 1);
    let mut report = Report::default();
    report.fail(wrong.failures[0].clone());
    let object = wrong.object.clone();
    let evaluation =
        Evaluation { object, uid: None, resource_version: None, parent: None, backstage: None, report };
    let (cluster, sequence, observation) =
        (wrong.cluster, wrong.sequence, Observation::Evaluated(evaluation));
    let observed = Observed { cluster, sequence, observation };
    let came = Envelope::new("one", Route::new(["findings", "explain", "notify"]), Raw::of(&observed));
    let findings = Findings::new(world.store.clone(), Duration::ZERO);
    let findings = Committed::new(world.store.clone(), findings, 1);
    let End::Platform { envelopes, .. } = ask(&findings, &came).await else { panic!("failed") };
    assert!(world.told(&envelopes[0]).await.explanation.is_some());
    let keys = async |table| {
        let records = world.store.list(table, "", 10).await.unwrap();
        records.into_iter().map(|record| record.key).collect::<Vec<_>>()
    };
    assert_eq!(keys(FINDINGS).await, keys(EXPLANATIONS).await);
    assert_eq!(keys(FINDINGS).await.len(), 1);
}

#[tokio::test]
async fn without_a_model_everything_goes_on_as_it_came() {
    let world = World::at(None, &[]).await;
    let came = opened("pod", 1);
    let End::Platform { envelopes, .. } = ask(&*world.explain, &came).await else { panic!("failed") };
    assert_eq!(envelopes[0].payload.as_str(), came.payload.as_str());
    assert!(world.backfill.is_none() && world.unexplained().await == 0);
}

#[tokio::test]
async fn a_budget_that_is_used_up_is_not_forgotten_by_a_new_process() {
    let server = Server::start(Mood::Well).await;
    let budget = [("ASYA_LLM_BUDGET_CALLS", "1"), ("ASYA_LLM_BUDGET_WINDOW", "24000h")];
    let mut world = World::at(Some(&server), &budget).await;
    assert!(world.told(&opened("pod-1", 1)).await.explanation.is_some());
    world.restarted(&server, &budget);
    assert_eq!(world.told(&opened("pod-2", 2)).await.explanation, None);
    assert_eq!((server.asked().len(), world.unexplained().await), (1, 1));
}

#[cfg(feature = "objects")]
#[tokio::test]
async fn answers_in_an_object_store_outlive_the_database() {
    let server = Server::start(Mood::Well).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    outlive(&server, &[("ASYA_EXPLAIN_CACHE_URL", url.as_str())]).await;
    assert_eq!(std::fs::read_dir(folder.path().join("explanations")).unwrap().count(), 1);
}

#[cfg(feature = "objects")]
#[tokio::test]
async fn answers_in_a_bucket_that_is_made_outlive_the_database() {
    if std::env::var("ASYA_TEST_S3_ENDPOINT").is_ok_and(|endpoint| !endpoint.is_empty()) {
        let bucket = format!("asya-answers-{}", std::process::id());
        outlive(&Server::start(Mood::Well).await, &[(BUCKET, bucket.as_str())]).await;
    } else {
        eprintln!(
            "\n=== NOT TESTED: S3; start a server with tests/servers/sqs.sh and set ASYA_TEST_S3_ENDPOINT ===\n"
        );
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must test against an S3 server");
    }
}

/// A second database asks nothing that the first one has answers to.
#[cfg(feature = "objects")]
async fn outlive(server: &Server, cache: &[(&str, &str)]) {
    let world = World::at(Some(server), cache).await;
    let first = world.told(&opened("pod", 1)).await;
    assert!(first.explanation.is_some());
    assert!(world.store.list("analysis_answers", "", 10).await.unwrap().is_empty());
    let other = World::at(Some(server), cache).await;
    assert_eq!(other.told(&opened("pod", 1)).await.explanation, first.explanation);
    assert_eq!(server.asked().len(), 1);
    drop(world.folder);
}
