//! Deadlines: what waited too long fails, what is remembered is forgotten.

use std::sync::Arc;

use asya_envelope::{ErrorReport, Queue, Wrapped};
use asya_payload::Claims;
use asya_sidecar::Means;
use asya_store::{Store, StoreError, due::Due};
use asya_transport::{Outgoing, Transport};
use futures::future::BoxFuture;
use jiff::Timestamp;

use super::{
    EXPIRED,
    kept::{self, DONE, Done, EARLY, Early, PARKED, Parked},
};
use crate::{
    actor::ActError,
    deadlines::{CLAIM, Ending, Look, Step, checked_in, later, limits},
};

/// Looks for what is due.
pub struct Sweeper {
    look: Look,
    waiting: Waiting,
}

/// Ends what waited, and forgets what is remembered.
struct Waiting {
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    payloads: Option<Claims>,
    actor: String,
    error_end: Queue,
}

impl Sweeper {
    /// A sweeper of the actor `actor`; what failed goes to the queue `error_end`.
    pub fn new(store: Arc<dyn Store>, means: Means, actor: impl Into<String>, error_end: Queue) -> Self {
        let look = Look::new(store.clone(), kept::DUE, &means);
        let (Means { transport, payloads, .. }, actor) = (means, actor.into());
        Self { look, waiting: Waiting { store, transport, payloads, actor, error_end } }
    }

    /// Sweeps for ever. Cancel safe: what was sent and not noted is sent again, under the same id.
    pub async fn run(self) {
        self.look.run(&self.waiting).await;
    }

    /// Ends what is due at `now`; returns how much it has ended. What cannot be ended is put off and does not hold the
    /// others.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, ActError> {
        Ok(self.look.once(&self.waiting, now).await?.ended)
    }
}

impl Ending for Waiting {
    fn end<'a>(&'a self, due: &'a Due, now: Timestamp) -> BoxFuture<'a, Result<Step, ActError>> {
        Box::pin(async move {
            let (table, place) = due.key.split_once(':').unwrap_or(("", &due.key));
            let forget = match table {
                PARKED => return self.expire(place, now).await,
                EARLY => kept::get::<Early>(&*self.store, EARLY, place)
                    .await?
                    .filter(|(early, _)| early.until <= now)
                    .map(|(_, version)| kept::delete(EARLY, place, version)),
                _ => kept::get::<Done>(&*self.store, DONE, place)
                    .await?
                    .filter(|(done, _)| done.until <= now)
                    .map(|(_, version)| kept::delete(DONE, place, version)),
            };
            Ok(Step::End(forget.into_iter().collect()))
        })
    }
}

impl Waiting {
    /// Reports an envelope that waited too long.
    async fn expire(&self, place: &str, now: Timestamp) -> Result<Step, ActError> {
        let Some((mut parked, version)) = kept::get::<Parked>(&*self.store, PARKED, place).await? else {
            return Ok(Step::End(Vec::new()));
        };
        if parked.until > now {
            // The entry is of an envelope that was parked under this key before.
            return Ok(Step::End(Vec::new()));
        }
        if let Some(until) = parked.expiring.filter(|until| *until > now) {
            return Ok(Step::Taken(until));
        }
        parked.expiring = Some(later(now, CLAIM));
        match self.store.commit(vec![kept::put(PARKED, place, &parked, Some(version))]).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => return Ok(Step::Changed),
            Err(error) => return Err(error.into()),
        }
        let envelope = checked_in(self.payloads.as_ref(), kept::parse(&parked.envelope)?).await?;
        let message = format!("no event {:?} came until {}", parked.key, parked.until);
        let report = ErrorReport::new(EXPIRED, message, &self.actor, 0, now);
        let (Wrapped::Whole(body) | Wrapped::Excerpt(body)) =
            report.wrap(&envelope, &limits(&*self.transport));
        let message = Outgoing { queue: self.error_end.clone(), body };
        let published = self.transport.publish(message, None).await;
        published.map_err(|error| ActError::Unsent { id: parked.id.clone(), reason: error.to_string() })?;
        tracing::warn!(id = parked.id, key = parked.key, "no event came in time");
        Ok(Step::End(vec![kept::delete(PARKED, place, version + 1)]))
    }
}
