//! Fan-outs that stay incomplete, on a real store and a real queue file: what becomes of them, and of what comes late.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{sync::Arc, time::Duration};

use asya_crew::{
    FanIn, Patience, RESULTS,
    fan_in::{EXPIRED, Incomplete, Sweeper, TIMEOUT, sweep::Ways},
};
use asya_envelope::{
    Deadline, Envelope, Naming, Raw, Route,
    headers::{FAN, GAPS},
    lineage::{Lineage, parts_of},
};
use asya_handler::{Code, End, Fate, Fault, Handler, Reply, Request};
use asya_sidecar::Means;
use asya_store::{Store, StoreError};
use asya_telemetry::{ActorMetrics, Metrics};
use asya_transport::{
    Queues as _, Transport,
    local::{Local, LocalOptions},
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

struct World {
    _folder: tempfile::TempDir,
    local: Arc<Local>,
    join: Box<dyn Handler>,
    patience: Patience,
}

impl World {
    async fn new(incomplete: Incomplete) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        for actor in ["render", "happy-end", "error-end"] {
            local.ensure(&Naming::bare().queue(actor)).await.unwrap();
        }
        let patience = Patience { timeout: Duration::from_secs(600), incomplete, ..Patience::default() };
        let join = Box::new(FanIn::new(local.store(), patience));
        Self { _folder: folder, local, join, patience }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.local.store()
    }

    async fn ask(&self, envelope: &Envelope) -> End {
        let request = Request {
            envelope: envelope.clone(),
            body: envelope.encode(),
            actor: "join".to_owned(),
            attempt: 1,
            timeout: Duration::from_secs(10),
        };
        match self.join.handle(request).recv().await {
            Some(Reply::End(end)) => end,
            other => panic!("{other:?}"),
        }
    }

    /// Handles one part and commits what it writes; what goes on.
    async fn give(&self, part: &Envelope) -> Vec<Envelope> {
        loop {
            let End::Platform { envelopes, writes, .. } = self.ask(part).await else {
                panic!("it is joined")
            };
            match self.store().commit(writes).await {
                Ok(()) => return envelopes,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn sweeper(&self) -> Sweeper {
        self.counting_sweeper(None)
    }

    fn counting_sweeper(&self, metrics: Option<ActorMetrics>) -> Sweeper {
        let ways = Ways {
            actor: "join".to_owned(),
            happy_end: "happy-end".to_owned(),
            error_end: "error-end".to_owned(),
        };
        let means = Means { transport: self.local.clone(), metrics, payloads: None };
        Sweeper::new(self.store(), means, Naming::bare(), ways, self.patience)
    }

    async fn sweep(&self, after: SignedDuration) -> usize {
        self.sweeper().sweep(Timestamp::now() + after).await.unwrap()
    }

    async fn count(&self, actor: &str) -> u64 {
        self.local.depth(&Naming::bare().queue(actor)).await.unwrap().ready
    }

    async fn take(&self, actor: &str) -> Envelope {
        let queue = Naming::bare().queue(actor);
        let mut deliveries = self.local.consume(&queue, 1.try_into().unwrap()).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(10), deliveries.next()).await;
        Envelope::parse(next.unwrap().unwrap().body.clone()).unwrap()
    }

    /// Records of a fan-in that are there.
    async fn kept(&self) -> [usize; 3] {
        let mut kept = [0; 3];
        for (slot, table) in kept.iter_mut().zip(["fan_in_groups", "fan_in_parts", "fan_in_due"]) {
            *slot = self.store().list(table, "", 100).await.unwrap().len();
        }
        kept
    }
}

/// The items of a fan-out, as they arrive at `join`, with their index as payload.
fn parts(id: &str, count: u64) -> Vec<Envelope> {
    let input = Envelope::new(id, Route::new(["split", "join", "render"]), Raw::null());
    let lineage = Lineage::of(&input);
    (0..count)
        .map(|index| {
            let mut item = input.clone();
            item.payload = Raw::of(&index);
            lineage.assign(&mut item, index, Some(count));
            item.route.current = 1;
            item
        })
        .collect()
}

const EARLY: SignedDuration = SignedDuration::from_secs(599);
const OVER: SignedDuration = SignedDuration::from_secs(601);

fn json(raw: &Raw) -> Value {
    serde_json::from_str(raw.as_str()).unwrap()
}

#[tokio::test]
async fn the_id_of_a_part_ends_with_it_and_that_of_item_0_goes_on() {
    let world = World::new(Incomplete::Fail).await;
    let parts = parts("job", 3);
    // The second one comes twice; item 0 completes the group.
    for index in [1, 1, 2, 0] {
        let End::Platform { fate, writes, .. } = world.ask(&parts[index]).await else { panic!("{index}") };
        world.store().commit(writes).await.unwrap();
        assert_eq!(matches!(fate, Fate::Ended { stored: None }), index > 0, "{index}");
    }
}

#[tokio::test]
async fn a_group_that_is_incomplete_at_its_deadline_fails_once_with_what_has_come() {
    let world = World::new(Incomplete::Fail).await;
    let parts = parts("job", 4);
    for index in [2, 0] {
        assert!(world.give(&parts[index]).await.is_empty());
    }
    assert_eq!(world.sweep(EARLY).await, 0);
    assert_eq!(world.sweep(OVER).await, 1);
    assert_eq!((world.sweep(OVER).await, world.count("error-end").await), (0, 1));
    let failed = world.take("error-end").await;
    assert_eq!((failed.id.as_str(), failed.route.current_actor()), ("job", Some("join")));
    let payload = json(&failed.payload);
    assert_eq!(
        (&payload["details"]["code"], &payload["details"]["actor"]),
        (&EXPIRED.into(), &"join".into())
    );
    assert!(payload["details"]["message"].as_str().unwrap().starts_with("2 of 4 parts"), "{payload}");
    assert_eq!(payload["original_payload"], serde_json::json!([0, 2]));
    let gaps = json(failed.headers.get(GAPS).unwrap());
    let missing: Vec<_> = gaps.as_array().unwrap().iter().map(|gap| &gap["id"]).collect();
    assert_eq!(missing, ["job-1", "job-3"]);
    assert!(failed.headers.get(FAN).is_none());
    assert_eq!(world.kept().await, [1, 0, 1]);
}

#[tokio::test]
async fn what_comes_late_fails_under_its_own_id_and_what_comes_again_does_not() {
    let world = World::new(Incomplete::Fail).await;
    let parts = parts("job", 4);
    world.give(&parts[1]).await;
    assert_eq!(world.sweep(OVER).await, 1);
    let End::Failed(failure) = world.ask(&parts[2]).await else { panic!("it is late") };
    assert_eq!((failure.code, failure.fault), (Code::Rejected, Fault::Final));
    assert!(failure.message.contains("\"job\""), "{failure}");
    assert!(world.give(&parts[1]).await.is_empty(), "it had come");
    let End::Drop { .. } = world.ask(&parts[0]).await else { panic!("its id has failed already") };
    assert!(world.store().get(RESULTS, "job-1").await.unwrap().is_some());
    assert!(world.store().get(RESULTS, "job-2").await.unwrap().is_none());
}

#[tokio::test]
async fn without_item_0_the_group_fails_under_the_id_that_was_fanned_out_even_where_parts_may_go_on() {
    let world = World::new(Incomplete::Partial).await;
    let parts = parts("job", 4);
    world.give(&parts[2]).await;
    assert_eq!(world.sweep(OVER).await, 1);
    let failed = world.take("error-end").await;
    assert_eq!((failed.id.as_str(), failed.parent_id.as_deref()), ("job", None));
    let payload = json(&failed.payload);
    assert!(payload["details"]["message"].as_str().unwrap().starts_with("item 0"), "{payload}");
    assert_eq!(payload["original_payload"], serde_json::json!([2]));
}

#[tokio::test]
async fn where_told_so_what_has_come_goes_on_with_the_gaps_named() {
    let world = World::new(Incomplete::Partial).await;
    let mut parts = parts("job", 3);
    for part in &mut parts {
        part.headers.set("tenant", Raw::of(&"blue"));
    }
    for index in [0, 2] {
        world.give(&parts[index]).await;
    }
    assert_eq!(world.sweep(OVER).await, 1);
    assert_eq!((world.count("error-end").await, world.count("render").await), (0, 1));
    let joined = world.take("render").await;
    assert_eq!((joined.id.as_str(), joined.payload.as_str()), ("job", "[0,2]"));
    assert_eq!(joined.route.current_actor(), Some("render"));
    assert_eq!(joined.headers.get_text("tenant").as_deref(), Some("blue"));
    assert_eq!(parts_of(&joined.headers), []);
    let gaps = json(joined.headers.get(GAPS).unwrap());
    assert_eq!((&gaps[0]["index"], &gaps[0]["code"]), (&1.into(), &EXPIRED.into()));
    let End::Failed(_) = world.ask(&parts[1]).await else { panic!("it is late") };
}

#[tokio::test]
async fn a_group_waits_as_long_as_its_first_part_or_the_envelopes_deadline_says() {
    let world = World::new(Incomplete::Fail).await;
    let mut short = parts("short", 2);
    short[1].headers.set(TIMEOUT, Raw::of(&"30s"));
    let mut dated = parts("dated", 2);
    dated[1].deadline = Some(Deadline::at(Timestamp::now() + SignedDuration::from_secs(50)));
    for group in [&short, &dated, &parts("long", 2)] {
        world.give(&group[1]).await;
    }
    for (after, ended) in [(29, 0), (31, 1), (51, 1), (599, 0), (601, 1)] {
        assert_eq!(world.sweep(SignedDuration::from_secs(after)).await, ended, "{after}");
    }
    let mut wrong = parts("wrong", 2);
    wrong[1].headers.set(TIMEOUT, Raw::of(&"soon"));
    let End::Failed(failure) = world.ask(&wrong[1]).await else { panic!("it is no duration") };
    assert!(failure.fault == Fault::Final && failure.message.contains(TIMEOUT), "{failure}");
}

#[tokio::test]
async fn everything_is_forgotten_in_the_end() {
    let world = World::new(Incomplete::Fail).await;
    let (whole, open) = (parts("whole", 2), parts("open", 2));
    world.give(&whole[1]).await;
    assert_eq!(world.give(&whole[0]).await.len(), 1);
    assert_eq!(world.give(&whole[0]).await.len(), 1, "the part that completed it comes again");
    world.give(&open[1]).await;
    assert_eq!(world.kept().await, [2, 1, 2]);
    // The joined envelope goes after its retention, the other group at its deadline and then after as long again.
    for (after, ended, kept) in [(OVER, 1, [2, 0, 2]), (SignedDuration::from_hours(3), 2, [0, 0, 0])] {
        assert_eq!((world.sweep(after).await, world.kept().await), (ended, kept));
    }
}

#[tokio::test]
async fn of_two_sweepers_one_reports_and_a_claim_that_came_to_nothing_is_taken_over() {
    let world = World::new(Incomplete::Fail).await;
    let parts = parts("job", 3);
    world.give(&parts[1]).await;
    let later = Timestamp::now() + OVER;
    let (one, two) = (world.sweeper(), world.sweeper());
    let (first, second) = tokio::join!(one.sweep(later), two.sweep(later));
    assert!(first.unwrap() + second.unwrap() > 0);
    assert_eq!(world.count("error-end").await, 1);

    // A sweeper that ends between its claim and its report.
    let [group] = &world.store().list("fan_in_groups", "", 10).await.unwrap()[..] else { panic!("one") };
    let claimed = serde_json::json!({
        "count": null, "have": 1, "until": later - OVER, "expiring": later + SignedDuration::from_secs(5),
        "like": {"id": "job-1", "route": {"actors": ["split", "join"], "current": 1}, "payload": null,
                 "headers": {"x-asya-fan": [{"group": "job/0", "index": 1}]}},
    });
    let write = asya_store::Write {
        table: "fan_in_groups",
        key: group.key.clone(),
        value: Some(claimed.to_string().into()),
        expect: asya_store::Expect::Anything,
    };
    let entry = asya_store::due::Due::enter("fan_in_due", (later - OVER).into(), &group.key);
    world.store().commit(vec![write, entry]).await.unwrap();
    let End::Failed(_) = world.ask(&parts[2]).await else { panic!("the claim has closed it") };
    assert_eq!(world.sweeper().sweep(later).await.unwrap(), 0);
    assert_eq!(world.sweeper().sweep(later + SignedDuration::from_secs(6)).await.unwrap(), 1);
    assert_eq!(world.count("error-end").await, 2);
}

#[tokio::test]
async fn groups_that_cannot_go_on_do_not_hold_up_those_that_are_due_after_them() {
    const STUCK: usize = 200;
    let world = World::new(Incomplete::Partial).await;
    for index in 0..STUCK {
        let mut part = parts(&format!("stuck-{index}"), 2).swap_remove(0);
        part.route = Route { current: 1, ..Route::new(["split", "join", "nowhere"]) };
        world.give(&part).await;
    }
    world.give(&parts("job", 2)[0]).await;
    let metrics = Metrics::new("asya_actor");
    let sweeper = world.counting_sweeper(Some(metrics.actor("join", "local")));
    let over = Timestamp::now() + OVER;
    assert_eq!(sweeper.sweep(over).await.unwrap(), 1);
    assert_eq!(world.take("render").await.id, "job");
    // Each was tried once, and is not tried again at once.
    assert_eq!(sweeper.sweep(over).await.unwrap(), 0);
    let line = format!("asya_actor_deadlines_failed_total{{queue=\"join\"}} {STUCK}\n");
    assert!(metrics.encode().contains(&line), "{}", metrics.encode());
    // The queue has come: all go on, each once.
    world.local.ensure(&Naming::bare().queue("nowhere")).await.unwrap();
    let later = over + SignedDuration::from_secs(60);
    assert_eq!(sweeper.sweep(later).await.unwrap(), STUCK);
    assert_eq!((sweeper.sweep(later).await.unwrap(), world.count("nowhere").await), (0, STUCK as u64));
}
