//! Which names a model must not see: those of the cluster's objects as far as the findings know them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use asya_llm::mask::Masker;
use asya_settings::Secret;
use asya_store::{Expect, Store, StoreError, Write};
use bytes::Bytes;

use crate::{actor::ActError, analysis::findings::FINDINGS};

/// What masks are made with, unless settings say it.
const SECRETS: &str = "analysis_secrets";
const MASK: &str = "mask";
/// How long names are taken for those of the cluster: an object that was made meanwhile is masked in its own findings.
const FRESH: Duration = Duration::from_secs(300);
/// Names of a cluster: a bound of what is read at once.
const MOST: usize = 20_000;

/// Maskers by cluster.
pub(in crate::analysis) struct Names {
    store: Arc<dyn Store>,
    secret: Option<Secret>,
    known: Mutex<HashMap<String, (Instant, Arc<Masker>)>>,
}

impl Names {
    /// Names in `store`, masked with `secret` or with something random that the store keeps.
    pub(in crate::analysis) fn new(store: Arc<dyn Store>, secret: Option<Secret>) -> Self {
        Self { store, secret, known: Mutex::default() }
    }

    /// The masker of a cluster. Two clusters mask the same name differently.
    pub(in crate::analysis) async fn of(&self, cluster: &str) -> Result<Arc<Masker>, ActError> {
        let known = |now: Instant| {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known
                .get(cluster)
                .filter(|(at, _)| now.duration_since(*at) < FRESH)
                .map(|(_, masker)| masker.clone())
        };
        if let Some(masker) = known(Instant::now()) {
            return Ok(masker);
        }
        let secret = secret(&*self.store, self.secret.as_ref(), cluster).await?;
        let records = self.store.list(FINDINGS, &format!("{cluster}/"), MOST).await?;
        let mut names = BTreeSet::new();
        for record in &records {
            // Cluster, kind, namespace, name.
            names.extend(record.key.splitn(4, '/').skip(2).map(str::to_owned));
        }
        let masker = Masker::new(&secret, names).map_err(|error| ActError::Unfit(error.to_string()))?;
        let masker = Arc::new(masker);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(cluster.to_owned(), (Instant::now(), masker.clone()));
        Ok(masker)
    }
}

/// What names of a cluster are masked with: what was told, or what the store keeps, and the cluster.
///
/// # Errors
/// Those of the store; what was told cannot be read.
pub(in crate::analysis) async fn secret(
    store: &dyn Store,
    told: Option<&Secret>,
    cluster: &str,
) -> Result<Vec<u8>, ActError> {
    let mut secret = match told {
        Some(secret) => secret.read().map_err(ActError::Unfit)?.into_bytes(),
        None => kept(store).await?,
    };
    secret.extend_from_slice(cluster.as_bytes());
    Ok(secret)
}

/// The secret that the store keeps, made by whoever comes first.
async fn kept(store: &dyn Store) -> Result<Vec<u8>, ActError> {
    loop {
        if let Some(record) = store.get(SECRETS, MASK).await? {
            return Ok(record.value.to_vec());
        }
        let random: [u8; 32] = rand::random();
        let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = Some(Bytes::from(format!("\"{hex}\"")));
        let write = Write { table: SECRETS, key: MASK.to_owned(), value, expect: Expect::Absent };
        match store.commit(vec![write]).await {
            Ok(()) | Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
