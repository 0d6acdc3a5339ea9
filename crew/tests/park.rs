//! Park and schedule on a real store and a real queue file: what waits, what goes on, and what happens twice.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]
#![cfg(feature = "schedule")]

use std::{sync::Arc, time::Duration};

use asya_crew::{
    committed::Committed,
    park::{Park, Sweeper},
    schedule::{Clock, Delay, Plan, clock::Turn},
};
use asya_envelope::{Envelope, Naming, Raw, Route};
use asya_handler::{End, Fault, Handler, Reply, Request};
use asya_sidecar::Means;
use asya_store::{Expect, Store, Write, due::Due, testing::on_each_home};
use asya_transport::{
    Queues as _, Transport,
    local::{Local, LocalOptions},
};
use jiff::{SignedDuration, Timestamp};

struct World {
    _folder: tempfile::TempDir,
    local: Arc<Local>,
    store: Arc<dyn Store>,
    park: Box<dyn Handler>,
}

/// Runs one test wherever actors keep records: in the queue file, and in the gateway's database of each kind.
async fn on_each(test: impl AsyncFn(World)) {
    test(World::on(None).await).await;
    on_each_home(async |home| test(World::on(Some(home.open().await.records())).await).await).await;
}

impl World {
    /// `None`: records are in the queue file.
    async fn on(store: Option<Arc<dyn Store>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        for actor in ["a", "error-end"] {
            local.ensure(&Naming::bare().queue(actor)).await.unwrap();
        }
        let store = store.unwrap_or_else(|| local.store());
        let park = Park::new(store.clone(), Duration::from_secs(3600));
        let park = Box::new(Committed::new(store.clone(), park, 4));
        Self { _folder: folder, local, store, park }
    }

