//! Progress: what a sidecar reports, and what becomes of the envelope by it.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Offspring, Status, Summary, bounds, ending, tracked,
    update::{self, Update},
};
use crate::{StoreError, chat::entries, session::Session};

/// What happened at an actor, in the words of the contract; sidecars of the Go system know the first three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The actor has taken it from its queue.
    Received,
    /// Its handler works on it.
    Processing,
    /// Its handler is done.
    Completed,
    /// It goes back to the queue, to be tried again.
    Retrying,
    /// It is on its way to the error end, which reports the end.
    Failed,
    /// Its handler let it go: it ends here, and no end actor sees it.
    Dropped,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Received, Self::Processing, Self::Completed, Self::Retrying, Self::Failed, Self::Dropped];

    /// The word in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }

    /// The step of a word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == word)
    }

    /// Its part of one actor's share, in percent; from the contract. What is tried again or fails was received, and no
    /// more is certain.
    fn weight(self) -> f64 {
        match self {
            Self::Received | Self::Retrying | Self::Failed | Self::Dropped => 10.0,
            Self::Processing => 50.0,
            Self::Completed => 100.0,
        }
    }
}

/// One report of a sidecar.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The route's actors, as the sidecar has them.
    pub actors: Vec<String>,
    /// Index of the reporting actor. Sidecars of the Go system send the next one with `completed`: see `actor`.
    pub current: usize,
    /// Name of the reporting actor. Absent in reports of the Go system's sidecar: then the index of a `completed` is
    /// taken to be one too high, as that sidecar sends it.
    pub actor: Option<String>,
    /// What happened.
    pub step: Step,
    /// For a person.
    pub message: Option<String>,
    /// How far the handler says it is, 0.0 to 1.0.
    pub fraction: Option<f64>,
    /// Which run of the handler, from 1; 0 if the sidecar does not say.
    pub attempt: u32,
    /// Counts up within one delivery.
    pub seq: u32,
    /// How long the handler took.
    pub duration: Option<Duration>,
    /// Size of the message, in bytes.
    pub size: Option<u64>,
    /// With [`Step::Dropped`]: what is left of the envelope's fan-outs.
    pub offspring: Offspring,
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reported {
    /// The envelope has moved on to this percentage; to 100 if its handler let it go, which ends it.
    Applied(f64),
    /// It came late or again: the envelope had moved on before, to this percentage.
    Late(f64),
    /// The envelope had ended before, like this, and stays so; the report is in its history.
    Ended(Status),
    /// There is no such envelope.
    Unknown,
}

/// Where an envelope is after a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Position {
    pub(crate) actors: Vec<String>,
    pub(crate) current: usize,
    pub(crate) actor: Option<String>,
    pub(crate) completed: usize,
    pub(crate) percent: f64,
    pub(crate) attempt: u32,
    pub(crate) seq: u32,
    pub(crate) late: bool,
}

impl Position {
    /// The state after `report` on an envelope in the state `before`, whose last report was number `seq`.
    ///
    /// Percentages are those of the contract, `(index * 100 + weight) / actors`, of the actor that reports. Neither
    /// they nor the position ever go back: reports overtake each other, and redeliveries begin anew.
    pub(crate) fn after(before: &Summary, seq: u32, report: &Report) -> Self {
        let index = report.index().min(report.actors.len().max(before.actors.len()));
        let actors = if report.actors.len() > before.actors.len() { &report.actors } else { &before.actors };
        let total = actors.len().max(1);
        let done = if report.step == Step::Completed { index + 1 } else { index };
        let earlier = (index, report.attempt) < (before.current, before.attempt);
        // Reports without a count (attempt 0) cannot be told apart: at the same actor the last one counts.
        let again = (index, report.attempt) == (before.current, before.attempt)
            && report.attempt > 0
            && before.actor.is_some()
            && report.seq <= seq;
        let late = earlier || again;
        let mut after = Self {
            completed: done.min(total).max(before.completed),
            percent: report.percent(index, total).max(before.percent).min(100.0),
            actors: actors.clone(),
            current: before.current,
            actor: before.actor.clone(),
            attempt: before.attempt,
            seq,
            late,
        };
        if !late {
            after.current = index;
            let name = report.actor.as_ref().or_else(|| actors.get(index));
            after.actor = name.map(|name| bounds::name(name).to_owned());
            after.attempt = report.attempt;
            after.seq = report.seq;
        }
        after
    }
}

