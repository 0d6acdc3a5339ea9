//! The stop: reading ends first, running work finishes, the rest goes back, the handler closes last.

use std::{sync::Arc, time::Duration};

use asya_handler::{End, Reply};
use tokio::sync::Notify;

use crate::rig::{ACTOR, Bench, Rig, Scripted, item};

fn gated(gate: &Arc<Notify>) -> Arc<Scripted> {
    let gate = gate.clone();
    Scripted::new(move |_, replies| {
        let gate = gate.clone();
        async move {
            gate.notified().await;
            replies.send(Reply::End(End::Done(vec![item("1")]))).await;
        }
    })
}

async fn running(rig: &Rig, count: u64) {
    rig.until("the work runs", async || rig.stats.in_flight() == count).await;
}

#[tokio::test]
async fn running_work_finishes_and_what_comes_later_stays_on_the_queue() {
    let gate = Arc::new(Notify::new());
    let handler = gated(&gate);
    let events = handler.events();
    let rig = Bench::new().await.start(handler);
    rig.send_envelope("running", "0").await;
    running(&rig, 1).await;
    rig.stop.cancel();
    rig.until("the engine has stopped reading", async || {
        rig.send_envelope("later", "0").await;
        rig.count(ACTOR).await > 1
    })
    .await;
    assert_eq!(events.all(), ["handle running"], "the handler is still open");
    gate.notify_one();
    assert_eq!(rig.take("next").await["id"], "running");
    let stats = rig.stats.clone();
    let bench = rig.stopped().await;
    assert_eq!(events.all(), ["handle running", "handler closed"]);
    assert_eq!((stats.received(), stats.succeeded()), (1, 1));
    let left = bench.start(Scripted::echo());
    assert_eq!(left.take("next").await["id"], "later");
}

#[tokio::test]
async fn what_outlasts_the_grace_goes_back_to_the_queue_before_the_handler_closes() {
    let handler = gated(&Arc::new(Notify::new()));
    let events = handler.events();
    let rig = Bench::new().await.with(|config| config.grace = Duration::from_millis(50)).start(handler);
    rig.send_envelope("endless", "0").await;
    running(&rig, 1).await;
    let bench = rig.stopped().await;
    assert_eq!(events.all(), ["handle endless", "handler closed"]);
    let next = bench.start(Scripted::echo());
    assert_eq!(next.take("next").await["id"], "endless", "it is handled by the next sidecar");
}

#[tokio::test]
async fn an_idle_engine_stops_at_once() {
    let rig = Bench::new().await.start(Scripted::echo());
    rig.stopped().await;
}

#[tokio::test]
async fn a_handler_that_does_not_close_does_not_hold_the_stop_up() {
    let handler = Scripted::echo();
    handler.hang_on_close();
    let rig = Bench::new().await.start(handler);
    rig.send_envelope("a", "1").await;
    assert_eq!(rig.take("next").await["id"], "a");
    rig.stopped().await;
}
