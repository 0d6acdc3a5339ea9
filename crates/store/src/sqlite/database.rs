//! The gateway's file: one writing connection, a few reading ones.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use futures::{FutureExt as _, future::BoxFuture};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::{records, schema, session::Session, use_write_ahead_log, writer::Writer};
use crate::{
    Record, Store, StoreError, StoreOptions, Write,
    envelopes::{Migrated, hub::Hub},
};

/// Most readers at once. Readers are quick and beside the writer; more would only wait for the processor.
const READERS: usize = 4;
/// Statements kept prepared on each connection; more than there are.
const STATEMENTS: usize = 128;
/// The write-ahead log is cut back to this after it has grown, in bytes.
const LOG_LIMIT: i64 = 64 * 1024 * 1024;

/// An open file.
#[derive(Debug)]
pub(crate) struct Database {
    path: PathBuf,
    writer: Writer,
    readers: Readers,
}

/// Reading connections that are not in use, and the right to use one.
#[derive(Debug)]
struct Readers {
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

/// The answer of operations on a file: they never wait for anything but the file itself.
pub(crate) fn at_once<T>(operation: impl Future<Output = T>) -> T {
    operation.now_or_never().expect("operations on a file have no point to wait at")
}

impl Database {
    pub(crate) async fn open(path: &Path, options: StoreOptions, hub: Arc<Hub>) -> Result<Self, StoreError> {
        let at = path.to_owned();
        let connection = blocking(move || Ok(writing(&at, &options)?.0)).await?;
        Ok(Self {
            path: path.to_owned(),
            writer: Writer::start(connection, hub),
            readers: Readers { permits: Arc::new(Semaphore::new(READERS)), idle: Arc::default() },
        })
    }

    pub(crate) async fn migrate(path: &Path, options: StoreOptions) -> Result<Migrated, StoreError> {
        let at = path.to_owned();
        blocking(move || Ok(writing(&at, &StoreOptions { migrate: true, ..options })?.1)).await
    }

    /// Does `work` in a transaction.
    pub(crate) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.run(work).await
    }

    /// Does `work`, which only reads, in one transaction beside the writer.
    pub(crate) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let permit = self.readers.permits.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let (idle, path) = (self.readers.idle.clone(), self.path.clone());
        blocking(move || {
            let _permit = permit;
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match kept {
                Some(connection) => connection,
                None => reading(&path)?,
            };
            // One transaction, so that several statements see one state.
            let transaction = connection.transaction()?;
            let result = work(&mut Session::new(&transaction, &mut Vec::new()));
            drop(transaction);
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            result
        })
        .await
    }
}

impl Store for Database {
    fn get<'a>(
        &'a self,
        table: &'static str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        let key = key.to_owned();
        Box::pin(self.read(move |session| Ok(records::get(session.connection(), table, &key)?)))
    }

    fn list_after<'a>(
        &'a self,
        table: &'static str,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        Box::pin(
            self.read(move |session| Ok(records::list(session.connection(), table, &prefix, &after, limit)?)),
        )
    }

    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.write(move |session| records::apply(session.connection(), &writes)))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError::Unavailable(format!("a reader ended early: {error}"))))
}

fn writing(path: &Path, options: &StoreOptions) -> Result<(Connection, Migrated), StoreError> {
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty())
        && !parent.is_dir()
    {
        let (path, parent) = (path.display(), parent.display());
        return Err(StoreError::Refused(format!(
            "store file {path}: the directory {parent} does not exist: create it first"
        )));
    }
    let open = || {
        let connection = Connection::open(path)?;
        configure(&connection)?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "journal_size_limit", LOG_LIMIT)?;
        if let Some(bytes) = options.max_bytes {
            let page: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
            let pages = i64::try_from(bytes).unwrap_or(i64::MAX) / page.max(1);
            connection.pragma_update(None, "max_page_count", pages.max(1))?;
        }
        rusqlite::Result::Ok(connection)
    };
    let mut connection = open().map_err(|error| schema::explain(path, &error))?;
    let migrated = schema::prepare(&mut connection, path, options.migrate)?;
    Ok((connection, migrated))
}

fn reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        configure(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        rusqlite::Result::Ok(connection)
    };
    open().map_err(|error| schema::explain(path, &error))
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(records::BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    use_write_ahead_log(connection, records::BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "MEMORY")
}
