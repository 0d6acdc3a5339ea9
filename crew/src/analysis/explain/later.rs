//! What went on unexplained, and is explained later: when the model is back, has time, or has answered after all.

use std::sync::Arc;
use std::time::Duration;

use asya_analysis::{
    Sequence,
    message::{Explanation, Told},
};
use asya_envelope::{Envelope, Naming};
use asya_payload::Claims;
use asya_sidecar::Means;
use asya_store::{Expect, Store, StoreError, Write, due::Due};
use asya_transport::{Outgoing, Transport};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{sync::Notify, task::JoinHandle};

use super::{
    A_TRANSITION,
    asker::{Asker, Outcome},
    explained,
};
use crate::{
    actor::ActError,
    analysis::{onward, read},
    deadlines::{checked_in, later},
};

/// Changes that went on unexplained, by the key of their finding: the newest of each.
pub const UNEXPLAINED: &str = "analysis_unexplained";
/// When they are looked at next.
const DUE: &str = "analysis_unexplained_due";
/// How often it is looked.
const EVERY: Duration = Duration::from_secs(2);
/// Entries that are read at once.
const AT_ONCE: usize = 64;
/// When a change that went on is looked at first: its answer may be a moment late.
const FIRST: Duration = Duration::from_secs(2);
/// Pauses of what was not answered: doubled from here.
const PAUSE: Duration = Duration::from_secs(5);
/// No longer, so that all are explained soon after the model is back.
const LONGEST: Duration = Duration::from_secs(60);
/// Tries of a question that the model does not want or cannot read.
const UNANSWERABLE: u32 = 3;

/// A change that went on unexplained.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Unexplained {
    /// The order of its finding.
    pub(super) sequence: Sequence,
    /// The message that brought it.
    envelope: Box<RawValue>,
    /// How often the model did not want to answer it.
    #[serde(default)]
    refused: u32,
}

impl Unexplained {
    /// The change that waits under this key, and its version.
    pub(super) async fn get(store: &dyn Store, key: &str) -> Result<Option<(Self, u64)>, ActError> {
        let Some(record) = store.get(UNEXPLAINED, key).await? else { return Ok(None) };
        let kept = serde_json::from_slice(&record.value).map_err(|error| {
            ActError::Unfit(format!("record {UNEXPLAINED}/{key} cannot be read: {error}"))
        })?;
        Ok(Some((kept, record.version)))
    }

    /// The writes that keep a change instead of what is kept in this version.
    pub(super) fn keep(
        key: &str,
        envelope: &Envelope,
        sequence: Sequence,
        version: Option<u64>,
    ) -> Result<[Write; 2], ActError> {
        let wrong = |error: serde_json::Error| ActError::Unfit(error.to_string());
        let envelope = serde_json::from_slice(&envelope.encode()).map_err(wrong)?;
        let kept = Self { sequence, envelope, refused: 0 };
        let at = later(Timestamp::now(), FIRST);
        Ok([put(key, &kept, version)?, Due::enter(DUE, at.into(), key)])
    }

    /// The write that forgets it; its entry is a hint that leads nowhere then.
    pub(super) fn forget(key: &str, version: u64) -> Write {
        Write { table: UNEXPLAINED, key: key.to_owned(), value: None, expect: Expect::Version(version) }
    }
}

fn put(key: &str, kept: &Unexplained, version: Option<u64>) -> Result<Write, ActError> {
    let value = serde_json::to_vec(kept).map_err(|error| ActError::Unfit(error.to_string()))?;
    let expect = version.map_or(Expect::Absent, Expect::Version);
    Ok(Write { table: UNEXPLAINED, key: key.to_owned(), value: Some(Bytes::from(value)), expect })
}

/// Explains later, and sends on what came of it.
pub struct Backfill(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    asker: Arc<Asker>,
    transport: Arc<dyn Transport>,
    payloads: Option<Claims>,
    naming: Naming,
    means: Means,
    /// A question has come to its end.
    asked: Notify,
}

impl Backfill {
    pub(super) fn new(store: Arc<dyn Store>, asker: Arc<Asker>, means: Means, naming: Naming) -> Self {
        let Means { transport, metrics, payloads } = means.clone();
        if let Some(metrics) = metrics {
            // Set before by nobody: there is one of this per actor.
            drop(asker.metrics.set(metrics));
        }
        Self(Arc::new(Inner { store, asker, transport, payloads, naming, means, asked: Notify::new() }))
    }

    /// Goes on for ever. Cancel safe: what was sent and not noted is sent again, under the same id.
    pub async fn run(self) {
        let look = async {
            loop {
                if let Err(error) = self.look(Timestamp::now()).await {
                    tracing::warn!(%error, "what is unexplained cannot be looked at, trying again");
                }
                // A place that has become free, or the next ones that are due.
                drop(tokio::time::timeout(EVERY, self.0.asked.notified()).await);
            }
        };
        futures::future::join(look, self.0.asker.answers.forget(&self.0.means)).await;
    }

