//! What is wrong, from when it is seen until it is healed.
//!
//! One record per object, changed by compare-and-set: of two answers about it the newer one stays, whichever comes first.
//! The record also says what was told last. Where queue and store are not one transaction a message may come again after
//! its change was written; then the same is sent on again, under the same id, also if newer answers have come meanwhile.
//! Who receives them orders them by the finding's sequence.
//!
//! What went away while nobody watched is missed on a page that says which objects of a kind there are
//! ([`Live`](asya_analysis::Live)), and the findings of a custom analyzer that is no more are not among the kinds that such
//! analyzers speak of. For each such finding the actor sends itself an observation that the object is gone, with the sequence of
//! the page: it closes only what was seen before it.
//!
//! A finding in its grace period keeps the envelope that brought it. A [`Sweeper`] opens it when the period is over and
//! sends that envelope on.

use std::sync::Arc;
use std::time::Duration;

use asya_analysis::custom::is_of_one;
use asya_analysis::finding::fingerprint;
use asya_analysis::message::{Observed, Transition};
pub(super) use asya_analysis::record::OPEN;
use asya_analysis::record::key;
pub use asya_analysis::record::{FINDINGS, Kept};
use asya_analysis::{Change, Failure, Finding, Lifecycle, ObjectRef, Observation};
use asya_envelope::{Envelope, Naming, Raw};
use asya_handler::{End, Fate, Request};
use asya_payload::Claims;
use asya_sidecar::Means;
use asya_store::{Expect, Store, StoreError, Write, due::Due};
use asya_transport::{Outgoing, Transport};
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use serde_json::value::RawValue;

use super::{mute::Mute, onward, read};
use crate::actor::{Act, ActError};
use crate::deadlines::{Ending, Look, Step, as_entered, checked_in, later};

/// The most findings of one kind that a page is compared with; more than that is more than anybody reads.
pub(super) const MOST_OPEN: usize = 100_000;
/// When a grace period is over, and when an object that is well is forgotten.
const DUE: &str = "analysis_due";
/// How long it is remembered that an object is well: an older answer that is still on its way must not open a finding.
const KEEP_RESOLVED: Duration = Duration::from_secs(24 * 60 * 60);

/// The actor `findings`: an [`Observed`] comes; what changed goes on as a [`Transition`], and what did not ends here.
pub struct Findings {
    store: Arc<dyn Store>,
    grace: SignedDuration,
    mute: Mute,
}

impl Findings {
    /// The actor's decisions; what it writes is to be committed by whoever calls it. Something that is wrong for less
    /// than `grace` is told to nobody.
    pub fn new(store: Arc<dyn Store>, grace: Duration) -> Self {
        Self { store, grace: signed(grace), mute: Mute::default() }
    }

    /// The same, which tells nobody of what is muted.
    #[must_use]
    pub fn muting(mut self, mute: Mute) -> Self {
        self.mute = mute;
        self
    }

