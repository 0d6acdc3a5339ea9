//! The steps of the cluster analysis on a real store and a real queue file: from a change of an object to what is told.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{sync::Arc, time::Duration};

use asya_analysis::{
    Change, Evaluation, GroupKind, Live, Object, ObjectRef, Planner, Selection, Sequence, Step, custom,
    message::{Subject, Task, Transition},
};
use asya_crew::{
    analysis::{Analyze, Findings, findings::Sweeper, mute::Mute},
    committed::Committed,
    shipped::Variables,
};
use asya_envelope::{Envelope, Naming, Raw, Route};
use asya_handler::{End, Fault, Handler, Reply, Request};
use asya_sidecar::Means;
use asya_store::{Store, testing::on_each_home};
use asya_transport::{
    Queues as _, Transport as _,
    local::{Local, LocalOptions},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

/// A watcher's part without a cluster, and the actors behind it.
struct World {
    _folder: tempfile::TempDir,
    local: Arc<Local>,
    store: Arc<dyn Store>,
    analyze: Box<dyn Handler>,
    findings: Box<dyn Handler>,
    grace: Duration,
    planner: Planner,
    number: u64,
}

async fn on_each(grace: Duration, test: impl AsyncFn(World)) {
    test(World::on(None, grace).await).await;
    on_each_home(async |home| test(World::on(Some(home.open().await.records()), grace).await).await).await;
}

impl World {
    async fn on(store: Option<Arc<dyn Store>>, grace: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        local.ensure(&Naming::bare().queue("notify")).await.unwrap();
        let store = store.unwrap_or_else(|| local.store());
        let findings = Box::new(Committed::new(store.clone(), Findings::new(store.clone(), grace), 4));
        let planner = Planner::new(Selection::standard(), Duration::ZERO);
        let analyze = Box::new(Analyze::handler(4));
        Self { _folder: folder, local, store, analyze, findings, grace, planner, number: 0 }
    }

    fn sweeper(&self) -> Sweeper {
        let means = Means { transport: self.local.clone(), metrics: None, payloads: None };
        Sweeper::new(self.store.clone(), means, Naming::bare(), self.grace)
    }

    /// What the watcher sends when a pod waits for this reason, or is well.
    fn pod(&mut self, waits: Option<&str>) -> Envelope {
        let state = waits
            .map_or(json!({"running": {}}), |reason| json!({"waiting": {"reason": reason, "message": "m"}}));
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop"},
            "spec": {"containers": []}, "status": {"phase": "Running", "containerStatuses": [{"name": "c", "image": "i",
                "imageID": "", "ready": waits.is_none(), "restartCount": 0, "state": state}]}});
        self.planner.put(&Object::new(pod).unwrap(), Timestamp::now());
        let Some(Step::Look(looked)) = self.planner.next(Timestamp::MAX) else { panic!("nothing to tell") };
        self.number += 1;
        let task = Task {
            cluster: "here".to_owned(),
            sequence: Sequence { at: 1, number: self.number },
            analyzers: Vec::new(),
            subject: Subject::Look { object: Box::new(looked.object), snapshot: looked.snapshot },
        };
        let route = Route::new(["k8s-analyze", "findings", "notify"]);
        Envelope::new(format!("change-{}", self.number), route, Raw::of(&task))
    }

    /// What comes out of both actors.
    async fn through(&self, envelope: &Envelope) -> Option<Transition> {
        let analyzed = sent(ask(&*self.analyze, envelope).await).unwrap();
        assert_eq!(analyzed.route.current_actor(), Some("findings"));
        self.found(&analyzed).await
    }

    async fn found(&self, analyzed: &Envelope) -> Option<Transition> {
        let envelope = sent(ask(&*self.findings, analyzed).await)?;
        assert_eq!(envelope.route.current_actor(), Some("notify"));
        Some(serde_json::from_slice(envelope.payload.as_bytes()).unwrap())
    }
}

