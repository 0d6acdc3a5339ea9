//! New envelopes.

use std::time::Duration;

use asya_envelope::Raw;
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    AuditEntry, Status, Summary, audit, bounds, children, codes, dead, outbox, tracked,
    update::{self, Update},
};
use crate::{StoreError, session::Session};

/// An envelope to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEnvelope {
    /// Its id.
    pub id: String,
    /// The actors of its route.
    pub actors: Vec<String>,
    /// `route.metadata`.
    pub metadata: Option<Raw>,
    /// Its headers, a JSON object.
    pub headers: Option<Raw>,
    /// Its payload, kept verbatim.
    pub payload: Raw,
    /// The tool that was called.
    pub tool: Option<String>,
    /// Who sends it.
    pub sender: Option<String>,
    /// The namespace whose sidecars may report on it.
    pub namespace: Option<String>,
    /// How long it may take, as it was asked for.
    pub timeout: Option<Duration>,
    /// When it fails unless it has ended.
    pub deadline: Option<Timestamp>,
    /// The envelope that this one is another try of.
    pub resubmit_of: Option<String>,
    /// The dead letter that this one replays: marked as replayed in the same transaction.
    pub replays: Option<String>,
    /// The message to publish: goes to the outbox in the same transaction.
    pub publish: Publish,
}

/// A message for the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The actor whose queue it goes to.
    pub actor: String,
    /// The message.
    pub body: Bytes,
}

/// A fan-out child, as a sidecar announces it. The sidecar itself has sent it: nothing is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChild {
    /// Its id.
    pub id: String,
    /// The id it was made from.
    pub parent: Option<String>,
    /// The actors of its route.
    pub actors: Vec<String>,
    /// Where in the route it begins.
    pub current: usize,
}

/// What creating did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// It is stored now.
    Created,
    /// The id was known: nothing has changed.
    Exists,
}

const INSERT: &str = "INSERT INTO envelopes (id, parent_id, status, route_actors, route_current, route_metadata, \
     headers, payload, tool, sender, namespace, timeout_sec, deadline, resubmit_of, current_actor_idx, total_actors, \
     actors_completed, progress_percent, created_at, updated_at, depth) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?5, ?15, ?5, ?16, ?17, ?17, ?18) \
     ON CONFLICT (id) DO NOTHING";

/// Stores an envelope with its outbox entry, who sent it, and, for a replay, the mark on the dead letter.
pub(crate) async fn create(
    session: &mut impl Session,
    new: &NewEnvelope,
    by: Option<&AuditEntry>,
    now: Timestamp,
) -> Result<Creation, StoreError> {
    bounds::check_id([&new.id].into_iter().chain(&new.resubmit_of))?;
    let timeout = new.timeout.map(|timeout| i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX));
    let inserted = session
        .execute(
            INSERT,
            &[
                (&new.id).into(),
                None::<&str>.into(),
                Status::Pending.as_str().into(),
                new.actors.as_slice().into(),
                0_usize.into(),
                new.metadata.as_ref().into(),
                new.headers.as_ref().into(),
                (&new.payload).into(),
                new.tool.as_deref().map(bounds::name).into(),
                new.sender.as_deref().map(bounds::name).into(),
                new.namespace.as_deref().map(bounds::name).into(),
                timeout.map(|secs| secs.min(i64::from(i32::MAX))).into(),
                new.deadline.into(),
                new.resubmit_of.as_ref().into(),
                new.actors.len().into(),
                0.0.into(),
                now.into(),
                0_usize.into(),
            ],
        )
        .await?;
    if inserted == 0 {
        return Ok(Creation::Exists);
    }
    let logged = Update {
        message: Some("Envelope created".to_owned()),
        percent: Some(0.0),
        ..Update::new(&new.id, now)
    };
    update::append(session, &logged).await?;
    outbox::enter(session, &new.id, &new.publish, now).await?;
    if let Some(letter) = &new.replays {
        dead::mark_replayed(session, letter, &new.id, now).await?;
    }
    if let Some(entry) = by {
        audit::append(session, entry).await?;
    }
    Ok(Creation::Created)
}

/// Stores a fan-out child, also one of a parent that is not known here.
pub(crate) async fn add_child(
    session: &mut impl Session,
    new: &NewChild,
    now: Timestamp,
) -> Result<Creation, StoreError> {
    let parent = match &new.parent {
        Some(parent) => tracked::glance(session, parent).await?,
        None => None,
    };
    insert_child(session, new, parent.as_ref(), 1, now).await
}

/// Stores a fan-out child. It takes tool, sender, namespace and deadline from `elder`, its parent or who is `levels`
/// above it; where that is cancelled it begins cancelled, so that its sidecar is told to stop.
pub(super) async fn insert_child(
    session: &mut impl Session,
    new: &NewChild,
    elder: Option<&Summary>,
    levels: usize,
    now: Timestamp,
) -> Result<Creation, StoreError> {
    bounds::check_id([&new.id].into_iter().chain(&new.parent))?;
    let current = new.current.min(new.actors.len());
    let cancelled = elder.is_some_and(|elder| elder.code.as_deref() == Some(codes::CANCELLED));
    let depth = elder.map_or(usize::from(new.parent.is_some()), |elder| elder.depth + levels);
    let (tool, sender, namespace, deadline) = match elder.cloned() {
        Some(elder) => (elder.tool, elder.sender, elder.namespace, elder.deadline),
        None => Default::default(),
    };
    let total = new.actors.len().max(1);
    #[allow(clippy::cast_precision_loss, reason = "routes are short")]
    let percent = (current as f64 * 100.0 / total as f64).round();
    let inserted = session
        .execute(
            INSERT,
            &[
                (&new.id).into(),
                new.parent.as_ref().into(),
                Status::Running.as_str().into(),
                new.actors.as_slice().into(),
                current.into(),
                None::<&Raw>.into(),
                None::<&Raw>.into(),
                None::<&Raw>.into(),
                tool.into(),
                sender.into(),
                namespace.into(),
                None::<i64>.into(),
                deadline.into(),
                None::<&str>.into(),
                new.actors.len().into(),
                percent.into(),
                now.into(),
                depth.into(),
            ],
        )
        .await?;
    if inserted == 0 {
        return Ok(Creation::Exists);
    }
    let logged = Update {
        status: Status::Running,
        message: Some("Envelope created by a fan-out".to_owned()),
        percent: Some(percent),
        current: Some(current),
        ..Update::new(&new.id, now)
    };
    update::append(session, &logged).await?;
    if let Some(parent) = &new.parent {
        children::one_more(session, parent).await?;
    }
    if cancelled {
        super::ending::cancel(session, &new.id, "its parent was cancelled", now).await?;
    }
    Ok(Creation::Created)
}
