//! What happens to an envelope, as JSON: in lists, in events, on sockets.

use asya_store::envelopes::{self, Step as Reported};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::envelope::Status;
use crate::rest::wire::verbatim;

/// What a sidecar reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// It has the envelope.
    Received,
    /// The handler runs.
    Processing,
    /// The handler has answered.
    Completed,
    /// It goes back to the queue, to be tried again.
    Retrying,
    /// It is on its way to the error end.
    Failed,
    /// The handler let it go, which ends the envelope.
    Dropped,
}

/// One thing that happened to an envelope. What is not known is missing.
#[derive(Debug, Serialize, ToSchema)]
pub struct Update {
    /// Its number, which goes up: what `after` and `Last-Event-ID` take.
    pub seq: i64,
    /// The envelope.
    pub id: String,
    /// The envelope's state after it.
    pub status: Status,
    /// For a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The result, with the last update; for those who may see contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub result: Option<Box<RawValue>>,
    /// The error, with the last update of one that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Progress after it, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percent: Option<f64>,
    /// The actor it happened at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// The route's actors, if it changed them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actors: Option<Vec<String>>,
    /// Index of the actor it happened at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<usize>,
    /// What a sidecar reported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// True for a report that came after the end: it is told here, not in streams, and changes nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
    /// Which run of the handler; 0 if unknown.
    pub attempt: u32,
    /// How long the handler took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Size of the message, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
}

impl Update {
    /// The update; without contents for those who may not see them.
    pub fn new(update: envelopes::Update, contents: bool) -> Self {
        Self {
            late: update.is_late(),
            seq: update.seq,
            id: update.id,
            status: update.status.into(),
            message: update.message,
            result: verbatim(update.result.filter(|_| contents)),
            error: update.error,
            percent: update.percent,
            actor: update.actor,
            actors: update.actors,
            current: update.current,
            step: update.step.map(|step| match step {
                Reported::Received => Step::Received,
                Reported::Processing => Step::Processing,
                Reported::Completed => Step::Completed,
                Reported::Retrying => Step::Retrying,
                Reported::Failed => Step::Failed,
                Reported::Dropped => Step::Dropped,
            }),
            attempt: update.attempt,
            duration_ms: update.duration.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            size: update.size,
            at: update.at,
        }
    }
}

/// Updates of one envelope, in order.
#[derive(Debug, Serialize, ToSchema)]
pub struct Updates {
    /// The updates.
    pub updates: Vec<Update>,
}
