//! What the two databases have in common: statements with values, inside one transaction.
//!
//! Everything that decides is written once, in `envelopes`, as functions over a [`Session`]. Statements use `?1` for
//! values; both databases know the rest of what is used (`RETURNING`, `ON CONFLICT`, row values).

use asya_envelope::Raw;
use bytes::Bytes;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// Which words to use where the two differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

impl Dialect {
    /// Holds the rows read until the end of the transaction. SQLite has one writer at a time anyway.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            #[cfg(feature = "postgres")]
            Self::Postgres => " FOR UPDATE",
        }
    }

    /// The same, passing over rows that another transaction holds.
    pub(crate) fn for_update_skip_locked(self) -> &'static str {
        match self {
            Self::Sqlite => "",
            #[cfg(feature = "postgres")]
            Self::Postgres => " FOR UPDATE SKIP LOCKED",
        }
    }

    /// Before a statement: answers how it would be carried out.
    pub(crate) fn explain(self) -> &'static str {
        match self {
            Self::Sqlite => "EXPLAIN QUERY PLAN",
            #[cfg(feature = "postgres")]
            Self::Postgres => "EXPLAIN",
        }
    }

    /// True where `column`, a list, has the entry `value`.
    pub(crate) fn has(self, column: &str, value: &str) -> String {
        match self {
            Self::Sqlite => format!("EXISTS (SELECT 1 FROM json_each({column}) WHERE value = {value})"),
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("{value} = ANY ({column})"),
        }
    }

    /// True where `column` contains the text `value`, which is in lower case; ASCII letters match in either case.
    pub(crate) fn contains(self, column: &str, value: &str) -> String {
        match self {
            Self::Sqlite => format!("instr(lower({column}), {value}) > 0"),
            #[cfg(feature = "postgres")]
            Self::Postgres => format!("strpos(lower({column} COLLATE \"C\"), {value}) > 0"),
        }
    }
}

/// One transaction, or one reading connection. Futures of the PostgreSQL one are `Send`; those of a SQLite connection
/// never leave its thread.
pub(crate) trait Session {
    /// The database's words.
    fn dialect(&self) -> Dialect;

    /// Runs a statement that answers rows.
    async fn rows(&mut self, sql: &str, values: &[Value]) -> Result<Vec<Row>, StoreError>;

    /// Runs a statement; answers how many rows it changed.
    async fn execute(&mut self, sql: &str, values: &[Value]) -> Result<u64, StoreError>;

    /// Notes that an envelope, or a session of a conversation, changed: whoever watches it is told after the commit.
    fn changed(&mut self, id: &str);
}

/// A value of a statement or of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Bytes),
    /// Microseconds are kept.
    Time(Timestamp),
    /// A list of texts.
    List(Vec<String>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&String> for Value {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Int(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Self {
        Self::Int(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Float(number)
    }
}

impl From<Timestamp> for Value {
    fn from(time: Timestamp) -> Self {
        Self::Time(time)
    }
}

impl From<&Bytes> for Value {
    fn from(bytes: &Bytes) -> Self {
        Self::Bytes(bytes.clone())
    }
}

impl From<&Raw> for Value {
    fn from(raw: &Raw) -> Self {
        Self::Text(raw.as_str().to_owned())
    }
}

impl From<&[String]> for Value {
    fn from(list: &[String]) -> Self {
        Self::List(list.to_vec())
    }
}

impl<T> From<Option<T>> for Value
where
    Self: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// One row of an answer. Its getters take the column's number and fail with what they found instead.
#[derive(Debug)]
pub(crate) struct Row(pub(crate) Vec<Value>);

impl Row {
    pub(crate) fn text(&self, column: usize) -> Result<String, StoreError> {
        self.optional_text(column)?.ok_or_else(|| unexpected(column, &Value::Null))
    }

    pub(crate) fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        match self.value(column) {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text.clone())),
            other => Err(unexpected(column, other)),
        }
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.optional_int(column)?.ok_or_else(|| unexpected(column, &Value::Null))
    }

    pub(crate) fn optional_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.value(column) {
            Value::Null => Ok(None),
            Value::Int(number) => Ok(Some(*number)),
            other => Err(unexpected(column, other)),
        }
    }

    /// A count or an index: negative ones, which nobody writes, read as 0.
    pub(crate) fn index(&self, column: usize) -> Result<usize, StoreError> {
        Ok(usize::try_from(self.optional_int(column)?.unwrap_or(0)).unwrap_or(0))
    }

    /// A count: negative ones, which nobody writes, read as 0.
    pub(crate) fn count(&self, column: usize) -> Result<u64, StoreError> {
        Ok(u64::try_from(self.optional_int(column)?.unwrap_or(0)).unwrap_or(0))
    }

    pub(crate) fn optional_float(&self, column: usize) -> Result<Option<f64>, StoreError> {
        match self.value(column) {
            Value::Null => Ok(None),
            Value::Float(number) => Ok(Some(*number)),
            #[allow(clippy::cast_precision_loss, reason = "columns of this kind hold percentages")]
            Value::Int(number) => Ok(Some(*number as f64)),
            other => Err(unexpected(column, other)),
        }
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<Bytes, StoreError> {
        match self.value(column) {
            Value::Bytes(bytes) => Ok(bytes.clone()),
            other => Err(unexpected(column, other)),
        }
    }

    pub(crate) fn optional_bytes(&self, column: usize) -> Result<Option<Bytes>, StoreError> {
        match self.value(column) {
            Value::Null => Ok(None),
            _ => self.bytes(column).map(Some),
        }
    }

    pub(crate) fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.optional_time(column)?.ok_or_else(|| unexpected(column, &Value::Null))
    }

    /// SQLite keeps times as microseconds since 1970.
    pub(crate) fn optional_time(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        match self.value(column) {
            Value::Null => Ok(None),
            Value::Time(time) => Ok(Some(*time)),
            Value::Int(micros) => Timestamp::from_microsecond(*micros)
                .map(Some)
                .map_err(|_| unexpected(column, &Value::Int(*micros))),
            other => Err(unexpected(column, other)),
        }
    }

    /// SQLite keeps lists as JSON.
    pub(crate) fn list(&self, column: usize) -> Result<Vec<String>, StoreError> {
        match self.value(column) {
            Value::Null => Ok(Vec::new()),
            Value::List(list) => Ok(list.clone()),
            Value::Text(json) => {
                serde_json::from_str(json).map_err(|_| unexpected(column, &json.as_str().into()))
            }
            other => Err(unexpected(column, other)),
        }
    }

    pub(crate) fn json(&self, column: usize) -> Result<Option<Raw>, StoreError> {
        self.optional_text(column)?
            .map(|text| Raw::parse(Bytes::from(text)).map_err(|error| broken(column, &error.to_string())))
            .transpose()
    }

    /// JSON of a type.
    pub(crate) fn decoded<T: DeserializeOwned>(&self, column: usize) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?
            .map(|text| serde_json::from_str(&text).map_err(|error| broken(column, &error.to_string())))
            .transpose()
    }

    fn value(&self, column: usize) -> &Value {
        self.0.get(column).unwrap_or(&Value::Null)
    }
}

fn unexpected(column: usize, value: &Value) -> StoreError {
    broken(column, &format!("holds {value:?}"))
}

pub(crate) fn broken(column: usize, what: &str) -> StoreError {
    let mut what = what.to_owned();
    what.truncate(what.floor_char_boundary(200));
    StoreError::Unavailable(format!("column {column} of an answer {what}"))
}
