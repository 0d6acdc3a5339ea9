//! The pool of connections, and the records.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use futures::future::BoxFuture;
use tokio::{task::JoinHandle, time::timeout};
use tokio_postgres::error::SqlState;

use super::{
    address::Address,
    notify::{self, Notifier},
    schema,
    session::{Session, Watchers},
    words,
};
use crate::{
    Expect, Record, Store, StoreError, StoreOptions, Write,
    envelopes::{Migrated, hub::Hub},
    record::end_of_prefix,
};

/// How long an answer is waited for beyond the server's own limit: a server that runs has ended the statement by then.
const BEYOND: Duration = Duration::from_secs(2);

/// A database, and the task that listens to it.
#[derive(Debug)]
pub(crate) struct Database {
    pool: Pool,
    watchers: Arc<Watchers>,
    listener: JoinHandle<()>,
    limit: Duration,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Database {
    pub(crate) async fn open(url: &str, options: StoreOptions, hub: Arc<Hub>) -> Result<Self, StoreError> {
        let address = Address::parse(url, &options)?;
        let limit = options.statement_timeout + BEYOND;
        let pool = pool(&address, &options)?;
        let mut connection = first(&pool, &address).await?;
        schema::prepare(&mut connection, options.migrate).await?;
        drop(connection);
        let me = uuid::Uuid::now_v7().to_string();
        let listener = tokio::spawn(notify::listen(address, me.clone(), hub.clone()));
        let notifier = Notifier::start(pool.clone(), me, limit);
        Ok(Self { pool, watchers: Arc::new(Watchers { hub, notifier }), listener, limit })
    }

    pub(crate) async fn migrate(url: &str, options: StoreOptions) -> Result<Migrated, StoreError> {
        let address = Address::parse(url, &options)?;
        let pool = pool(&address, &StoreOptions { connections: 1, ..options })?;
        schema::prepare(&mut first(&pool, &address).await?, true).await
    }

    /// A transaction. At the default level, read committed: whatever is decided on was read with `FOR UPDATE`.
    pub(crate) async fn begin(&self) -> Result<Session, StoreError> {
        let mut tries = self.pool.status().max_size + 1;
        loop {
            let connection = get(&self.pool).await?;
            // From here on an early end closes the connection instead of giving it back.
            let mut session = Session::new(connection, true, self.watchers.clone(), self.limit);
            tries -= 1;
            match session.say("BEGIN").await? {
                Ok(()) => return Ok(session),
                // The server has restarted since this connection was used last: another one is tried.
                Err(error) if error.is_closed() && tries > 0 => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// A connection for reading, outside of any transaction.
    pub(crate) async fn look(&self) -> Result<Session, StoreError> {
        Ok(Session::new(get(&self.pool).await?, false, self.watchers.clone(), self.limit))
    }

    async fn apply(&self, mut writes: Vec<Write>) -> Result<(), StoreError> {
        // In one order for everybody, so that two sets wait for each other and never in a circle.
        writes.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
        let mut session = self.begin().await?;
        let mut result = Ok(());
        for write in &writes {
            let outcome = timeout(self.limit, async { apply(session.connection()?, write).await }).await;
            result = session.judge(outcome);
            if result.is_err() {
                break;
            }
        }
        session.end(result).await
    }
}

fn pool(address: &Address, options: &StoreOptions) -> Result<Pool, StoreError> {
    let StoreOptions { connections, connect_timeout, statement_timeout, max_lifetime, max_idle, .. } =
        *options;
    let manager = Manager::from_config(
        address.config.clone(),
        address.trust.connector()?,
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    let set = format!("SET statement_timeout = {}; SET TimeZone = 'UTC'", statement_timeout.as_millis());
    Pool::builder(manager)
        .max_size(connections.max(1))
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(connect_timeout))
        .create_timeout(Some(connect_timeout))
        .recycle_timeout(Some(connect_timeout))
        .post_create(Hook::async_fn(move |client, _| {
            let set = set.clone();
            Box::pin(async move { client.batch_execute(&set).await.map_err(HookError::Backend) })
        }))
        .pre_recycle(Hook::sync_fn(move |_, metrics| {
            let now = Instant::now();
            let used = metrics.recycled.unwrap_or(metrics.created);
            if now.duration_since(metrics.created) > max_lifetime || now.duration_since(used) > max_idle {
                return Err(HookError::message("old"));
            }
            Ok(())
        }))
        .build()
        .map_err(|error| StoreError::Refused(error.to_string()))
}

/// The first connection: what is wrong with the address shows now.
async fn first(pool: &Pool, address: &Address) -> Result<Object, StoreError> {
    const WRONG: [SqlState; 3] = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
        SqlState::INVALID_CATALOG_NAME,
    ];
    pool.get().await.map_err(|error| {
        let hosts = address.config.get_hosts();
        let wrong = matches!(&error, PoolError::Backend(error) if error.code().is_some_and(|code| WRONG.contains(code)));
        let what = format!("PostgreSQL at {hosts:?}: {}", because(&error));
        if wrong { StoreError::Refused(what) } else { StoreError::Unavailable(what) }
    })
}

async fn get(pool: &Pool) -> Result<Object, StoreError> {
    pool.get().await.map_err(|error| StoreError::Unavailable(because(&error)))
}

fn because(error: &PoolError) -> String {
    match error {
        PoolError::Backend(error) => words(error),
        PoolError::Timeout(_) => {
            "no connection in time: the server is away, or too few connections are allowed".to_owned()
        }
        other => other.to_string(),
    }
}

impl Store for Database {
    fn get<'a>(
        &'a self,
        table: &'static str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            let mut session = self.look().await?;
            let sql = "SELECT key, value, version FROM records WHERE tbl = $1 AND key = $2";
            let answer = async {
                let connection = session.connection()?;
                let statement = connection.prepare_cached(sql).await?;
                Ok(connection.query_opt(&statement, &[&table, &key]).await?)
            };
            let outcome = timeout(self.limit, answer).await;
            session.judge(outcome)?.as_ref().map(record).transpose()
        })
    }

