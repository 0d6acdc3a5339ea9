//! The outbox: messages that are to be published, stored in the transaction that stored their envelope.
//!
//! An entry is claimed for a time, published, and confirmed, which deletes it. A claim that runs out is free for the
//! next claimant: so nothing is lost, and after a crash the entries that were claimed and not confirmed are published
//! again, under the same envelope id. A file of SQLite has one claimant, so the next one need not wait for that.

use std::time::Duration;

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::{
    Publish, Status, bounds, codes, ending, tracked,
    update::{self, Update},
};
use crate::{
    StoreError,
    session::{Session, Value},
};

/// An outbox entry in hand. Publish it before its claim runs out, then confirm it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// Number of the entry.
    pub(crate) entry: i64,
    /// Number of this claim, from 1: above 1 the message may have been published before.
    pub claim: u32,
    /// The envelope.
    pub id: String,
    /// The actor whose queue it goes to.
    pub actor: String,
    /// The message.
    pub body: Bytes,
    /// When it was stored.
    pub created: Timestamp,
}

/// How full the outbox is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxDepth {
    /// Entries, claimed or not.
    pub waiting: u64,
    /// When the oldest of them was stored.
    pub oldest: Option<Timestamp>,
}

pub(crate) async fn enter(
    session: &mut impl Session,
    id: &str,
    publish: &Publish,
    now: Timestamp,
) -> Result<(), StoreError> {
    session
        .execute(
            "INSERT INTO outbox (envelope_id, actor, body, ready_at, created_at) VALUES (?1, ?2, ?3, ?4, ?4)",
            &[id.into(), (&publish.actor).into(), (&publish.body).into(), now.into()],
        )
        .await?;
    Ok(())
}

/// Deletes what was published, then takes what is ready: as [`confirm`] and [`claim`], in one transaction.
pub(crate) async fn exchange(
    session: &mut impl Session,
    published: &[Claimed],
    now: Timestamp,
    lease: Duration,
    limit: usize,
) -> Result<Vec<Claimed>, StoreError> {
    confirm(session, published).await?;
    claim(session, now, lease, limit).await
}

/// Takes up to `limit` entries that are ready, oldest first, until `now + lease`. Envelopes that were pending are
/// running from then on, as the contract has it: before the message is sent, not after.
pub(crate) async fn claim(
    session: &mut impl Session,
    now: Timestamp,
    lease: Duration,
    limit: usize,
) -> Result<Vec<Claimed>, StoreError> {
    let until = later(now, lease);
    let ready = format!(
        "SELECT id FROM outbox WHERE ready_at <= ?2 ORDER BY ready_at, id LIMIT ?3{}",
        session.dialect().for_update_skip_locked()
    );
    let sql = format!(
        "UPDATE outbox SET ready_at = ?1, claims = claims + 1 WHERE id IN ({ready}) \
         RETURNING id, claims, envelope_id, actor, body, created_at"
    );
    let mut claimed = Vec::new();
    for row in session.rows(&sql, &[until.into(), now.into(), limit.into()]).await? {
        claimed.push(Claimed {
            entry: row.int(0)?,
            claim: u32::try_from(row.index(1)?).unwrap_or(u32::MAX),
            id: row.text(2)?,
            actor: row.text(3)?,
            body: row.bytes(4)?,
            created: row.time(5)?,
        });
    }
    // In the order of ids, as everybody who holds several envelopes.
    claimed.sort_by(|a, b| a.id.cmp(&b.id));
    for entry in &claimed {
        if entry.claim == 1 {
            running(session, &entry.id, now).await?;
        }
    }
    claimed.sort_by_key(|entry| entry.entry);
    Ok(claimed)
}

async fn running(session: &mut impl Session, id: &str, now: Timestamp) -> Result<(), StoreError> {
    const MESSAGE: &str = "Sending envelope to first actor";
    let Some((before, _)) = tracked::hold(session, id).await? else { return Ok(()) };
    if before.status != Status::Pending {
        return Ok(());
    }
    let logged = Update {
        status: Status::Running,
        message: Some(MESSAGE.to_owned()),
        percent: Some(before.percent),
        ..Update::new(id, now)
    };
    update::append(session, &logged).await?;
    session
        .execute(
            "UPDATE envelopes SET status = 'running', message = ?2, updated_at = ?3 WHERE id = ?1",
            &[id.into(), MESSAGE.into(), now.into()],
        )
        .await?;
    Ok(())
}

/// Ends all claims and pauses.
pub(crate) async fn free(session: &mut impl Session, now: Timestamp) -> Result<u64, StoreError> {
    session.execute("UPDATE outbox SET ready_at = ?1 WHERE ready_at > ?1", &[now.into()]).await
}

/// Deletes entries that were published. One whose claim is somebody else's by now stays theirs. Answers how many were
/// deleted.
pub(crate) async fn confirm(session: &mut impl Session, published: &[Claimed]) -> Result<u64, StoreError> {
    let mut deleted = 0;
    for entry in published {
        deleted += session
            .execute(
                "DELETE FROM outbox WHERE id = ?1 AND claims = ?2",
                &[entry.entry.into(), entry.claim.into()],
            )
            .await?;
    }
    Ok(deleted)
}

/// Gives an entry back that could not be published, to be claimed again at `until`.
pub(crate) async fn postpone(
    session: &mut impl Session,
    entry: &Claimed,
    why: &str,
    until: Timestamp,
) -> Result<(), StoreError> {
    session
        .execute(
            "UPDATE outbox SET ready_at = ?3, last_error = ?4 WHERE id = ?1 AND claims = ?2",
            &[entry.entry.into(), entry.claim.into(), until.into(), bounds::text(why).into()],
        )
        .await?;
    Ok(())
}

/// Gives an entry up: its envelope fails.
pub(crate) async fn abandon(
    session: &mut impl Session,
    entry: &Claimed,
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    confirm(session, std::slice::from_ref(entry)).await?;
    let error = format!("failed to send envelope: {why}");
    ending::fail(session, &entry.id, &error, codes::NOT_SENT, now).await?;
    Ok(())
}

/// Deletes the entries of an envelope that has ended.
pub(crate) async fn forget(session: &mut impl Session, id: &str) -> Result<(), StoreError> {
    session.execute("DELETE FROM outbox WHERE envelope_id = ?1", &[id.into()]).await?;
    Ok(())
}

pub(crate) async fn depth(session: &mut impl Session) -> Result<OutboxDepth, StoreError> {
    let rows = session.rows("SELECT count(*), min(created_at) FROM outbox", &[]).await?;
    let Some(row) = rows.first() else { return Ok(OutboxDepth::default()) };
    Ok(OutboxDepth { waiting: row.index(0)? as u64, oldest: row.optional_time(1)? })
}

/// When the next entry is ready; `None` if there is none.
pub(crate) async fn next_ready(session: &mut impl Session) -> Result<Option<Timestamp>, StoreError> {
    let rows = session.rows("SELECT min(ready_at) FROM outbox", &[] as &[Value]).await?;
    rows.first().map_or(Ok(None), |row| row.optional_time(0))
}

/// A time after another; the end of time if there is none.
pub(crate) fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}
