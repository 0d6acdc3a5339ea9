//! Statements of `envelopes` on one connection.

use bytes::Bytes;
use rusqlite::{
    Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use crate::{
    StoreError,
    session::{self, Dialect, Row, Value},
};

/// A connection, inside a transaction of its owner; blocks.
pub(crate) struct Session<'a> {
    connection: &'a Connection,
    changed: &'a mut Vec<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(connection: &'a Connection, changed: &'a mut Vec<String>) -> Self {
        Self { connection, changed }
    }

    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    fn run(&self, sql: &str, values: &[Value]) -> rusqlite::Result<Vec<Row>> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(rusqlite::params_from_iter(values))?;
        let mut answer = Vec::new();
        while let Some(row) = rows.next()? {
            let values = (0..columns).map(|column| row.get_ref(column).map(owned));
            answer.push(Row(values.collect::<rusqlite::Result<_>>()?));
        }
        Ok(answer)
    }
}

impl session::Session for Session<'_> {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    async fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError> {
        Ok(self.run(sql, values)?)
    }

    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.execute(rusqlite::params_from_iter(values))? as u64)
    }

    fn changed(&mut self, id: &str) {
        self.changed.push(id.to_owned());
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Null => ToSqlOutput::Borrowed(ValueRef::Null),
            Self::Int(number) => (*number).into(),
            Self::Float(number) => (*number).into(),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Time(time) => time.as_microsecond().into(),
            Self::List(list) => serde_json::to_string(list)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?
                .into(),
        })
    }
}

fn owned(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Int(number),
        ValueRef::Real(number) => Value::Float(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(Bytes::copy_from_slice(bytes)),
    }
}
