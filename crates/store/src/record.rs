//! Records: values under keys, with versions.

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::StoreError;

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

/// Where records are kept.
pub trait Store: Send + Sync {
    /// Reads one record.
    fn get<'a>(
        &'a self,
        table: &'static str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>>;

    /// Reads the records whose key starts with `prefix` and is greater than `after` (empty: from the first), in order of
    /// the key; at most `limit`.
    fn list_after<'a>(
        &'a self,
        table: &'static str,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>>;

    /// Reads the records whose key starts with `prefix`, in order of the key; at most `limit`.
    fn list<'a>(
        &'a self,
        table: &'static str,
        prefix: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        self.list_after(table, prefix, "", limit)
    }

    /// Applies all writes, or none.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when a condition does not hold; then nothing was written.
    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// The least text that is greater than every text beginning with `prefix`, in the order of bytes; `None` if there is no
/// such text. Bounds a range over an index.
#[cfg(any(feature = "sqlite", test))]
pub(crate) fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut end = prefix.to_owned();
    while let Some(last) = end.pop() {
        // The range of characters steps over the surrogates by itself, and is empty behind the last character.
        if let Some(next) = (last..=char::MAX).nth(1) {
            end.push(next);
            return Some(end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begin_with_it() {
        assert_eq!(end_of_prefix("a#").as_deref(), Some("a$"));
        assert_eq!(end_of_prefix("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(end_of_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(end_of_prefix("\u{10ffff}"), None);
        assert_eq!(end_of_prefix(""), None);
    }
}
