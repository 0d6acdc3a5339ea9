//! What was said and done, in order.

use asya_session::{Body, Entry, Operation, Place, desk};
use jiff::Timestamp;

use super::{
    OperationFilter, operations,
    sessions::{self, Stored},
};
use crate::{
    StoreError,
    session::{Row, Session as Transaction, broken},
};

const COLUMNS: &str = "n, hash, at, envelope_id, hop, step, body";

fn read(row: &Row) -> Result<Entry, StoreError> {
    let place = row
        .optional_text(3)?
        .map(|envelope| Ok::<_, StoreError>(Place { envelope, hop: row.count(4)?, step: row.count(5)? }))
        .transpose()?;
    Ok(Entry {
        n: row.count(0)?,
        hash: row.text(1)?,
        at: row.time(2)?,
        place,
        body: row.decoded(6)?.ok_or_else(|| broken(6, "is empty"))?,
    })
}

/// Entries of a session from number `from` on, in order; at most `limit`, and [`desk::PAGE`].
pub(crate) async fn page(
    tx: &mut impl Transaction,
    session: &str,
    from: u64,
    limit: usize,
) -> Result<Vec<Entry>, StoreError> {
    let limit = limit.clamp(1, desk::PAGE);
    let sql =
        format!("SELECT {COLUMNS} FROM chat_entries WHERE session_id = ?1 AND n >= ?2 ORDER BY n LIMIT ?3");
    tx.rows(&sql, &[session.into(), from.into(), limit.into()]).await?.iter().map(read).collect()
}

/// A session and a page of its entries.
pub(crate) async fn transcript(
    tx: &mut impl Transaction,
    session: &str,
    from: u64,
    limit: usize,
) -> Result<Option<desk::Transcript>, StoreError> {
    let Some(found) = sessions::get(tx, session).await? else { return Ok(None) };
    Ok(Some(desk::Transcript { session: found, entries: page(tx, session, from, limit).await? }))
}

/// The same, and the session's latest operations.
pub(crate) async fn look(
    tx: &mut impl Transaction,
    session: &str,
    from: u64,
    limit: usize,
    most: usize,
) -> Result<Option<(desk::Transcript, Vec<Operation>)>, StoreError> {
    let Some(found) = transcript(tx, session, from, limit).await? else { return Ok(None) };
    let filter = OperationFilter { session: Some(session.to_owned()), ..OperationFilter::default() };
    Ok(Some((found, operations::list::list(tx, &filter, None, most).await?.operations)))
}

/// One entry.
pub(super) async fn get(
    tx: &mut impl Transaction,
    session: &str,
    n: u64,
) -> Result<Option<Entry>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM chat_entries WHERE session_id = ?1 AND n = ?2");
    tx.rows(&sql, &[session.into(), n.into()]).await?.first().map(read).transpose()
}

/// Whether something was appended where an envelope was behind `hop`.
pub(crate) async fn is_behind(
    tx: &mut impl Transaction,
    envelope: &str,
    hop: usize,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM chat_entries WHERE session_id = (SELECT session_id FROM envelopes WHERE id = ?1) \
               AND envelope_id = ?1 AND hop > ?2 LIMIT 1";
    Ok(!tx.rows(sql, &[envelope.into(), hop.into()]).await?.is_empty())
}

/// A body as it is stored.
pub(super) fn encoded(body: &Body) -> Result<String, StoreError> {
    let text = serde_json::to_string(body).map_err(|error| StoreError::Refused(error.to_string()))?;
    if text.len() > desk::ENTRY {
        return Err(StoreError::Refused(format!(
            "an entry has at most {} bytes, and this one has {}",
            desk::ENTRY,
            text.len()
        )));
    }
    Ok(text)
}

/// Appends an entry to a session that the caller holds, and counts what it used; the caller saves the session.
pub(super) async fn append(
    tx: &mut impl Transaction,
    to: &mut Stored,
    place: Option<Place>,
    body: Body,
    now: Timestamp,
) -> Result<Entry, StoreError> {
    let text = encoded(&body)?;
    let session = &mut to.session;
    let entry = Entry { n: session.head + 1, hash: body.link(&session.hash), at: now, place, body };
    let place = entry.place.as_ref();
    tx.execute(
        &format!("INSERT INTO chat_entries (session_id, {COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
        &[
            (&session.id).into(),
            entry.n.into(),
            (&entry.hash).into(),
            now.into(),
            place.map(|place| place.envelope.as_str()).into(),
            place.map(|place| place.hop).into(),
            place.map(|place| place.step).into(),
            text.into(),
        ],
    )
    .await?;
    session.head = entry.n;
    session.hash.clone_from(&entry.hash);
    session.usage = session.usage.and(entry.body.usage());
    Ok(entry)
}