impl Report {
    /// Index of the actor that reports.
    fn index(&self) -> usize {
        match (self.step, &self.actor) {
            (Step::Completed, None) => self.current.saturating_sub(1),
            _ => self.current,
        }
    }

    fn percent(&self, index: usize, total: usize) -> f64 {
        let weight = match (self.step, self.fraction) {
            // The handler's own word fills what is left between `processing` and `completed`.
            (Step::Processing, Some(fraction)) if fraction.is_finite() => {
                let (from, to) = (Step::Processing.weight(), Step::Completed.weight());
                from + (to - from) * fraction.clamp(0.0, 1.0)
            }
            (step, _) => step.weight(),
        };
        #[allow(clippy::cast_precision_loss, reason = "routes are short")]
        let percent = (index as f64 * 100.0 + weight) / total as f64;
        // Two decimals, as databases of the Go system keep it.
        ((percent * 100.0).round() / 100.0).min(100.0)
    }
}

/// Applies a report.
pub(crate) async fn report(
    session: &mut impl Session,
    id: &str,
    report: &Report,
    now: Timestamp,
) -> Result<Reported, StoreError> {
    let Some((before, seq)) = tracked::hold(session, id).await? else { return Ok(Reported::Unknown) };
    let ended = before.status.is_final();
    let after = Position::after(&before, seq, report);
    let index = report.index().min(after.actors.len());
    let message = report.message.as_deref().map(|text| bounds::text(text).to_owned());
    let logged = Update {
        status: if ended { before.status } else { Status::Running },
        message: message.clone(),
        percent: (!ended).then_some(after.percent),
        actor: report.actor.clone().or_else(|| after.actors.get(index).cloned()),
        actors: (!ended && after.actors != before.actors).then(|| after.actors.clone()),
        current: Some(index),
        step: Some(report.step),
        attempt: report.attempt,
        duration: report.duration,
        size: report.size,
        ..Update::new(id, now)
    };
    update::append(session, &logged).await?;
    if ended {
        // The final report has overtaken it. What was done is told; the envelope stays as it ended.
        return Ok(Reported::Ended(before.status));
    }
    session
        .execute(
            "UPDATE envelopes SET status = 'running', message = ?2, route_actors = ?3, total_actors = ?4, \
             route_current = ?5, current_actor_idx = ?5, current_actor_name = ?6, actors_completed = ?7, \
             progress_percent = ?8, attempt = ?9, report_seq = ?10, updated_at = ?11 WHERE id = ?1",
            &[
                id.into(),
                if after.late { before.message.as_ref().into() } else { message.into() },
                after.actors.as_slice().into(),
                after.actors.len().into(),
                after.current.into(),
                after.actor.into(),
                after.completed.into(),
                after.percent.into(),
                after.attempt.into(),
                after.seq.into(),
                now.into(),
            ],
        )
        .await?;
    // A copy that has moved on to a later actor is not the one that was let go.
    // Reports get lost: what an agent has written down says it, too.
    let last = report.step == Step::Dropped && index >= before.current;
    if last && !entries::is_behind(session, id, index).await? {
        let (actor, current) = (logged.actor.as_deref(), index);
        ending::dropped(session, &before, actor, current, &after.actors, &report.offspring, now).await?;
        return Ok(Reported::Applied(100.0));
    }
    Ok(if after.late { Reported::Late(after.percent) } else { Reported::Applied(after.percent) })
}
