//! The outbox loses nothing, and repeats what was in flight at most.

use std::{collections::BTreeSet, time::Duration};

use asya_store::envelopes::{Creation, Status, codes};

use crate::support::{Home, SOON, at, envelope, on_each, until};

const LEASE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn an_envelope_and_its_message_are_stored_together_and_once() {
    on_each(async |store, _| {
        assert_eq!(store.create(&envelope("1"), at(0)).await.unwrap(), Creation::Created);
        assert_eq!(store.create(&envelope("1"), at(1)).await.unwrap(), Creation::Exists);
        tokio::time::timeout(SOON, store.sendable()).await.unwrap();
        let claimed = store.claim(at(2), LEASE, 10).await.unwrap();
        assert_eq!(claimed.len(), 1);
        let entry = &claimed[0];
        assert_eq!((entry.id.as_str(), entry.actor.as_str(), &entry.body[..]), ("1", "a", &b"body of 1"[..]));
        assert_eq!((entry.claim, entry.created), (1, at(0)));
        let summary = store.summary("1").await.unwrap().unwrap();
        assert_eq!(summary.status, Status::Running);
        assert_eq!(summary.message.as_deref(), Some("Sending envelope to first actor"));
        assert_eq!(store.outbox_depth().await.unwrap().waiting, 1);
        assert_eq!(store.confirm(&claimed).await.unwrap(), 1);
        assert_eq!(store.outbox_depth().await.unwrap().waiting, 0);
        assert_eq!(store.next_ready().await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_claimant_that_dies_costs_a_repeat_of_what_it_held_and_no_more() {
    on_each(async |store, _| {
        for number in 0..10 {
            store.create(&envelope(&number.to_string()), at(0)).await.unwrap();
        }
        let dead = store.claim(at(1), LEASE, 4).await.unwrap();
        let rest = store.claim(at(1), LEASE, 100).await.unwrap();
        assert_eq!((dead.len(), rest.len()), (4, 6));
        store.confirm(&rest).await.unwrap();
        assert_eq!(store.claim(at(30), LEASE, 100).await.unwrap(), []);
        assert_eq!(store.next_ready().await.unwrap(), Some(at(31)));
        let again = store.claim(at(31), LEASE, 100).await.unwrap();
        let ids = |claimed: &[asya_store::envelopes::Claimed]| {
            claimed.iter().map(|entry| entry.id.clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&again), ids(&dead));
        assert!(again.iter().all(|entry| entry.claim == 2));
        // The first one was only slow: what it confirms now is somebody else's.
        assert_eq!(store.confirm(&dead).await.unwrap(), 0);
        assert_eq!(store.confirm(&again).await.unwrap(), 4);
    })
    .await;
}

#[tokio::test]
async fn one_batch_is_confirmed_and_the_next_taken_together() {
    on_each(async |store, _| {
        for number in 0..5 {
            store.create(&envelope(&number.to_string()), at(0)).await.unwrap();
        }
        let first = store.exchange(&[], at(1), LEASE, 2).await.unwrap();
        assert_eq!(first.len(), 2);
        let second = store.exchange(&first, at(2), LEASE, 2).await.unwrap();
        assert!(second.len() == 2 && second.iter().all(|entry| !first.contains(entry)));
        assert_eq!(store.outbox_depth().await.unwrap().waiting, 3);
        // Never more in hand than one batch: what is confirmed is gone, what was only claimed comes again.
        let rest = store.exchange(&second, at(3), LEASE, 2).await.unwrap();
        assert_eq!(store.exchange(&[], at(60), LEASE, 10).await.unwrap().len(), rest.len());
    })
    .await;
}

#[tokio::test]
async fn who_has_the_file_alone_need_not_wait_for_claims_of_the_dead() {
    on_each(async |store, _| {
        for number in 0..3 {
            store.create(&envelope(&number.to_string()), at(0)).await.unwrap();
        }
        let dead = store.claim(at(1), LEASE, 2).await.unwrap();
        store.postpone(&dead[0], "no such queue", at(100)).await.unwrap();
        let alone = store.kind() == "sqlite";
        assert_eq!(store.take_over(at(2)).await.unwrap(), if alone { 2 } else { 0 });
        let claimed = store.claim(at(2), LEASE, 10).await.unwrap();
        assert_eq!(claimed.len(), if alone { 3 } else { 1 });
        // The dead one was only slow, and what is somebody else's stays theirs.
        assert_eq!(store.confirm(&dead).await.unwrap(), if alone { 0 } else { 2 });
    })
    .await;
}

#[tokio::test]
async fn replicas_that_claim_at_once_share_the_entries() {
    on_each(async |store, home| {
        let stores = [store, home.open().await, home.open().await];
        for number in 0..60 {
            stores[0].create(&envelope(&number.to_string()), at(0)).await.unwrap();
        }
        let tasks = stores.into_iter().map(|store| {
            tokio::spawn(async move {
                let mut mine = Vec::new();
                while store.outbox_depth().await.unwrap().waiting > 0 {
                    let claimed = store.claim(at(1), LEASE, 7).await.unwrap();
                    store.confirm(&claimed).await.unwrap();
                    mine.extend(claimed.into_iter().map(|entry| entry.id));
                }
                mine
            })
        });
        let mut all = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            all.extend(task.await.unwrap());
        }
        assert_eq!(all.len(), 60);
        assert_eq!(all.into_iter().collect::<BTreeSet<_>>().len(), 60);
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_sent_is_tried_again_or_fails_its_envelope() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        let entry = store.claim(at(1), LEASE, 1).await.unwrap().remove(0);
        store.postpone(&entry, "broker is away", at(5)).await.unwrap();
        assert_eq!(store.claim(at(4), LEASE, 1).await.unwrap(), []);
        let entry = store.claim(at(5), LEASE, 1).await.unwrap().remove(0);
        assert_eq!(entry.claim, 2);
        store.abandon(&entry, "no such queue", at(6)).await.unwrap();
        let summary = store.summary("1").await.unwrap().unwrap();
        assert_eq!((summary.status, summary.code.as_deref()), (Status::Failed, Some(codes::NOT_SENT)));
        assert_eq!(summary.error.as_deref(), Some("failed to send envelope: no such queue"));
        assert_eq!(store.claim(at(1000), LEASE, 1).await.unwrap(), []);
        assert_eq!(store.outbox_depth().await.unwrap().oldest, None);
    })
    .await;
}

#[tokio::test]
async fn who_gives_way_to_others_tries_again() {
    let Some(home) = Home::postgres().await else { return };
    let store = home.open().await;
    store.create(&envelope("1"), at(0)).await.unwrap();
    let (other, connection) = tokio_postgres::connect(&home.url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    // Somebody who cancels has the envelope first and then its entry, who claims the other way round.
    other.batch_execute("BEGIN; SELECT 1 FROM envelopes WHERE id = '1' FOR UPDATE").await.unwrap();
    let claimant = tokio::spawn({
        let store = store.clone();
        async move { store.claim(at(1), LEASE, 10).await }
    });
    let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'";
    until("the claimant waits for the envelope", async || {
        other.query_one(waits, &[]).await.unwrap().get::<_, i64>(0) > 0
    })
    .await;
    // The claimant has waited longer, so it is the one that the server ends; this goes on then.
    other.batch_execute("DELETE FROM outbox WHERE envelope_id = '1'; COMMIT").await.unwrap();
    assert_eq!(claimant.await.unwrap().unwrap(), [], "it tried again, and the entry is gone");
    drop(other);
    connection.await.unwrap().unwrap();
    home.forget().await;
}
