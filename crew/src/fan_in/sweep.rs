//! Deadlines: a group that is incomplete goes on as it is or fails, what is done is forgotten.

use std::sync::Arc;

use asya_envelope::{Envelope, ErrorReport, Naming, Raw, Wrapped, headers};
use asya_store::{Expect, Store, StoreError, Write, due::Due};
use asya_transport::{Outgoing, Transport};
use bytes::Bytes;
use jiff::Timestamp;

use super::{
    EXPIRED, Incomplete, MAX_PARTS, Patience, due, joined,
    kept::{self, DUE, GROUPS, Group},
};
use crate::{
    actor::ActError,
    deadlines::{AT_ONCE, CLAIM, later, limits, rest},
};

/// Looks for what is due.
pub struct Sweeper {
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    naming: Naming,
    patience: Patience,
    ways: Ways,
}

/// Names that a sweeper has to know.
#[derive(Clone, Debug)]
pub struct Ways {
    /// The fan-in.
    pub actor: String,
    /// Where a route ends.
    pub happy_end: String,
    /// Where failures go.
    pub error_end: String,
}

impl Sweeper {
    /// A sweeper of what a fan-in keeps in `store`.
    pub fn new(
        store: Arc<dyn Store>,
        transport: Arc<dyn Transport>,
        naming: Naming,
        ways: Ways,
        patience: Patience,
    ) -> Self {
        Self { store, transport, naming, patience, ways }
    }

    /// Sweeps for ever. Cancel safe: what was sent and not noted is sent again, under the same id.
    pub async fn run(self) {
        loop {
            rest(self.sweep(Timestamp::now()).await).await;
        }
    }

    /// Ends what is due at `now`; returns how much it has ended. A group that cannot be ended does not hold the others.
    ///
    /// # Errors
    /// Those of the store, and of the transport.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, ActError> {
        let (mut ended, mut failed) = (0, None);
        for due in Due::by(&*self.store, DUE, now.into(), AT_ONCE).await? {
            match self.end(&due, now).await {
                Ok(true) => ended += 1,
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(ended), Err)
    }

    async fn end(&self, due: &Due, now: Timestamp) -> Result<bool, ActError> {
        let mut writes = match kept::group(&*self.store, &due.key).await? {
            // The entry is of an earlier deadline.
            Some((group, _)) if group.until.is_none_or(|until| until > now) => Vec::new(),
            Some((group, version)) if group.done.is_some() || group.closed.is_some() => {
                vec![kept::delete(GROUPS, due.key.clone(), Expect::Version(version))]
            }
            Some((group, version)) => match self.give_up(&due.key, group, version, now).await? {
                Some(writes) => writes,
                None => return Ok(false),
            },
            None => Vec::new(),
        };
        // First, for the group may be entered anew at the same time.
        writes.insert(0, Due::remove(DUE, due.at, &due.key));
        match self.store.commit(writes).await {
            Ok(()) => Ok(true),
            // Somebody was faster; the next look says what is left.
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reports a group whose time is over; the writes that close it, or `None` if another sweeper does it.
    async fn give_up(
        &self,
        key: &str,
        mut group: Group,
        version: u64,
        now: Timestamp,
    ) -> Result<Option<Vec<Write>>, ActError> {
        if group.expiring.is_some_and(|until| until > now) {
            return Ok(None);
        }
        // From here on no part is added, so that a second sweeper after a crash sends the same.
        group.expiring = Some(later(now, CLAIM));
        let claim = kept::put(GROUPS, key.to_owned(), &group, Expect::Version(version));
        match self.store.commit(vec![claim]).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let all = kept::parts(&*self.store, key, MAX_PARTS).await?;
        let indices: Vec<u64> = all.iter().map(|(index, _)| *index).collect();
        let has_first = all.first().is_some_and(|(_, kept)| kept.first.is_some());
        let (envelope, missing) = joined::partial(key, &group, all, &self.ways.actor)?;
        let (id, have) = (envelope.id.clone(), indices.len());
        let goes_on = has_first && self.patience.incomplete == Incomplete::Partial;
        let message = match goes_on.then(|| self.onward(&envelope)).flatten() {
            Some(message) => message,
            None => self.failed(&envelope, have, missing, &group, now),
        };
        let published = self.transport.publish(message, None).await;
        published.map_err(|error| ActError::Letter(error.to_string()))?;
        tracing::warn!(id, have, missing, goes_on, "a fan-in was incomplete at its deadline");

        let mut writes: Vec<Write> = joined::forgotten(key, indices.iter().copied()).collect();
        (group.closed, group.expiring, group.like) = (Some(kept::ranges(indices.into_iter())), None, None);
        // A part may be late by as much as a group waits.
        let keep = self.patience.timeout.max(self.patience.retention);
        writes.extend(due(&mut group, key, later(now, keep)));
        writes.push(kept::put(GROUPS, key.to_owned(), &group, Expect::Version(version + 1)));
        Ok(Some(writes))
    }

    /// What has come, to the next actor; `None` if it is too large for that.
    fn onward(&self, envelope: &Envelope) -> Option<Outgoing> {
        let mut onward = envelope.clone();
        onward.route = envelope.route.advanced();
        let hops = onward.headers.get_u64(headers::HOPS).unwrap_or(0).saturating_add(1);
        onward.headers.set(headers::HOPS, Raw::of(&hops));
        let queue = self.naming.queue(onward.route.current_actor().unwrap_or(&self.ways.happy_end));
        let body = onward.encode();
        (body.len() <= limits(&*self.transport).publishable()).then_some(Outgoing { queue, body })
    }

    fn failed(
        &self,
        envelope: &Envelope,
        have: usize,
        missing: Option<u64>,
        group: &Group,
        now: Timestamp,
    ) -> Outgoing {
        let until = group.until.unwrap_or(now);
        let of = match (group.count, missing) {
            (Some(count), Some(missing)) => format!("{missing} of {count} parts had not come"),
            _ => format!("item 0, which knows how many parts there are, had not come; {have} others had"),
        };
        let report = ErrorReport::new(EXPIRED, format!("{of} by {until}"), &self.ways.actor, 0, now);
        let (Wrapped::Whole(body) | Wrapped::Excerpt(body)) =
            report.wrap(envelope, &limits(&*self.transport));
        Outgoing { queue: self.naming.queue(&self.ways.error_end), body: Bytes::clone(&body) }
    }
}
