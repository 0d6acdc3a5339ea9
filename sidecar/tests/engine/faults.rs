//! Queues that are missing, and messages that come too often.

use asya_envelope::Naming;
use asya_handler::{End, Item};
use asya_transport::{Outcome, Queues, Transport};

use crate::rig::{ACTOR, Bench, Scripted, item};

fn to(actor: &'static str) -> Item {
    let route = asya_envelope::Route { current: 1, ..asya_envelope::Route::new(["ocr", actor]) };
    Item { route: Some(route), ..item("1") }
}

#[tokio::test]
async fn a_missing_next_queue_is_waited_for() {
    let rig = Bench::new()
        .await
        .with(|config| config.unroutable_grace = crate::rig::LIMIT)
        .start(Scripted::ending(|_| End::Done(vec![to("late")])));
    rig.send_envelope("a", "0").await;
    rig.until("the handler has run", async || rig.stats.handled() == 1).await;
    rig.local().ensure(&Naming::bare().queue("late")).await.unwrap();
    assert_eq!(rig.take("late").await["id"], "a");
    assert_eq!((rig.stats.handled(), rig.stats.failed()), (1, 0));
}

#[tokio::test]
async fn a_queue_that_stays_missing_is_named_at_error_end_with_the_result() {
    let rig = Bench::new().await.start(Scripted::ending(|_| End::Done(vec![to("typo")])));
    rig.send_envelope("a", "0").await;
    let error = rig.take("error-end").await;
    let details = &error["payload"]["details"];
    assert_eq!(details["code"], "unroutable");
    assert!(details["message"].as_str().unwrap().contains("asya-typo"), "{details}");
    assert_eq!(error["payload"]["original_payload"], 1, "the handler's work is not thrown away");
    assert_eq!(rig.stats.handled(), 1);
}

#[tokio::test]
async fn only_the_child_without_a_queue_fails() {
    let rig =
        Bench::new().await.start(Scripted::ending(|_| End::Done(vec![to("next"), to("typo"), to("next")])));
    rig.send_envelope("a", "0").await;
    assert_eq!(rig.take("error-end").await["id"], "a-1");
    let mut ids = [rig.take("next").await["id"].clone(), rig.take("next").await["id"].clone()];
    ids.sort_by_key(ToString::to_string);
    assert_eq!(ids, ["a", "a-2"]);
    rig.settled().await;
    assert_eq!((rig.count("next").await, rig.count("error-end").await), (0, 0));
}

#[tokio::test]
async fn only_a_quarter_of_the_credit_waits_for_missing_queues() {
    let rig = Bench::new()
        .await
        .with(|config| {
            config.unroutable_grace = crate::rig::LIMIT * 10;
            config.max_look_ahead = 8;
        })
        .start(Scripted::ending(|_| End::Done(vec![to("typo")])));
    // The credit is 16: four may wait, the others must not.
    for n in 0..10 {
        rig.send_envelope(&format!("e{n}"), "0").await;
    }
    rig.until("all but a quarter were given up", async || rig.stats.failed() == 6).await;
    assert_eq!(rig.stats.in_flight(), 4);
    rig.local().ensure(&Naming::bare().queue("typo")).await.unwrap();
    rig.settled().await;
    assert_eq!(rig.count("typo").await, 4);
}

#[tokio::test]
async fn without_error_end_the_message_is_kept_on_the_dead_letter_queue() {
    let rig =
        Bench::new().await.with(|config| config.error_end = "nowhere".to_owned()).start(Scripted::echo());
    rig.send("{bad").await;
    rig.settled().await;
    let dead = rig.dead().await;
    assert!(
        dead.len() == 1 && dead[0].contains("msg_parsing_error") && dead[0].contains("asya-nowhere"),
        "{dead:?}"
    );
    assert_eq!(rig.stats.dead_lettered(), 1);
}

#[tokio::test]
async fn what_was_delivered_too_often_is_poison_and_never_reaches_the_handler() {
    let bench = Bench::new().await.with(|config| config.max_deliveries = 2);
    let queue = Naming::bare().queue(ACTOR);
    let message =
        asya_transport::Outgoing { queue: queue.clone(), body: crate::rig::envelope("a", "1").into() };
    bench.local.publish(message, None).await.unwrap();
    let mut consumer = bench.local.consume(&queue, 1.try_into().unwrap()).await.unwrap();
    for _ in 0..2 {
        let delivery = consumer.next().await.unwrap();
        delivery.settle(Outcome::Release).await.map_err(|(error, _)| error).unwrap();
    }
    drop(consumer);
    let handler = Scripted::echo();
    let events = handler.events();
    let rig = bench.start(handler);
    let error = rig.take("error-end").await;
    assert_eq!(error["payload"]["details"]["code"], "poison");
    assert_eq!(events.all(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_taken_while_the_runtime_is_not_ready() {
    let handler = Scripted::echo();
    handler.set_readiness(asya_handler::Readiness::NotReady("loading".to_owned()));
    let rig = Bench::new().await.start(handler.clone());
    rig.send_envelope("a", "1").await;
    tokio::task::yield_now().await;
    assert_eq!((rig.stats.received(), rig.count(ACTOR).await), (0, 1));
    handler.set_readiness(asya_handler::Readiness::Ready);
    assert_eq!(rig.take("next").await["id"], "a");
}
