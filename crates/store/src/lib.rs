//! The state seam: records that actors keep between envelopes, besides the queues.
//!
//! A [`Record`] lives in a named table under a key and has a version that goes up by one with each write. Actors read
//! with [`Store::get`] and [`Store::list`], decide, and hand their [`Write`]s over together with the envelopes they
//! send. A write may carry the version it was decided on ([`Expect`]); if the record has moved on meanwhile, nothing of
//! the whole set is written and the delivery is handled again.
//!
//! The invariant of this crate: **a set of writes happens entirely or not at all.** On the local transport the set is
//! part of the transaction that settles the delivery.

use bytes::Bytes;
use futures::future::BoxFuture;

#[cfg(feature = "sqlite")]
pub mod sqlite;

/// A stored value and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key within its table.
    pub key: String,
    /// The value, JSON by convention.
    pub value: Bytes,
    /// 1 after the first write, one more with each.
    pub version: u64,
}

/// What must be true of a record for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the last writer wins.
    Anything,
    /// The record does not exist.
    Absent,
    /// The record has this version.
    Version(u64),
}

/// One change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The table; `[a-z_]`, created by its first write.
    pub table: &'static str,
    /// The key within the table.
    pub key: String,
    /// The new value; `None` deletes.
    pub value: Option<Bytes>,
    /// The condition.
    pub expect: Expect,
}

/// Why the store did not answer as asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A record had moved on: read again, decide again.
    #[error("record {table}/{key} was changed by someone else")]
    Conflict {
        /// The table of the record.
        table: String,
        /// The key of the record.
        key: String,
    },
    /// The store cannot be reached or is broken; a later try may succeed.
    #[error("store is unavailable: {0}")]
    Unavailable(String),
}

/// Where records are kept.
pub trait Store: Send + Sync {
    /// Reads one record.
    fn get<'a>(
        &'a self,
        table: &'static str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>>;

    /// Reads the records whose key starts with `prefix`, in order of the key; at most `limit`.
    fn list<'a>(
        &'a self,
        table: &'static str,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>>;

    /// Applies all writes, or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a condition does not hold; then nothing was written.
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>>;
}
