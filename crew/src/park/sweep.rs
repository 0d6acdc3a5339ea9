//! Deadlines: what waited too long fails, what is remembered is forgotten.

use std::sync::Arc;

use asya_envelope::{ErrorReport, Queue, Wrapped};
use asya_store::{Store, StoreError, due::Due};
use asya_transport::{Outgoing, Transport};
use jiff::Timestamp;

use super::{
    EXPIRED,
    kept::{self, DONE, Done, EARLY, Early, PARKED, Parked},
};
use crate::{
    actor::ActError,
    deadlines::{AT_ONCE, CLAIM, later, limits, rest},
};

/// Looks for what is due.
pub struct Sweeper {
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    actor: String,
    error_end: Queue,
}

impl Sweeper {
    /// A sweeper of the actor `actor`; what failed goes to the queue `error_end`.
    pub fn new(
        store: Arc<dyn Store>,
        transport: Arc<dyn Transport>,
        actor: impl Into<String>,
        error_end: Queue,
    ) -> Self {
        Self { store, transport, actor: actor.into(), error_end }
    }

    /// Sweeps for ever. Cancel safe: what was sent and not noted is sent again, under the same id.
    pub async fn run(self) {
        loop {
            rest(self.sweep(Timestamp::now()).await).await;
        }
    }

    /// Ends what is due at `now`; returns how much it has ended.
    ///
    /// # Errors
    /// Those of the store, and of the transport.
    pub async fn sweep(&self, now: Timestamp) -> Result<usize, ActError> {
        let mut ended = 0;
        for due in Due::by(&*self.store, kept::DUE, now.into(), AT_ONCE).await? {
            let Some((table, place)) = due.key.split_once(':') else { continue };
            let forget = match table {
                PARKED => self.expire(place, now).await?,
                EARLY => match kept::get::<Early>(&*self.store, EARLY, place).await? {
                    Some((early, version)) if early.until <= now => {
                        Some(vec![kept::delete(EARLY, place, version)])
                    }
                    _ => Some(Vec::new()),
                },
                _ => match kept::get::<Done>(&*self.store, DONE, place).await? {
                    Some((done, version)) if done.until <= now => {
                        Some(vec![kept::delete(DONE, place, version)])
                    }
                    _ => Some(Vec::new()),
                },
            };
            let Some(mut writes) = forget else { continue };
            writes.push(Due::remove(kept::DUE, due.at, &due.key));
            match self.store.commit(writes).await {
                Ok(()) => ended += 1,
                // Somebody was faster; the next look says what is left.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(ended)
    }

    /// Reports an envelope that waited too long; the writes that forget it, or `None` if another sweeper does.
    async fn expire(&self, place: &str, now: Timestamp) -> Result<Option<Vec<asya_store::Write>>, ActError> {
        let Some((mut parked, version)) = kept::get::<Parked>(&*self.store, PARKED, place).await? else {
            return Ok(Some(Vec::new()));
        };
        if parked.until > now {
            // The entry is of an envelope that was parked under this key before.
            return Ok(Some(Vec::new()));
        }
        if parked.expiring.is_some_and(|until| until > now) {
            return Ok(None);
        }
        parked.expiring = Some(later(now, CLAIM));
        match self.store.commit(vec![kept::put(PARKED, place, &parked, Some(version))]).await {
            Ok(()) => {}
            Err(StoreError::Conflict { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let envelope = kept::parse(&parked.envelope)?;
        let message = format!("no event {:?} came until {}", parked.key, parked.until);
        let report = ErrorReport::new(EXPIRED, message, &self.actor, 0, now);
        let (Wrapped::Whole(body) | Wrapped::Excerpt(body)) =
            report.wrap(&envelope, &limits(&*self.transport));
        let message = Outgoing { queue: self.error_end.clone(), body };
        self.transport.publish(message, None).await.map_err(|error| ActError::Letter(error.to_string()))?;
        tracing::warn!(id = parked.id, key = parked.key, "no event came in time");
        Ok(Some(vec![kept::delete(PARKED, place, version + 1)]))
    }
}
