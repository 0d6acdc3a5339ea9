//! Databases that fill up, go away, or are not ours.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use asya_store::{
    EnvelopeStore, StoreError, StoreOptions,
    envelopes::{Creation, Filter, NewEnvelope, Step},
};

use crate::support::{Home, SOON, at, envelope, json, report, server, sql, succeeded, until};

#[tokio::test]
async fn a_full_disk_is_an_error_and_nothing_stored_is_lost() {
    let home = Home::sqlite();
    let small = StoreOptions { max_bytes: Some(1024 * 1024), ..StoreOptions::default() };
    let store = EnvelopeStore::open(&home.url, small).await.unwrap();
    let large = |number: u32| NewEnvelope {
        payload: json(&format!("\"{}\"", "x".repeat(50_000))),
        ..envelope(&format!("{number:03}"))
    };
    let mut stored = Vec::new();
    let error = loop {
        let number = u32::try_from(stored.len()).unwrap();
        assert!(number < 100, "a megabyte holds no five");
        match store.create(&large(number), at(0)).await {
            Ok(created) => {
                assert_eq!(created, Creation::Created);
                stored.push(large(number).id);
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, StoreError::Full(_)), "{error}");
    assert!(!stored.is_empty());
    // Reading goes on, half of an envelope is not there, and small things may still find room.
    let listed = store.list(&Filter::default(), None, 1000).await.unwrap().envelopes;
    assert_eq!(listed.len(), stored.len());
    assert_eq!(store.outbox_depth().await.unwrap().waiting, stored.len() as u64);
    drop(store);
    // With room again it goes on where it stood.
    let store = home.open().await;
    for id in &stored {
        assert_eq!(store.get(id).await.unwrap().unwrap().payload, Some(large(0).payload));
    }
    store.create(&large(99), at(1)).await.unwrap();
    assert_eq!(store.claim(at(2), SOON, 1000).await.unwrap().len(), stored.len() + 1);
}

#[tokio::test]
async fn jobs_that_share_a_transaction_with_one_that_does_not_fit_are_told() {
    let home = Home::sqlite();
    let small = StoreOptions { max_bytes: Some(512 * 1024), ..StoreOptions::default() };
    let store = EnvelopeStore::open(&home.url, small).await.unwrap();
    let huge = NewEnvelope { payload: json(&format!("\"{}\"", "x".repeat(2_000_000))), ..envelope("huge") };
    let creates = (0..50).map(|number| {
        let (store, huge) = (store.clone(), huge.clone());
        async move {
            let new = if number == 20 { huge } else { envelope(&number.to_string()) };
            (new.id.clone(), store.create(&new, at(0)).await)
        }
    });
    for (id, result) in futures::future::join_all(creates).await {
        // Told that it is stored or that it is not; either is true.
        assert_eq!(store.get(&id).await.unwrap().is_some(), result.is_ok(), "{id}: {result:?}");
        assert!(id != "huge" || matches!(result, Err(StoreError::Full(_))));
    }
}

#[tokio::test]
async fn what_is_no_store_is_refused_with_its_name_and_the_next_step() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(path("letter.txt"), "this is a letter and not a database, ".repeat(100)).unwrap();
    let foreign = "CREATE TABLE birds (name TEXT)";
    rusqlite::Connection::open(path("foreign.db")).unwrap().execute_batch(foreign).unwrap();
    EnvelopeStore::open(&path("newer.db"), StoreOptions::default()).await.unwrap();
    let newer = "PRAGMA user_version = 99";
    rusqlite::Connection::open(path("newer.db")).unwrap().execute_batch(newer).unwrap();
    for (url, words) in [
        (path("letter.txt"), "not a database"),
        (path("foreign.db"), "another program"),
        (path("newer.db"), "newer version"),
        (path("no/such.db"), "does not exist"),
        (format!("sqlite://{}", path("no/such.db")), "does not exist"),
        (String::new(), "empty"),
        ("mysql://u:secret@h/d".to_owned(), "mysql"),
        ("postgres://u:secret@h/d?sslmode=maybe".to_owned(), "sslmode=maybe"),
        ("postgres://u:secret@h/d?sslmode=verify-full&sslrootcert=/no/ca.pem".to_owned(), "/no/ca.pem"),
    ] {
        let error = EnvelopeStore::open(&url, StoreOptions::default()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(_)), "{url}: {error}");
        assert!(error.to_string().contains(words), "{url}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_or_does_not_let_us_in_is_told_apart() {
    let nobody = "postgres://u:p@127.0.0.1:1/d";
    let error = EnvelopeStore::open(nobody, StoreOptions::default()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable(_)), "{error}");
    let Some(url) = server("ASYA_TEST_POSTGRES_URL") else { return };
    let wrong = url.replace(":asya-test@", ":wrong@");
    assert_ne!(wrong, url);
    for url in [wrong, url.replace("/postgres", "/nowhere").replacen("nowhere:", "postgres:", 1)] {
        let error = EnvelopeStore::open(&url, StoreOptions::default()).await.unwrap_err();
        assert!(matches!(&error, StoreError::Refused(_)), "{error}");
    }
}

