//! Joins the parts of a fan-out into one envelope.
//!
//! | module | holds |
//! |---|---|
//! | `kept` | what is in the store |
//! | `joined` | from parts to the one envelope |
//! | [`sweep`] | [`Sweeper`]: deadlines |
//!
//! Each part is kept until all have come: as many as item 0 says there are, failed ones (see [`crate::gap`]) included.
//! Then one envelope goes on: the id that was fanned out, the payloads of the parts in order as a list, and the failed
//! parts in the header [`headers::GAPS`].
//!
//! States of a group, each change a compare-and-set of its record together with the part's:
//! - open: a part that is not known is kept; the last one to come makes it done. Its deadline is that of its first part.
//! - expiring: the deadline has passed and a sweeper reports it; parts are too late.
//! - done: the joined envelope is kept for a while, because where queue and store are not one transaction the part that
//!   completed the group may be delivered again, and then it must be sent again. Any other part is a redelivery and
//!   ends here.
//! - closed: it was given up. A part that had come is a redelivery and ends here; any other one fails.

mod joined;
mod kept;
pub mod sweep;

use std::{sync::Arc, time::Duration};

use asya_envelope::{
    Envelope, Raw, headers,
    lineage::{self, Part},
};
use asya_handler::{Code, End, Failure, Fate, Fault, Request};
use asya_settings::units;
use asya_store::{Expect, Store, Write, due::Due};
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    InProcess,
    actor::{Act, ActError},
    deadlines::{as_entered, later},
    record::{RESULTS, Recorder, Status},
    shipped::Variables,
};
use kept::{DUE, Done, GROUPS, Group, Kept, PARTS};
pub use sweep::Sweeper;

/// Header of a part: how long its group waits for the others, as in `15m`; that of the part that comes first counts.
pub const TIMEOUT: &str = "fan-in-timeout";
/// Code of a group that was incomplete at its deadline, and of what was missing; has a page under docs/errors.
pub const EXPIRED: &str = "fan_in_expired";
/// How long a group waits unless it says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long a joined envelope is kept for a redelivery of its last part, unless told otherwise.
pub const DEFAULT_RETENTION: Duration = Duration::from_secs(60 * 60);
/// Most parts of one group: keeps the joined envelope, and the memory to make it, bounded.
const MAX_PARTS: u64 = 100_000;

/// What becomes of a group that is incomplete at its deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Incomplete {
    /// It fails, with what has come as its payload.
    #[default]
    Fail,
    /// What has come goes on, if item 0 is among it; what is missing is named as a gap.
    Partial,
}

/// How long things are kept, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long a group waits, counted from its first part.
    pub timeout: Duration,
    /// What becomes of it then.
    pub incomplete: Incomplete,
    /// How long a joined envelope is kept.
    pub retention: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { timeout: DEFAULT_TIMEOUT, incomplete: Incomplete::Fail, retention: DEFAULT_RETENTION }
    }
}

impl Patience {
    /// Reads the variables `ASYA_FAN_IN_TIMEOUT`, `ASYA_FAN_IN_INCOMPLETE` and `ASYA_FAN_IN_RETENTION`.
    ///
    /// # Errors
    /// All that is wrong with them, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let (mut patience, mut errors) = (Self::default(), Vec::new());
        for (name, target) in [
            ("ASYA_FAN_IN_TIMEOUT", &mut patience.timeout),
            ("ASYA_FAN_IN_RETENTION", &mut patience.retention),
        ] {
            match variables.get(name).map(|text| units::duration(&text)) {
                Some(Ok(duration)) => *target = duration,
                Some(Err(error)) => errors.push(format!("{name}: {error}")),
                None => {}
            }
        }
        patience.incomplete = match variables.get("ASYA_FAN_IN_INCOMPLETE").as_deref() {
            None | Some("fail") => Incomplete::Fail,
            Some("partial") => Incomplete::Partial,
            Some(other) => {
                errors.push(format!("ASYA_FAN_IN_INCOMPLETE: {other:?} must be fail or partial"));
                Incomplete::Fail
            }
        };
        if errors.is_empty() { Ok(patience) } else { Err(errors) }
    }
}

/// Joins the parts of fan-outs.
pub struct FanIn {
    store: Arc<dyn Store>,
    recorder: Recorder,
    patience: Patience,
}

impl FanIn {
    /// The actor, keeping its parts in `store`. Parts of one group exclude each other, so it does one at a time.
    #[allow(clippy::new_ret_no_self, reason = "the names of the actors are what users look for")]
    pub fn new(store: Arc<dyn Store>, patience: Patience) -> InProcess<Self> {
        InProcess::new(Self::recording(store.clone(), Recorder::Tables(store), patience), 1)
    }

    /// What joins, not yet an actor: parts that went into a joined envelope are recorded by `recorder`.
    pub fn recording(store: Arc<dyn Store>, recorder: Recorder, patience: Patience) -> Self {
        Self { store, recorder, patience }
    }