    /// Looks once at what is due at `now`: sends on what has its answer, forgets what is healed, begins to ask the rest.
    /// Returns how many were sent on or forgotten.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn look(&self, now: Timestamp) -> Result<usize, ActError> {
        let mut ended = 0;
        for due in Due::by(&*self.0.store, DUE, now.into(), AT_ONCE).await? {
            match self.one(&due, now).await {
                Ok(Looked::Ended) => ended += 1,
                Ok(Looked::PutOff) => {}
                Ok(Looked::Full) => break,
                Err(error) => {
                    tracing::warn!(key = due.key, %error, "not explained now, trying again later");
                    self.put_off(&due, now).await?;
                }
            }
        }
        Ok(ended)
    }

    async fn put_off(&self, due: &Due, now: Timestamp) -> Result<(), ActError> {
        let pause = PAUSE.saturating_mul(2_u32.saturating_pow(due.tries)).min(LONGEST);
        let at = later(now, pause);
        Ok(self.0.store.commit(due.put_off(DUE, at.into(), due.tries.saturating_add(1)).into()).await?)
    }

    async fn one(&self, due: &Due, now: Timestamp) -> Result<Looked, ActError> {
        let inner = &self.0;
        let gone = Due::remove(DUE, due.at, &due.key);
        let Some((kept, version)) = Unexplained::get(&*inner.store, &due.key).await? else {
            inner.store.commit(vec![gone]).await?;
            return Ok(Looked::Ended);
        };
        let envelope = parsed(&kept)?;
        let finding = read::<Told>(&envelope, A_TRANSITION)?.transition.finding;
        if !inner.asker.stands(&due.key, &finding).await? {
            inner.asker.count("stale");
            let ended = inner.commit(vec![gone, Unexplained::forget(&due.key, version)]).await?;
            return Ok(Looked::of(ended));
        }
        let hash = inner.asker.key(&finding);
        if let Some(answer) = inner.asker.answers.get(&hash).await? {
            let ended = inner.send(&due.key, &envelope, version, answer, Some(gone)).await?;
            return Ok(Looked::of(ended));
        }
        if !inner.asker.is_resting() {
            let Some(asked) = inner.asker.begin(finding) else { return Ok(Looked::Full) };
            tokio::spawn(inner.clone().waited(due.key.clone(), asked));
        }
        // Looked at again whatever comes of it: this process may end.
        self.put_off(due, now).await?;
        Ok(Looked::PutOff)
    }
}

/// What became of an entry.
enum Looked {
    Ended,
    PutOff,
    /// As much is being asked as may be: the others wait.
    Full,
}

impl Looked {
    /// Somebody who was faster leaves the entry to the next look.
    fn of(ended: bool) -> Self {
        if ended { Self::Ended } else { Self::PutOff }
    }
}

impl Inner {
    /// Sends on what comes of a question, without holding up the others.
    async fn waited(self: Arc<Self>, key: String, asked: JoinHandle<Outcome>) {
        let done = match asked.await {
            Ok(Outcome::Answered(_)) => self.answered(&key).await,
            Ok(Outcome::Unanswerable) => self.refused(&key).await,
            Ok(Outcome::Away | Outcome::Elsewhere) | Err(_) => Ok(()),
        };
        if let Err(error) = done {
            tracing::warn!(key, %error, "explained and not sent on, trying again later");
        }
        self.asked.notify_one();
    }

    /// Sends on what is answered; what changed or healed while it was asked is left to its entry.
    async fn answered(&self, key: &str) -> Result<(), ActError> {
        let Some((kept, version)) = Unexplained::get(&*self.store, key).await? else { return Ok(()) };
        let envelope = parsed(&kept)?;
        let finding = read::<Told>(&envelope, A_TRANSITION)?.transition.finding;
        if self.asker.stands(key, &finding).await?
            && let Some(answer) = self.asker.answers.get(&self.asker.key(&finding)).await?
        {
            self.send(key, &envelope, version, answer, None).await?;
        }
        Ok(())
    }

    async fn refused(&self, key: &str) -> Result<(), ActError> {
        let Some((mut kept, version)) = Unexplained::get(&*self.store, key).await? else { return Ok(()) };
        kept.refused += 1;
        let write = if kept.refused < UNANSWERABLE {
            put(key, &kept, Some(version))?
        } else {
            self.asker.count("given_up");
            tracing::warn!(key, tries = kept.refused, "the model does not answer this; it stays unexplained");
            Unexplained::forget(key, version)
        };
        self.commit(vec![write]).await.map(drop)
    }

    /// Sends an answer after its change, and keeps it where others look for it. True if the entry has gone.
    async fn send(
        &self,
        key: &str,
        envelope: &Envelope,
        version: u64,
        answer: Explanation,
        entry: Option<Write>,
    ) -> Result<bool, ActError> {
        let mut told: Told = read(envelope, A_TRANSITION)?;
        let index = explained(key, &told.transition.finding, &answer)?;
        (told.explanation, told.late) = (Some(answer), true);
        let mut onward = onward(envelope, &told);
        // Another message than the one that went before: under its id it would count as that one, delivered again.
        onward.id = format!("{}-explained", envelope.id);
        // A route that ends here: nobody is to be told.
        if let Some(queue) = onward.route.current_actor().map(|actor| self.naming.queue(actor)) {
            let onward = checked_in(self.payloads.as_ref(), onward).await?;
            let message = Outgoing { queue, body: onward.encode() };
            let sent = self.transport.publish(message, None).await;
            sent.map_err(|error| ActError::Unsent { id: onward.id.clone(), reason: error.to_string() })?;
        }
        let mut writes = vec![Unexplained::forget(key, version), index];
        writes.extend(entry);
        self.commit(writes).await
    }

    /// False if somebody was faster.
    async fn commit(&self, writes: Vec<Write>) -> Result<bool, ActError> {
        match self.store.commit(writes).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn parsed(kept: &Unexplained) -> Result<Envelope, ActError> {
    Envelope::parse(Bytes::copy_from_slice(kept.envelope.get().as_bytes()))
        .map_err(|error| ActError::Unfit(error.to_string()))
}
