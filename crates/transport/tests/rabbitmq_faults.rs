//! A real broker in trouble: killed, and out of memory. A program of its own, because every other client of the broker
//! would notice.
//!
//! `ASYA_TEST_RABBITMQ_URL`: the broker. `ASYA_TEST_RABBITMQ_CTL`: a command that takes `stop`, `kill`, `start` and
//! `watermark SHARE`, which sets the broker's memory high watermark.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod rabbitmq;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use asya_transport::{Health, Outcome, Queues, Transport, TransportError, Unsettled};
use futures::future::join_all;
use tokio::sync::Mutex;

use self::rabbitmq::{SOON, connect, consume, done, eventually, fresh_queue, message, next, server};

const COUNT: usize = 2_000;
const CREDIT: u16 = 50;

/// One trouble at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_over_a_restart_of_the_broker_and_duplicates_are_bounded() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let Some(ctl) = server("ASYA_TEST_RABBITMQ_CTL") else { return };
    let _alone = ALONE.lock().await;
    let twice = relay_over(&url, &ctl, "stop").await;
    // In hand at the relay and published by it and not yet acknowledged; and in hand at the end.
    assert!(twice <= 2 * usize::from(CREDIT), "{twice} duplicates are more than was in flight");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_confirmed_is_lost_when_the_broker_is_killed() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let Some(ctl) = server("ASYA_TEST_RABBITMQ_CTL") else { return };
    let _alone = ALONE.lock().await;
    // No bound: a killed broker forgets acknowledgements that it has not written yet, of messages long settled.
    relay_over(&url, &ctl, "kill").await;
}

/// Relays messages from one queue to the next while the broker is ended and started again. Every message must arrive;
/// says how many came twice.
async fn relay_over(url: &str, ctl: &str, ending: &str) -> usize {
    let control = async |verb: &str| {
        let mut words = ctl.split_whitespace();
        let mut command = tokio::process::Command::new(words.next().expect("a command"));
        let status =
            command.args(words).arg(verb).stdout(std::process::Stdio::null()).status().await.unwrap();
        assert!(status.success(), "{ctl} {verb}: {status}");
    };
    let client = connect(url).await;
    let (from, to) = (fresh_queue(), fresh_queue());
    client.ensure(&from).await.unwrap();
    client.ensure(&to).await.unwrap();
    let publishes = (0..COUNT).map(|n| client.publish(message(&from, n.to_string()), None));
    assert!(join_all(publishes).await.iter().all(Result::is_ok));

    let relay = {
        let (client, to) = (client.clone(), to.clone());
        let mut consumer = consume(&client, &from, CREDIT).await;
        tokio::spawn(async move {
            loop {
                let mut delivery = consumer.next().await.unwrap();
                let (client, to) = (client.clone(), to.clone());
                tokio::spawn(async move {
                    // As an engine does: until it is settled, or not ours any more.
                    loop {
                        let successor = message(&to, delivery.body.clone());
                        match delivery.settle(Outcome::forward(vec![successor])).await {
                            Err((error, Some(same))) => {
                                assert!(
                                    matches!(error, Unsettled::Publish(TransportError::Unavailable(_))),
                                    "{error}"
                                );
                                delivery = same;
                                tokio::time::sleep(Duration::from_millis(100)).await;
                            }
                            Ok(()) | Err((_, None)) => return drop(client),
                        }
                    }
                });
            }
        })
    };
    let mut end = consume(&client, &to, CREDIT).await;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut killed = false;
    let deadline = Instant::now() + Duration::from_secs(90);
    while seen.len() < COUNT {
        assert!(Instant::now() < deadline, "{} of {COUNT} arrived", seen.len());
        let Ok(delivery) = tokio::time::timeout(Duration::from_secs(30), end.next()).await else { continue };
        let delivery = delivery.unwrap();
        *seen.entry(String::from_utf8_lossy(&delivery.body).into_owned()).or_default() += 1;
        let _ = delivery.settle(Outcome::forward(vec![])).await;
        if !killed && seen.len() >= COUNT / 4 {
            killed = true;
            control(ending).await;
            let health = client.health();
            eventually(SOON, "health says down", async || matches!(&*health.borrow(), Health::Down(_))).await;
            control("start").await;
        }
    }
    relay.abort();
    let twice = seen.values().filter(|times| **times > 1).count();
    eprintln!("{COUNT} relayed while the broker was ended by {ending}, {twice} came twice");
    client.delete(&from).await.unwrap();
    client.delete(&to).await.unwrap();
    twice
}

#[tokio::test(flavor = "multi_thread")]
async fn under_a_memory_alarm_health_is_blocked_and_deliveries_are_still_settled() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let Some(ctl) = server("ASYA_TEST_RABBITMQ_CTL") else { return };
    let _alone = ALONE.lock().await;
    let set = async |watermark: &str| {
        let status =
            tokio::process::Command::new(&ctl).args(["watermark", watermark]).status().await.unwrap();
        assert!(status.success(), "{ctl} watermark {watermark}: {status}");
    };
    let client = connect(&url).await;
    let queue = fresh_queue();
    client.ensure(&queue).await.unwrap();
    for n in 0..20 {
        client.publish(message(&queue, n.to_string()), None).await.unwrap();
    }
    let mut consumer = consume(&client, &queue, 20).await;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(next(&mut consumer).await);
    }
    set("0.000001").await;
    let waiting = {
        let (client, queue) = (client.clone(), queue.clone());
        tokio::spawn(async move { client.publish(message(&queue, "waits"), None).await })
    };
    let health = client.health();
    eventually(SOON, "health says blocked", async || matches!(&*health.borrow(), Health::Blocked(_))).await;
    for delivery in held {
        tokio::time::timeout(Duration::from_secs(2), done(delivery)).await.expect("settled during the alarm");
    }
    assert_eq!(client.depth(&queue).await.unwrap().ready, 0);
    assert!(!waiting.is_finished(), "nothing can be published now");
    set("0.6").await;
    tokio::time::timeout(SOON, waiting).await.expect("published after the alarm").unwrap().unwrap();
    eventually(SOON, "health is up", async || health.borrow().is_up()).await;
    client.delete(&queue).await.unwrap();
}