    async fn take(&self, envelope: &Envelope, now: Timestamp) -> Result<End, ActError> {
        let observed: Observed = read(envelope, "an answer of k8s-analyze")?;
        match &observed.observation {
            Observation::Live(live) => {
                let prefix = format!("{}/{}/", observed.cluster, live.kind);
                return self.missing(envelope, &observed, &prefix, |object| live.misses(object)).await;
            }
            Observation::Custom(kinds) => {
                let is_left = |object: &ObjectRef| is_of_one(&object.kind) && !kinds.contains(&object.kind);
                return self.missing(envelope, &observed, &format!("{}/", observed.cluster), is_left).await;
            }
            Observation::Evaluated(_) | Observation::Gone(_) => {}
        }
        let Some(object) = observed.observation.object() else { return Ok(platform(None, Vec::new())) };
        let key = key(&observed.cluster, object);
        let (kept, version) = get(&*self.store, &key).await?.unzip();
        let told = kept.as_ref().and_then(|kept| kept.told.as_ref());
        if let Some(again) = told.filter(|told| told.finding.sequence == observed.sequence) {
            return Ok(platform(Some(onward(envelope, again)), Vec::new()));
        }
        let stored = kept.as_ref().map(|kept| &kept.finding);
        let Observed { cluster, sequence, observation } = &observed;
        let is_told = |failure: &Failure| !self.mute.covers(object, failure, now);
        let (next, change) = Finding::take(stored, cluster, observation, *sequence, now, self.grace, is_told);
        let Some(finding) = next else { return Ok(platform(None, Vec::new())) };
        // Opened and not sent yet: whoever hears of the change has not heard of the finding.
        let unsent = kept.as_ref().is_some_and(|kept| kept.waits.is_some());
        let change = if unsent && change == Change::Changed { Change::Opened } else { change };
        let mut writes = Vec::new();
        let waits = match change {
            Change::Waiting(at) => {
                writes.push(Due::enter(DUE, as_entered(at).into(), &key));
                Some(boxed(envelope)?)
            }
            Change::Seen => kept.as_ref().and_then(|kept| kept.waits.clone()),
            Change::Resolved | Change::Nothing => {
                // One entry for as long as it is well: when it is due and the record is younger, it is put off.
                if stored.is_none_or(|stored| stored.lifecycle != Lifecycle::Resolved) {
                    writes.push(Due::enter(DUE, later(now, KEEP_RESOLVED).into(), &key));
                }
                None
            }
            Change::Opened | Change::Changed => None,
        };
        let was_open = stored.is_some_and(|stored| stored.lifecycle != Lifecycle::Resolved);
        let is_open = finding.lifecycle != Lifecycle::Resolved;
        if is_open != was_open {
            let value = is_open.then(|| serde_json::to_vec(object)).transpose();
            let value = value.map_err(|error| ActError::Unfit(error.to_string()))?.map(Bytes::from);
            writes.push(Write { table: OPEN, key: key.clone(), value, expect: Expect::Anything });
        }
        let tells = matches!(change, Change::Opened | Change::Changed | Change::Resolved);
        let transition = tells.then(|| Transition { change, finding: finding.clone() });
        let sent = transition.as_ref().map(|transition| onward(envelope, transition));
        let told = transition.or_else(|| kept.and_then(|kept| kept.told));
        writes.push(put(&key, &Kept { finding, told, waits }, version)?);
        Ok(platform(sent, writes))
    }

    /// What is open below this prefix and is no more, as observations for this same actor.
    async fn missing(
        &self,
        envelope: &Envelope,
        observed: &Observed,
        prefix: &str,
        is_gone: impl Fn(&ObjectRef) -> bool,
    ) -> Result<End, ActError> {
        let Observed { cluster, sequence, .. } = observed;
        let open = self.store.list(OPEN, prefix, MOST_OPEN).await?;
        let objects = open.iter().filter_map(|record| {
            let object = serde_json::from_slice::<ObjectRef>(&record.value);
            object.inspect_err(|error| tracing::warn!(key = record.key, %error, "left open")).ok()
        });
        let gone = objects.filter(is_gone).map(|object| {
            let mut gone = envelope.clone();
            // By the object: when the page comes again, others may be missing.
            gone.id = format!("{}-{:.16}", envelope.id, fingerprint(cluster, &object, &[]));
            gone.parent_id = Some(envelope.id.clone());
            let (cluster, sequence, observation) = (cluster.clone(), *sequence, Observation::Gone(object));
            gone.payload = Raw::of(&Observed { cluster, sequence, observation });
            gone
        });
        Ok(End::Platform { envelopes: gone.collect(), writes: Vec::new(), fate: Fate::GoesOn })
    }
}

impl Act for Findings {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.take(&request.envelope, Timestamp::now()).await })
    }
}

/// Opens what was wrong for as long as the grace period, and forgets what is well.
pub struct Sweeper {
    look: Look,
    waiting: Waiting,
}

struct Waiting {
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    payloads: Option<Claims>,
    naming: Naming,
    grace: SignedDuration,
    mute: Mute,
}

impl Sweeper {
    /// A sweeper of the findings in `store`; `grace` is that of the actor.
    pub fn new(store: Arc<dyn Store>, means: Means, naming: Naming, grace: Duration) -> Self {
        let look = Look::new(store.clone(), DUE, &means);
        let Means { transport, payloads, .. } = means;
        let (grace, mute) = (signed(grace), Mute::default());
        Self { look, waiting: Waiting { store, transport, payloads, naming, grace, mute } }
    }