#[tokio::test]
async fn tls_is_verified_as_sslmode_says() {
    let (Some(home), Some(authority)) = (Home::postgres().await, server("ASYA_TEST_POSTGRES_CA")) else {
        return;
    };
    let url = home.url.replace("127.0.0.1", "localhost");
    for (query, well) in [
        ("sslmode=disable".to_owned(), true),
        ("sslmode=require".to_owned(), true),
        (format!("sslmode=verify-full&sslrootcert={authority}"), true),
        // Not signed by anybody that this system trusts.
        ("sslmode=verify-full".to_owned(), false),
    ] {
        let opened = EnvelopeStore::open(&format!("{url}&{query}"), StoreOptions::default()).await;
        assert_eq!(opened.is_ok(), well, "{query}: {opened:?}");
    }
    let opened = EnvelopeStore::open(&format!("{}&sslmode=disable", home.url), StoreOptions::default()).await;
    opened.unwrap().ping().await.unwrap();
    home.forget().await;
}

#[tokio::test]
async fn an_old_schema_is_refused_unless_asked_to_migrate_and_replicas_may_start_together() {
    let Some(home) = Home::postgres().await else { return };
    let careful = StoreOptions { migrate: false, ..StoreOptions::default() };
    let error = EnvelopeStore::open(&home.url, careful.clone()).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Refused(words) if words.contains("asya-gateway migrate")),
        "{error}"
    );
    let starts = (0..4).map(|_| EnvelopeStore::open(&home.url, StoreOptions::default()));
    for opened in futures::future::join_all(starts).await {
        opened.unwrap().ping().await.unwrap();
    }
    let migrated = EnvelopeStore::migrate(&home.url, StoreOptions::default()).await.unwrap();
    assert_eq!((migrated.from, migrated.adopted), (migrated.to, false));
    EnvelopeStore::open(&home.url, careful).await.unwrap();
    sql(&home.url, "INSERT INTO asya_migrations (version) VALUES (99)").await;
    let error = EnvelopeStore::open(&home.url, StoreOptions::default()).await.unwrap_err();
    assert!(matches!(&error, StoreError::Refused(words) if words.contains("newer")), "{error}");
    home.forget().await;
}

/// A server of this test's own, which it may kill.
struct Server {
    script: String,
    state: tempfile::TempDir,
}

