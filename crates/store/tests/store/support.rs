//! Databases to test on, and what tests say often.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use asya_envelope::Raw;
use asya_store::{
    EnvelopeStore, StoreOptions,
    envelopes::{Ending, NewEnvelope, Publish, Report, Step},
};
use bytes::Bytes;
use jiff::{Timestamp, ToSpan as _};
use tempfile::TempDir;

/// Longest wait for anything that happens at once on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A database of its own for one test.
pub(crate) struct Home {
    pub(crate) url: String,
    directory: Option<TempDir>,
    schema: Option<String>,
}

/// Runs one test on every database there is.
pub(crate) async fn on_each(test: impl AsyncFn(EnvelopeStore, &Home)) {
    for home in homes().await {
        eprintln!("on {}", home.url);
        test(home.open().await, &home).await;
        home.forget().await;
    }
}

async fn homes() -> Vec<Home> {
    let mut homes = vec![Home::sqlite()];
    homes.extend(Home::postgres().await);
    homes
}

/// The value of an environment variable that the test server's script sets. Without it the test says so loudly and
/// passes; in CI it fails.
pub(crate) fn server(variable: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Some(value),
        _ if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("{variable} is not set, and in CI the tests against a real PostgreSQL must run")
        }
        _ => {
            eprintln!("SKIPPED: {variable} is not set, so nothing was tried against a real PostgreSQL");
            None
        }
    }
}

/// Runs SQL on the server itself.
pub(crate) async fn sql(url: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(statements).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

impl Home {
    pub(crate) fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = directory.path().join("gateway.db").display().to_string();
        Self { url, directory: Some(directory), schema: None }
    }

    /// An empty schema on the test server.
    pub(crate) async fn postgres() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let url = server("ASYA_TEST_POSTGRES_URL")?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("t{}_{number}_{}", std::process::id(), Timestamp::now().as_millisecond());
        sql(&url, &format!("CREATE SCHEMA {schema}")).await;
        // Not waiting for the disk: the test that kills a server has one of its own, which does.
        let url = format!("{url}?options=-csearch_path%3D{schema}%20-csynchronous_commit%3Doff");
        Some(Self { url, directory: None, schema: Some(schema) })
    }

    /// Another replica's view of it.
    pub(crate) async fn open(&self) -> EnvelopeStore {
        EnvelopeStore::open(&self.url, StoreOptions::default()).await.unwrap()
    }

    /// Deletes it, after a test that passed.
    pub(crate) async fn forget(self) {
        drop(self.directory);
        if let Some(schema) = self.schema {
            let url = server("ASYA_TEST_POSTGRES_URL").unwrap();
            sql(&url, &format!("SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE")).await;
        }
    }
}

/// Waits until something is true.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < SOON, "{what}: not within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The time of a test: seconds after a fixed moment.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + seconds.seconds()
}

pub(crate) fn json(text: &str) -> Raw {
    Raw::parse(Bytes::from(text.to_owned())).unwrap()
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// An envelope to three actors.
pub(crate) fn envelope(id: &str) -> NewEnvelope {
    NewEnvelope {
        id: id.to_owned(),
        actors: names(&["a", "b", "c"]),
        metadata: None,
        headers: None,
        payload: json("{\"n\":1e400, \"n\":\"\\u0000\"}"),
        tool: None,
        sender: None,
        namespace: None,
        timeout: None,
        deadline: None,
        resubmit_of: None,
        replays: None,
        publish: Publish { actor: "a".to_owned(), body: Bytes::from(format!("body of {id}")) },
    }
}

/// The first report of this kind of the actor with this index.
pub(crate) fn report(current: usize, step: Step) -> Report {
    let actors = names(&["a", "b", "c"]);
    Report {
        actor: actors.get(current).cloned(),
        actors,
        current,
        step,
        message: Some(format!("{} at {current}", step.as_str())),
        fraction: None,
        attempt: 1,
        seq: step as u32,
        duration: None,
        size: None,
    }
}

pub(crate) fn succeeded(result: &str) -> Ending {
    Ending::Succeeded { result: Some(json(result)), stored_at: None }
}

pub(crate) fn failed(error: &str) -> Ending {
    Ending::Failed {
        error: error.to_owned(),
        code: Some("processing_error".to_owned()),
        details: Some(json("{\"type\":\"ValueError\"}")),
        actor: Some("b".to_owned()),
        current: Some(1),
        actors: names(&["a", "b", "c"]),
    }
}