async fn ask(actor: &dyn Handler, envelope: &Envelope) -> End {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: "test".to_owned(),
        attempt: 1,
        timeout: Duration::from_secs(10),
    };
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

fn sent(end: End) -> Option<Envelope> {
    let End::Platform { mut envelopes, .. } = end else { panic!("{end:?}") };
    assert!(envelopes.len() <= 1);
    envelopes.pop()
}

fn codes(transition: &Transition) -> Vec<&str> {
    transition.finding.failures.iter().map(|failure| failure.code.as_str()).collect()
}

#[tokio::test]
async fn what_breaks_is_told_once_and_once_more_when_it_is_well() {
    on_each(Duration::ZERO, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        let opened = world.through(&broken).await.unwrap();
        assert_eq!((opened.change, codes(&opened)), (Change::Opened, vec!["ImagePullFails"]));
        world.planner.resync(Timestamp::now(), Duration::ZERO);
        let again = world.pod(Some("ErrImagePull"));
        assert_eq!(world.through(&again).await, None, "the same again");
        let changed = world.pod(Some("CrashLoopBackOff"));
        assert_eq!(world.through(&changed).await.unwrap().change, Change::Changed);
        let well = world.pod(None);
        assert_eq!(world.through(&well).await.unwrap().change, Change::Resolved);
    })
    .await;
}

#[tokio::test]
async fn a_message_that_comes_again_is_sent_on_again_and_an_older_one_is_not() {
    on_each(Duration::ZERO, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        let first = world.through(&broken).await.unwrap();
        assert_eq!(world.through(&broken).await.unwrap(), first, "delivered twice");
        let well = world.pod(None);
        assert_eq!(world.through(&well).await.unwrap().change, Change::Resolved);
        assert_eq!(world.through(&broken).await, None, "it comes late, and the pod is well");
    })
    .await;
}

#[tokio::test]
async fn two_answers_at_the_same_time_leave_the_newer() {
    on_each(Duration::ZERO, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        let well = world.pod(None);
        let (older, newer) = (ask(&*world.analyze, &broken).await, ask(&*world.analyze, &well).await);
        let (older, newer) = (sent(older).unwrap(), sent(newer).unwrap());
        let (first, second) = tokio::join!(world.found(&older), world.found(&newer));
        // Either order is right: opened and resolved, or neither.
        assert_eq!(first.is_some(), second.is_some());
        let worse = world.pod(Some("CrashLoopBackOff"));
        assert_eq!(world.through(&worse).await.unwrap().change, Change::Opened, "it was well");
    })
    .await;
}

#[tokio::test]
async fn the_end_of_the_grace_period_opens_what_is_still_broken() {
    on_each(MINUTE, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        assert_eq!(world.through(&broken).await, None);
        let now = Timestamp::now();
        assert_eq!(world.sweeper().sweep(now).await.unwrap(), 0);
        let later = now + SignedDuration::from_secs(61);
        assert_eq!(world.sweeper().sweep(later).await.unwrap(), 1);
        assert_eq!(world.sweeper().sweep(later).await.unwrap(), 0, "once");
        let queue = Naming::bare().queue("notify");
        let mut deliveries = world.local.consume(&queue, 1.try_into().unwrap()).await.unwrap();
        let delivery =
            tokio::time::timeout(Duration::from_secs(10), deliveries.next()).await.unwrap().unwrap();
        let envelope = Envelope::parse(delivery.body.clone()).unwrap();
        let told: Transition = serde_json::from_slice(envelope.payload.as_bytes()).unwrap();
        assert_eq!((told.change, envelope.id.as_str()), (Change::Opened, "change-1"));
        assert_eq!(world.local.depth(&queue).await.unwrap().ready, 0);
        let well = world.pod(None);
        assert_eq!(world.through(&well).await.unwrap().change, Change::Resolved);
    })
    .await;
}

