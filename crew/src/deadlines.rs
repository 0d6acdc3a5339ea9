//! What actors that wait have in common: times as the entries of [`Due`] say them, and looking for what is due.
//!
//! What is due and cannot be ended (the queue it is to go to is not there, its record cannot be read) is put off, each
//! time for longer, so that it never stands before what can be ended. A look is bounded: what it does not get to is for
//! the next.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use asya_envelope::{Envelope, Limits};
use asya_payload::{ClaimError, Claims, Reference, reference::HEADER};
use asya_sidecar::Means;
use asya_store::{Store, StoreError, Write, due::Due};
use asya_telemetry::ActorMetrics;
use asya_transport::Transport;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use crate::actor::ActError;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);
/// Entries that are read at once.
const AT_ONCE: usize = 64;
/// How often a look reads on: with as many due and not one to be ended, a look is over after so many tries.
const PAGES: usize = 8;
/// How long a sweeper may take to report an end before another does.
pub(crate) const CLAIM: Duration = Duration::from_secs(30);
/// How long what could not be ended is put off after its first try. No shorter than the claim that this try has made.
const FIRST_PAUSE: Duration = CLAIM;
/// The longest that it is put off: no longer does it wait in vain once a missing queue is there.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How often it is said that something cannot be ended; the metric counts each.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// A time as its entry says it, to the millisecond: what is later than its entry would count as entered anew, and nobody
/// would look at it again.
pub(crate) fn as_entered(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// That long after `now`, or the end of time, as an entry says it.
pub(crate) fn later(now: Timestamp, after: Duration) -> Timestamp {
    as_entered(now.checked_add(after).unwrap_or(Timestamp::MAX))
}

/// How long an entry is put off that has failed so often.
fn pause(tries: u32) -> Duration {
    let factor = 2_u32.saturating_pow(tries.saturating_sub(1));
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

/// What a message may hold that a sweeper sends itself.
pub(crate) fn limits(transport: &dyn Transport) -> Limits {
    let mut limits = Limits::default();
    let most = transport.max_message();
    limits.max_envelope = most.map_or(limits.max_envelope, |most| most.min(limits.max_envelope));
    limits
}

/// An envelope that a sweeper sends itself, its payload put into the payload store if it is large and there is one. One
/// that is too large for the store stays whole.
///
/// # Errors
/// [`ActError::Unsent`] when the store is away: again, later.
pub(crate) async fn checked_in(
    payloads: Option<&Claims>,
    mut envelope: Envelope,
) -> Result<Envelope, ActError> {
    let Some(claims) = payloads.filter(|_| Reference::of(&envelope).is_none()) else { return Ok(envelope) };
    envelope.headers.remove(HEADER);
    match claims.check_in(&envelope.id, &envelope.payload).await {
        Ok(Some(reference)) => reference.stand_in(&mut envelope),
        Ok(None) | Err(ClaimError::TooLarge { .. }) => {}
        Err(error) => return Err(ActError::Unsent { id: envelope.id, reason: error.to_string() }),
    }
    Ok(envelope)
}

/// What is to become of an entry that is due.
pub(crate) enum Step {
    /// These writes end it, together with the removal of its entry.
    End(Vec<Write>),
    /// Another sweeper is at it, until then.
    Taken(Timestamp),
    /// Its record has changed in between: the next look says what is left.
    Changed,
}

/// Who ends what is due.
pub(crate) trait Ending: Send + Sync {
    /// Does what has to be done before the entry goes.
    fn end<'a>(&'a self, due: &'a Due, now: Timestamp) -> BoxFuture<'a, Result<Step, ActError>>;
}

/// Looks for what is due in one table.
pub(crate) struct Look {
    store: Arc<dyn Store>,
    table: &'static str,
    metrics: Option<ActorMetrics>,
    trouble: Mutex<Trouble>,
}

/// What a look came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Looked {
    /// Entries that were ended.
    pub(crate) ended: usize,
    /// Entries that were put off because they could not be.
    pub(crate) failed: usize,
    /// More may be due.
    more: bool,
}

/// What could not be ended since it was said last.
#[derive(Default)]
struct Trouble {
    failed: u64,
    said: Option<Instant>,
}

impl Look {
    /// A look at `table` of `store`; what fails is counted by the metrics of `means`.
    pub(crate) fn new(store: Arc<dyn Store>, table: &'static str, means: &Means) -> Self {
        Self { store, table, metrics: means.metrics.clone(), trouble: Mutex::default() }
    }

    /// Looks for ever, with a pause while nothing more is due.
    pub(crate) async fn run(&self, ending: &dyn Ending) {
        loop {
            match self.once(ending, Timestamp::now()).await {
                Ok(Looked { more: true, ended, .. }) if ended > 0 => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "deadlines cannot be looked at, trying again"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Ends what is due at `now`, as far as that can be done.
    ///
    /// # Errors
    /// Those of the store, when entries can be neither read nor put off.
    pub(crate) async fn once(&self, ending: &dyn Ending, now: Timestamp) -> Result<Looked, ActError> {
        let began = Instant::now();
        let mut looked = Looked::default();
        for _ in 0..PAGES {
            let page = Due::by(&*self.store, self.table, now.into(), AT_ONCE).await?;
            for due in &page {
                // A claim is made when its entry is reached, not when the look began.
                let now = SignedDuration::try_from(began.elapsed())
                    .map_or(now, |took| now.saturating_add(took).unwrap_or(now));
                match self.step(ending, due, now).await {
                    Ok(true) => looked.ended += 1,
                    Ok(false) => {}
                    Err(error) => {
                        let tries = due.tries.saturating_add(1);
                        let at = later(now, pause(tries));
                        tracing::debug!(entry = due.key, %error, tries, until = %at, "put off");
                        self.commit(due.put_off(self.table, at.into(), tries).into()).await?;
                        looked.failed += 1;
                        self.failed(&error);
                    }
                }
            }
            looked.more = page.len() == AT_ONCE;
            if !looked.more {
                break;
            }
        }
        Ok(looked)
    }

    /// True if the entry has gone.
    async fn step(&self, ending: &dyn Ending, due: &Due, now: Timestamp) -> Result<bool, ActError> {
        match ending.end(due, now).await? {
            Step::End(mut writes) => {
                // First, for the record may be entered anew at the same time.
                writes.insert(0, Due::remove(self.table, due.at, &due.key));
                self.commit(writes).await
            }
            Step::Taken(until) if until > now => {
                self.commit(due.put_off(self.table, until.into(), due.tries).into()).await.map(|_| false)
            }
            Step::Taken(_) | Step::Changed => Ok(false),
        }
    }

    /// False if somebody was faster; the next look says what is left.
    async fn commit(&self, writes: Vec<Write>) -> Result<bool, ActError> {
        match self.store.commit(writes).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Counts what could not be ended, and says so now and then.
    fn failed(&self, error: &ActError) {
        if let Some(metrics) = &self.metrics {
            metrics.deadline_failed();
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.failed += 1;
        if trouble.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            tracing::warn!(
                failed = trouble.failed,
                %error,
                "deadlines have passed and cannot be acted on; each is tried again, the others are not held up"
            );
            *trouble = Trouble { failed: 0, said: Some(Instant::now()) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_is_put_off_for_longer_up_to_a_bound() {
        let pauses: Vec<_> = [1, 2, 3, 5, 6, u32::MAX].map(|tries| pause(tries).as_secs()).into();
        assert_eq!(pauses, [30, 60, 120, 480, 600, 600]);
    }
}