impl Server {
    fn run(&self, command: &str) -> String {
        let output = Command::new(&self.script)
            .arg(command)
            .env("ASYA_TEST_STATE", self.state.path())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends a signal to every process of it.
    fn signal(&self, signal: &str) {
        let state = self.state.path().join("postgres/pid");
        let first = std::fs::read_to_string(state).unwrap().split_whitespace().next().unwrap().to_owned();
        let children = Command::new("pgrep").args(["-P", &first]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let all = std::iter::once(first.as_str()).chain(children.split_whitespace());
        // One that has ended by itself meanwhile is no fault.
        Command::new("kill").arg(signal).args(all).stderr(Stdio::null()).status().unwrap();
    }

    fn url(&self) -> String {
        let environment = self.run("start");
        environment.lines().find_map(|line| line.strip_prefix("ASYA_TEST_POSTGRES_URL=")).unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let script = Path::new(&self.script);
        drop(Command::new(script).arg("purge").env("ASYA_TEST_STATE", self.state.path()).status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing_confirmed_and_is_found_again() {
    let Some(script) = server("ASYA_TEST_POSTGRES_CTL") else { return };
    let server = Server { script, state: tempfile::tempdir().unwrap() };
    let url = server.url();
    let options = StoreOptions { connect_timeout: Duration::from_secs(2), ..StoreOptions::default() };
    let store = EnvelopeStore::open(&url, options).await.unwrap();
    store.create(&envelope("followed"), at(0)).await.unwrap();
    let mut follow = store.follow("followed", 0);
    follow.next().await.unwrap().unwrap();

    // Writers that go on through the kill, and note what was confirmed to them.
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                let (mut confirmed, mut failures, began) = (Vec::new(), 0, Instant::now());
                for number in 0.. {
                    let id = format!("{writer}-{number}");
                    match store.create(&envelope(&id), at(0)).await {
                        Ok(_) => confirmed.push(id),
                        Err(StoreError::Unavailable(_)) => failures += 1,
                        Err(error) => panic!("{error}"),
                    }
                    let recovered = failures > 0 && confirmed.last() == Some(&format!("{writer}-{number}"));
                    if recovered && number > 20 || began.elapsed() > SOON * 2 {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                (confirmed, failures)
            })
        })
        .collect();
    until("some envelopes are stored", async || store.counts().await.is_ok_and(|counts| counts.pending > 40))
        .await;
    server.run("kill");
    until("the store says that the database is away", async || {
        matches!(store.ping().await, Err(StoreError::Unavailable(_)))
    })
    .await;
    assert_eq!(server.url(), url);
    until("the store is back", async || store.ping().await.is_ok()).await;
    for writer in writers {
        let (confirmed, failures) = writer.await.unwrap();
        assert!(failures > 0, "the kill was noticed");
        for id in confirmed {
            assert!(store.get(&id).await.unwrap().is_some(), "{id} was confirmed and is lost");
        }
    }
    // A stream goes on after its errors, from where it was.
    store.report("followed", &report(0, Step::Received), at(1)).await.unwrap();
    store.end("followed", &succeeded("1"), at(2)).await.unwrap();
    let mut seen = Vec::new();
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < SOON);
        match tokio::time::timeout(SOON, follow.next()).await.unwrap() {
            Ok(Some(update)) => seen.push(update.status.as_str()),
            Ok(None) => break,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    assert_eq!(seen, ["running", "succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_is_left_in_time_and_used_again_when_it_goes_on() {
    let Some(script) = server("ASYA_TEST_POSTGRES_CTL") else { return };
    let server = Server { script, state: tempfile::tempdir().unwrap() };
    let options = StoreOptions {
        connect_timeout: Duration::from_secs(1),
        statement_timeout: Duration::from_secs(1),
        ..StoreOptions::default()
    };
    let store = EnvelopeStore::open(&server.url(), options).await.unwrap();
    store.create(&envelope("before"), at(0)).await.unwrap();
    server.signal("-STOP");
    let began = Instant::now();
    let (create, all) = (envelope("meanwhile"), Filter::default());
    let records = store.records();
    let (created, listed, kept, pinged) = tokio::join!(
        store.create(&create, at(0)),
        store.list(&all, None, 10),
        records.list("anything", "", 10),
        store.ping()
    );
    assert!(began.elapsed() < SOON, "given up after {:?}", began.elapsed());
    for error in [created.err(), listed.err(), kept.err(), pinged.err()] {
        assert!(matches!(&error, Some(StoreError::Unavailable(_))), "{error:?}");
    }
    server.signal("-CONT");
    until("the store is back", async || store.ping().await.is_ok()).await;
    assert!(store.get("before").await.unwrap().is_some());
    // Whether what found no answer took effect is not known: it may be repeated.
    store.create(&create, at(0)).await.unwrap();
    assert!(store.get("meanwhile").await.unwrap().is_some());
}