    async fn join(&self, envelope: &Envelope, body: &Bytes, now: Timestamp) -> Result<End, ActError> {
        let mut parts = lineage::parts_of(&envelope.headers);
        let Some(part) = parts.pop() else {
            return Err(ActError::Unfit(format!(
                "envelope {:?} is not part of a fan-out: a fan-in joins what an earlier actor of the route split",
                envelope.id
            )));
        };
        if part.index >= MAX_PARTS || part.count.is_some_and(|count| count > MAX_PARTS) {
            return Err(ActError::Unfit(format!("a fan-in joins at most {MAX_PARTS} parts")));
        }
        let key = kept::group_key(&part);
        let known = kept::group(&*self.store, &key).await?;
        let expect = known.as_ref().map_or(Expect::Absent, |(_, version)| Expect::Version(*version));
        let mut group = known.map(|(group, _)| group).unwrap_or_default();
        if let Some(done) = &group.done {
            if done.by != part.index {
                tracing::warn!(
                    id = envelope.id,
                    "part of a fan-out that is joined already: a redelivery, or an id that was used twice"
                );
            }
            let again = (done.by == part.index).then(|| kept::parse(&done.envelope)).transpose()?;
            return Ok(taken(&part, again.into_iter().collect(), Vec::new()));
        }
        if group.closed.as_deref().is_some_and(|came| Group::came(came, part.index))
            || self.store.get(PARTS, &kept::part_key(&key, part.index)).await?.is_some()
        {
            return Ok(taken(&part, Vec::new(), Vec::new()));
        }
        if group.closed.is_some() || group.expiring.is_some() {
            return Ok(late(envelope, &part));
        }
        let gap =
            envelope.headers.get(headers::GAP).and_then(|raw| serde_json::from_slice(raw.as_bytes()).ok());
        let kept = Kept {
            first: (part.index == 0).then(|| kept::boxed(&envelope.encode())),
            payload: gap.is_none().then(|| kept::boxed(envelope.payload.as_bytes())),
            gap,
        };
        group.have += 1;
        group.count = group.count.or(part.count);
        let mut writes = match part.index {
            0 => Vec::new(),
            _ if kept.gap.is_some() => Vec::new(),
            _ => self.recorder.record(RESULTS, &envelope.id, Status::Joined, envelope, body).await?.writes,
        };
        let mut envelopes = Vec::new();
        let all = match group.count {
            Some(count) if group.have >= count => self.all(&key, &part, &kept, count).await?,
            _ => None,
        };
        if let Some((count, all)) = group.count.zip(all) {
            writes.extend(joined::forgotten(&key, all.iter().map(|(index, _)| *index)));
            let joined = joined::whole(&key, all, count, &parts)?;
            group.done = Some(Done { by: part.index, envelope: kept::boxed(&joined.encode()) });
            group.like = None;
            writes.extend(due(&mut group, &key, later(now, self.patience.retention)));
            envelopes.push(joined);
        } else {
            if group.until.is_none() {
                writes.extend(due(&mut group, &key, self.deadline(envelope, now)?));
            }
            if group.like.is_none() && kept.first.is_none() {
                let mut like = envelope.clone();
                like.payload = Raw::null();
                group.like = Some(kept::boxed(&like.encode()));
            }
            writes.push(kept::put(PARTS, kept::part_key(&key, part.index), &kept, Expect::Absent));
        }
        writes.push(kept::put(GROUPS, key, &group, expect));
        Ok(taken(&part, envelopes, writes))
    }

    /// When the group of its first part is given up: no later than the envelope's own deadline, for after that no part
    /// is handled.
    fn deadline(&self, envelope: &Envelope, now: Timestamp) -> Result<Timestamp, ActError> {
        let timeout = match envelope.headers.get_text(TIMEOUT) {
            Some(text) => units::duration(&text)
                .map_err(|error| ActError::Unfit(format!("header {TIMEOUT}: {error}")))?,
            None => self.patience.timeout,
        };
        let until = later(now, timeout);
        Ok(envelope.deadline.as_ref().map_or(until, |deadline| deadline.instant().min(until)))
    }

    /// Every part of a group that is complete with the one in hand, in order; `None` if one is missing. A generator that
    /// failed half-way and ran again may have sent more than it says now: what is beyond the count does not complete it.
    async fn all(
        &self,
        group: &str,
        part: &Part,
        kept: &Kept,
        count: u64,
    ) -> Result<Option<Vec<(u64, Kept)>>, ActError> {
        let mut all = kept::parts(&*self.store, group, MAX_PARTS).await?;
        all.push((part.index, kept.clone()));
        all.sort_by_key(|(index, _)| *index);
        let wanted = all.iter().filter(|(index, _)| *index < count).count();
        Ok((wanted as u64 == count).then_some(all))
    }
}

impl Act for FanIn {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.join(&request.envelope, &request.body, Timestamp::now()).await })
    }
}

/// A part of a group that was given up. One with an id of its own fails, so that nothing is lost; item 0 carries the id
/// that has failed with the group, and of a gap the end is known.
fn late(envelope: &Envelope, part: &Part) -> End {
    let reason = format!("the group of {:?} was given up before this part of it came", part.id());
    if part.index == 0 || envelope.headers.get(headers::GAP).is_some() {
        return End::Drop { reason };
    }
    End::Failed(Failure::new(Code::Rejected, Fault::Final, reason))
}

/// Moves the time at which a sweeper looks at the group.
fn due(group: &mut Group, key: &str, at: Timestamp) -> Vec<Write> {
    let at = as_entered(at);
    let before = group.until.replace(at);
    let remove = before.map(|before| Due::remove(DUE, before.into(), key));
    remove.into_iter().chain([Due::enter(DUE, at.into(), key)]).collect()
}

/// A part is kept. Item 0 carries the id that goes on with the result; the ids of the others end here.
fn taken(part: &Part, envelopes: Vec<Envelope>, writes: Vec<Write>) -> End {
    let fate = if part.index == 0 { Fate::GoesOn } else { Fate::Ended { stored: None } };
    End::Platform { envelopes, writes, fate }
}
