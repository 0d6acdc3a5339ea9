//! What is kept beside envelopes: dead letters, the audit log, how much actors do, and for how long anything is.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::{Database, EnvelopeStore, cut};
use crate::{
    StoreError,
    envelopes::{
        AuditEntry, AuditFilter, Cursor, DeadFilter, DeadGroup, DeadLetter, DeadPage, Purged, Retention,
        Settling, audit, dead, handled, retention,
    },
    sqlite,
};

impl EnvelopeStore {
    /// How many messages each actor has handled since then, as sidecars reported it to any gateway on this store.
    /// Reads every report since then.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn handled_since(&self, since: Timestamp) -> Result<BTreeMap<String, u64>, StoreError> {
        read!(self, |session| handled::since(session, since))
    }

    /// Stores a dead letter. Of two with one id the one with more attempts is kept.
    ///
    /// # Errors
    /// Those of the store: the message must not be acknowledged then.
    pub async fn bury(&self, letter: &DeadLetter) -> Result<(), StoreError> {
        let letter = DeadLetter { since: cut(letter.since), ..letter.clone() };
        write!(self, |session| dead::bury(session, &letter))
    }

    /// Dead letters that fit `filter`, without their bodies, newest first, behind `after`; at most `limit`, and
    /// [`MAX_PAGE`](super::MAX_PAGE).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn dead_letters(
        &self,
        filter: &DeadFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<DeadPage, StoreError> {
        let (filter, after) = (filter.clone(), after.cloned());
        read!(self, |session| dead::list(session, &filter, after.as_ref(), limit))
    }

    /// One dead letter, whole.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn dead_letter(&self, id: &str) -> Result<Option<DeadLetter>, StoreError> {
        let id = id.to_owned();
        read!(self, |session| dead::get(session, &id))
    }

    /// Dead letters counted by actor and code, the most frequent first.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn dead_groups(&self, filter: &DeadFilter) -> Result<Vec<DeadGroup>, StoreError> {
        let filter = filter.clone();
        read!(self, |session| dead::groups(session, &filter))
    }

    /// Takes up to `limit` open dead letters, oldest first, until `now + lease`: each goes to one taker.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn take(
        &self,
        filter: &DeadFilter,
        now: Timestamp,
        lease: Duration,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, StoreError> {
        let (filter, now) = (filter.clone(), cut(now));
        write!(self, |session| dead::take(session, &filter, now, lease, limit))
    }

    /// Says what became of a letter that was taken. A replay through [`EnvelopeStore::create`] with
    /// [`NewEnvelope::replays`] needs no call of this.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn settle(&self, id: &str, settling: &Settling, now: Timestamp) -> Result<(), StoreError> {
        let (id, settling, now) = (id.to_owned(), settling.clone(), cut(now));
        write!(self, |session| dead::settle(session, &id, &settling, now))
    }

    // -- audit and retention --

    /// Appends to the audit log; the entry's number is ignored.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let entry = AuditEntry { at: cut(entry.at), ..entry.clone() };
        write!(self, |session| audit::append(session, &entry))
    }

    /// Entries of the audit log, newest first; at most `limit`, and [`MAX_PAGE`](super::MAX_PAGE).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn audits(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditEntry>, StoreError> {
        let filter = filter.clone();
        read!(self, |session| audit::list(session, &filter, limit))
    }

    /// Deletes what is older than `retention` says, at most `limit` of each kind: call it again until
    /// [`Purged::is_empty`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn purge(
        &self,
        retention: &Retention,
        now: Timestamp,
        limit: usize,
    ) -> Result<Purged, StoreError> {
        let (retention, now) = (*retention, cut(now));
        write!(self, |session| retention::purge(session, &retention, now, limit))
    }
}
