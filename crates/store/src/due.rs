//! Deadlines of records, as records.
//!
//! What waits until a time (a parked envelope, a fan-in that gives up, the next tick of a schedule) is written together
//! with an entry whose key begins with that time. The earliest entries are then the first of their table, on every
//! implementation of [`Store`], and the entry is part of the same set of writes as what it belongs to.
//!
//! An entry is a hint: who finds it due reads the record itself and decides by its version, so of two sweepers one
//! acts and the other meets a conflict.
//!
//! An entry that cannot be acted on yet is put off to a later time ([`Due::put_off`]): where it stays first of its table,
//! enough of its kind would hide all that is due after them. It counts how often that has happened, for whoever waits
//! longer each time. Whoever acts on the record otherwise removes the entry by the time that the record says and leaves
//! one that was put off; it is a hint that leads nowhere, and goes when it is looked at.

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
    /// How often it was put off, after tries that failed.
    pub tries: u32,
}

impl Due {
    /// The write that enters `key` as due at `at` into `table`, which holds nothing but such entries.
    pub fn enter(table: &'static str, at: SystemTime, key: &str) -> Write {
        enter(table, at, key, 0)
    }

    /// The writes that move the entry to `at`, having been tried `tries` times.
    pub fn put_off(&self, table: &'static str, at: SystemTime, tries: u32) -> [Write; 2] {
        // In this order, for both may be the same entry.
        [Self::remove(table, self.at, &self.key), enter(table, at, &self.key, tries)]
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
                // `null` of an entry that was never put off.
                let tries = std::str::from_utf8(&record.value).ok().and_then(|text| text.parse().ok());
                Some(Self { at, key: key.to_owned(), tries: tries.unwrap_or(0) })
            })
            .take_while(|due| due.at <= now)
            .collect())
    }
}

fn enter(table: &'static str, at: SystemTime, key: &str, tries: u32) -> Write {
    let value = match tries {
        0 => Bytes::from_static(b"null"),
        tries => Bytes::from(tries.to_string()),
    };
    Write { table, key: entry(at, key), value: Some(value), expect: Expect::Anything }
}

/// Thirteen digits of milliseconds reach to the year 2286, in the order of time.
fn entry(at: SystemTime, key: &str) -> String {
    let millis = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    format!("{millis:013}/{key}")
}
