//! The way of an envelope: which actors it has been at, from when to when.

use std::time::Duration;

use asya_store::envelopes::{Status, Step, Update};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// How far a hop is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HopStatus {
    /// The sidecar has the envelope.
    Received,
    /// The handler runs.
    Processing,
    /// The handler has answered.
    Completed,
    /// The envelope failed here.
    Failed,
}

/// One actor that an envelope has been at.
#[derive(Clone, Debug, PartialEq)]
pub struct Hop {
    /// The actor.
    pub actor: String,
    /// Its place in the route.
    pub current: Option<usize>,
    /// The first report from there.
    pub started: Timestamp,
    /// The end of it.
    pub ended: Option<Timestamp>,
    /// How long the handler took by its sidecar's clock, else from the first report to the end.
    pub duration: Option<Duration>,
    /// Runs of the handler; 1 where sidecars do not count.
    pub attempts: u32,
    /// How far it is.
    pub status: HopStatus,
}

/// The hops that these updates tell of, in the order of the route. Reports that overtake each other, or the end of the
/// envelope, belong to one hop.
pub fn hops(updates: &[Update]) -> Vec<Hop> {
    let mut hops: Vec<Hop> = Vec::new();
    for update in updates {
        let late = update.is_late();
        // The last actor has handled an envelope that succeeded, whether or not it gets to say so.
        if update.status == Status::Succeeded
            && !late
            && let Some(last) = hops.last_mut().filter(|hop| hop.ended.is_none())
        {
            last.end(HopStatus::Completed, update);
        }
        let failed = update.status == Status::Failed && !late;
        let Some(actor) = update.actor.as_deref().filter(|_| failed || update.step.is_some()) else {
            continue;
        };
        // Who reports the failure need not know the place.
        let same = |hop: &Hop| hop.actor == actor && (failed || hop.current == update.current);
        let at = hops.iter().rposition(same).unwrap_or_else(|| {
            let behind = |hop: &Hop| hop.current > update.current && update.current.is_some();
            let place = hops.iter().position(behind).unwrap_or(hops.len());
            hops.insert(place, Hop::begun(actor, update));
            place
        });
        let at = &mut hops[at];
        at.attempts = at.attempts.max(update.attempt);
        match update.step {
            // What had been handled there was not what failed: the envelope was cancelled, or too late, behind it.
            _ if failed && at.ended.is_some() => {}
            _ if failed => at.end(HopStatus::Failed, update),
            // Where the envelope failed, it failed, whatever the handler says of it later.
            _ if at.status == HopStatus::Failed => {}
            Some(Step::Completed | Step::Dropped) => at.end(HopStatus::Completed, update),
            Some(Step::Processing) if at.ended.is_none() => at.status = HopStatus::Processing,
            // It waits in the queue for its next run.
            Some(Step::Retrying) if at.ended.is_none() => at.status = HopStatus::Received,
            // Whether it has failed is for the error end to say, which may send it here again.
            _ => {}
        }
    }
    hops
}

impl Hop {
    fn begun(actor: &str, update: &Update) -> Self {
        Self {
            actor: actor.to_owned(),
            current: update.current,
            started: update.at,
            ended: None,
            duration: None,
            attempts: 1,
            status: HopStatus::Received,
        }
    }

    fn end(&mut self, status: HopStatus, update: &Update) {
        self.status = status;
        self.ended = Some(update.at);
        let between = update.at.duration_since(self.started);
        self.duration = update.duration.or_else(|| Duration::try_from(between).ok());
    }
}
