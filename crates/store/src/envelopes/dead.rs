//! Dead letters: what `error-end` stored, to be read, grouped and replayed.
//!
//! A letter is open until it is replayed. Whoever replays takes it for a time first, so that two who replay the same
//! filter do not send one letter twice; then either a new envelope marks it (`NewEnvelope::replays`, in the
//! transaction that creates it) or [`Settling`] does.

use std::time::Duration;

use asya_envelope::Raw;
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    bounds,
    list::{Conditions, Cursor, MAX_PAGE},
    outbox::later,
};
use crate::{
    StoreError,
    session::{Row, Session},
};

/// One dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its key: the same for the same failure, so that a redelivery of it stores no second one.
    pub id: String,
    /// The envelope that failed.
    pub envelope: String,
    /// The actor it failed at.
    pub actor: String,
    /// Why, as a code.
    pub code: String,
    /// Why, for a person.
    pub error: String,
    /// Runs of the handler that were tried.
    pub attempts: u32,
    /// The error envelope, whole and verbatim.
    pub body: Bytes,
    /// What the classification said: for example whether a later try may succeed.
    pub detail: Option<Raw>,
    /// When it was stored.
    pub since: Timestamp,
    /// The envelope that was sent in its stead, once it was replayed.
    pub replayed_as: Option<String>,
    /// When it was replayed.
    pub replayed: Option<Timestamp>,
}

/// Which dead letters; the default fits all that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// With one of these ids; empty means any.
    pub ids: Vec<String>,
    /// Of this envelope.
    pub envelope: Option<String>,
    /// Failed at this actor.
    pub actor: Option<String>,
    /// With this code.
    pub code: Option<String>,
    /// The text is part of the error; ASCII letters match in either case.
    pub text: Option<String>,
    /// Stored at this time or later.
    pub from: Option<Timestamp>,
    /// Stored before this time.
    pub until: Option<Timestamp>,
    /// Those too that have been replayed.
    pub replayed: bool,
}

/// Part of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadPage {
    /// The letters, with empty bodies: a page of bodies would not fit into memory.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<Cursor>,
}

/// Failures of one actor with one code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadGroup {
    /// The actor.
    pub actor: String,
    /// The code.
    pub code: String,
    /// How many.
    pub count: u64,
    /// When the first of them was stored.
    pub oldest: Timestamp,
    /// When the last of them was stored.
    pub newest: Timestamp,
    /// The error of one of them.
    pub sample: String,
}

/// What becomes of a letter that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settling {
    /// It was replayed as this envelope.
    Replayed(String),
    /// It was not: others may take it at once.
    Released,
    /// It is of no use any more.
    Deleted,
}

const COLUMNS: &str =
    "id, envelope_id, actor, code, error, attempts, body, detail, dead_since, replayed_as, replayed_at";

/// Stores a letter. Of two with one id the one with more attempts is kept; a replayed one that fails again is open
/// again.
pub(crate) async fn bury(session: &mut impl Session, letter: &DeadLetter) -> Result<(), StoreError> {
    bounds::check_id([&letter.id, &letter.envelope])?;
    let sql = format!(
        "INSERT INTO dead_letters ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, NULL, NULL) \
         ON CONFLICT (id) DO UPDATE SET envelope_id = excluded.envelope_id, actor = excluded.actor, \
         code = excluded.code, error = excluded.error, attempts = excluded.attempts, body = excluded.body, \
         detail = excluded.detail, dead_since = excluded.dead_since, replayed_as = NULL, replayed_at = NULL, \
         taken_until = NULL WHERE excluded.attempts > dead_letters.attempts"
    );
    session
        .execute(
            &sql,
            &[
                (&letter.id).into(),
                (&letter.envelope).into(),
                bounds::name(&letter.actor).into(),
                bounds::name(&letter.code).into(),
                bounds::text(&letter.error).into(),
                letter.attempts.into(),
                (&letter.body).into(),
                letter.detail.as_ref().into(),
                letter.since.into(),
            ],
        )
        .await?;
    Ok(())
}

/// Lists letters without their bodies, newest first, at most `limit` (and [`MAX_PAGE`]).
pub(crate) async fn list(
    session: &mut impl Session,
    filter: &DeadFilter,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<DeadPage, StoreError> {
    let limit = limit.clamp(1, MAX_PAGE);
    let mut conditions = conditions(session, filter);
    if let Some(Cursor { created, id }) = after {
        let (since, id) = (conditions.value(*created), conditions.value(id));
        conditions.add(format!("(dead_since, id) < ({since}, {id})"));
    }
    let conditions_sql = conditions.sql();
    // One more than asked for tells whether there is a next page.
    let more = conditions.value(limit + 1);
    let columns = COLUMNS.replace("body", "substr(body, 1, 0)");
    let sql = format!(
        "SELECT {columns} FROM dead_letters{conditions_sql} ORDER BY dead_since DESC, id DESC LIMIT {more}"
    );
    let rows = session.rows(&sql, &conditions.values).await?;
    let mut letters = rows.iter().map(letter).collect::<Result<Vec<_>, _>>()?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    let last = letters.last().filter(|_| more);
    let next = last.map(|last| Cursor { created: last.since, id: last.id.clone() });
    Ok(DeadPage { letters, next })
}

/// Reads one letter whole.
pub(crate) async fn get(session: &mut impl Session, id: &str) -> Result<Option<DeadLetter>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM dead_letters WHERE id = ?1");
    session.rows(&sql, &[id.into()]).await?.first().map(letter).transpose()
}