#[tokio::test]
async fn what_is_well_before_the_grace_period_is_over_is_never_told() {
    on_each(MINUTE, async |mut world| {
        let broken = world.pod(Some("ContainerCreating"));
        assert_eq!(world.through(&broken).await, None);
        let broken = world.pod(Some("ErrImagePull"));
        assert_eq!(world.through(&broken).await, None);
        let well = world.pod(None);
        assert_eq!(world.through(&well).await, None);
        let day = SignedDuration::from_hours(25);
        assert!(world.sweeper().sweep(Timestamp::now() + day).await.unwrap() > 0, "and is forgotten");
        assert_eq!(world.local.depth(&Naming::bare().queue("notify")).await.unwrap().ready, 0);
        assert!(world.store.list("analysis_findings", "", 10).await.unwrap().is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_payload_that_is_no_task_is_refused_for_good_with_its_fault() {
    on_each(Duration::ZERO, async |world| {
        for (actor, payload, fault) in [
            (&world.analyze, json!({"cluster": "here"}), "sequence"),
            (&world.analyze, json!([1]), "task"),
            (
                &world.findings,
                json!({"cluster": "here", "sequence": {"at": 1, "number": 1}}),
                "answer of k8s-analyze",
            ),
        ] {
            let envelope = Envelope::new("bad", Route::new(["a", "b"]), Raw::of(&payload));
            let End::Failed(failure) = ask(&**actor, &envelope).await else { panic!("accepted {payload}") };
            assert_eq!(failure.fault, Fault::Final);
            assert!(failure.message.contains(fault), "{}", failure.message);
        }
    })
    .await;
}

#[tokio::test]
async fn what_was_told_is_told_again_though_a_newer_answer_has_come_meanwhile() {
    on_each(Duration::ZERO, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        let opened = world.through(&broken).await.unwrap();
        world.planner.resync(Timestamp::now(), Duration::ZERO);
        let again = world.pod(Some("ErrImagePull"));
        assert_eq!(world.through(&again).await, None);
        assert_eq!(world.through(&broken).await, Some(opened), "it was not sent before the connection broke");
    })
    .await;
}

#[tokio::test]
async fn an_object_that_no_message_can_take_keeps_its_finding() {
    on_each(Duration::ZERO, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        let opened = world.through(&broken).await.unwrap();
        let task = Task {
            cluster: "here".to_owned(),
            sequence: Sequence { at: 1, number: 2 },
            analyzers: Vec::new(),
            subject: Subject::TooLarge(opened.finding.object),
        };
        let envelope =
            Envelope::new("large", Route::new(["k8s-analyze", "findings", "notify"]), Raw::of(&task));
        assert_eq!(world.through(&envelope).await, None);
        world.number = 2;
        let well = world.pod(None);
        assert_eq!(world.through(&well).await.unwrap().change, Change::Resolved, "it was open");
    })
    .await;
}

#[tokio::test]
async fn an_object_that_is_well_for_a_day_is_forgotten() {
    on_each(Duration::ZERO, async |mut world| {
        let well = world.pod(None);
        assert_eq!(world.through(&well).await, None);
        assert_eq!(world.store.list("analysis_findings", "", 10).await.unwrap().len(), 1);
        world.planner.resync(Timestamp::now(), Duration::ZERO);
        let again = world.pod(None);
        assert_eq!(world.through(&again).await, None);
        let first = Timestamp::now() + SignedDuration::from_hours(24) - SignedDuration::from_secs(60);
        assert_eq!(world.sweeper().sweep(first).await.unwrap(), 0);
        world.sweeper().sweep(Timestamp::now() + SignedDuration::from_hours(25)).await.unwrap();
        world.sweeper().sweep(Timestamp::now() + SignedDuration::from_hours(25)).await.unwrap();
        assert!(world.store.list("analysis_findings", "", 10).await.unwrap().is_empty());
    })
    .await;
}

/// What a watcher sends of these pods, which are all that there are.
fn live(world: &mut World, paths: &[&str]) -> Envelope {
    world.number += 1;
    let pods = GroupKind::named("v1", "Pod");
    let task = Task {
        cluster: "here".to_owned(),
        sequence: Sequence { at: 1, number: world.number },
        analyzers: Vec::new(),
        subject: Subject::Live(Live::page(pods, None, paths.iter().map(|path| (*path).to_owned()))),
    };
    let route = Route::new(["k8s-analyze", "findings", "notify"]);
    Envelope::new(format!("live-{}", world.number), route, Raw::of(&task))
}

/// What findings sends itself for a page, and what comes of that.
async fn closed_by(world: &World, page: &Envelope) -> (Vec<String>, Vec<Transition>) {
    let analyzed = sent(ask(&*world.analyze, page).await).unwrap();
    let End::Platform { envelopes, writes, .. } = ask(&*world.findings, &analyzed).await else {
        panic!("failed")
    };
    assert!(writes.is_empty());
    let mut transitions = Vec::new();
    for envelope in &envelopes {
        assert_eq!(envelope.route.current_actor(), Some("findings"), "to itself");
        transitions.extend(world.found(envelope).await);
    }
    (envelopes.into_iter().map(|envelope| envelope.id).collect(), transitions)
}

#[tokio::test]
async fn what_went_away_while_nobody_watched_is_closed_by_the_next_page() {
    on_each(Duration::ZERO, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        world.through(&broken).await.unwrap();
        let there = live(&mut world, &["shop/web"]);
        assert_eq!(closed_by(&world, &there).await.0.len(), 0, "it is there");
        let gone = live(&mut world, &["shop/web-2"]);
        let (ids, closed) = closed_by(&world, &gone).await;
        assert_eq!(closed.iter().map(|told| told.change).collect::<Vec<_>>(), [Change::Resolved]);
        assert_eq!(closed[0].finding.failures[0].code, "ImagePullFails", "what it was");
        assert_eq!((ids.len(), closed_by(&world, &gone).await.0.len()), (1, 0), "delivered twice");
    })
    .await;
}

#[tokio::test]
async fn a_page_closes_nothing_that_was_seen_after_it() {
    on_each(Duration::ZERO, async |mut world| {
        let page = live(&mut world, &[]);
        let broken = world.pod(Some("ErrImagePull"));
        world.through(&broken).await.unwrap();
        assert_eq!(closed_by(&world, &page).await.1, [], "it comes late");
        let worse = world.pod(Some("CrashLoopBackOff"));
        let page = live(&mut world, &[]);
        assert_eq!(closed_by(&world, &page).await.1.len(), 1);
        assert_eq!(world.through(&worse).await, None, "an evaluation from before the page, after it");
    })
    .await;
}

#[tokio::test]
async fn a_page_closes_what_is_in_its_grace_period_and_tells_nobody() {
    on_each(MINUTE, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        assert_eq!(world.through(&broken).await, None);
        let page = live(&mut world, &[]);
        assert_eq!(closed_by(&world, &page).await, (vec![closed_id(&page)], Vec::new()));
        let later = Timestamp::now() + SignedDuration::from_secs(61);
        world.sweeper().sweep(later).await.unwrap();
        assert_eq!(world.local.depth(&Naming::bare().queue("notify")).await.unwrap().ready, 0);
    })
    .await;
}

