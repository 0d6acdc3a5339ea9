//! Databases of the Go system are taken over with their data.

use asya_store::{
    EnvelopeStore, StoreOptions,
    envelopes::{Ended, Filter, NewEnvelope, Reported, Status, Step},
};
use std::time::Duration;

use crate::support::{Home, at, envelope, json, names, report, sql, succeeded};

/// Written from the contract: tables, constraints, indexes and trigger of its migrations 001 to 004, with rows in every
/// state.
const DUMP: &str = include_str!("go_gateway.sql");

#[tokio::test]
async fn a_database_of_the_go_system_is_taken_over_with_its_data() {
    let Some(home) = Home::postgres().await else { return };
    sql(&home.url, DUMP).await;
    let migrated = EnvelopeStore::migrate(&home.url, StoreOptions::default()).await.unwrap();
    assert_eq!((migrated.from, migrated.adopted), (0, true));
    let again = EnvelopeStore::migrate(&home.url, StoreOptions::default()).await.unwrap();
    assert_eq!((again.from, again.adopted), (again.to, false));
    let store = home.open().await;

    let page = store.list(&Filter::default(), None, 100).await.unwrap();
    let listed: Vec<_> = page.envelopes.iter().map(|summary| (summary.id.as_str(), summary.status)).collect();
    assert_eq!(
        listed,
        [
            ("lost", Status::Unknown),
            ("fresh", Status::Pending),
            ("late", Status::Failed),
            ("broken", Status::Failed),
            ("half-1", Status::Running),
            ("half", Status::Running),
            ("done", Status::Succeeded),
        ]
    );
    let done = store.get("done").await.unwrap().unwrap();
    assert_eq!(done.payload, Some(json("{\"url\": \"s3://in/ü.png\"}")));
    assert_eq!(done.result, Some(json("{\"pages\": 3}")));
    let summary = done.summary;
    assert_eq!((summary.percent, summary.actors), (100.0, names(&["a", "b"])));
    assert_eq!(summary.created, at(0));
    assert_eq!((summary.updated, summary.ended), (at(60), Some(at(60))));
    assert_eq!(summary.timeout, Some(Duration::from_secs(300)));
    let codes: Vec<_> = [&page.envelopes[2], &page.envelopes[3]].map(|failed| failed.code.clone()).into();
    assert_eq!(codes, [Some("deadline".to_owned()), Some("unknown".to_owned())]);

    let updates = store.updates_since("done", 0, 100).await.unwrap();
    let steps: Vec<_> = updates.iter().map(|update| update.step).collect();
    assert_eq!(steps, [None, Some(Step::Received), Some(Step::Completed), None]);
    assert_eq!(updates[1].percent, Some(5.0));
    assert_eq!(updates[3].result, Some(json("{\"pages\": 3}")));

    // And they go on: progress, children, ends, deadlines, new ones.
    let reported = store.report("half", &report(1, Step::Processing), at(200)).await.unwrap();
    assert_eq!(reported, Reported::Applied(50.0));
    assert_eq!(store.children("half").await.unwrap().running, 1);
    let update = store.updates_since("half", 0, 100).await.unwrap().pop().unwrap();
    assert!(update.seq > updates[3].seq, "numbers go on where they were");
    assert_eq!(store.end("done", &succeeded("1"), at(200)).await.unwrap(), Ended::Before(Status::Succeeded));
    assert_eq!(store.sweep(at(100_000), 100).await.unwrap(), ["fresh"]);
    store.create(&NewEnvelope { deadline: Some(at(900_000)), ..envelope("new") }, at(300)).await.unwrap();
    assert_eq!(store.end("half", &succeeded("1"), at(301)).await.unwrap(), Ended::Applied);
    // Our clock, not the trigger's.
    assert_eq!(store.summary("half").await.unwrap().unwrap().updated, at(301));
    home.forget().await;
}

#[tokio::test]
async fn a_migration_that_fails_leaves_the_database_as_it_was() {
    let Some(home) = Home::postgres().await else { return };
    sql(&home.url, DUMP).await;
    // A view stands in the way of the column's new type.
    sql(&home.url, "CREATE VIEW mine AS SELECT payload FROM envelopes").await;
    let error = EnvelopeStore::migrate(&home.url, StoreOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("view"), "{error}");
    sql(&home.url, "SELECT payload -> 'url' FROM envelopes; DROP VIEW mine").await;
    EnvelopeStore::migrate(&home.url, StoreOptions::default()).await.unwrap();
    home.forget().await;
}

#[tokio::test]
async fn a_database_of_the_first_version_is_brought_to_this_one_with_its_data() {
    let file = Home::sqlite();
    let connection = rusqlite::Connection::open(&file.url).unwrap();
    connection.execute_batch(include_str!("../../src/sqlite/migrations/1.sql")).unwrap();
    let row = "INSERT INTO envelopes (id, status, route_actors, route_current, created_at, updated_at) \
         VALUES ('old', 'running', '[\"a\", \"b\", \"c\"]', 0, 0, 0); \
         PRAGMA application_id = 0x61737967; PRAGMA user_version = 1";
    connection.execute_batch(row).unwrap();
    drop(connection);
    let mut homes = vec![file];
    if let Some(home) = Home::postgres().await {
        sql(&home.url, include_str!("../../src/postgres/migrations/1.sql")).await;
        let row = "INSERT INTO envelopes (id, status, route_actors, route_current, created_at, updated_at) \
             VALUES ('old', 'running', '{a,b,c}', 0, now(), now()); \
             CREATE TABLE asya_migrations (version INT PRIMARY KEY, applied_at TIMESTAMPTZ NOT NULL DEFAULT now()); \
             INSERT INTO asya_migrations (version) VALUES (1)";
        sql(&home.url, row).await;
        homes.push(home);
    }
    for home in homes {
        let migrated = EnvelopeStore::migrate(&home.url, StoreOptions::default()).await.unwrap();
        assert_eq!((migrated.from, migrated.adopted), (1, false), "{}", home.url);
        let store = home.open().await;
        let old = store.summary("old").await.unwrap().unwrap();
        assert_eq!((old.status, old.depth), (Status::Running, 0));
        assert_eq!(store.end("old", &succeeded("1"), at(1)).await.unwrap(), Ended::Applied);
        home.forget().await;
    }
}
