//! How envelopes end: once.

use asya_envelope::Raw;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Offspring, Status, Summary, bounds, children, outbox, tracked,
    update::{self, Update},
};
use crate::{StoreError, chat::over, session::Session};

/// Codes that the store itself gives to envelopes that failed. Others are those of error reports.
pub mod codes {
    /// Somebody cancelled it.
    pub const CANCELLED: &str = "cancelled";
    /// Its own part succeeded, and children made from it failed.
    pub const CHILDREN: &str = "children_failed";
    /// Its deadline has passed; the word that sidecars report it by too.
    pub const DEADLINE: &str = "deadline";
    /// What [`DEADLINE`] was called once. Rows have it; nothing is read or answered by it.
    pub(crate) const FORMER_DEADLINE: &str = "deadline_exceeded";

    /// The code as it is called now.
    pub(crate) fn current(code: String) -> String {
        if code == FORMER_DEADLINE { DEADLINE.to_owned() } else { code }
    }
    /// It could not be sent.
    pub const NOT_SENT: &str = "not_sent";
    /// Its end was reported without a code.
    pub const UNKNOWN: &str = "unknown";
}

/// Generations of descendants that one call looks at; deeper ones end by their deadline.
const GENERATIONS: i64 = 32;
/// Descendants that one transaction cancels.
const DESCENDANTS: i64 = 10_000;

/// The end of an envelope, as a sidecar reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It reached `happy-end`.
    Succeeded {
        /// What came out.
        result: Option<Raw>,
        /// Where the record was stored, if it was.
        stored_at: Option<String>,
    },
    /// It reached `error-end`.
    Failed {
        /// Why, as it was reported: a sentence, or a word that `details` explain.
        error: String,
        /// Why, as a code; [`codes::UNKNOWN`] if `None`.
        code: Option<String>,
        /// The error report's details; with them the result becomes the contract's
        /// `{error, details, failed_actor?, failed_actor_idx?, route?}`.
        details: Option<Raw>,
        /// The actor that failed.
        actor: Option<String>,
        /// Its index in the route.
        current: Option<usize>,
        /// The route's actors then.
        actors: Vec<String>,
    },
}

/// What became of a final report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The envelope has ended by it.
    Applied,
    /// It had ended before, like this, and stays so.
    Before(Status),
    /// There is no such envelope.
    Unknown,
}

/// What became of a cancellation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// These have ended by it: the envelope and its descendants, as far as they had not.
    Applied(Vec<String>),
    /// The envelope had ended before, like this, and so had its descendants.
    Before(Status),
    /// There is no such envelope.
    Unknown,
}

/// Everything that the end of an envelope changes.
pub(super) struct End {
    pub(super) status: Status,
    message: String,
    pub(super) result: Option<Raw>,
    error: Option<String>,
    code: Option<String>,
    actor: Option<String>,
    current: Option<usize>,
    actors: Vec<String>,
    /// How many actors have handled it, unless that is all of them at success.
    completed: Option<usize>,
}

impl End {
    pub(super) fn succeeded(message: &str, result: Option<Raw>) -> Self {
        Self {
            status: Status::Succeeded,
            message: message.to_owned(),
            result,
            error: None,
            code: None,
            actor: None,
            current: None,
            actors: Vec::new(),
            completed: None,
        }
    }

    pub(super) fn failed(error: &str, code: &str) -> Self {
        Self {
            status: Status::Failed,
            message: error.to_owned(),
            result: None,
            error: Some(error.to_owned()),
            code: Some(code.to_owned()),
            actor: None,
            current: None,
            actors: Vec::new(),
            completed: None,
        }
    }

    fn reported(ending: &Ending) -> Self {
        match ending {
            Ending::Succeeded { result, stored_at } => {
                let message = match stored_at {
                    Some(place) => format!("Envelope completed successfully, results stored at {place}"),
                    None => "Envelope completed successfully".to_owned(),
                };
                Self::succeeded(&message, result.clone())
            }
            Ending::Failed { error, code, details, actor, current, actors } => Self {
                message: match actor {
                    Some(actor) => {
                        format!("Envelope failed at actor '{actor}': {}", reason(error, details.as_ref()))
                    }
                    None => format!("Envelope failed: {}", reason(error, details.as_ref())),
                },
                result: details.as_ref().map(|details| {
                    Raw::of(&FailedResult {
                        error,
                        details: serde_json::from_str(details.as_str()).unwrap_or(RawValue::NULL),
                        failed_actor: actor.as_deref(),
                        failed_actor_idx: *current,
                        route: actors,
                    })
                }),
                actor: actor.clone(),
                current: *current,
                actors: actors.clone(),
                ..Self::failed(&reason(error, details.as_ref()), code.as_deref().unwrap_or(codes::UNKNOWN))
            },
        }
    }
}

