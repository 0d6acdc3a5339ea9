//! Has a model explain what is wrong, once per finding, and never holds back what is wrong for it.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | what the actor is told |
//! | `asker` | the model, and whether it is asked |
//! | `question` | what is asked about a finding, and what the answer says |
//! | `names` | which names a model must not see |
//! | `answers`, `objects` | answers that are kept |
//! | [`later`] | [`Backfill`]: what went on unexplained |
//!
//! A change of a finding comes. Its answer is looked up; if there is none the model is asked, and its answer kept before
//! the change is acknowledged. A change waits for that only so long, and not at all while the model rests: then it goes on
//! unexplained, and the same commit that acknowledges it writes it down as unexplained. [`Backfill`] asks for those until
//! each has its answer or is healed, and sends the answer after it.

mod answers;
mod asker;
pub mod later;
pub(in crate::analysis) mod names;
#[cfg(feature = "objects")]
mod objects;
mod question;
pub mod settings;

use std::{sync::Arc, time::Duration};

use asya_analysis::{
    Change, Finding, Sequence,
    message::{Explanation, Told},
};
use asya_envelope::{Envelope, Naming};
use asya_handler::{End, Fate, Request};
use asya_sidecar::Means;
use asya_store::{Expect, Store, Write};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use self::{
    asker::{Asker, Outcome},
    later::Unexplained,
};
pub use self::{later::Backfill, settings::Settings};
use super::{key, onward, read};
use crate::actor::{Act, ActError};

/// What is wrong and explained, by the key of its finding: for whoever shows findings.
pub const EXPLANATIONS: &str = "analysis_explanations";
/// How often it is looked whether somebody else has the answer who asks the same.
const ELSEWHERE: Duration = Duration::from_millis(100);
/// What the payload has to be, in errors.
const A_TRANSITION: &str = "a transition of findings";

/// An explanation of a finding that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The finding's fingerprint: another one, and the explanation is of what was wrong before.
    pub fingerprint: String,
    /// The finding's order when it was explained.
    pub sequence: Sequence,
    /// What the model says.
    pub explanation: Explanation,
}

/// The actor `explain`: a [`Transition`](asya_analysis::message::Transition) comes, a [`Told`] goes on.
pub struct Explain {
    store: Arc<dyn Store>,
    asker: Option<Arc<Asker>>,
    wait: Duration,
}

impl Explain {
    /// The actor's decisions; what it writes is to be committed by whoever calls it.
    ///
    /// # Errors
    /// A sentence: a file, a certificate or a place that cannot be used.
    pub fn new(store: Arc<dyn Store>, settings: &Settings) -> Result<Self, String> {
        let asker = Asker::new(store.clone(), settings)?.map(Arc::new);
        Ok(Self { store, asker, wait: settings.wait })
    }

    /// What explains later.
    pub fn later(&self) -> Later {
        Later { store: self.store.clone(), asker: self.asker.clone() }
    }

    async fn take(&self, envelope: &Envelope) -> Result<End, ActError> {
        let told: Told = read(envelope, A_TRANSITION)?;
        let finding = &told.transition.finding;
        let key = key(&finding.cluster, &finding.object);
        match (told.transition.change, &self.asker) {
            (Change::Opened | Change::Changed, Some(asker)) if told.explanation.is_none() => {
                self.explain(asker, envelope, told, &key).await
            }
            (Change::Resolved, _) => {
                // What broke again may be waiting or explained already.
                let mut writes = Vec::new();
                let waiting = Unexplained::get(&*self.store, &key).await?;
                let older = waiting.filter(|(waiting, _)| waiting.sequence <= finding.sequence);
                writes.extend(older.map(|(_, version)| Unexplained::forget(&key, version)));
                if let Some((known, version)) = self.known(&key).await?
                    && known.is_none_or(|known| known.sequence <= finding.sequence)
                {
                    let expect = Expect::Version(version);
                    writes.push(Write { table: EXPLANATIONS, key, value: None, expect });
                }
                Ok(unchanged(envelope, writes))
            }
            _ => Ok(unchanged(envelope, Vec::new())),
        }
    }

