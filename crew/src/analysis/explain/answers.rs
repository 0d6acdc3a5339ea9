//! Answers of models, kept so that the same is not asked twice, and claims, so that it is not asked twice at the same time.
//!
//! In the database, for a while; or in an object store, for as long as its own rules say. What an object store does not
//! take goes to the database: an answer has been paid for.

use std::{sync::Arc, time::Duration};

use asya_analysis::message::Explanation;
use asya_sidecar::Means;
use asya_store::{Expect, Store, StoreError, Write, due::Due};
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    actor::ActError,
    deadlines::{Ending, Look, Step, later},
};

/// Answers by the hash of their question's key.
const ANSWERS: &str = "analysis_answers";
/// When they are forgotten.
const EXPIRES: &str = "analysis_answers_due";
/// Questions that are being asked, until when their asker is believed to live.
const CLAIMS: &str = "analysis_asking";
/// How long an asker is believed that has not renewed its claim: a process that has ended holds a question up so long.
const CLAIM: Duration = Duration::from_secs(60);

/// Where answers are.
pub(super) struct Answers {
    store: Arc<dyn Store>,
    keep: Duration,
    #[cfg(feature = "objects")]
    objects: Option<super::objects::Objects>,
}

/// A question that is ours to ask. It has to be renewed within [`Claim::RENEW`] and released at the end.
pub(super) struct Claim {
    hash: String,
    version: u64,
}

impl Claim {
    /// How often a claim is renewed.
    pub(super) const RENEW: Duration = Duration::from_secs(20);
}

impl Answers {
    /// Answers in `store`, each for as long as `keep`.
    pub(super) fn new(store: Arc<dyn Store>, keep: Duration) -> Self {
        Self {
            store,
            keep,
            #[cfg(feature = "objects")]
            objects: None,
        }
    }

    /// The same, with new answers in an object store.
    #[cfg(feature = "objects")]
    pub(super) fn within(mut self, objects: Option<super::objects::Objects>) -> Self {
        self.objects = objects;
        self
    }

    /// The answer to a question.
    pub(super) async fn get(&self, hash: &str) -> Result<Option<Explanation>, ActError> {
        let read = |bytes: &[u8]| match serde_json::from_slice(bytes) {
            Ok(answer) => Some(answer),
            Err(error) => {
                tracing::warn!(hash, %error, "an answer that is kept cannot be read; the question is asked again");
                None
            }
        };
        if let Some(answer) = self.store.get(ANSWERS, hash).await?.and_then(|record| read(&record.value)) {
            return Ok(Some(answer));
        }
        #[cfg(feature = "objects")]
        if let Some(objects) = &self.objects {
            return Ok(objects.get(hash).await?.and_then(|bytes| read(&bytes)));
        }
        Ok(None)
    }

    /// Keeps an answer.
    pub(super) async fn put(&self, hash: &str, answer: &Explanation) -> Result<(), ActError> {
        let value = serde_json::to_vec(answer).map_err(|error| ActError::Unfit(error.to_string()))?;
        let value = Bytes::from(value);
        #[cfg(feature = "objects")]
        if let Some(objects) = &self.objects {
            match objects.put(hash, value.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => tracing::warn!(%error, "an answer goes to the database instead"),
            }
        }
        let until = later(Timestamp::now(), self.keep);
        let (key, expect) = (hash.to_owned(), Expect::Anything);
        let write = Write { table: ANSWERS, key, value: Some(value), expect };
        Ok(self.store.commit(vec![write, Due::enter(EXPIRES, until.into(), hash)]).await?)
    }

    /// Claims a question; none: somebody else is asking it.
    pub(super) async fn claim(&self, hash: &str) -> Result<Option<Claim>, ActError> {
        let now = Timestamp::now();
        let (expect, version) = match self.store.get(CLAIMS, hash).await? {
            None => (Expect::Absent, 1),
            Some(record) => {
                let until: Option<Timestamp> = serde_json::from_slice(&record.value).ok();
                if until.is_some_and(|until| until > now) {
                    return Ok(None);
                }
                (Expect::Version(record.version), record.version + 1)
            }
        };
        match self.store.commit(vec![claiming(hash, now, expect)]).await {
            Ok(()) => Ok(Some(Claim { hash: hash.to_owned(), version })),
            Err(StoreError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Renews a claim.
    pub(super) async fn renew(&self, claim: &mut Claim) -> Result<(), ActError> {
        let expect = Expect::Version(claim.version);
        self.store.commit(vec![claiming(&claim.hash, Timestamp::now(), expect)]).await?;
        claim.version += 1;
        Ok(())
    }

    /// Gives a claim back, together with these writes.
    pub(super) async fn release(&self, claim: Claim, mut writes: Vec<Write>) -> Result<(), ActError> {
        writes.push(Write { table: CLAIMS, key: claim.hash, value: None, expect: Expect::Anything });
        Ok(self.store.commit(writes).await?)
    }

    /// Forgets answers that have been kept for long enough, for ever.
    pub(super) async fn forget(&self, means: &Means) {
        Look::new(self.store.clone(), EXPIRES, means).run(&Forget).await;
    }
}

fn claiming(hash: &str, now: Timestamp, expect: Expect) -> Write {
    let until = serde_json::to_vec(&later(now, CLAIM)).map(Bytes::from).ok();
    Write { table: CLAIMS, key: hash.to_owned(), value: until, expect }
}

struct Forget;

impl Ending for Forget {
    fn end<'a>(&'a self, due: &'a Due, _now: Timestamp) -> BoxFuture<'a, Result<Step, ActError>> {
        let (key, expect) = (due.key.clone(), Expect::Anything);
        Box::pin(async move { Ok(Step::End(vec![Write { table: ANSWERS, key, value: None, expect }])) })
    }
}
