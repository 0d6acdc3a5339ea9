//! Work that ends by itself: after a number of messages, or after a while without one.

use std::{sync::Arc, time::Duration};

use asya_handler::{End, Reply};
use asya_sidecar::{Ended, EngineConfig, Job};
use tokio::{sync::Notify, time::timeout};

use crate::rig::{ACTOR, Bench, LIMIT, Rig, Scripted, item};

const LONG: Duration = Duration::from_secs(600);

fn job(messages: u32, idle: Duration) -> impl FnOnce(&mut EngineConfig) {
    move |config| config.job = Some(Job { messages: messages.try_into().unwrap(), idle })
}

async fn ended(rig: &mut Rig) -> Ended {
    timeout(LIMIT, &mut rig.running).await.expect("the job ends by itself").unwrap().unwrap()
}

#[tokio::test]
async fn a_job_for_one_message_leaves_the_second_on_the_queue() {
    let handler = Scripted::echo();
    let events = handler.events();
    let mut rig = Bench::new().await.with(job(1, LONG)).start(handler);
    rig.send_envelope("a", "1").await;
    rig.send_envelope("b", "2").await;
    assert_eq!(ended(&mut rig).await, Ended::JobDone { handler_ends: true });
    assert_eq!(events.all(), ["handle a", "handler told to end", "handler closed"]);
    assert_eq!(rig.take("next").await["id"], "a");
    assert_eq!((rig.stats.received(), rig.stats.succeeded()), (1, 1));
    assert_eq!(rig.take(ACTOR).await["id"], "b", "it was not touched");
}

#[tokio::test]
async fn a_job_runs_its_messages_beside_each_other_and_never_holds_more() {
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let handler = Scripted::new(move |_, replies| {
        let gate = opened.clone();
        async move {
            gate.notified().await;
            replies.send(Reply::End(End::Done(vec![item("1")]))).await;
        }
    });
    let mut rig = Bench::new().await.with(job(3, LONG)).start(handler);
    for id in ["a", "b", "c", "d", "e"] {
        rig.send_envelope(id, "0").await;
    }
    rig.until("all three run", async || rig.stats.in_flight() == 3).await;
    gate.notify_waiters();
    ended(&mut rig).await;
    assert_eq!((rig.stats.received(), rig.stats.succeeded()), (3, 3));
    assert_eq!(rig.count(ACTOR).await, 2);
}

#[tokio::test]
async fn a_job_without_a_message_ends_when_its_patience_does() {
    let handler = Scripted::echo();
    let events = handler.events();
    let mut rig = Bench::new().await.with(job(1, Duration::from_millis(50))).start(handler);
    assert_eq!(ended(&mut rig).await, Ended::JobDone { handler_ends: true });
    assert_eq!(events.all(), ["handler told to end", "handler closed"]);
    assert_eq!(rig.stats.received(), 0);
}

#[tokio::test]
async fn a_job_that_waits_for_no_more_finishes_what_it_has_however_long_that_takes() {
    let gate = Arc::new(Notify::new());
    let opened = gate.clone();
    let handler = Scripted::new(move |_, replies| {
        let gate = opened.clone();
        async move {
            gate.notified().await;
            replies.send(Reply::End(End::Done(vec![item("1")]))).await;
        }
    });
    let mut rig = Bench::new()
        .await
        .with(job(2, Duration::from_millis(20)))
        .with(|config| config.grace = Duration::ZERO)
        .start(handler);
    rig.send_envelope("a", "0").await;
    rig.until("the first runs", async || rig.stats.in_flight() == 1).await;
    let early = timeout(Duration::from_millis(200), &mut rig.running).await;
    assert!(early.is_err(), "the grace of a stop does not count for a job");
    gate.notify_one();
    ended(&mut rig).await;
    assert_eq!(rig.stats.succeeded(), 1);
}