    fn list_after<'a>(
        &'a self,
        table: &'static str,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        Box::pin(async move {
            let mut session = self.look().await?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let sql = "SELECT key, value, version FROM records WHERE tbl = $1 AND key >= $2 AND key > $3";
            let answer = async {
                let connection = session.connection()?;
                Ok(match end_of_prefix(prefix) {
                    Some(end) => {
                        let sql = format!("{sql} AND key < $4 ORDER BY key LIMIT $5");
                        let statement = connection.prepare_cached(&sql).await?;
                        connection.query(&statement, &[&table, &prefix, &after, &end, &limit]).await?
                    }
                    None => {
                        let sql = format!("{sql} ORDER BY key LIMIT $4");
                        let statement = connection.prepare_cached(&sql).await?;
                        connection.query(&statement, &[&table, &prefix, &after, &limit]).await?
                    }
                })
            };
            let outcome = timeout(self.limit, answer).await;
            session.judge(outcome)?.iter().map(record).collect()
        })
    }

    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.apply(writes))
    }
}

/// One write. Each condition is part of its statement: what it names cannot change in between.
async fn apply(connection: &Object, write: &Write) -> Result<(), StoreError> {
    const INSERT: &str = "INSERT INTO records (tbl, key, value, version) VALUES ($1, $2, $3, 1)";
    let Write { table, key, value, expect } = write;
    let version = match expect {
        Expect::Version(version) => i64::try_from(*version).unwrap_or(i64::MAX),
        Expect::Anything | Expect::Absent => 0,
    };
    let bytes = value.as_deref();
    let run = async |sql: &str, values: &[&(dyn tokio_postgres::types::ToSql + Sync)]| {
        let statement = connection.prepare_cached(sql).await?;
        Ok::<_, StoreError>(connection.execute(&statement, values).await?)
    };
    let changed = match (expect, value) {
        (Expect::Anything, Some(_)) => {
            let sql = format!(
                "{INSERT} ON CONFLICT (tbl, key) DO UPDATE SET value = excluded.value, version = records.version + 1"
            );
            run(&sql, &[table, key, &bytes]).await?
        }
        (Expect::Anything, None) => {
            run("DELETE FROM records WHERE tbl = $1 AND key = $2", &[table, key]).await?;
            1
        }
        (Expect::Absent, Some(_)) => {
            run(&format!("{INSERT} ON CONFLICT (tbl, key) DO NOTHING"), &[table, key, &bytes]).await?
        }
        (Expect::Absent, None) => {
            let sql = "SELECT FROM records WHERE tbl = $1 AND key = $2 FOR UPDATE";
            u64::from(run(sql, &[table, key]).await? == 0)
        }
        (Expect::Version(_), Some(_)) => {
            let sql = "UPDATE records SET value = $3, version = version + 1 \
                       WHERE tbl = $1 AND key = $2 AND version = $4";
            run(sql, &[table, key, &bytes, &version]).await?
        }
        (Expect::Version(_), None) => {
            let sql = "DELETE FROM records WHERE tbl = $1 AND key = $2 AND version = $3";
            run(sql, &[table, key, &version]).await?
        }
    };
    if changed == 0 {
        return Err(StoreError::Conflict { table: (*table).to_owned(), key: key.clone() });
    }
    Ok(())
}

fn record(row: &tokio_postgres::Row) -> Result<Record, StoreError> {
    Ok(Record {
        key: row.try_get(0)?,
        value: Bytes::copy_from_slice(row.try_get(1)?),
        version: row.try_get::<_, i64>(2)?.cast_unsigned(),
    })
}
