//! What is broken in clusters, as the actors of the analysis have written it down.

use asya_analysis::{
    Finding, Lifecycle, ObjectRef, Severity,
    message::Explanation,
    record::{EXPLANATIONS, Explained, FINDINGS, Kept, OPEN},
};
use asya_store::{Record, Store, StoreError};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::de::DeserializeOwned;

use super::{Error, Service};
use crate::auth::{Principal, Role};

/// Keys that are read at a time.
const KEYS: usize = 500;
/// Most keys that one page looks at: a filter that fits few of them gives short pages.
const LOOKED: usize = 5000;
/// Records that are read at once.
const AT_ONCE: usize = 8;

/// Which findings: those that fulfil all of it.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Of this cluster.
    pub cluster: Option<String>,
    /// Of objects in this namespace.
    pub namespace: Option<String>,
    /// Of objects of this kind: `Deployment`, in any case, or `Deployment.apps`.
    pub kind: Option<String>,
    /// At least so severe.
    pub severity: Option<Severity>,
}

/// A finding, and what a model says of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Known {
    /// Its key in the store.
    pub key: String,
    /// The finding.
    pub finding: Finding,
    /// What a model says of it as it is now.
    pub explanation: Option<Explanation>,
}

/// A page of findings, by cluster, kind, namespace and name.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// The findings.
    pub findings: Vec<Known>,
    /// The key that the next page begins behind; none on the last one.
    pub next: Option<String>,
}

impl Wanted {
    fn takes(&self, object: &ObjectRef) -> bool {
        let namespace = |wanted: &String| object.namespace.as_ref() == Some(wanted);
        let kind = |wanted: &String| {
            wanted.eq_ignore_ascii_case(&object.kind.kind)
                || wanted.eq_ignore_ascii_case(&object.kind.to_string())
        };
        self.namespace.as_ref().is_none_or(namespace) && self.kind.as_ref().is_none_or(kind)
    }
}

impl Service {
    /// What is open and was told, behind the key `after`; at most `limit`. A page may be shorter than that, and empty,
    /// with more to come.
    ///
    /// # Errors
    /// The role [`Role::Read`] missing, and those of the store.
    pub async fn findings(
        &self,
        who: &Principal,
        wanted: &Wanted,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Findings, Error> {
        who.needs(Role::Read)?;
        let store = self.store.records();
        let prefix = wanted.cluster.as_ref().map(|cluster| format!("{cluster}/")).unwrap_or_default();
        let (mut findings, mut looked) = (Vec::new(), 0);
        let mut place = after.unwrap_or_default().to_owned();
        while looked < LOOKED {
            let keys = store.list_after(OPEN, &prefix, &place, KEYS).await?;
            let (read, last) = (keys.len(), keys.last().map(|record| record.key.clone()));
            let fitting = keys.into_iter().filter(|record| {
                parsed::<ObjectRef>(OPEN, record).is_some_and(|object| wanted.takes(&object))
            });
            let known = fitting.map(|record| known(&*store, record.key));
            let mut known = stream::iter(known.collect::<Vec<_>>()).buffered(AT_ONCE);
            while let Some(known) = known.try_next().await? {
                let Some(known) = known.filter(|known| shown(known, wanted)) else { continue };
                place.clone_from(&known.key);
                findings.push(known);
                if findings.len() == limit {
                    return Ok(Findings { findings, next: Some(place) });
                }
            }
            looked += read;
            match last {
                Some(last) if read == KEYS => place = last,
                _ => return Ok(Findings { findings, next: None }),
            }
        }
        Ok(Findings { findings, next: Some(place) })
    }

    /// One finding; also one that is resolved, for as long as it is kept.
    ///
    /// # Errors
    /// Unknown findings, the role [`Role::Read`] missing, and those of the store.
    pub async fn finding(&self, who: &Principal, key: &str) -> Result<Known, Error> {
        who.needs(Role::Read)?;
        let known = known(&*self.store.records(), key.to_owned()).await?;
        known
            .filter(|known| !known.finding.failures.is_empty() && is_told(&known.finding))
            .ok_or_else(|| Error::NotFound { what: "finding", name: key.to_owned() })
    }
}

fn shown(known: &Known, wanted: &Wanted) -> bool {
    is_told(&known.finding)
        && known.finding.lifecycle != Lifecycle::Resolved
        && wanted.cluster.as_ref().is_none_or(|cluster| known.finding.cluster == *cluster)
        && wanted.severity.is_none_or(|least| known.finding.severity() >= Some(least))
}

/// In its grace period nobody is told of it.
fn is_told(finding: &Finding) -> bool {
    finding.lifecycle != Lifecycle::Pending
}

/// What is known under a key; none if it is gone, or was written by a version that cannot be read.
async fn known(store: &dyn Store, key: String) -> Result<Option<Known>, StoreError> {
    let Some(record) = store.get(FINDINGS, &key).await? else { return Ok(None) };
    let Some(Kept { finding, .. }) = parsed(FINDINGS, &record) else { return Ok(None) };
    let explained = store.get(EXPLANATIONS, &key).await?;
    let explained = explained.and_then(|record| parsed::<Explained>(EXPLANATIONS, &record));
    // Another fingerprint, and it is about what was wrong before.
    let explained = explained.filter(|explained| explained.fingerprint == finding.fingerprint);
    Ok(Some(Known { key, finding, explanation: explained.map(|explained| explained.explanation) }))
}

fn parsed<T: DeserializeOwned>(table: &str, record: &Record) -> Option<T> {
    serde_json::from_slice(&record.value)
        .inspect_err(|error| tracing::warn!(table, key = record.key, %error, "a record cannot be read"))
        .ok()
}
