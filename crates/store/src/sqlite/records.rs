//! Records in a SQLite file, in one generic table.
//!
//! [`create`], [`get`], [`list`] and [`apply`] work on a connection of the caller, so that records can be part of a
//! transaction that does more (the local transport settles a delivery and records in one). [`SqliteStore`] is a file
//! of its own.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, TransactionBehavior, params};

use crate::{Expect, Record, Store, StoreError, Write, record::end_of_prefix};

/// How long a writer waits for another process to finish its transaction.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause between tries of a statement for which SQLite does not wait.
const BUSY_PAUSE: Duration = Duration::from_millis(5);

/// The table. `tbl` and not `table`, which is a word of SQL.
const CREATE: &str = "CREATE TABLE IF NOT EXISTS records (
    tbl TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (tbl, key)
) STRICT";

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Makes the table unless it exists.
///
/// # Errors
/// SQLite's own.
pub fn create(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(CREATE)
}

/// Switches the file to write-ahead logging, and waits at most `timeout` for others who do the same: for this one
/// statement SQLite does not wait by itself. Blocks.
///
/// # Errors
/// SQLite's own.
pub fn use_write_ahead_log(connection: &Connection, timeout: Duration) -> rusqlite::Result<()> {
    let began = Instant::now();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && began.elapsed() < timeout =>
            {
                thread::sleep(BUSY_PAUSE);
            }
            result => return result,
        }
    }
}

/// Reads one record.
///
/// # Errors
/// SQLite's own.
pub fn get(connection: &Connection, table: &str, key: &str) -> rusqlite::Result<Option<Record>> {
    connection
        .prepare_cached("SELECT key, value, version FROM records WHERE tbl = ?1 AND key = ?2")?
        .query_row(params![table, key], record)
        .optional()
}

/// Reads the records whose key starts with `prefix` and is greater than `after`, in order of the key's bytes; at most
/// `limit`.
///
/// # Errors
/// SQLite's own.
pub fn list(
    connection: &Connection,
    table: &str,
    prefix: &str,
    after: &str,
    limit: usize,
) -> rusqlite::Result<Vec<Record>> {
    // A range and not LIKE: prefixes may hold % and _, and the range uses the index.
    const FROM: &str = "SELECT key, value, version FROM records WHERE tbl = ?1 AND key >= ?2 AND key > ?3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    match end_of_prefix(prefix) {
        Some(end) => connection
            .prepare_cached(&format!("{FROM} AND key < ?5 ORDER BY key LIMIT ?4"))?
            .query_map(params![table, prefix, after, limit, end], record)?
            .collect(),
        None => connection
            .prepare_cached(&format!("{FROM} ORDER BY key LIMIT ?4"))?
            .query_map(params![table, prefix, after, limit], record)?
            .collect(),
    }
}

/// Applies writes one after the other. After an error some may have been applied: the caller must be inside a
/// transaction or savepoint and roll it back.
///
/// # Errors
/// [`StoreError::Conflict`] when a condition does not hold.
pub fn apply(connection: &Connection, writes: &[Write]) -> Result<(), StoreError> {
    for write in writes {
        let current: Option<i64> = connection
            .prepare_cached("SELECT version FROM records WHERE tbl = ?1 AND key = ?2")?
            .query_row(params![write.table, write.key], |row| row.get(0))
            .optional()?;
        let holds = match write.expect {
            Expect::Anything => true,
            Expect::Absent => current.is_none(),
            Expect::Version(version) => current.is_some_and(|current| current.cast_unsigned() == version),
        };
        if !holds {
            return Err(StoreError::Conflict { table: write.table.to_owned(), key: write.key.clone() });
        }
        match &write.value {
            Some(value) => connection
                .prepare_cached(
                    "INSERT INTO records (tbl, key, value, version) VALUES (?1, ?2, ?3, 1)
                     ON CONFLICT (tbl, key) DO UPDATE SET value = excluded.value, version = version + 1",
                )?
                .execute(params![write.table, write.key, &value[..]])?,
            None => connection
                .prepare_cached("DELETE FROM records WHERE tbl = ?1 AND key = ?2")?
                .execute(params![write.table, write.key])?,
        };
    }
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    Ok(Record {
        key: row.get(0)?,
        value: Bytes::from(row.get::<_, Vec<u8>>(1)?),
        version: row.get::<_, i64>(2)?.cast_unsigned(),
    })
}

/// Records in a SQLite file of their own; several processes may share it.
#[derive(Clone)]
pub struct SqliteStore {
    connection: Arc<Mutex<Connection>>,
}