    async fn explain(
        &self,
        asker: &Arc<Asker>,
        envelope: &Envelope,
        mut told: Told,
        key: &str,
    ) -> Result<End, ActError> {
        let finding = &told.transition.finding;
        let known = match asker.answers.get(&asker.key(finding)).await {
            Ok(Some(answer)) => {
                asker.count("cached");
                Ok(Some(answer))
            }
            Ok(None) => Ok(self.asked(asker, finding).await),
            Err(error @ ActError::Store(_)) => Err(error),
            Err(error) => {
                // Not asked without having looked: it may be answered already.
                tracing::warn!(key, %error, "answers cannot be looked up; the change goes on unexplained");
                Ok(None)
            }
        }?;
        let waiting = Unexplained::get(&*self.store, key).await?;
        let explained_newer = self
            .known(key)
            .await?
            .and_then(|(known, _)| known)
            .is_some_and(|known| known.sequence > finding.sequence);
        let newer = waiting.as_ref().is_some_and(|(waiting, _)| waiting.sequence > finding.sequence)
            || explained_newer;
        let version = waiting.map(|(_, version)| version);
        let mut writes = Vec::new();
        let Some(answer) = known else {
            if !newer {
                writes.extend(Unexplained::keep(key, envelope, finding.sequence, version)?);
            }
            return Ok(unchanged(envelope, writes));
        };
        if !newer {
            writes.push(explained(key, finding, &answer)?);
            writes.extend(version.map(|version| Unexplained::forget(key, version)));
        }
        told.explanation = Some(answer);
        let envelopes = vec![onward(envelope, &told)];
        Ok(End::Platform { envelopes, writes, fate: Fate::GoesOn })
    }

    /// The explanation that others are shown, if it can be read, and its version.
    async fn known(&self, key: &str) -> Result<Option<(Option<Explained>, u64)>, ActError> {
        let record = self.store.get(EXPLANATIONS, key).await?;
        Ok(record.map(|record| (serde_json::from_slice(&record.value).ok(), record.version)))
    }

    /// The model's answer, if it comes in time.
    async fn asked(&self, asker: &Arc<Asker>, finding: &Finding) -> Option<Explanation> {
        let asked = async {
            loop {
                match asker.begin(finding.clone())?.await {
                    Ok(Outcome::Answered(answer)) => return Some(answer),
                    Ok(Outcome::Elsewhere) => tokio::time::sleep(ELSEWHERE).await,
                    Ok(Outcome::Away | Outcome::Unanswerable) | Err(_) => return None,
                }
            }
        };
        tokio::time::timeout(self.wait, asked).await.ok().flatten()
    }
}

/// What explains later, before it is known with which means.
pub struct Later {
    store: Arc<dyn Store>,
    asker: Option<Arc<Asker>>,
}

impl Later {
    /// The work beside the actor; none without a model.
    pub fn with(self, means: Means, naming: Naming) -> Option<Backfill> {
        Some(Backfill::new(self.store, self.asker?, means, naming))
    }

    /// Works for ever, or not at all.
    pub async fn run(self, means: Means, naming: Naming) {
        match self.with(means, naming) {
            Some(backfill) => backfill.run().await,
            None => std::future::pending().await,
        }
    }
}

impl Act for Explain {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.take(&request.envelope).await })
    }
}

/// The write that keeps an explanation where others look for it.
fn explained(key: &str, finding: &Finding, answer: &Explanation) -> Result<Write, ActError> {
    let (fingerprint, sequence) = (finding.fingerprint.clone(), finding.sequence);
    let explained = Explained { fingerprint, sequence, explanation: answer.clone() };
    let value = serde_json::to_vec(&explained).map_err(|error| ActError::Unfit(error.to_string()))?;
    let (table, key, value) = (EXPLANATIONS, key.to_owned(), Some(Bytes::from(value)));
    Ok(Write { table, key, value, expect: Expect::Anything })
}

/// The change as it came.
fn unchanged(envelope: &Envelope, writes: Vec<Write>) -> End {
    let mut onward = envelope.clone();
    onward.route = envelope.route.advanced();
    End::Platform { envelopes: vec![onward], writes, fate: Fate::GoesOn }
}
