//! Databases for tests: a SQLite file each, and a schema each on the PostgreSQL server that tests/servers starts.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that has no database has failed")]

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
};

use jiff::Timestamp;
use tempfile::TempDir;

use crate::{EnvelopeStore, StoreOptions};

/// Address of the server, as tests/servers/postgres.sh says it.
const SERVER: &str = "ASYA_TEST_POSTGRES_URL";

/// A database of its own for one test.
#[derive(Debug)]
pub struct Home {
    /// Its address.
    pub url: String,
    directory: Option<TempDir>,
    schema: Option<String>,
}

/// Runs one test on every database there is, each empty. A PostgreSQL that is not there is said loudly; in CI the test
/// fails.
pub async fn on_each_home(test: impl AsyncFn(&Home)) {
    let mut homes = vec![Home::sqlite()];
    homes.extend(Home::postgres().await);
    for home in homes {
        eprintln!("on {}", home.url);
        test(&home).await;
        home.forget().await;
    }
}

/// The value of an environment variable that the test server's script sets. Without it the test is to pass, and this has
/// said so loudly; in CI it fails.
pub fn server(variable: &str) -> Option<String> {
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

/// Runs SQL on a server.
pub async fn sql(url: &str, statements: &str) {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(statements).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
}

impl Home {
    /// A file that is not there yet.
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let url = directory.path().join("gateway.db").display().to_string();
        Self { url, directory: Some(directory), schema: None }
    }

    /// An empty schema on the test server; `None`: there is no server, see [`server`].
    pub async fn postgres() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let url = server(SERVER)?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let schema = format!("t{}_{number}_{}", std::process::id(), Timestamp::now().as_millisecond());
        sql(&url, &format!("CREATE SCHEMA {schema}")).await;
        // Not waiting for the disk: tests that kill a server have one of their own, which does.
        let url = format!("{url}?options=-csearch_path%3D{schema}%20-csynchronous_commit%3Doff");
        Some(Self { url, directory: None, schema: Some(schema) })
    }

    /// Another replica's view of it.
    pub async fn open(&self) -> EnvelopeStore {
        EnvelopeStore::open(&self.url, StoreOptions::default()).await.unwrap()
    }

    /// The file, if it is one.
    pub fn file(&self) -> Option<PathBuf> {
        self.directory.as_ref().map(|_| PathBuf::from(&self.url))
    }

    /// Deletes it, after a test that passed: what a failed one leaves can be looked at.
    pub async fn forget(self) {
        drop(self.directory);
        if let Some(schema) = self.schema {
            let url = server(SERVER).unwrap();
            sql(&url, &format!("SET client_min_messages = warning; DROP SCHEMA {schema} CASCADE")).await;
        }
    }
}