/// The id of what findings sends itself of the pod.
fn closed_id(page: &Envelope) -> String {
    let kind = GroupKind::named("v1", "Pod");
    let pod = ObjectRef { kind, namespace: Some("shop".to_owned()), name: "web".to_owned() };
    format!("{}-{:.16}", page.id, asya_analysis::finding::fingerprint("here", &pod, &[]))
}

#[tokio::test]
async fn what_the_watcher_found_stands_for_an_object_that_is_too_large() {
    on_each(Duration::ZERO, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        let analyzed = sent(ask(&*world.analyze, &broken).await).unwrap();
        let found = serde_json::from_slice::<serde_json::Value>(analyzed.payload.as_bytes()).unwrap();
        let evaluation: Evaluation = serde_json::from_value(found["evaluated"].clone()).unwrap();
        let task = Task {
            cluster: "here".to_owned(),
            sequence: Sequence { at: 1, number: 1 },
            analyzers: Vec::new(),
            subject: Subject::Found(Box::new(evaluation)),
        };
        let envelope =
            Envelope::new("large", Route::new(["k8s-analyze", "findings", "notify"]), Raw::of(&task));
        let told = world.through(&envelope).await.unwrap();
        assert_eq!((told.change, codes(&told)), (Change::Opened, vec!["ImagePullFails"]));
    })
    .await;
}

