//! Looks now and then whether all Results are as they should be: one that somebody deleted comes back, and one that nobody
//! took away goes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use asya_analysis::ObjectRef;

use super::{CLUSTERS, Inner};
use crate::{
    actor::ActError,
    analysis::findings::{self, MOST_OPEN, OPEN},
};

/// How often it is looked. Each look is one list of the own Results, and writes nothing while they are right.
const EVERY: Duration = Duration::from_secs(600);
/// The pause after a look that failed.
const AGAIN: Duration = Duration::from_secs(30);
/// Clusters of one `K8sGPT`: one, or some more if it was called in another way before.
const CLUSTERS_AT_MOST: usize = 100;

/// Looks whether all Results are as they should be.
pub struct Resync(Arc<Inner>);

impl Resync {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// Looks for ever, the first time at once. Cancel safe: the next look finds what is left.
    pub async fn run(self) {
        loop {
            let pause = match self.look().await {
                Ok(0) => EVERY,
                Ok(mended) => {
                    tracing::info!(mended, "Results were not as they should be");
                    EVERY
                }
                Err(error) => {
                    tracing::warn!(%error, "Results cannot be compared with the findings, trying again");
                    AGAIN
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Looks once: writes those that are missing, and takes away those of findings that are known to be healed. Returns how
    /// many were not as they should be.
    ///
    /// # Errors
    /// Those of the store and of the API server. One Result that cannot be written does not hold up the others.
    pub async fn look(&self) -> Result<usize, ActError> {
        let inner = &self.0;
        let home = inner.home().await?;
        let ours = inner.ours(home);
        let clusters = inner.store.list(CLUSTERS, &ours, CLUSTERS_AT_MOST).await?;
        if clusters.is_empty() {
            return Ok(0);
        }
        let shown = home.shown(&inner.settings.k8sgpt).await?;
        let shown: BTreeSet<String> = shown.into_iter().map(|(_, key)| key).collect();
        let mut differ = BTreeMap::new();
        for cluster in &clusters {
            let prefix = format!("{}/", cluster.key.strip_prefix(&ours).unwrap_or(&cluster.key));
            let open = inner.store.list(OPEN, &prefix, MOST_OPEN).await?;
            let mut open: BTreeMap<_, _> =
                open.into_iter().map(|record| (record.key, record.value)).collect();
            for key in shown.iter().filter(|key| key.starts_with(&prefix)) {
                if open.remove(key).is_none()
                    && let Some((kept, _)) = findings::get(&*inner.store, key).await?
                {
                    differ.insert(key.clone(), kept.finding.object);
                }
            }
            differ.extend(open.into_iter().filter_map(|(key, value)| {
                let object = serde_json::from_slice::<ObjectRef>(&value).ok()?;
                Some((key, object))
            }));
        }
        let mut failed = None;
        let mut mended = 0;
        for (key, object) in &differ {
            match inner.settle(key, object, None).await {
                Ok(true) => mended += 1,
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(mended), Err)
    }
}