/// Why it failed, for a person. Sidecars report a word such as `processing_error`, and what happened in the details.
fn reason(error: &str, details: Option<&Raw>) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Said {
        message: String,
        #[serde(rename = "type")]
        class: Option<String>,
    }
    let said = details
        .filter(|_| !error.contains(char::is_whitespace))
        .and_then(|details| serde_json::from_str::<Said>(details.as_str()).ok())
        .unwrap_or_default();
    match (said.class.unwrap_or_default(), said.message) {
        (class, message) if class.is_empty() && message.is_empty() => error.to_owned(),
        (class, message) if message.is_empty() => class,
        (class, message) if class.is_empty() => message,
        (class, message) => format!("{class}: {message}"),
    }
}

/// The contract's result of an envelope that failed with details.
#[derive(Serialize)]
struct FailedResult<'a> {
    error: &'a str,
    details: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_actor_idx: Option<usize>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    route: &'a [String],
}

/// Ends an envelope as reported, unless it has ended or has children to wait for.
pub(crate) async fn end(
    session: &mut impl Session,
    id: &str,
    ending: &Ending,
    offspring: &Offspring,
    now: Timestamp,
) -> Result<Ended, StoreError> {
    match tracked::hold(session, id).await? {
        None => Ok(Ended::Unknown),
        Some((before, _)) if before.status.is_final() => Ok(Ended::Before(before.status)),
        Some((before, _)) => {
            children::part_ended(session, &before, End::reported(ending), offspring, now).await?;
            Ok(Ended::Applied)
        }
    }
}

/// Ends an envelope that the handler of `actor`, the route's number `current`, let go. The caller holds it and knows it
/// to be open. It is no failure, and nothing came out.
pub(crate) async fn dropped(
    session: &mut impl Session,
    before: &Summary,
    actor: Option<&str>,
    current: usize,
    actors: &[String],
    offspring: &Offspring,
    now: Timestamp,
) -> Result<(), StoreError> {
    let whose = actor.map_or_else(String::new, |actor| format!(" of '{actor}'"));
    let end = End {
        actor: actor.map(str::to_owned),
        current: Some(current),
        actors: actors.to_vec(),
        completed: Some(current + 1),
        ..End::succeeded(
            &format!("The handler{whose} let the envelope go: it ends there, without a result"),
            None,
        )
    };
    children::part_ended(session, before, end, offspring, now).await
}

/// Ends a child that went into the result of a fan-in, unless it has ended.
pub(super) async fn joined(session: &mut impl Session, id: &str, now: Timestamp) -> Result<(), StoreError> {
    match tracked::hold(session, id).await? {
        Some((before, _)) if !before.status.is_final() => {
            write(session, &before, End::succeeded("Joined into the result of its fan-out", None), now).await
        }
        _ => Ok(()),
    }
}

