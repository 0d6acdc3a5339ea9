//! Statements of `envelopes` on one connection.

use std::{error::Error, sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio::time::{error::Elapsed, timeout};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

use super::notify::Notifier;
use crate::{
    StoreError,
    envelopes::hub::Hub,
    session::{self, Dialect, Row, Value},
};

/// A connection of the pool, in a transaction or (for reading) in none.
pub(crate) struct Session {
    /// `None` once it was given back.
    connection: Option<Object>,
    /// True while a transaction is open on it.
    open: bool,
    changed: Vec<String>,
    watchers: Arc<Watchers>,
    /// How long one statement is waited for: a server that hangs, or a network that swallows, answers nothing at all.
    pub(super) limit: Duration,
}

/// Who is told after a commit.
#[derive(Debug)]
pub(super) struct Watchers {
    pub(super) hub: Arc<Hub>,
    pub(super) notifier: Notifier,
}

impl Session {
    pub(super) fn new(connection: Object, open: bool, watchers: Arc<Watchers>, limit: Duration) -> Self {
        Self { connection: Some(connection), open, changed: Vec::new(), watchers, limit }
    }

    /// Commits what succeeded and tells watchers of it; undoes what did not.
    pub(crate) async fn end<T>(mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if self.connection.is_none() && result.is_err() {
            return result;
        }
        let last = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.say(last).await?;
        self.open = ended.is_err();
        if result.is_ok() {
            ended?;
            self.watchers.hub.changed(self.changed.iter().map(String::as_str));
            self.watchers.notifier.changed(std::mem::take(&mut self.changed));
        }
        result
    }

    /// Runs a statement without values; the outer error: there was no answer in time.
    pub(super) async fn say(&mut self, sql: &str) -> Result<Result<(), tokio_postgres::Error>, StoreError> {
        let outcome = timeout(self.limit, async { Ok(self.connection()?.batch_execute(sql).await) }).await;
        self.judge(outcome)
    }

    /// What came of work on the connection. One that has not answered in time is closed, not used again.
    pub(super) fn judge<T>(
        &mut self,
        outcome: Result<Result<T, StoreError>, Elapsed>,
    ) -> Result<T, StoreError> {
        outcome.unwrap_or_else(|_| {
            drop(self.connection.take().map(Object::take));
            Err(StoreError::Unavailable(format!("PostgreSQL has not answered within {:?}", self.limit)))
        })
    }

    pub(super) fn connection(&self) -> Result<&Object, StoreError> {
        self.connection.as_ref().ok_or_else(|| StoreError::Unavailable("the transaction is over".to_owned()))
    }
}

impl Drop for Session {
    /// A transaction that nobody ended (its future was dropped, or ending it failed) is undone by the server when its
    /// connection closes; the pool must not get it.
    fn drop(&mut self) {
        if self.open
            && let Some(connection) = self.connection.take()
        {
            drop(Object::take(connection));
        }
    }
}

impl session::Session for Session {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    async fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        let answer = async {
            let connection = self.connection()?;
            let statement = connection.prepare_cached(&numbered(sql)).await?;
            Ok(connection.query(&statement, &references(values)).await?)
        };
        let outcome = timeout(self.limit, answer).await;
        self.judge(outcome)?.iter().map(owned).collect()
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let answer = async {
            let connection = self.connection()?;
            let statement = connection.prepare_cached(&numbered(sql)).await?;
            Ok(connection.execute(&statement, &references(values)).await?)
        };
        let outcome = timeout(self.limit, answer).await;
        self.judge(outcome)
    }

    fn changed(&mut self, id: &str) {
        self.changed.push(id.to_owned());
    }
}

/// PostgreSQL writes `$1` where our statements have `?1`. They hold no other question mark.
fn numbered(sql: &str) -> String {
    sql.replace('?', "$")
}

fn references(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
}

impl ToSql for Value {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Int(number) => match *ty {
                Type::INT2 => out.put_i16(i16::try_from(*number)?),
                Type::INT4 => out.put_i32(i32::try_from(*number)?),
                Type::INT8 => out.put_i64(*number),
                #[allow(clippy::cast_precision_loss, reason = "columns of this kind hold percentages")]
                Type::FLOAT8 => out.put_f64(*number as f64),
                _ => return Err(unfit(self, ty)),
            },
            Self::Float(number) if *ty == Type::FLOAT8 => out.put_f64(*number),
            // PostgreSQL's text cannot hold the character 0.
            Self::Text(text) if text.contains('\0') => {
                out.put_slice(text.replace('\0', "\u{fffd}").as_bytes());
            }
            Self::Text(text) => out.put_slice(text.as_bytes()),
            Self::Bytes(bytes) if *ty == Type::BYTEA => out.put_slice(bytes),
            Self::Time(time) if *ty == Type::TIMESTAMPTZ => return time.to_sql(ty, out),
            Self::List(list) if *ty == Type::TEXT_ARRAY => {
                let list: Vec<_> = list.iter().map(|text| text.replace('\0', "\u{fffd}")).collect();
                return list.to_sql(ty, out);
            }
            _ => return Err(unfit(self, ty)),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn unfit(value: &Value, ty: &Type) -> Box<dyn Error + Sync + Send> {
    format!("{value:?} as {ty}").into()
}

fn owned(row: &tokio_postgres::Row) -> Result<Row, StoreError> {
    let value = |column: usize| -> Result<Value, StoreError> {
        Ok(match *row.columns()[column].type_() {
            Type::INT2 => row.try_get::<_, Option<i16>>(column)?.map(i64::from).into(),
            Type::INT4 => row.try_get::<_, Option<i32>>(column)?.map(i64::from).into(),
            Type::INT8 => row.try_get::<_, Option<i64>>(column)?.into(),
            Type::FLOAT8 => row.try_get::<_, Option<f64>>(column)?.into(),
            Type::TIMESTAMPTZ => row.try_get::<_, Option<Timestamp>>(column)?.into(),
            Type::BYTEA => {
                let bytes = row.try_get::<_, Option<&[u8]>>(column)?;
                bytes.map_or(Value::Null, |bytes| Value::Bytes(Bytes::copy_from_slice(bytes)))
            }
            Type::TEXT_ARRAY => {
                row.try_get::<_, Option<Vec<String>>>(column)?.map_or(Value::Null, Value::List)
            }
            _ => row.try_get::<_, Option<String>>(column)?.into(),
        })
    };
    (0..row.len()).map(value).collect::<Result<_, _>>().map(Row)
}
