//! A conversation's row.

use asya_session::{Session, State, Usage, session};
use jiff::Timestamp;
use serde_json::json;

use super::{audited, say::Said};
use crate::{
    StoreError,
    envelopes::{Creation, bounds},
    session::{Row, Session as Transaction, broken},
};

/// A conversation that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// Its id: `s-` and a UUID.
    pub id: String,
    /// Name for people; empty: the beginning of what is said first.
    pub title: String,
    /// Who begins it.
    pub owner: String,
    /// The agent's name.
    pub agent: String,
}

/// What became of a deletion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone, with its entries and operations. The audit log stays.
    Done,
    /// A turn runs or an operation waits: cancel its envelope first.
    Running,
    /// There is no such session.
    Unknown,
}

/// A session as it is stored: what waits is kept with all that a turn needs.
pub(super) struct Stored {
    pub(super) session: Session,
    pub(super) waiting: Vec<Said>,
}

/// Longest title that is made of what was said first, in bytes.
const TITLE: usize = 80;

pub(super) const COLUMNS: &str = "id, title, owner, agent, state, head, hash, envelope_id, waiting, shared, calls, \
     input, output, created_at, updated_at";

pub(super) fn read(row: &Row) -> Result<Stored, StoreError> {
    let waiting: Vec<Said> = row.decoded(8)?.unwrap_or_default();
    let state = row.text(4)?;
    let session = Session {
        id: row.text(0)?,
        title: row.text(1)?,
        owner: row.text(2)?,
        agent: row.text(3)?,
        state: State::named(&state).ok_or_else(|| broken(4, &format!("holds {state:?}")))?,
        head: row.count(5)?,
        hash: row.text(6)?,
        envelope: row.optional_text(7)?,
        waiting: waiting.iter().map(|said| said.text.clone()).collect(),
        shared: row.list(9)?,
        usage: Usage { calls: row.count(10)?, input: row.count(11)?, output: row.count(12)? },
        created: row.time(13)?,
        updated: row.time(14)?,
    };
    Ok(Stored { session, waiting })
}

pub(crate) async fn create(
    tx: &mut impl Transaction,
    new: &NewSession,
    now: Timestamp,
) -> Result<Creation, StoreError> {
    let NewSession { id, title, owner, agent } = new;
    bounds::check_id([id])?;
    check_names([owner, agent])?;
    let inserted = tx
        .execute(
            "INSERT INTO chat_sessions (id, title, owner, agent, state, shared, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7) ON CONFLICT (id) DO NOTHING",
            &[
                id.into(),
                bounds::name(title).into(),
                owner.into(),
                agent.into(),
                State::Idle.as_str().into(),
                [].as_slice().into(),
                now.into(),
            ],
        )
        .await?;
    if inserted == 0 {
        return Ok(Creation::Exists);
    }
    audited::write(tx, owner, audited::CREATE, None, &json!({"session": id, "agent": agent}), now).await?;
    tx.changed(id);
    Ok(Creation::Created)
}

/// Reads one.
pub(crate) async fn get(tx: &mut impl Transaction, id: &str) -> Result<Option<Session>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM chat_sessions WHERE id = ?1");
    let rows = tx.rows(&sql, &[id.into()]).await?;
    rows.first().map(|row| read(row).map(|stored| stored.session)).transpose()
}

/// Reads one, and holds it until the end of the transaction.
pub(super) async fn hold(tx: &mut impl Transaction, id: &str) -> Result<Option<Stored>, StoreError> {
    let lock = tx.dialect().for_update();
    let sql = format!("SELECT {COLUMNS} FROM chat_sessions WHERE id = ?1{lock}");
    tx.rows(&sql, &[id.into()]).await?.first().map(read).transpose()
}

/// As [`hold`], only if this envelope is the session's.
pub(super) async fn hold_with(
    tx: &mut impl Transaction,
    id: &str,
    envelope: &str,
) -> Result<Option<Stored>, StoreError> {
    let lock = tx.dialect().for_update();
    let sql = format!("SELECT {COLUMNS} FROM chat_sessions WHERE id = ?1 AND envelope_id = ?2{lock}");
    tx.rows(&sql, &[id.into(), envelope.into()]).await?.first().map(read).transpose()
}

