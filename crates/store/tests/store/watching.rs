//! Following an envelope, and hearing of changes, in this process and in others.

use std::time::Duration;

use asya_store::envelopes::{Change, Follow, Reported, Status, Step, Update};
use tokio::time::timeout;

use crate::support::{SOON, at, envelope, on_each, report, succeeded};

async fn rest(mut follow: Follow) -> Vec<Update> {
    let mut updates = Vec::new();
    while let Some(update) = timeout(SOON, follow.next()).await.unwrap().unwrap() {
        updates.push(update);
    }
    updates
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_no_gap_between_history_and_live_and_ends_with_the_envelope() {
    on_each(async |store, home| {
        // Another process on the same file is heard of by a reader's own look, seconds later.
        let other = if store.kind() == "sqlite" { store.clone() } else { home.open().await };
        for round in 0..5 {
            let id = format!("round {round}");
            store.create(&envelope(&id), at(0)).await.unwrap();
            let (mut followers, writer) = (Vec::new(), store.clone());
            let writes = tokio::spawn({
                let id = id.clone();
                async move {
                    for current in 0..3 {
                        for step in [Step::Received, Step::Processing, Step::Completed] {
                            let reported = writer.report(&id, &report(current, step), at(1)).await.unwrap();
                            assert!(matches!(reported, Reported::Applied(_)));
                        }
                    }
                    writer.end(&id, &succeeded("1"), at(2)).await.unwrap();
                }
            });
            // Half of them on another replica; each joins at another moment.
            for number in 0..6 {
                let store = if number % 2 == 0 { &store } else { &other };
                followers.push(tokio::spawn(rest(store.follow(&id, 0))));
                tokio::task::yield_now().await;
            }
            writes.await.unwrap();
            let history = store.updates_since(&id, 0, 100).await.unwrap();
            assert_eq!(history.len(), 11);
            for follower in followers {
                assert_eq!(follower.await.unwrap(), history);
            }
            // Coming back with the last number seen: only what is new, and at the end an end at once.
            assert_eq!(rest(other.follow(&id, history[4].seq)).await, history[5..]);
            assert_eq!(rest(other.follow(&id, history[10].seq)).await, []);
            assert_eq!(history[10].status, Status::Succeeded);
        }
        assert_eq!(rest(store.follow("unheard of", 0)).await, []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_replica_hears_soon_of_what_another_changes() {
    on_each(async |store, home| {
        if store.kind() == "sqlite" {
            // Another process on the file is heard of by the readers' own looks only.
            return;
        }
        let other = home.open().await;
        let mut changes = other.changes();
        store.create(&envelope("1"), at(0)).await.unwrap();
        // The listening connection may not stand yet: then it says so when it does.
        timeout(SOON, async { while changes.next().await != Change::Missed {} }).await.unwrap();
        store.report("1", &report(0, Step::Received), at(1)).await.unwrap();
        // Whoever listens on a server hears of all its databases' schemas, those of other tests too.
        let heard = async { while !matches!(changes.next().await, Change::Envelope(id) if &*id == "1") {} };
        timeout(Duration::from_secs(3), heard).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_an_end_is_told_by_whichever_replica_and_at_once_when_it_is_over() {
    on_each(async |store, home| {
        let other = if store.kind() == "sqlite" { store.clone() } else { home.open().await };
        store.create(&envelope("1"), at(0)).await.unwrap();
        let waiting = tokio::spawn({
            let other = other.clone();
            async move { other.ended("1").await.unwrap().map(|summary| summary.status) }
        });
        store.report("1", &report(0, Step::Received), at(1)).await.unwrap();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "a report is no end");
        store.end("1", &succeeded("1"), at(2)).await.unwrap();
        assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap(), Some(Status::Succeeded));
        assert_eq!(other.ended("1").await.unwrap().unwrap().status, Status::Succeeded);
        assert!(other.ended("unheard of").await.unwrap().is_none());
    })
    .await;
}