impl SqliteStore {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the path and SQLite's own words.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(BUSY_TIMEOUT)?;
            use_write_ahead_log(&connection, BUSY_TIMEOUT)?;
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            create(&connection)?;
            rusqlite::Result::Ok(connection)
        };
        let connection = open().map_err(|error: rusqlite::Error| {
            StoreError::Unavailable(format!("store file {}: {error}", path.display()))
        })?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs `work` where blocking is allowed.
    async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut MutexGuard<'_, Connection>) -> Result<T, StoreError> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection);
        tokio::task::spawn_blocking(move || {
            work(
                &mut connection
                    .lock()
                    .map_err(|_| StoreError::Unavailable("a writer panicked".to_owned()))?,
            )
        })
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?
    }
}

impl Store for SqliteStore {
    fn get<'a>(
        &'a self,
        table: &'static str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        let key = key.to_owned();
        Box::pin(self.run(move |connection| Ok(get(connection, table, &key)?)))
    }

    fn list_after<'a>(
        &'a self,
        table: &'static str,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        Box::pin(self.run(move |connection| Ok(list(connection, table, &prefix, &after, limit)?)))
    }

    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.run(move |connection| {
            // Immediate: a transaction that begins by reading could not wait for another writer.
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            apply(&transaction, &writes)?;
            Ok(transaction.commit()?)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: &str, value: Option<&'static str>, expect: Expect) -> Write {
        Write { table: "results", key: key.to_owned(), value: value.map(Bytes::from), expect }
    }

    fn is_conflict(result: &Result<(), StoreError>) -> bool {
        matches!(result, Err(StoreError::Conflict { table, .. }) if table == "results")
    }

    #[tokio::test]
    async fn conditions_decide_and_versions_go_up() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store")).unwrap();
        store.commit(vec![write("a", Some("1"), Expect::Absent)]).await.unwrap();
        assert!(is_conflict(&store.commit(vec![write("a", Some("2"), Expect::Absent)]).await));
        assert!(is_conflict(&store.commit(vec![write("b", Some("2"), Expect::Version(1))]).await));
        store.commit(vec![write("a", Some("2"), Expect::Version(1))]).await.unwrap();
        assert!(is_conflict(&store.commit(vec![write("a", Some("3"), Expect::Version(1))]).await));
        let record = store.get("results", "a").await.unwrap().unwrap();
        assert_eq!((&record.value[..], record.version), (&b"2"[..], 2));
        store.commit(vec![write("a", None, Expect::Version(2))]).await.unwrap();
        assert_eq!(store.get("results", "a").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_conflict_undoes_the_whole_set() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store")).unwrap();
        let set = vec![write("a", Some("1"), Expect::Anything), write("b", Some("1"), Expect::Version(7))];
        assert!(is_conflict(&store.commit(set).await));
        assert_eq!(store.get("results", "a").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_prefix_is_text_and_not_a_pattern() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("store")).unwrap();
        for key in ["a%", "a%1", "ab", "a_", "b", "ä-1", "ä-2"] {
            store.commit(vec![write(key, Some("{}"), Expect::Absent)]).await.unwrap();
        }
        let keys = async |prefix: &str, limit: usize| {
            let records = store.list("results", prefix, limit).await.unwrap();
            records.into_iter().map(|record| record.key).collect::<Vec<_>>()
        };
        assert_eq!(keys("a%", 10).await, ["a%", "a%1"]);
        assert_eq!(keys("a", 3).await, ["a%", "a%1", "a_"]);
        assert_eq!(keys("ä", 10).await, ["ä-1", "ä-2"]);
        let after = async |prefix: &str, after: &str| {
            let records = store.list_after("results", prefix, after, 10).await.unwrap();
            records.into_iter().map(|record| record.key).collect::<Vec<_>>()
        };
        assert_eq!(after("a", "a%1").await, ["a_", "ab"], "from behind that key on");
        assert_eq!(after("a", "").await.len(), 4);
        assert_eq!(after("b", "a").await, ["b"], "a place before the prefix");
        assert_eq!(after("a", "b").await, [""; 0], "a place behind it");
        assert_eq!(store.list("others", "", 10).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_named_in_the_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("letter.txt");
        std::fs::write(&path, "Dear file, you are not a database. ".repeat(50)).unwrap();
        let error = SqliteStore::open(&path).err().unwrap().to_string();
        assert!(error.contains("letter.txt") && error.contains("not a database"), "{error}");
    }
}