/// Counts letters by actor and code, the most frequent first.
pub(crate) async fn groups(
    session: &mut impl Session,
    filter: &DeadFilter,
) -> Result<Vec<DeadGroup>, StoreError> {
    let conditions = conditions(session, filter);
    let sql = format!(
        "SELECT actor, code, count(*), min(dead_since), max(dead_since), max(error) FROM dead_letters{} \
         GROUP BY actor, code ORDER BY count(*) DESC, actor, code LIMIT {MAX_PAGE}",
        conditions.sql()
    );
    let rows = session.rows(&sql, &conditions.values).await?;
    rows.iter()
        .map(|row| {
            Ok(DeadGroup {
                actor: row.text(0)?,
                code: row.text(1)?,
                count: row.index(2)? as u64,
                oldest: row.time(3)?,
                newest: row.time(4)?,
                sample: row.text(5)?,
            })
        })
        .collect()
}

/// Takes up to `limit` open letters, oldest first, until `now + lease`.
pub(crate) async fn take(
    session: &mut impl Session,
    filter: &DeadFilter,
    now: Timestamp,
    lease: Duration,
    limit: usize,
) -> Result<Vec<DeadLetter>, StoreError> {
    let mut conditions = conditions(session, &DeadFilter { replayed: false, ..filter.clone() });
    let at = conditions.value(now);
    conditions.add(format!("(taken_until IS NULL OR taken_until <= {at})"));
    let conditions_sql = conditions.sql();
    let until = conditions.value(later(now, lease));
    let limit = conditions.value(limit.min(MAX_PAGE));
    let locked = session.dialect().for_update_skip_locked();
    let sql = format!(
        "UPDATE dead_letters SET taken_until = {until} WHERE id IN (SELECT id FROM dead_letters{conditions_sql} \
         ORDER BY dead_since, id LIMIT {limit}{locked}) RETURNING {COLUMNS}"
    );
    let rows = session.rows(&sql, &conditions.values).await?;
    let mut letters = rows.iter().map(letter).collect::<Result<Vec<_>, _>>()?;
    letters.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
    Ok(letters)
}

/// Ends a letter's being taken.
pub(crate) async fn settle(
    session: &mut impl Session,
    id: &str,
    settling: &Settling,
    now: Timestamp,
) -> Result<(), StoreError> {
    match settling {
        Settling::Replayed(by) => return mark_replayed(session, id, by, now).await,
        Settling::Released => {
            session.execute("UPDATE dead_letters SET taken_until = NULL WHERE id = ?1", &[id.into()]).await?
        }
        Settling::Deleted => session.execute("DELETE FROM dead_letters WHERE id = ?1", &[id.into()]).await?,
    };
    Ok(())
}

pub(crate) async fn mark_replayed(
    session: &mut impl Session,
    id: &str,
    by: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    session
        .execute(
            "UPDATE dead_letters SET replayed_as = ?2, replayed_at = ?3, taken_until = NULL WHERE id = ?1",
            &[id.into(), by.into(), now.into()],
        )
        .await?;
    Ok(())
}

fn conditions(session: &impl Session, filter: &DeadFilter) -> Conditions {
    let DeadFilter { ids, envelope, actor, code, text, from, until, replayed } = filter;
    let mut conditions = Conditions::default();
    if !ids.is_empty() {
        let ids: Vec<_> = ids.iter().map(|id| conditions.value(id)).collect();
        conditions.add(format!("id IN ({})", ids.join(", ")));
    }
    conditions.compare("envelope_id =", envelope.as_ref());
    conditions.compare("actor =", actor.as_ref());
    conditions.compare("code =", code.as_ref());
    if let Some(text) = text {
        let text = conditions.value(text.to_ascii_lowercase());
        conditions.add(session.dialect().contains("error", &text));
    }
    conditions.compare("dead_since >=", *from);
    conditions.compare("dead_since <", *until);
    if !replayed {
        conditions.add("replayed_at IS NULL".to_owned());
    }
    conditions
}

fn letter(row: &Row) -> Result<DeadLetter, StoreError> {
    Ok(DeadLetter {
        id: row.text(0)?,
        envelope: row.text(1)?,
        actor: row.text(2)?,
        code: row.text(3)?,
        error: row.text(4)?,
        attempts: u32::try_from(row.index(5)?).unwrap_or(u32::MAX),
        body: row.bytes(6)?,
        detail: row.json(7)?,
        since: row.time(8)?,
        replayed_as: row.optional_text(9)?,
        replayed: row.optional_time(10)?,
    })
}