    fn store(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    fn sweeper(&self) -> Sweeper {
        self.sweeper_to("error-end")
    }

    fn sweeper_to(&self, error_end: &str) -> Sweeper {
        let means = Means { transport: self.local.clone(), metrics: None, payloads: None };
        Sweeper::new(self.store(), means, "park", Naming::bare().queue(error_end))
    }

    async fn count(&self, actor: &str) -> u64 {
        self.local.depth(&Naming::bare().queue(actor)).await.unwrap().ready
    }

    async fn take(&self, actor: &str) -> Envelope {
        let mut deliveries =
            self.local.consume(&Naming::bare().queue(actor), 1.try_into().unwrap()).await.unwrap();
        let next = tokio::time::timeout(Duration::from_secs(10), deliveries.next()).await;
        Envelope::parse(next.unwrap().unwrap().body.clone()).unwrap()
    }
}

async fn ask(actor: &dyn Handler, envelope: &Envelope, attempt: u32) -> End {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: "test".to_owned(),
        attempt,
        timeout: Duration::from_secs(10),
    };
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

/// What goes on.
async fn give(actor: &dyn Handler, envelope: &Envelope) -> Vec<Envelope> {
    match ask(actor, envelope, 1).await {
        End::Platform { envelopes, writes, .. } if writes.is_empty() => envelopes,
        other => panic!("{other:?}"),
    }
}

fn with(id: &str, headers: &[(&str, &str)], payload: &str) -> Envelope {
    let mut envelope = Envelope::new(id, Route::new(["park", "ship"]), Raw::of(&payload));
    for (name, value) in headers {
        envelope.headers.set(*name, Raw::of(value));
    }
    envelope
}

fn order(id: &str) -> Envelope {
    with(id, &[("park-key", "order 7")], "order")
}

fn approval(id: &str) -> Envelope {
    let mut event = with(id, &[("park-event", "order 7")], "yes");
    event.route = Route::new(["park"]);
    event
}

fn assert_released(envelope: &Envelope, id: &str) {
    assert_eq!((envelope.id.as_str(), envelope.route.current_actor()), (id, Some("ship")));
    assert_eq!(envelope.payload.as_str(), r#"{"parked":"order","event":"yes"}"#);
    assert!(envelope.headers.is_empty());
}

#[tokio::test]
async fn an_envelope_goes_on_when_its_event_comes_or_has_come() {
    for event_first in [false, true] {
        on_each(async |world| {
            let mut on = Vec::new();
            let both = if event_first { [approval("e"), order("o")] } else { [order("o"), approval("e")] };
            for envelope in &both {
                on.extend(give(&*world.park, envelope).await);
            }
            on.sort_by(|a, b| a.id.cmp(&b.id));
            let [event, order] = &on[..] else { panic!("{on:?}") };
            assert_released(order, "o");
            assert_eq!((event.id.as_str(), event.route.current_actor()), ("e", None), "the event ends");
        })
        .await;
    }
}

#[tokio::test]
async fn messages_that_come_again_send_the_same_again_and_nothing_else() {
    for event_first in [false, true] {
        on_each(async |world| {
            let both = if event_first { [approval("e"), order("o")] } else { [order("o"), approval("e")] };
            assert!(give(&*world.park, &both[0]).await.iter().all(|on| on.id == "e"));
            assert!(give(&*world.park, &both[0]).await.iter().all(|on| on.id == "e"), "nothing goes on yet");
            for _ in 0..2 {
                let on = give(&*world.park, &both[1]).await;
                assert_released(on.iter().find(|on| on.id == "o").unwrap(), "o");
            }
            // A later order under the same key waits for an event of its own.
            assert!(give(&*world.park, &order("p")).await.is_empty());
            let on = give(&*world.park, &approval("f")).await;
            assert_released(on.iter().find(|on| on.id == "p").unwrap(), "p");
        })
        .await;
    }
}

#[tokio::test]
async fn a_second_envelope_under_a_key_and_one_without_a_key_are_refused_for_good() {
    on_each(async |world| {
        give(&*world.park, &order("o")).await;
        for wrong in
            [order("p"), with("q", &[], ""), with("r", &[("park-key", "k"), ("park-timeout", "soon")], "")]
        {
            let End::Failed(failure) = ask(&*world.park, &wrong, 1).await else { panic!("it cannot wait") };
            assert_eq!(failure.fault, Fault::Final, "{}", failure.message);
        }
    })
    .await;
}

#[tokio::test]
async fn what_waits_too_long_fails_once_and_its_event_is_too_late() {
    on_each(async |world| {
        give(&*world.park, &order("o")).await;
        let now = Timestamp::now();
        let sweeper = world.sweeper();
        assert_eq!(sweeper.sweep(now).await.unwrap(), 0, "it is not due");
        let later = now + SignedDuration::from_hours(2);
        assert_eq!(sweeper.sweep(later).await.unwrap(), 1);
        assert_eq!(sweeper.sweep(later).await.unwrap(), 0);
        assert_eq!(world.count("error-end").await, 1);
        let failed = world.take("error-end").await;
        assert!(
            failed.payload.as_str().contains("park_expired") && failed.payload.as_str().contains("order 7")
        );
        assert_eq!((failed.id.as_str(), failed.route.current_actor()), ("o", Some("park")));
        let on = give(&*world.park, &approval("e")).await;
        assert!(on.iter().all(|on| on.id == "e"));
    })
    .await;
}

#[tokio::test]
async fn early_events_and_what_went_on_are_forgotten() {
    on_each(async |world| {
        give(&*world.park, &approval("e")).await;
        give(&*world.park, &order("o")).await;
        give(&*world.park, &with("f", &[("park-event", "nobody")], "")).await;
        let later = Timestamp::now() + SignedDuration::from_hours(2);
        assert_eq!(world.sweeper().sweep(later).await.unwrap(), 2);
        for table in ["park_parked", "park_early", "park_done", "park_due"] {
            assert_eq!(world.store().list(table, "", 10).await.unwrap(), Vec::new(), "{table}");
        }
        assert_eq!(world.count("error-end").await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_ended_does_not_hold_up_what_is_due_after_it() {
    on_each(async |world| {
        let now = Timestamp::now();
        let mut broken = Vec::new();
        for index in 0..100 {
            let place = format!("broken-{index}");
            broken.push(Due::enter("park_due", now.into(), &format!("park_parked:{place}")));
            let value = Some("{}".into());
            broken.push(Write { table: "park_parked", key: place, value, expect: Expect::Absent });
        }
        world.store().commit(broken).await.unwrap();
        give(&*world.park, &order("o")).await;
        let later = now + SignedDuration::from_hours(2);
        assert_eq!(world.sweeper().sweep(later).await.unwrap(), 1);
        assert_eq!((world.take("error-end").await.id.as_str(), world.count("error-end").await), ("o", 0));
        assert_eq!(world.sweeper().sweep(later).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_report_whose_queue_is_missing_is_tried_again_with_growing_pauses() {
    on_each(async |world| {
        give(&*world.park, &order("o")).await;
        let sweeper = world.sweeper_to("nowhere");
        let mut now = Timestamp::now() + SignedDuration::from_hours(2);
        for pause in [30, 60, 120, 240, 480, 600, 600] {
            assert_eq!(sweeper.sweep(now).await.unwrap(), 0);
            let [entry] = &world.store().list("park_due", "", 10).await.unwrap()[..] else { panic!("one") };
            let at: i64 = entry.key.split('/').next().unwrap().parse().unwrap();
            // What the look itself took comes on top.
            let put_off = at - now.as_millisecond();
            assert!((pause * 1000..pause * 2000).contains(&put_off), "{put_off} for {pause}");
            now += SignedDuration::from_millis(put_off);
        }
        world.local.ensure(&Naming::bare().queue("nowhere")).await.unwrap();
        assert_eq!((sweeper.sweep(now).await.unwrap(), world.count("nowhere").await), (1, 1));
        assert_eq!(world.store().list("park_due", "", 10).await.unwrap(), []);
    })
    .await;
}

fn minutely(missed: &str) -> Plan {
    let text =
        format!(r#"[{{"name":"m","cron":"* * * * *","route":["a"],"payload":1,"missed":"{missed}"}}]"#);
    Plan::parse(&text).unwrap().remove(0)
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Turns until nothing is due; the ticks that were sent.
async fn turns(clock: &Clock, plan: &Plan, now: Timestamp) -> Vec<Timestamp> {
    let mut sent = Vec::new();
    loop {
        match clock.turn(plan, now).await.unwrap() {
            Turn::Sent(tick) => sent.push(tick),
            Turn::Wait(pause) if pause.is_zero() => {}
            Turn::Wait(_) | Turn::Over => return sent,
        }
    }
}

#[tokio::test]
async fn each_tick_is_sent_once_by_whichever_replica() {
    on_each(async |world| {
        let clocks: Vec<_> =
            (0..3).map(|_| Clock::new(world.store(), world.local.clone(), Naming::bare())).collect();
        let plan = minutely("last");
        assert!(turns(&clocks[0], &plan, at("2026-01-01T00:00:30Z")).await.is_empty(), "it begins now");
        for (now, tick) in [("2026-01-01T00:01:00Z", 1), ("2026-01-01T00:02:01Z", 2)] {
            let now = at(now);
            let sent = futures::future::join_all(clocks.iter().map(|clock| turns(clock, &plan, now))).await;
            let sent: Vec<_> = sent.into_iter().flatten().collect();
            assert_eq!(sent, [at(&format!("2026-01-01T00:0{tick}:00Z"))]);
            assert_eq!(world.count("a").await, tick);
        }
        assert_eq!(world.take("a").await.id, "m-2026-01-01T00:01:00Z");
    })
    .await;
}

#[tokio::test]
async fn of_missed_ticks_the_last_is_sent_or_none() {
    for (missed, expected) in [("last", 1), ("skip", 0)] {
        on_each(async |world| {
            let clock = Clock::new(world.store(), world.local.clone(), Naming::bare());
            let plan = minutely(missed);
            turns(&clock, &plan, at("2026-01-01T00:00:30Z")).await;
            let hourly = r#"[{"name":"m","cron":"0 * * * *","route":["a"],"missed":"MISSED"}]"#;
            let hourly = Plan::parse(&hourly.replace("MISSED", missed)).unwrap().remove(0);
            let sent = turns(&clock, &hourly, at("2026-01-01T05:30:00Z")).await;
            assert_eq!(sent.len(), expected, "{missed}");
            assert!(sent.iter().all(|tick| *tick == at("2026-01-01T05:00:00Z")));
        })
        .await;
    }
}

#[tokio::test]
async fn a_tick_that_cannot_be_sent_is_sent_when_it_can_and_a_dead_replica_s_claim_runs_out() {
    on_each(async |world| {
        let clock = Clock::new(world.store(), world.local.clone(), Naming::bare());
        let plan = Plan::parse(r#"[{"name":"m","cron":"* * * * *","route":["nowhere"]}]"#).unwrap().remove(0);
        turns(&clock, &plan, at("2026-01-01T00:00:30Z")).await;
        let now = at("2026-01-01T00:01:00Z");
        assert!(clock.turn(&plan, now).await.unwrap_err().contains("nowhere"));
        world.local.ensure(&Naming::bare().queue("nowhere")).await.unwrap();
        // A replica that died after its claim.
        let record = world.store().get("schedules", "m").await.unwrap().unwrap();
        let claimed =
            String::from_utf8(record.value.to_vec()).unwrap().replace("null", "\"2026-01-01T00:01:20Z\"");
        let write = asya_store::Write {
            table: "schedules",
            key: "m".to_owned(),
            value: Some(claimed.into()),
            expect: asya_store::Expect::Version(record.version),
        };
        world.store().commit(vec![write]).await.unwrap();
        assert_eq!(clock.turn(&plan, now).await.unwrap(), Turn::Wait(Duration::from_secs(20)));
        assert_eq!(turns(&clock, &plan, at("2026-01-01T00:01:20Z")).await, [now]);
    })
    .await;
}

#[tokio::test]
async fn an_envelope_is_held_for_its_delay_even_a_long_one() {
    let delay = Delay::new();
    let held = with("a", &[("delay", "30h"), ("x", "kept")], "p");
    for (attempt, hours) in [(1, 12), (2, 12), (3, 6)] {
        let End::Retry { after, .. } = ask(&delay, &held, attempt).await else { panic!("run {attempt}") };
        assert_eq!(after, Some(Duration::from_secs(hours * 3600)), "run {attempt}");
    }
    let End::Done(items) = ask(&delay, &held, 4).await else { panic!("its time has come") };
    let names: Vec<_> = items[0].headers.as_ref().unwrap().iter().map(|(name, _)| name).collect();
    assert_eq!((names, items[0].payload.as_str()), (vec!["x"], "\"p\""));
    let past = with("b", &[("not-before", "2020-01-01T00:00:00Z")], "p");
    assert!(matches!(ask(&delay, &past, 1).await, End::Done(_)));
    for wrong in [with("c", &[], ""), with("d", &[("delay", "soon")], "")] {
        assert!(
            matches!(ask(&delay, &wrong, 1).await, End::Failed(failure) if failure.fault == Fault::Final)
        );
    }
}
