//! Answers in an object store: S3 and what speaks it, a directory, Google Cloud Storage, Azure.

use std::{sync::Arc, time::Duration};

use asya_objects::{Bucket, Place, chain};
use bytes::Bytes;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutPayload, path::Path, signer::Method};
use tokio::time::timeout;

use crate::actor::ActError;

/// How long reading or writing an answer may take.
const LIMIT: Duration = Duration::from_secs(20);

/// A store of answers.
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    bucket: Option<Bucket>,
    base: String,
    prefix: String,
}

impl Objects {
    /// Opens the store; nothing is sent yet.
    pub(super) fn open(place: &Place, prefix: &str) -> Result<Self, String> {
        let opened = place.open().map_err(|error| error.to_string())?;
        let prefix = prefix.to_owned();
        Ok(Self { store: opened.store, bucket: opened.bucket, base: opened.base, prefix })
    }

    /// What is kept under this key.
    pub(super) async fn get(&self, hash: &str) -> Result<Option<Bytes>, ActError> {
        let read = async {
            match self.store.get(&self.key(hash)).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        match timeout(LIMIT, read).await {
            Ok(read) => read.map_err(|error| self.failed(hash, chain(&error))),
            Err(_) => Err(self.failed(hash, format!("no answer within {LIMIT:?}"))),
        }
    }

    /// Keeps this under this key.
    pub(super) async fn put(&self, hash: &str, value: Bytes) -> Result<(), ActError> {
        let key = self.key(hash);
        let write = async {
            let put = |value: Bytes| self.store.put(&key, PutPayload::from(value));
            match (put(value.clone()).await, &self.bucket) {
                (Err(Error::NotFound { .. }), Some(bucket)) => {
                    bucket.make(Method::PUT).await?;
                    put(value).await.map_err(|error| chain(&error))
                }
                (put, _) => put.map_err(|error| chain(&error)),
            }
        };
        match timeout(LIMIT, write).await {
            Ok(written) => written.map(drop).map_err(|reason| self.failed(hash, reason)),
            Err(_) => Err(self.failed(hash, format!("no answer within {LIMIT:?}"))),
        }
    }

    fn key(&self, hash: &str) -> Path {
        Path::from(format!("{}{hash}.json", self.prefix))
    }

    fn failed(&self, hash: &str, reason: String) -> ActError {
        ActError::Objects { address: format!("{}/{}", self.base, self.key(hash)), reason }
    }
}
