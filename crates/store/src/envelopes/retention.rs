//! What is deleted, and when.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::{StoreError, session::Session};

/// How long things are kept; `None` is for ever. Nothing of an envelope that has not ended is ever deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Envelopes, after their end.
    pub envelopes: Option<Duration>,
    /// The updates of an envelope, after its end.
    pub updates: Option<Duration>,
    /// Dead letters, after they were replayed.
    pub replayed: Option<Duration>,
    /// Dead letters that nobody replayed.
    pub dead: Option<Duration>,
    /// The audit log.
    pub audit: Option<Duration>,
    /// Conversations in which nothing runs or waits, after what happened last, with their operations.
    pub sessions: Option<Duration>,
}

impl Default for Retention {
    /// What the Go system does: updates go after a day, the rest stays.
    fn default() -> Self {
        Self {
            envelopes: None,
            updates: Some(Duration::from_secs(24 * 60 * 60)),
            replayed: None,
            dead: None,
            audit: None,
            sessions: None,
        }
    }
}

/// How much was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purged {
    /// Envelopes, with their updates.
    pub envelopes: u64,
    /// Updates of envelopes that stay.
    pub updates: u64,
    /// Dead letters.
    pub dead: u64,
    /// Entries of the audit log.
    pub audit: u64,
    /// Conversations, with their entries and operations.
    pub sessions: u64,
}

impl Purged {
    /// True if nothing was deleted: then nothing is left to delete.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Conversations that one call deletes: each may have thousands of entries.
const SESSIONS: usize = 100;

/// Deletes what is older than `retention` says, at most `limit` of each kind: call it again until nothing is deleted.
pub(crate) async fn purge(
    session: &mut impl Session,
    retention: &Retention,
    now: Timestamp,
    limit: usize,
) -> Result<Purged, StoreError> {
    let Retention { envelopes, updates, replayed, dead, audit, sessions } = *retention;
    let mut purged = Purged::default();
    let locked = session.dialect().for_update_skip_locked();
    if let Some(before) = before(now, envelopes) {
        let sql = format!(
            "DELETE FROM envelopes WHERE id IN (SELECT id FROM envelopes WHERE ended_at < ?1 \
             ORDER BY ended_at LIMIT ?2{locked})"
        );
        purged.envelopes = session.execute(&sql, &[before.into(), limit.into()]).await?;
    }
    if let Some(before) = before(now, updates) {
        purged.updates = session
            .execute(
                "DELETE FROM envelope_updates WHERE id IN (SELECT updates.id FROM envelope_updates updates \
                 JOIN envelopes ON envelopes.id = updates.envelope_id \
                 WHERE updates.timestamp < ?1 AND envelopes.ended_at < ?1 LIMIT ?2)",
                &[before.into(), limit.into()],
            )
            .await?;
    }
    for (column, age) in [("replayed_at", replayed), ("dead_since", dead)] {
        let Some(before) = before(now, age) else { continue };
        let open = if column == "dead_since" { " AND replayed_at IS NULL" } else { "" };
        let sql = format!(
            "DELETE FROM dead_letters WHERE id IN (SELECT id FROM dead_letters WHERE {column} < ?1{open} LIMIT ?2)"
        );
        purged.dead += session.execute(&sql, &[before.into(), limit.into()]).await?;
    }
    if let Some(before) = before(now, audit) {
        purged.audit = session
            .execute(
                "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ?1 LIMIT ?2)",
                &[before.into(), limit.into()],
            )
            .await?;
    }
    if let Some(before) = before(now, sessions) {
        let sql = format!(
            "DELETE FROM chat_sessions WHERE id IN (SELECT id FROM chat_sessions WHERE updated_at < ?1 \
             AND envelope_id IS NULL AND waiting IS NULL ORDER BY updated_at LIMIT ?2{locked})"
        );
        purged.sessions = session.execute(&sql, &[before.into(), limit.min(SESSIONS).into()]).await?;
    }
    Ok(purged)
}

fn before(now: Timestamp, age: Option<Duration>) -> Option<Timestamp> {
    now.checked_sub(SignedDuration::try_from(age?).ok()?).ok()
}
