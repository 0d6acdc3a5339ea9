//! What the local transport promises beyond the seam: records and messages in one transaction, and what is in the file.
#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::{num::NonZeroU16, path::Path, sync::Arc, time::Duration};

use asya_envelope::Queue;
use asya_store::{Expect, StoreError, Write};
use asya_transport::{
    Delivery, Outcome, Outgoing, Queues, Transport, TransportError, Unsettled,
    local::{Local, LocalOptions, Synchronous},
};
use bytes::Bytes;
use tempfile::TempDir;

async fn open(queues: &[&str], options: LocalOptions) -> (TempDir, Arc<Local>) {
    let directory = tempfile::tempdir().unwrap();
    let local = Local::open(&directory.path().join("queues.db"), options).unwrap();
    for name in queues {
        local.ensure(&Queue::named(*name)).await.unwrap();
    }
    (directory, local)
}

fn message(queue: &str, body: &str) -> Outgoing {
    Outgoing { queue: Queue::named(queue), body: Bytes::from(body.to_owned()) }
}

fn write(key: &str, value: &'static str, expect: Expect) -> Write {
    Write { table: "results", key: key.to_owned(), value: Some(Bytes::from(value)), expect }
}

async fn next(local: &Local, queue: &str) -> Delivery {
    let mut consumer = local.consume(&Queue::named(queue), NonZeroU16::MIN).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), consumer.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn records_and_successors_of_a_delivery_are_one_change() {
    let (_directory, local) = open(&["asya-a", "asya-b"], LocalOptions::default()).await;
    let store = local.store();
    store.commit(vec![write("seen", "0", Expect::Absent)]).await.unwrap();
    local.publish(message("asya-a", "work"), None).await.unwrap();
    let delivery = next(&local, "asya-a").await;

    let outcome = |expect| Outcome::Forward {
        messages: vec![message("asya-b", "next")],
        writes: vec![write("fresh", "1", Expect::Anything), write("seen", "1", expect)],
    };
    let stale = delivery.settle(outcome(Expect::Version(7))).await;
    let Err((Unsettled::Conflict(record), Some(delivery))) = stale else { panic!("{stale:?}") };
    assert_eq!(record, "results/seen");
    assert_eq!(store.get("results", "fresh").await.unwrap(), None);
    assert_eq!(local.depth(&Queue::named("asya-b")).await.unwrap().ready, 0);

    delivery.settle(outcome(Expect::Version(1))).await.unwrap();
    let record = store.get("results", "seen").await.unwrap().unwrap();
    assert_eq!((&record.value[..], record.version), (&b"1"[..], 2));
    assert_eq!(store.list("results", "", 10).await.unwrap().len(), 2);
    let depths: Vec<_> = local.queues().await.unwrap();
    assert_eq!(depths.iter().map(|(queue, _)| queue.as_str()).collect::<Vec<_>>(), ["asya-a", "asya-b"]);
    let counts: Vec<_> = depths.iter().map(|(_, depth)| (depth.ready, depth.in_flight)).collect();
    assert_eq!(counts, [(0, 0), (1, 0)]);
}

#[tokio::test]
async fn a_store_conflict_names_the_record() {
    let (_directory, local) = open(&[], LocalOptions::default()).await;
    let result = local.store().commit(vec![write("x", "1", Expect::Version(1))]).await;
    assert!(
        matches!(&result, Err(StoreError::Conflict { table, key }) if table == "results" && key == "x"),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_message_of_exactly_the_limit_is_taken_and_outlives_its_process() {
    let options =
        LocalOptions { max_message: 100_000, synchronous: Synchronous::Full, ..LocalOptions::default() };
    let (directory, local) = open(&["asya-a"], options.clone()).await;
    let body = "x".repeat(100_000);
    local.publish(message("asya-a", &body), None).await.unwrap();
    local.close().await;
    let refused = local.publish(message("asya-a", &body), None).await;
    assert!(matches!(refused, Err(TransportError::Unavailable(_))), "{refused:?}");
    let local = Local::open(&directory.path().join("queues.db"), options).unwrap();
    let delivery = next(&local, "asya-a").await;
    assert_eq!(delivery.body, body);
    delivery.settle(Outcome::forward(vec![])).await.unwrap();
}

#[tokio::test]
async fn what_a_dropped_consumer_had_taken_ahead_is_back_at_once_and_uncounted() {
    let (_directory, local) = open(&["asya-a"], LocalOptions::default()).await;
    for body in ["one", "two", "three"] {
        local.publish(message("asya-a", body), None).await.unwrap();
    }
    let queue = Queue::named("asya-a");
    let mut ahead = local.consume(&queue, NonZeroU16::new(3).unwrap()).await.unwrap();
    let one = ahead.next().await.unwrap();
    drop(ahead);
    for expected in ["two", "three"] {
        let delivery = next(&local, "asya-a").await;
        assert_eq!((&delivery.body[..], delivery.meta.deliveries), (expected.as_bytes(), 1));
        delivery.settle(Outcome::forward(vec![])).await.unwrap();
    }
    one.settle(Outcome::forward(vec![])).await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_that_takes_no_files_is_named_with_the_next_step() {
    let Err(error) = Local::open(Path::new("/proc/queues.db"), LocalOptions::default()) else {
        panic!("a file was made in /proc")
    };
    let text = error.to_string();
    assert!(text.contains("/proc/queues.db") && text.contains("right to write"), "{text}");
}
