//! An envelope as the gateway follows it.

use std::time::Duration;

use asya_envelope::Raw;
use jiff::Timestamp;

use super::{Status, codes};
use crate::{
    StoreError,
    session::{Row, Session},
};

/// What lists show of an envelope: everything of a bounded size.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Its id.
    pub id: String,
    /// On fan-out children: the id they were made from.
    pub parent: Option<String>,
    /// How many fan-outs lead to it from the envelope that was sent: 0 for that one, 1 for its children.
    pub depth: usize,
    /// How far it is.
    pub status: Status,
    /// Why it failed, as a code: [`codes`](super::codes), else the code of the error report.
    pub code: Option<String>,
    /// Why it failed, for a person.
    pub error: Option<String>,
    /// What happened last, for a person.
    pub message: Option<String>,
    /// The actors of its route, as the longest report had them.
    pub actors: Vec<String>,
    /// Index of the actor where it is, or where it ended.
    pub current: usize,
    /// Name of that actor; `None` before the first report.
    pub actor: Option<String>,
    /// How many actors have handled it.
    pub completed: usize,
    /// 0 to 100; never goes down.
    pub percent: f64,
    /// Which run of the handler was reported last; 0 if the sidecar does not say.
    pub attempt: u32,
    /// The tool that was called, if it came from one.
    pub tool: Option<String>,
    /// Who sent it, if that is known.
    pub sender: Option<String>,
    /// The namespace whose sidecars may report on it, if it is bound to one.
    pub namespace: Option<String>,
    /// The envelope that this one is another try of.
    pub resubmit_of: Option<String>,
    /// How long it may take, as it was asked for.
    pub timeout: Option<Duration>,
    /// When it fails unless it has ended.
    pub deadline: Option<Timestamp>,
    /// When it was stored.
    pub created: Timestamp,
    /// When it changed last.
    pub updated: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

impl Summary {
    /// True while a handler may still work on it: neither ended nor too late at `now`.
    pub fn is_active(&self, now: Timestamp) -> bool {
        !self.status.is_final() && self.deadline.is_none_or(|deadline| now < deadline)
    }
}

/// Everything about an envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracked {
    /// What lists show too.
    pub summary: Summary,
    /// `route.metadata`.
    pub metadata: Option<Raw>,
    /// Its headers, a JSON object.
    pub headers: Option<Raw>,
    /// What was sent, verbatim. `None` for children, whose payload the gateway has never seen.
    pub payload: Option<Raw>,
    /// What came out, once it has ended.
    pub result: Option<Raw>,
}

/// Columns of a [`Summary`], in the order of [`summary`].
pub(crate) const SUMMARY: &str = "id, parent_id, status, code, error, message, route_actors, current_actor_idx, \
     current_actor_name, actors_completed, progress_percent, attempt, tool, sender, namespace, resubmit_of, \
     timeout_sec, deadline, created_at, updated_at, ended_at, depth";
/// Number of columns in [`SUMMARY`].
const SUMMARY_COLUMNS: usize = 22;

pub(crate) fn summary(row: &Row) -> Result<Summary, StoreError> {
    Ok(Summary {
        id: row.text(0)?,
        parent: row.optional_text(1)?,
        status: status(row, 2)?,
        code: row.optional_text(3)?.map(codes::current),
        error: row.optional_text(4)?,
        message: row.optional_text(5)?,
        actors: row.list(6)?,
        current: row.index(7)?,
        actor: row.optional_text(8)?.filter(|name| !name.is_empty()),
        completed: row.index(9)?,
        percent: row.optional_float(10)?.unwrap_or(0.0),
        attempt: u32::try_from(row.index(11)?).unwrap_or(u32::MAX),
        tool: row.optional_text(12)?,
        sender: row.optional_text(13)?,
        namespace: row.optional_text(14)?,
        resubmit_of: row.optional_text(15)?,
        timeout: row.optional_int(16)?.and_then(|secs| u64::try_from(secs).ok()).map(Duration::from_secs),
        deadline: row.optional_time(17)?,
        created: row.time(18)?,
        updated: row.time(19)?,
        ended: row.optional_time(20)?,
        depth: row.index(21)?,
    })
}

pub(crate) fn status(row: &Row, column: usize) -> Result<Status, StoreError> {
    // A word of another program is no reason to fail a whole list.
    Ok(row.text(column)?.parse().unwrap_or(Status::Unknown))
}

/// Reads one envelope whole.
pub(crate) async fn get(session: &mut impl Session, id: &str) -> Result<Option<Tracked>, StoreError> {
    let sql =
        format!("SELECT {SUMMARY}, route_metadata, headers, payload, result FROM envelopes WHERE id = ?1");
    let rows = session.rows(&sql, &[id.into()]).await?;
    rows.first()
        .map(|row| {
            Ok(Tracked {
                summary: summary(row)?,
                metadata: row.json(SUMMARY_COLUMNS)?,
                headers: row.json(SUMMARY_COLUMNS + 1)?,
                payload: row.json(SUMMARY_COLUMNS + 2)?,
                result: row.json(SUMMARY_COLUMNS + 3)?,
            })
        })
        .transpose()
}

/// Reads what lists show of one envelope.
pub(crate) async fn glance(session: &mut impl Session, id: &str) -> Result<Option<Summary>, StoreError> {
    let sql = format!("SELECT {SUMMARY} FROM envelopes WHERE id = ?1");
    session.rows(&sql, &[id.into()]).await?.first().map(summary).transpose()
}

/// Reads it, with the number of its last report, and holds it until the end of the transaction.
pub(crate) async fn hold(session: &mut impl Session, id: &str) -> Result<Option<(Summary, u32)>, StoreError> {
    let lock = session.dialect().for_update();
    let sql = format!("SELECT {SUMMARY}, report_seq FROM envelopes WHERE id = ?1{lock}");
    let rows = session.rows(&sql, &[id.into()]).await?;
    rows.first()
        .map(|row| Ok((summary(row)?, u32::try_from(row.index(SUMMARY_COLUMNS)?).unwrap_or(u32::MAX))))
        .transpose()
}