/// Findings that tell nobody of this, on the store of a world.
fn muted(world: &World, rules: &str) -> Box<dyn Handler> {
    let find = |name: &str| (name == "ASYA_FINDINGS_SUPPRESS").then(|| rules.to_owned());
    let mute = Mute::read(&Variables { find: &find, base: std::path::Path::new("/") }).unwrap();
    let findings = Findings::new(world.store.clone(), Duration::ZERO).muting(mute);
    Box::new(Committed::new(world.store.clone(), findings, 4))
}

#[tokio::test]
async fn a_suppression_closes_what_it_covers_and_its_end_opens_it_again() {
    on_each(Duration::ZERO, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        assert_eq!(world.through(&broken).await.unwrap().change, Change::Opened);
        let quiet = muted(&world, r#"[{"analyzer": "Pod", "namespace": "sh*"}]"#);
        let told = std::mem::replace(&mut world.findings, quiet);
        world.planner.resync(Timestamp::now(), Duration::ZERO);
        let again = world.pod(Some("ErrImagePull"));
        assert_eq!(world.through(&again).await.unwrap().change, Change::Resolved);
        let worse = world.pod(Some("CrashLoopBackOff"));
        assert_eq!(world.through(&worse).await, None);
        world.findings = told;
        world.planner.resync(Timestamp::now(), Duration::ZERO);
        let again = world.pod(Some("CrashLoopBackOff"));
        assert_eq!(world.through(&again).await.unwrap().change, Change::Opened);
    })
    .await;
}

#[tokio::test]
async fn what_is_suppressed_while_it_waits_is_not_opened() {
    on_each(MINUTE, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        assert_eq!(world.through(&broken).await, None);
        let find = |name: &str| (name == "ASYA_FINDINGS_MIN_SEVERITY").then(|| "critical".to_owned());
        let mute = Mute::read(&Variables { find: &find, base: std::path::Path::new("/") }).unwrap();
        let later = Timestamp::now() + SignedDuration::from_secs(61);
        assert_eq!(world.sweeper().muting(mute).sweep(later).await.unwrap(), 1);
        assert_eq!(world.local.depth(&Naming::bare().queue("notify")).await.unwrap().ready, 0);
        let well = world.pod(None);
        assert_eq!(world.through(&well).await, None);
    })
    .await;
}

/// What a custom analyzer is asked about the pod, and what it answers.
fn answer(number: u64, analyzer: &str, payload: &serde_json::Value) -> Envelope {
    let asked = custom::Asked {
        analyzer: custom::Name::parse(analyzer).unwrap(),
        cluster: "here".to_owned(),
        sequence: Sequence { at: 1, number },
        object: ObjectRef::of::<k8s_openapi::api::core::v1::Pod>(Some("shop"), "web"),
        uid: None,
        resource_version: None,
        parent: None,
    };
    let route = Route::new(["k8s-analyze", "findings", "notify"]);
    let mut envelope = Envelope::new(format!("answer-{number}-{analyzer}"), route, Raw::of(payload));
    envelope.headers.set(custom::answer::HEADER, Raw::of(&asked));
    envelope
}

