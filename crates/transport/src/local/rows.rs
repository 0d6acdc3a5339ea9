//! What happens to rows. Every function is given the time, and runs inside a transaction of its caller, which rolls
//! back on an error.

use asya_envelope::Queue;
use asya_store::{StoreError, Write};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::writer::Fault;
use crate::{Depth, Outgoing, TransportError};

/// Bodies of one take stop here, in bytes, so that a large credit on large messages is taken in steps.
const TAKE_BYTES: usize = 8 * 1024 * 1024;

/// A message that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) id: i64,
    pub(super) token: i64,
    /// Since when it could be handed out: its place in line, if it is given back.
    pub(super) ready_at: i64,
    pub(super) deliveries: u32,
    pub(super) attempts: u32,
    pub(super) sent_at: i64,
    pub(super) body: Bytes,
}

/// What a take found.
#[derive(Debug, Default)]
pub(super) struct Take {
    pub(super) messages: Vec<Taken>,
    /// When the next message will be ready, as far as is known now; in the past if more are ready.
    pub(super) next_at: Option<i64>,
}

/// The row of a queue.
pub(super) fn queue_id(connection: &Connection, queue: &Queue) -> Result<i64, Fault> {
    connection
        .prepare_cached("SELECT id FROM queues WHERE name = ?1")?
        .query_row([queue.as_str()], |row| row.get(0))
        .optional()?
        .ok_or_else(|| TransportError::Unroutable { queue: queue.clone() }.into())
}

