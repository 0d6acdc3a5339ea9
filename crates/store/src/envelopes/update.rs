//! The log of an envelope: one entry per thing that happened to it.

use std::time::Duration;

use asya_envelope::Raw;
use jiff::Timestamp;

use super::{Status, Step, tracked};
use crate::{
    StoreError,
    session::{Row, Session},
};

/// One thing that happened to an envelope, as streams carry it.
#[derive(Clone, Debug, PartialEq)]
pub struct Update {
    /// Its number: goes up over the whole store, and for one envelope in the order of commits. What a client sends
    /// back as `Last-Event-ID`.
    pub seq: i64,
    /// The envelope.
    pub id: String,
    /// The envelope's state after it.
    pub status: Status,
    /// For a person.
    pub message: Option<String>,
    /// The result, with the last update of an envelope that succeeded, or failed with details.
    pub result: Option<Raw>,
    /// The error, with the last update of one that failed.
    pub error: Option<String>,
    /// Progress after it, 0 to 100.
    pub percent: Option<f64>,
    /// The actor it happened at.
    pub actor: Option<String>,
    /// The route's actors, if it changed them.
    pub actors: Option<Vec<String>>,
    /// Index of the actor it happened at.
    pub current: Option<usize>,
    /// What a sidecar reported.
    pub step: Option<Step>,
    /// Which run of the handler; 0 if unknown.
    pub attempt: u32,
    /// How long the handler took.
    pub duration: Option<Duration>,
    /// Size of the message, in bytes.
    pub size: Option<u64>,
    /// When.
    pub at: Timestamp,
}

impl Update {
    /// True for the report of a sidecar that came after the end of the envelope. It belongs to the history and changes
    /// nothing: it carries the state in which the envelope had ended and no progress, and streams, which close with
    /// the end, do not tell it.
    pub fn is_late(&self) -> bool {
        self.status.is_final() && self.step.is_some()
    }

    pub(crate) fn new(id: &str, at: Timestamp) -> Self {
        Self {
            seq: 0,
            id: id.to_owned(),
            status: Status::Pending,
            message: None,
            result: None,
            error: None,
            percent: None,
            actor: None,
            actors: None,
            current: None,
            step: None,
            attempt: 0,
            duration: None,
            size: None,
            at,
        }
    }
}

const COLUMNS: &str = "envelope_id, status, message, result, error, progress_percent, actor, actors, \
     current_actor_idx, envelope_state, attempt, duration_ms, size_bytes, timestamp";

/// Appends to the log. The caller holds the envelope's row (see [`tracked::hold`]): that makes numbers of one envelope
/// visible in their order, so that a reader who has seen one has missed none before it.
pub(crate) async fn append(session: &mut impl Session, update: &Update) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO envelope_updates ({COLUMNS}) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    );
    session
        .execute(
            &sql,
            &[
                (&update.id).into(),
                update.status.as_str().into(),
                update.message.as_ref().into(),
                update.result.as_ref().into(),
                update.error.as_ref().into(),
                update.percent.into(),
                update.actor.as_ref().into(),
                update.actors.as_deref().into(),
                update.current.into(),
                update.step.map(Step::as_str).into(),
                update.attempt.into(),
                update.duration.map(|took| i64::try_from(took.as_millis()).unwrap_or(i64::MAX)).into(),
                update.size.map(|size| i64::try_from(size).unwrap_or(i64::MAX)).into(),
                update.at.into(),
            ],
        )
        .await?;
    session.changed(&update.id);
    Ok(())
}

/// The updates of an envelope with numbers above `after`, in order; at most `limit`.
pub(crate) async fn since(
    session: &mut impl Session,
    id: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<Update>, StoreError> {
    let sql = format!(
        "SELECT id, {COLUMNS} FROM envelope_updates WHERE envelope_id = ?1 AND id > ?2 ORDER BY id LIMIT ?3"
    );
    session.rows(&sql, &[id.into(), after.into(), limit.into()]).await?.iter().map(update).collect()
}

fn update(row: &Row) -> Result<Update, StoreError> {
    let positive =
        |column| Ok::<_, StoreError>(row.optional_int(column)?.and_then(|n| u64::try_from(n).ok()));
    Ok(Update {
        seq: row.int(0)?,
        id: row.text(1)?,
        status: tracked::status(row, 2)?,
        message: row.optional_text(3)?,
        result: row.json(4)?,
        error: row.optional_text(5)?,
        percent: row.optional_float(6)?,
        actor: row.optional_text(7)?,
        actors: Some(row.list(8)?).filter(|actors| !actors.is_empty()),
        current: positive(9)?.and_then(|index| usize::try_from(index).ok()),
        step: row.optional_text(10)?.and_then(|word| Step::named(&word)),
        attempt: u32::try_from(row.index(11)?).unwrap_or(u32::MAX),
        duration: positive(12)?.map(Duration::from_millis),
        size: positive(13)?,
        at: row.time(14)?,
    })
}