/// Writes what changes as a conversation goes on. The caller holds it.
pub(super) async fn save(
    tx: &mut impl Transaction,
    stored: &Stored,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Stored { session, waiting } = stored;
    let waiting = (!waiting.is_empty())
        .then(|| serde_json::to_string(waiting).map_err(|error| StoreError::Refused(error.to_string())))
        .transpose()?;
    tx.execute(
        "UPDATE chat_sessions SET title = ?2, state = ?3, head = ?4, hash = ?5, envelope_id = ?6, waiting = ?7, \
         calls = ?8, input = ?9, output = ?10, updated_at = ?11 WHERE id = ?1",
        &[
            (&session.id).into(),
            (&session.title).into(),
            session.state.as_str().into(),
            session.head.into(),
            (&session.hash).into(),
            session.envelope.as_ref().into(),
            waiting.into(),
            session.usage.calls.into(),
            session.usage.input.into(),
            session.usage.output.into(),
            now.into(),
        ],
    )
    .await?;
    tx.changed(&session.id);
    Ok(())
}

/// Gives it another title; false: there is no such session.
pub(crate) async fn rename(
    tx: &mut impl Transaction,
    id: &str,
    title: &str,
    who: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "UPDATE chat_sessions SET title = ?2 WHERE id = ?1";
    if tx.execute(sql, &[id.into(), bounds::name(title).into()]).await? == 0 {
        return Ok(false);
    }
    audited::write(tx, who, audited::RENAME, None, &json!({"session": id}), now).await?;
    tx.changed(id);
    Ok(true)
}

/// Says who else may read it and speak in it; false: there is no such session.
pub(crate) async fn share(
    tx: &mut impl Transaction,
    id: &str,
    shared: &[String],
    who: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if shared.len() > session::MOST_SHARED {
        return Err(StoreError::Refused(format!(
            "a session is shared with at most {} principals, not with {}",
            session::MOST_SHARED,
            shared.len()
        )));
    }
    check_names(shared)?;
    let sql = "UPDATE chat_sessions SET shared = ?2 WHERE id = ?1";
    if tx.execute(sql, &[id.into(), shared.into()]).await? == 0 {
        return Ok(false);
    }
    let detail = json!({"session": id, "with": shared});
    audited::write(tx, who, audited::SHARE, None, &detail, now).await?;
    tx.changed(id);
    Ok(true)
}

/// Deletes it, unless something of it runs.
pub(crate) async fn delete(
    tx: &mut impl Transaction,
    id: &str,
    who: &str,
    now: Timestamp,
) -> Result<Deleted, StoreError> {
    let Some(Stored { session, .. }) = hold(tx, id).await? else { return Ok(Deleted::Unknown) };
    if session.envelope.is_some() {
        return Ok(Deleted::Running);
    }
    tx.execute("DELETE FROM chat_sessions WHERE id = ?1", &[id.into()]).await?;
    let detail = json!({"session": id, "owner": session.owner, "agent": session.agent});
    audited::write(tx, who, audited::DELETE, None, &detail, now).await?;
    tx.changed(id);
    Ok(Deleted::Done)
}

/// The title that a session gets by what is said first in it.
pub(super) fn title(text: &str) -> String {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    match line.floor_char_boundary(TITLE) {
        end if end < line.len() => format!("{}…", line[..end].trim_end()),
        _ => line.to_owned(),
    }
}

/// Names are compared, so none is cut.
pub(super) fn check_names<'a>(names: impl IntoIterator<Item = &'a String>) -> Result<(), StoreError> {
    for name in names {
        if name.is_empty() || name.len() > bounds::MAX_NAME {
            return Err(StoreError::Refused(format!(
                "a name has 1 to {} bytes, and this one has {}",
                bounds::MAX_NAME,
                name.len()
            )));
        }
    }
    Ok(())
}
