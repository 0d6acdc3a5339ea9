//! Writes what is wrong as `Result` objects, which kubectl shows.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | whose Results they are |
//! | `wanted` | the Result that a finding should have |
//! | `home` | the API server that keeps Results |
//! | [`resync`] | [`Resync`]: looks now and then whether all of them are as they should be |
//!
//! A message says only that something about an object has changed. What its Result should be is read from what `findings`
//! and `explain` keep, and written until a look at both finds nothing to do. So it does not matter in which order messages
//! come, how late, and how often: what is written is always what was told last, and whoever writes something older than
//! that looks again and finds it. A request that was given up and still arrives at the API server changes nothing there,
//! because it names the state of the object that it was made for.

mod home;
pub mod resync;
pub mod settings;
mod wanted;

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use asya_analysis::{
    Change, ObjectRef,
    message::{Explanation, Told, Transition},
};
use asya_handler::{End, Request};
use asya_llm::mask::Masker;
use asya_store::{Expect, Store, Write};
use bytes::Bytes;
use futures::future::BoxFuture;
use kube::api::DynamicObject;
use tokio::sync::OnceCell;

use self::{
    home::{Home, Wrote},
    wanted::{Wanted, key_of, name_of},
};
pub use self::{resync::Resync, settings::Settings};
use super::{
    explain::{EXPLANATIONS, Explained, names},
    findings, key, read, unchanged,
};
use crate::actor::{Act, ActError};

/// Clusters of which there are Results, below the namespace and name of their `K8sGPT`.
const CLUSTERS: &str = "analysis_results";
/// How often it is looked at both sides before the message goes back to its queue.
const ROUNDS: usize = 16;

/// The actor `results`: a [`Told`] comes and goes on as it is.
pub struct Results(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    settings: Settings,
    home: OnceCell<Home>,
    /// Clusters that are written down.
    clusters: Mutex<HashSet<String>>,
}

/// What a finding should have.
enum Should {
    /// A Result of what was told, with what is said about it.
    Have(Box<Transition>, Option<Explanation>),
    /// None.
    HaveNone,
    /// Nobody knows: it stays as it is.
    Unknown,
}

impl Results {
    /// The actor's decisions, in the cluster in which it runs.
    pub fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self(Arc::new(Inner { store, settings, home: OnceCell::new(), clusters: Mutex::default() }))
    }

    /// The same, in the cluster that `client` reaches.
    pub fn within(store: Arc<dyn Store>, settings: Settings, client: kube::Client, namespace: &str) -> Self {
        let home = OnceCell::new_with(Some(Home::of(client, namespace.to_owned())));
        Self(Arc::new(Inner { store, settings, home, clusters: Mutex::default() }))
    }

    /// What looks whether all Results are as they should be.
    pub fn resync(&self) -> Resync {
        Resync::new(self.0.clone())
    }
}

impl Act for Results {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move {
            let told: Told = read(&request.envelope, "a transition of findings")?;
            let finding = &told.transition.finding;
            let key = key(&finding.cluster, &finding.object);
            self.0.settle(&key, &finding.object, Some(&told)).await?;
            Ok(unchanged(&request.envelope, self.0.known(&finding.cluster).await?))
        })
    }
}

impl Inner {
    async fn home(&self) -> Result<&Home, ActError> {
        self.home.get_or_try_init(|| Home::find(self.settings.namespace.as_deref())).await
    }

    /// Brings the Result of an object to what it should be. True if it was not that already.
    async fn settle(&self, key: &str, object: &ObjectRef, told: Option<&Told>) -> Result<bool, ActError> {
        let name = name_of(&self.settings.k8sgpt, object);
        for round in 0..ROUNDS {
            if self.is_settled(key, &name, told).await? {
                return Ok(round > 0);
            }
        }
        let reason = "somebody else changes it again and again".to_owned();
        Err(ActError::Cluster { doing: format!("writing the Result {name}"), reason })
    }

