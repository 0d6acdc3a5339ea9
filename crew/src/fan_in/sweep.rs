//! Deadlines: a group that is incomplete goes on as it is or fails, what is done is forgotten.

use std::sync::Arc;

use asya_envelope::{Envelope, ErrorReport, Naming, Raw, Wrapped, headers};
use asya_payload::Claims;
use asya_sidecar::Means;
use asya_store::{Expect, Store, StoreError, Write, due::Due};
use asya_transport::{Outgoing, Transport};
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{
    EXPIRED, Incomplete, MAX_PARTS, Patience, due, joined,
    kept::{self, DUE, GROUPS, Group},
};
use crate::{
    actor::ActError,
    deadlines::{CLAIM, Ending, Look, Step, checked_in, later, limits},
};

/// Looks for what is due.
pub struct Sweeper {
    look: Look,
    groups: Groups,
}

/// Ends groups.
struct Groups {
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    payloads: Option<Claims>,
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
    pub fn new(store: Arc<dyn Store>, means: Means, naming: Naming, ways: Ways, patience: Patience) -> Self {
        let look = Look::new(store.clone(), DUE, &means);
        let Means { transport, payloads, .. } = means;
        Self { look, groups: Groups { store, transport, payloads, naming, patience, ways } }
    }

    /// Sweeps for ever. Cancel safe: what was sent and not noted is sent again, under the same id.
    pub async fn run(self) {
        self.look.run(&self.groups).await;
    }

    /// Ends what is due at `now`; returns how much it has ended. A group that cannot be ended is put off and does not
    /// hold the others.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, ActError> {
        Ok(self.look.once(&self.groups, now).await?.ended)
    }
}

impl Ending for Groups {
    fn end<'a>(&'a self, due: &'a Due, now: Timestamp) -> BoxFuture<'a, Result<Step, ActError>> {
        Box::pin(async move {
            Ok(match kept::group(&*self.store, &due.key).await? {
                // The entry is of an earlier deadline.
                Some((group, _)) if group.until.is_none_or(|until| until > now) => Step::End(Vec::new()),
                Some((group, version)) if group.done.is_some() || group.closed.is_some() => {
                    Step::End(vec![kept::delete(GROUPS, due.key.clone(), Expect::Version(version))])
                }
                Some((group, version)) => self.give_up(&due.key, group, version, now).await?,
                None => Step::End(Vec::new()),
            })
        })
    }
}

impl Groups {
    /// Reports a group whose time is over.
    async fn give_up(
        &self,
        key: &str,
        mut group: Group,
        version: u64,
        now: Timestamp,
    ) -> Result<Step, ActError> {
        if let Some(until) = group.expiring.filter(|until| *until > now) {
            return Ok(Step::Taken(until));
        }
        // From here on no part is added, so that a second sweeper after a crash sends the same.
        group.expiring = Some(later(now, CLAIM));
        let claim = kept::put(GROUPS, key.to_owned(), &group, Expect::Version(version));
        match self.store.commit(vec![claim]).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => return Ok(Step::Changed),
            Err(error) => return Err(error.into()),
        }
        let all = kept::parts(&*self.store, key, MAX_PARTS).await?;
        let indices: Vec<u64> = all.iter().map(|(index, _)| *index).collect();
        let has_first = all.first().is_some_and(|(_, kept)| kept.first.is_some());
        let (envelope, missing) = joined::partial(key, &group, all, &self.ways.actor)?;
        let envelope = checked_in(self.payloads.as_ref(), envelope).await?;
        let (id, have) = (envelope.id.clone(), indices.len());
        let goes_on = has_first && self.patience.incomplete == Incomplete::Partial;
        let message = match goes_on.then(|| self.onward(&envelope)).flatten() {
            Some(message) => message,
            None => self.failed(&envelope, have, missing, &group, now),
        };
        let published = self.transport.publish(message, None).await;
        published.map_err(|error| ActError::Unsent { id: id.clone(), reason: error.to_string() })?;
        tracing::warn!(id, have, missing, goes_on, "a fan-in was incomplete at its deadline");

        let mut writes: Vec<Write> = joined::forgotten(key, indices.iter().copied()).collect();
        (group.closed, group.expiring, group.like) = (Some(kept::ranges(indices.into_iter())), None, None);
        // A part may be late by as much as a group waits.
        let keep = self.patience.timeout.max(self.patience.retention);
        writes.extend(due(&mut group, key, later(now, keep)));
        writes.push(kept::put(GROUPS, key.to_owned(), &group, Expect::Version(version + 1)));
        Ok(Step::End(writes))
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