    /// The same, which opens nothing of which all is muted.
    #[must_use]
    pub fn muting(mut self, mute: Mute) -> Self {
        self.waiting.mute = mute;
        self
    }

    /// Sweeps for ever. Cancel safe: what was sent and not noted is sent again, under the same id.
    pub async fn run(self) {
        self.look.run(&self.waiting).await;
    }

    /// Opens and forgets what is due at `now`; returns how many.
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
            let Some((mut kept, mut version)) = get(&*self.store, &due.key).await? else {
                return Ok(Step::End(Vec::new()));
            };
            if kept.finding.lifecycle == Lifecycle::Resolved {
                let forgotten = later(kept.finding.last_seen, KEEP_RESOLVED);
                if forgotten > now {
                    return Ok(Step::Taken(forgotten));
                }
                let (key, expect) = (due.key.clone(), Expect::Version(version));
                return Ok(Step::End(vec![Write { table: FINDINGS, key, value: None, expect }]));
            }
            let Finding { object, failures, lifecycle, .. } = &kept.finding;
            let is_muted = failures.iter().all(|failure| self.mute.covers(object, failure, now));
            if *lifecycle == Lifecycle::Pending && is_muted {
                // Muted since it was seen; the next observation closes it.
                return Ok(Step::End(Vec::new()));
            }
            if let Some(opened) = kept.finding.due(now, self.grace) {
                // Written before it is sent: of two sweepers one goes on, and an end in between is found again by the
                // envelope that still waits.
                kept.finding = opened;
                match self.store.commit(vec![put(&due.key, &kept, Some(version))?]).await {
                    Ok(()) => version += 1,
                    Err(StoreError::Conflict { .. }) => return Ok(Step::Changed),
                    Err(error) => return Err(error.into()),
                }
            }
            let Some(waits) = kept.waits.take().filter(|_| kept.finding.lifecycle != Lifecycle::Pending)
            else {
                return Ok(Step::End(Vec::new()));
            };
            let envelope = Envelope::parse(Bytes::copy_from_slice(waits.get().as_bytes()))
                .map_err(|error| ActError::Unfit(error.to_string()))?;
            let told = Transition { change: Change::Opened, finding: kept.finding.clone() };
            self.send(&envelope, &told).await?;
            kept.told = Some(told);
            Ok(Step::End(vec![put(&due.key, &kept, Some(version))?]))
        })
    }
}

impl Waiting {
    async fn send(&self, envelope: &Envelope, told: &Transition) -> Result<(), ActError> {
        let onward = onward(envelope, told);
        // A route that ends with the findings: nobody is to be told.
        let Some(queue) = onward.route.current_actor().map(|actor| self.naming.queue(actor)) else {
            return Ok(());
        };
        let onward = checked_in(self.payloads.as_ref(), onward).await?;
        let message = Outgoing { queue, body: onward.encode() };
        let sent = self.transport.publish(message, None).await;
        sent.map_err(|error| ActError::Unsent { id: onward.id.clone(), reason: error.to_string() })
    }
}

fn platform(envelope: Option<Envelope>, writes: Vec<Write>) -> End {
    End::Platform { envelopes: envelope.into_iter().collect(), writes, fate: Fate::GoesOn }
}

/// What is kept under a key, and its version.
pub(super) async fn get(store: &dyn Store, key: &str) -> Result<Option<(Kept, u64)>, ActError> {
    let Some(record) = store.get(FINDINGS, key).await? else { return Ok(None) };
    let kept = serde_json::from_slice(&record.value)
        .map_err(|error| ActError::Unfit(format!("record {FINDINGS}/{key} cannot be read: {error}")))?;
    Ok(Some((kept, record.version)))
}

fn put(key: &str, kept: &Kept, version: Option<u64>) -> Result<Write, ActError> {
    let value = serde_json::to_vec(kept).map_err(|error| ActError::Unfit(error.to_string()))?;
    let expect = version.map_or(Expect::Absent, Expect::Version);
    Ok(Write { table: FINDINGS, key: key.to_owned(), value: Some(Bytes::from(value)), expect })
}

fn boxed(envelope: &Envelope) -> Result<Box<RawValue>, ActError> {
    serde_json::from_slice(&envelope.encode()).map_err(|error| ActError::Unfit(error.to_string()))
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}