/// A message of the watcher that is no look at an object.
fn task(world: &mut World, subject: Subject) -> Envelope {
    world.number += 1;
    let sequence = Sequence { at: 1, number: world.number };
    let task = Task { cluster: "here".to_owned(), sequence, analyzers: Vec::new(), subject };
    let route = Route::new(["k8s-analyze", "findings", "notify"]);
    Envelope::new(format!("change-{}", world.number), route, Raw::of(&task))
}

#[tokio::test]
async fn a_custom_analyzer_has_findings_of_its_own_beside_those_of_the_same_object() {
    on_each(Duration::ZERO, async |mut world| {
        let broken = world.pod(Some("ErrImagePull"));
        assert_eq!(world.through(&broken).await.unwrap().change, Change::Opened);
        let wrong = json!({"failures": [{"code": "TagMissing", "text": "no tag", "severity": "warning"}]});
        let opened = world.through(&answer(2, "policy", &wrong)).await.unwrap();
        assert_eq!((opened.change, codes(&opened)), (Change::Opened, vec!["TagMissing"]));
        assert_eq!(opened.finding.object.kind.to_string(), "Pod.policy.custom.asya.sh");
        assert_eq!(world.through(&answer(2, "other", &wrong)).await.unwrap().change, Change::Opened);
        world.number = 2;
        let well = world.pod(None);
        assert_eq!(codes(&world.through(&well).await.unwrap()), ["ImagePullFails"], "of k8s-analyze alone");
        let well = json!({"failures": []});
        let late = answer(1, "policy", &well);
        assert_eq!(world.through(&late).await, None, "an older answer that comes late");
        assert_eq!(world.through(&answer(4, "policy", &well)).await.unwrap().change, Change::Resolved);
        assert_eq!(world.through(&answer(5, "other", &wrong)).await, None, "as it was");
    })
    .await;
}

#[tokio::test]
async fn a_bad_answer_is_refused_for_good_with_its_fault_and_the_finding_stays() {
    on_each(Duration::ZERO, async |world| {
        let wrong = json!({"failures": [{"code": "TagMissing", "text": "no tag"}]});
        assert_eq!(world.through(&answer(1, "policy", &wrong)).await.unwrap().change, Change::Opened);
        for bad in
            [json!({"failure": []}), json!({"failures": [{"code": "no code", "text": "t"}]}), json!([1])]
        {
            let End::Failed(failure) = ask(&*world.analyze, &answer(2, "policy", &bad)).await else {
                panic!("{bad} was taken")
            };
            assert_eq!(failure.fault, Fault::Final);
            assert!(
                failure.message.contains("policy") && failure.message.contains("Pod shop/web"),
                "{failure:?}"
            );
        }
        assert_eq!(world.through(&answer(3, "policy", &wrong)).await, None, "it is open as it was");
    })
    .await;
}

#[tokio::test]
async fn an_analyzer_that_is_no_more_has_its_findings_closed_and_no_other() {
    on_each(Duration::ZERO, async |mut world| {
        let wrong = json!({"failures": [{"code": "TagMissing", "text": "no tag"}]});
        let broken = world.pod(Some("ErrImagePull"));
        world.through(&broken).await.unwrap();
        for name in ["policy", "removed"] {
            world.through(&answer(2, name, &wrong)).await.unwrap();
        }
        world.number = 2;
        let left = custom::Name::parse("policy").unwrap().kind(&GroupKind::new("", "Pod"));
        let names = task(&mut world, Subject::Custom([left].into()));
        let (ids, told) = closed_by(&world, &names).await;
        assert_eq!((ids.len(), told.len()), (1, 1));
        assert_eq!(told[0].finding.object.kind.to_string(), "Pod.removed.custom.asya.sh");
        assert_eq!(told[0].change, Change::Resolved);
        let none = task(&mut world, Subject::Custom([].into()));
        let (_, told) = closed_by(&world, &none).await;
        assert_eq!(told.len(), 1, "the last one; that of k8s-analyze stays");
    })
    .await;
}