/// Ends an envelope as failed, unless it has ended; true if it did.
pub(crate) async fn fail(
    session: &mut impl Session,
    id: &str,
    error: &str,
    code: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    match tracked::hold(session, id).await? {
        Some((before, _)) if !before.status.is_final() => {
            apply(session, &before, End::failed(error, code), now).await?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Cancels an envelope and its descendants that have not ended.
pub(crate) async fn cancel(
    session: &mut impl Session,
    id: &str,
    why: &str,
    now: Timestamp,
) -> Result<Cancelled, StoreError> {
    if tracked::glance(session, id).await?.is_none() {
        return Ok(Cancelled::Unknown);
    }
    // Always in the order of ids, so that two cancellations wait for each other and never in a circle.
    let family = session
        .rows(
            "WITH RECURSIVE family (id, depth) AS (SELECT id, 0 FROM envelopes WHERE id = ?1 UNION \
             SELECT child.id, family.depth + 1 FROM envelopes child JOIN family ON child.parent_id = family.id \
             WHERE family.depth < ?2) SELECT DISTINCT id FROM family ORDER BY id LIMIT ?3",
            &[id.into(), GENERATIONS.into(), DESCENDANTS.into()],
        )
        .await?;
    let error = match why {
        "" => "Envelope cancelled".to_owned(),
        why => format!("Envelope cancelled: {why}"),
    };
    let mut ended = Vec::new();
    for member in &family {
        let member = member.text(0)?;
        if fail(session, &member, &error, codes::CANCELLED, now).await? {
            ended.push(member);
        }
    }
    if !ended.is_empty() {
        return Ok(Cancelled::Applied(ended));
    }
    let status = tracked::glance(session, id).await?.map(|before| before.status);
    Ok(status.map_or(Cancelled::Unknown, Cancelled::Before))
}

/// Ends up to `limit` envelopes whose deadline has passed; answers their ids. Of several sweepers each envelope meets
/// one: the others pass over the rows that it holds.
pub(crate) async fn sweep(
    session: &mut impl Session,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let sql = format!(
        "SELECT id FROM envelopes WHERE deadline <= ?1 AND ended_at IS NULL ORDER BY deadline LIMIT ?2{}",
        session.dialect().for_update_skip_locked()
    );
    let mut ended = Vec::new();
    for row in session.rows(&sql, &[now.into(), limit.into()]).await? {
        let id = row.text(0)?;
        if fail(session, &id, "envelope timed out", codes::DEADLINE, now).await? {
            ended.push(id);
        }
    }
    Ok(ended)
}

/// Ends an envelope that the caller holds and knows to be open, and those above it that waited for it alone.
pub(super) async fn apply(
    session: &mut impl Session,
    before: &Summary,
    end: End,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (mut failed, mut parent) = (end.status == Status::Failed, before.parent.clone());
    write(session, before, end, now).await?;
    while let Some(id) = parent {
        let Some((before, end)) = children::one_less(session, &id, failed).await? else { break };
        failed = end.status == Status::Failed;
        write(session, &before, end, now).await?;
        parent = before.parent;
    }
    Ok(())
}

/// Writes the end of an envelope that the caller holds and knows to be open.
async fn write(
    session: &mut impl Session,
    before: &Summary,
    end: End,
    now: Timestamp,
) -> Result<(), StoreError> {
    let succeeded = end.status == Status::Succeeded;
    let actors = if end.actors.len() > before.actors.len() { end.actors } else { before.actors.clone() };
    let current = end.current.unwrap_or(before.current).max(before.current).min(actors.len());
    let actor =
        end.actor.as_deref().map(|name| bounds::name(name).to_owned()).or_else(|| before.actor.clone());
    let message = bounds::text(&end.message).to_owned();
    let error = end.error.as_deref().map(|error| bounds::text(error).to_owned());
    let completed = if succeeded { end.completed.unwrap_or(actors.len()) } else { before.completed };
    let completed = completed.min(actors.len()).max(before.completed);
    // What has not been sent need not be; an entry that is in a replica's hands is gone when it confirms.
    outbox::forget(session, &before.id).await?;
    let logged = Update {
        status: end.status,
        message: Some(message.clone()),
        result: end.result.clone(),
        error: error.clone(),
        percent: Some(100.0),
        actor: actor.clone(),
        current: Some(current),
        ..Update::new(&before.id, now)
    };
    update::append(session, &logged).await?;
    let code = end.code.as_deref().map(bounds::name);
    let ended = session
        .rows(
            "UPDATE envelopes SET status = ?2, message = ?3, result = ?4, error = ?5, code = ?6, route_actors = ?7, \
             total_actors = ?8, current_actor_idx = ?9, current_actor_name = ?10, actors_completed = ?11, \
             progress_percent = 100, updated_at = ?12, ended_at = ?12 WHERE id = ?1 RETURNING session_id",
            &[
                (&before.id).into(),
                end.status.as_str().into(),
                message.into(),
                end.result.as_ref().into(),
                error.as_ref().into(),
                code.into(),
                actors.as_slice().into(),
                actors.len().into(),
                current.into(),
                actor.into(),
                completed.into(),
                now.into(),
            ],
        )
        .await?;
    // Whoever ends an envelope ends the turn that it carries.
    if let Some(chat) = ended.first().map(|row| row.optional_text(0)).transpose()?.flatten() {
        over::envelope_ended(session, &chat, &before.id, end.status, code, error.as_deref(), now).await?;
    }
    Ok(())
}