/// Makes a queue unless it exists.
pub(super) fn ensure(connection: &Connection, queue: &Queue) -> Result<(), Fault> {
    connection
        .prepare_cached("INSERT INTO queues (name) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([queue.as_str()])?;
    Ok(())
}

/// Deletes a queue with everything in it.
pub(super) fn delete(connection: &Connection, queue: &Queue) -> Result<(), Fault> {
    let id = match queue_id(connection, queue) {
        Err(Fault::Transport(TransportError::Unroutable { .. })) => return Ok(()),
        other => other?,
    };
    for table in ["messages", "dead"] {
        connection.execute(
            &format!("DELETE FROM bodies WHERE id IN (SELECT id FROM {table} WHERE queue = ?1)"),
            [id],
        )?;
        connection.execute(&format!("DELETE FROM {table} WHERE queue = ?1"), [id])?;
    }
    connection.execute("DELETE FROM queues WHERE id = ?1", [id])?;
    Ok(())
}

/// Puts a message on its queue.
pub(super) fn publish(
    connection: &Connection,
    message: &Outgoing,
    now: i64,
    ready_at: i64,
) -> Result<(), Fault> {
    let queue = queue_id(connection, &message.queue)?;
    connection.prepare_cached("INSERT INTO bodies (body) VALUES (?1)")?.execute([&message.body[..]])?;
    connection
        .prepare_cached("INSERT INTO messages (id, queue, ready_at, sent_at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![connection.last_insert_rowid(), queue, ready_at, now])?;
    Ok(())
}

/// Takes up to `limit` ready messages in order of readiness; they are in hand until `until`. The first gets `token`, the
/// others those that follow it.
pub(super) fn take(
    connection: &Connection,
    queue: &Queue,
    limit: usize,
    token: i64,
    now: i64,
    until: i64,
) -> Result<Take, Fault> {
    let queue = queue_id(connection, queue)?;
    let mut take = Take::default();
    let mut bytes = 0;
    {
        let mut select = connection.prepare_cached(
            "SELECT id, ready_at, deliveries, attempts, sent_at, body FROM messages JOIN bodies USING (id)
             WHERE queue = ?1 AND ready_at <= ?2 ORDER BY ready_at, id LIMIT ?3",
        )?;
        let mut rows = select.query(params![queue, now, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let body: Vec<u8> = row.get(5)?;
            bytes += body.len();
            take.messages.push(Taken {
                id: row.get(0)?,
                token: token + i64::try_from(take.messages.len()).expect("limits are small"),
                ready_at: row.get(1)?,
                deliveries: row.get::<_, u32>(2)?.saturating_add(1),
                attempts: row.get(3)?,
                sent_at: row.get(4)?,
                body: Bytes::from(body),
            });
            if bytes >= TAKE_BYTES {
                break;
            }
        }
    }
    let mut lease = connection
        .prepare_cached("UPDATE messages SET lease = ?2, ready_at = ?3, deliveries = ?4 WHERE id = ?1")?;
    for taken in &take.messages {
        lease.execute(params![taken.id, taken.token, until, taken.deliveries])?;
    }
    take.next_at = if take.messages.len() == limit {
        Some(now)
    } else {
        connection
            .prepare_cached("SELECT min(ready_at) FROM messages WHERE queue = ?1")?
            .query_row([queue], |row| row.get(0))?
    };
    Ok(take)
}

/// Keeps a message in hand until `until`; false if it is no longer in hand.
pub(super) fn renew(connection: &Connection, id: i64, token: i64, until: i64) -> Result<bool, Fault> {
    let changed = connection
        .prepare_cached("UPDATE messages SET ready_at = ?3 WHERE id = ?1 AND lease = ?2")?
        .execute(params![id, token, until])?;
    Ok(changed == 1)
}

/// Removes a message in hand, and sends and records what follows from it.
pub(super) fn forward(
    connection: &Connection,
    id: i64,
    token: i64,
    messages: &[Outgoing],
    writes: &[Write],
    now: i64,
) -> Result<(), Fault> {
    let removed = connection
        .prepare_cached("DELETE FROM messages WHERE id = ?1 AND lease = ?2")?
        .execute(params![id, token])?;
    held(removed)?;
    connection.prepare_cached("DELETE FROM bodies WHERE id = ?1")?.execute([id])?;
    for message in messages {
        publish(connection, message, now, now)?;
    }
    asya_store::sqlite::apply(connection, writes).map_err(|error| match error {
        StoreError::Conflict { table, key } => Fault::Conflict(format!("{table}/{key}")),
        other => Fault::Broken(other.to_string()),
    })
}

/// Gives a message in hand back, ready at `ready_at`. `attempts` replaces its count.
pub(super) fn give_back(
    connection: &Connection,
    id: i64,
    token: i64,
    ready_at: i64,
    attempts: Option<u32>,
) -> Result<(), Fault> {
    let changed = connection
        .prepare_cached(
            "UPDATE messages SET lease = 0, ready_at = ?3, attempts = coalesce(?4, attempts)
             WHERE id = ?1 AND lease = ?2",
        )?
        .execute(params![id, token, ready_at, attempts])?;
    held(changed)
}

/// Puts a message that was taken and never handed out back in its place, as if it had not been taken.
pub(super) fn untake(connection: &Connection, id: i64, token: i64, ready_at: i64) -> Result<(), Fault> {
    connection
        .prepare_cached(
            "UPDATE messages SET lease = 0, ready_at = ?3, deliveries = deliveries - 1
             WHERE id = ?1 AND lease = ?2",
        )?
        .execute(params![id, token, ready_at])?;
    Ok(())
}

/// Moves a message in hand to the dead letters of its queue.
pub(super) fn bury(
    connection: &Connection,
    id: i64,
    token: i64,
    reason: &str,
    now: i64,
) -> Result<(), Fault> {
    let copied = connection
        .prepare_cached(
            "INSERT INTO dead (id, queue, reason, attempts, dead_since)
             SELECT id, queue, ?3, attempts, ?4 FROM messages WHERE id = ?1 AND lease = ?2",
        )?
        .execute(params![id, token, reason, now])?;
    held(copied)?;
    connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Puts a dead letter back on its queue with fresh counters; false if it is not there.
pub(super) fn revive(connection: &Connection, queue: i64, id: i64, now: i64) -> Result<bool, Fault> {
    let copied = connection
        .prepare_cached(
            "INSERT INTO messages (id, queue, ready_at, sent_at)
             SELECT id, queue, ?3, ?3 FROM dead WHERE id = ?1 AND queue = ?2",
        )?
        .execute(params![id, queue, now])?;
    connection
        .prepare_cached("DELETE FROM dead WHERE id = ?1 AND queue = ?2")?
        .execute(params![id, queue])?;
    Ok(copied == 1)
}

/// Deletes a dead letter; false if it is not there.
pub(super) fn discard(connection: &Connection, queue: i64, id: i64) -> Result<bool, Fault> {
    let deleted = connection
        .prepare_cached("DELETE FROM dead WHERE id = ?1 AND queue = ?2")?
        .execute(params![id, queue])?;
    if deleted == 1 {
        connection.prepare_cached("DELETE FROM bodies WHERE id = ?1")?.execute([id])?;
    }
    Ok(deleted == 1)
}

/// How full a queue is.
pub(super) fn depth(connection: &Connection, queue: i64, now: i64) -> Result<Depth, Fault> {
    let count = |sql: &str| -> Result<u64, Fault> {
        let count: i64 = connection.prepare_cached(sql)?.query_row(params![queue, now], |row| row.get(0))?;
        Ok(count.cast_unsigned())
    };
    Ok(Depth {
        ready: count("SELECT count(*) FROM messages WHERE queue = ?1 AND ready_at <= ?2")?,
        in_flight: count("SELECT count(*) FROM messages WHERE queue = ?1 AND ready_at > ?2 AND lease <> 0")?,
        delayed: count("SELECT count(*) FROM messages WHERE queue = ?1 AND ready_at > ?2 AND lease = 0")?,
        dead: count("SELECT count(*) FROM dead WHERE queue = ?1 AND ?2 = ?2")?,
    })
}

/// One row was changed, or the lease was not ours any more.
fn held(changed: usize) -> Result<(), Fault> {
    if changed == 1 { Ok(()) } else { Err(Fault::Lost) }
}