    /// One look at what is there and, after that, at what should be. True if there was nothing to do.
    async fn is_settled(&self, key: &str, name: &str, told: Option<&Told>) -> Result<bool, ActError> {
        let home = self.home().await?;
        let current = home.get(name).await?;
        if let Some(other) = current.as_ref().and_then(key_of).filter(|other| *other != key) {
            return Err(ActError::Unfit(format!(
                "the Result {name} is of {other}, not of {key}: each cluster needs results with an \
                 ASYA_RESULTS_K8SGPT of its own"
            )));
        }
        match (self.should(key, told).await?, current) {
            (Should::Unknown, _) => {
                tracing::warn!(key, "findings keeps nothing of it: forgotten, or it has another database");
                Ok(true)
            }
            (Should::HaveNone, None) => Ok(true),
            (Should::HaveNone, Some(current)) if current.metadata.deletion_timestamp.is_some() => Ok(true),
            (Should::HaveNone, Some(current)) => home.delete(name, &current).await.map(|()| false),
            (Should::Have(..), Some(current)) if current.metadata.deletion_timestamp.is_some() => {
                let reason = "it is being deleted, and something holds it".to_owned();
                Err(ActError::Cluster { doing: format!("writing the Result {name}"), reason })
            }
            (Should::Have(transition, explanation), current) => {
                let finding = &transition.finding;
                let secret = self.settings.secret.as_ref();
                let secret = names::secret(&*self.store, secret, &finding.cluster).await?;
                let masker =
                    Masker::new(&secret, [""]).map_err(|error| ActError::Unfit(error.to_string()))?;
                let mut wanted = Wanted::of(&self.settings, &home.namespace, key, finding, &masker);
                match (explanation, &current) {
                    (Some(explanation), _) => wanted.explained(&explanation),
                    (None, Some(current)) => wanted.explained_as(current),
                    (None, None) => {}
                }
                write(home, name, &wanted, current).await
            }
        }
    }

    /// What an object should have, by what is kept and by what came.
    async fn should(&self, key: &str, told: Option<&Told>) -> Result<Should, ActError> {
        let came = told.map(|told| &told.transition);
        let transition = match findings::get(&*self.store, key).await? {
            Some((kept, _)) => {
                let standing = kept.standing();
                let is_newer = |came: &&Transition| {
                    standing.as_ref().is_none_or(|standing| came.finding.sequence > standing.finding.sequence)
                };
                came.filter(is_newer).cloned().or(standing)
            }
            // Forgotten, because it has been well for a day. What is told of it is older than that.
            None => match came {
                Some(came) if came.change == Change::Resolved => None,
                _ => return Ok(Should::Unknown),
            },
        };
        let Some(transition) = transition.filter(|transition| transition.change != Change::Resolved) else {
            return Ok(Should::HaveNone);
        };
        let fingerprint = &transition.finding.fingerprint;
        let brought = told.filter(|told| told.transition.finding.fingerprint == *fingerprint);
        let brought = brought.and_then(|told| told.explanation.clone());
        let kept = self.store.get(EXPLANATIONS, key).await?;
        let kept = kept.and_then(|record| serde_json::from_slice::<Explained>(&record.value).ok());
        let kept = kept.filter(|kept| kept.fingerprint == *fingerprint).map(|kept| kept.explanation);
        let explanation = brought.into_iter().chain(kept).max_by_key(|explanation| explanation.at);
        Ok(Should::Have(Box::new(transition), explanation))
    }

    /// Writes a cluster down, once, so that [`Resync`] knows that it is one of ours.
    async fn known(&self, cluster: &str) -> Result<Vec<Write>, ActError> {
        let clusters = || self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        if clusters().contains(cluster) {
            return Ok(Vec::new());
        }
        let key = format!("{}{cluster}", self.ours(self.home().await?));
        if self.store.get(CLUSTERS, &key).await?.is_some() {
            clusters().insert(cluster.to_owned());
            return Ok(Vec::new());
        }
        let (value, expect) = (Some(Bytes::from_static(b"true")), Expect::Anything);
        Ok(vec![Write { table: CLUSTERS, key, value, expect }])
    }

    /// What keys of [`CLUSTERS`] begin with.
    fn ours(&self, home: &Home) -> String {
        format!("{}/{}/", home.namespace, self.settings.k8sgpt)
    }
}

/// Writes what differs. True if nothing did.
async fn write(
    home: &Home,
    name: &str,
    wanted: &Wanted,
    current: Option<DynamicObject>,
) -> Result<bool, ActError> {
    let (current, was_right) = match current {
        Some(current) if wanted.is(&current) => (current, true),
        current => match home.apply(name, &wanted.object(current.as_ref())).await? {
            Wrote::Done(applied) => (*applied, false),
            Wrote::Moved => return Ok(false),
        },
    };
    if wanted.has_status(&current) {
        return Ok(was_right);
    }
    // Whatever becomes of it, it is looked at again.
    home.apply_status(name, &wanted.status_of(&current)).await.map(|_| false)
}
