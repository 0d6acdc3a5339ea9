//! End actors: they record, never route, and never loop.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU32, Ordering},
};

use asya_envelope::ActorName;
use asya_handler::{Code, End, Failure, Fate, Fault};
use asya_sidecar::{Ends, Final};
use futures::future::BoxFuture;

use crate::rig::{Bench, Scripted, infrastructure, item, raised};

async fn bench_of(actor: &str) -> Bench {
    Bench::new().await.with(|config| config.actor = ActorName::parse(actor).unwrap())
}

const FINISHED: &str = r#"{"id":"a","route":{"actors":["ocr"],"current":1},"payload":{"n":1}}"#;

#[tokio::test]
async fn an_end_actor_consumes_and_sends_nothing() {
    for actor in ["happy-end", "error-end"] {
        let rig = bench_of(actor).await.start(Scripted::ending(|_| End::Done(vec![item("{}"), item("1")])));
        rig.send(FINISHED).await;
        rig.until("it was recorded", async || rig.stats.succeeded() == 1).await;
        rig.settled().await;
        for queue in ["next", "happy-end", "error-end"] {
            assert_eq!(rig.count(queue).await, 0);
        }
    }
}

#[tokio::test]
async fn an_actor_can_be_told_that_it_ends_envelopes() {
    let rig = Bench::new().await.with(|config| config.end_actor = true).start(Scripted::echo());
    rig.send_envelope("a", "1").await;
    rig.until("it was recorded", async || rig.stats.succeeded() == 1).await;
    rig.settled().await;
    assert_eq!(rig.count("next").await, 0);
}

#[tokio::test]
async fn a_body_without_an_id_is_recorded_at_error_end_and_does_not_loop() {
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let notes = recorded.clone();
    let rig = bench_of("error-end").await.start(Scripted::ending(move |request| {
        notes.lock().unwrap().push(request.envelope.clone());
        End::Done(vec![item("{}")])
    }));
    rig.send(r#"{"payload":1}"#).await;
    rig.send("{bad").await;
    rig.until("both were recorded", async || rig.stats.succeeded() == 2).await;
    rig.settled().await;
    assert_eq!((rig.count("error-end").await, rig.stats.received()), (0, 2));
    let recorded = recorded.lock().unwrap();
    assert!(recorded.iter().all(|envelope| envelope.id.starts_with("unparsed-")));
}

#[tokio::test]
async fn a_failing_end_actor_tries_again_and_then_keeps_the_message_on_its_dead_letter_queue() {
    for failing in [raised as fn(&str) -> End, |_| infrastructure()] {
        let rig = bench_of("error-end")
            .await
            .with(|config| config.max_deliveries = 3)
            .start(Scripted::ending(move |_| failing("OSError")));
        rig.send(FINISHED).await;
        rig.until("it was given up", async || rig.stats.dead_lettered() == 1).await;
        assert_eq!((rig.stats.received(), rig.count("error-end").await), (3, 0));
        assert_eq!(rig.dead().await.len(), 1);
    }
    let hopeless = || End::Failed(Failure::new(Code::Validation, Fault::Final, "never"));
    let rig = bench_of("happy-end").await.start(Scripted::ending(move |_| hopeless()));
    rig.send(FINISHED).await;
    rig.until("it was given up", async || rig.stats.dead_lettered() == 1).await;
    assert_eq!((rig.stats.received(), rig.count("error-end").await), (1, 0));
}

#[tokio::test]
async fn an_end_actor_cannot_send_to_an_end() {
    for route in [r#"["ocr"],"current":1"#, r#"["error-end"],"current":0"#] {
        let rig = bench_of("error-end").await.start(Scripted::ending(|request| End::Platform {
            envelopes: vec![request.envelope.clone()],
            writes: Vec::new(),
            fate: Fate::Ended { stored: None },
        }));
        rig.send(format!(r#"{{"id":"a","route":{{"actors":{route}}},"payload":1}}"#)).await;
        rig.until("it was given up", async || rig.stats.dead_lettered() == 1).await;
        assert_eq!((rig.count("error-end").await, rig.count("happy-end").await), (0, 0));
        assert!(rig.dead().await[0].contains("end_actor_in_route"));
    }
}

/// Refuses the first reports.
struct Reluctant {
    refusals: u32,
    asked: AtomicU32,
}

impl Ends for Reluctant {
    fn ended<'a>(&'a self, end: &'a Final) -> BoxFuture<'a, Result<(), String>> {
        assert!(end.succeeded);
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        Box::pin(
            async move { if asked < self.refusals { Err("gateway is away".to_owned()) } else { Ok(()) } },
        )
    }
}

#[tokio::test]
async fn the_final_report_is_repeated_until_it_is_taken() {
    let ends = Arc::new(Reluctant { refusals: 2, asked: AtomicU32::new(0) });
    let mut bench = bench_of("happy-end").await;
    bench.observers.ends = Some(ends.clone());
    let rig = bench.start(Scripted::echo());
    rig.send(FINISHED).await;
    rig.until("it was recorded", async || rig.stats.succeeded() == 1).await;
    assert_eq!((ends.asked.load(Ordering::SeqCst), rig.stats.retried()), (3, 2));
}

#[tokio::test]
async fn a_gateway_that_stays_away_does_not_cost_the_record() {
    let mut bench = bench_of("happy-end").await.with(|config| config.max_deliveries = 3);
    bench.observers.ends = Some(Arc::new(Reluctant { refusals: u32::MAX, asked: AtomicU32::new(0) }));
    let rig = bench.start(Scripted::echo());
    rig.send(FINISHED).await;
    rig.until("it was recorded", async || rig.stats.succeeded() == 1).await;
    assert_eq!(rig.dead().await, Vec::<String>::new());
}

#[tokio::test]
async fn an_envelope_that_goes_on_from_an_end_is_not_reported_as_ended() {
    let ends = Arc::new(Reluctant { refusals: 0, asked: AtomicU32::new(0) });
    let mut bench = bench_of("error-end").await;
    bench.observers.ends = Some(ends.clone());
    let rig = bench.start(Scripted::ending(|request| End::Platform {
        envelopes: vec![request.envelope.clone()],
        writes: Vec::new(),
        fate: Fate::GoesOn,
    }));
    rig.send(r#"{"id":"a","route":{"actors":["next"],"current":0},"headers":{"x-asya-runs":2},"payload":1}"#)
        .await;
    let sent = rig.take("next").await;
    assert_eq!((&sent["id"], &sent["headers"]["x-asya-runs"]), (&"a".into(), &2.into()));
    assert_eq!(ends.asked.load(Ordering::SeqCst), 0);
}
