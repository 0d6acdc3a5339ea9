//! Deadlines of records, as records.
//!
//! What waits until a time (a parked envelope, a fan-in that gives up, the next tick of a schedule) is written together
//! with an entry whose key begins with that time. The earliest entries are then the first of their table, on every
//! implementation of [`Store`], and the entry is part of the same set of writes as what it belongs to.
//!
//! An entry is a hint: who finds it due reads the record itself and decides by its version, so of two sweepers one
//! acts and the other meets a conflict.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::{Expect, Store, StoreError, Write};

/// A record's key and when it is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// When, to the millisecond.
    pub at: SystemTime,
    /// The key of the record.
    pub key: String,
}

impl Due {
    /// The write that enters `key` as due at `at` into `table`, which holds nothing but such entries.
    pub fn enter(table: &'static str, at: SystemTime, key: &str) -> Write {
        Write {
            table,
            key: entry(at, key),
            value: Some(Bytes::from_static(b"null")),
            expect: Expect::Anything,
        }
    }

    /// The write that takes the entry out again: `at` must be what it was entered with.
    pub fn remove(table: &'static str, at: SystemTime, key: &str) -> Write {
        Write { table, key: entry(at, key), value: None, expect: Expect::Anything }
    }

    /// What is due by `now`, the longest overdue first; at most `limit`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn by(
        store: &dyn Store,
        table: &'static str,
        now: SystemTime,
        limit: usize,
    ) -> Result<Vec<Self>, StoreError> {
        let entries = store.list(table, "", limit).await?;
        Ok(entries
            .iter()
            .filter_map(|record| {
                let (millis, key) = record.key.split_once('/')?;
                let at = UNIX_EPOCH + Duration::from_millis(millis.parse().ok()?);
                Some(Self { at, key: key.to_owned() })
            })
            .take_while(|due| due.at <= now)
            .collect())
    }
}

/// Thirteen digits of milliseconds reach to the year 2286, in the order of time.
fn entry(at: SystemTime, key: &str) -> String {
    let millis = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{millis:013}/{key}")
}
