//! Payloads as objects: `<prefix>/<owner>/<sha256>` in a bucket.

use std::{sync::Arc, time::SystemTime};

use asya_objects::{Place, chain};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, PutPayload, path::Path};

use crate::store::{Key, PayloadStore, Swept};

/// A prefix of a bucket.
pub(crate) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    address: String,
}

impl Objects {
    pub(crate) fn open(address: &str) -> Result<Self, String> {
        let (scheme, rest) = address.split_once("://").unwrap_or_default();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(format!("{address:?} must name a bucket"));
        }
        Self::at(&Place::parse(&format!("{scheme}://{bucket}"))?, prefix)
    }

    pub(crate) fn at(place: &Place, prefix: &str) -> Result<Self, String> {
        let opened = place.open().map_err(|error| error.to_string())?;
        let prefix: Path = prefix.split('/').filter(|part| !part.is_empty()).collect();
        let address = format!("{}/{prefix}", opened.base).trim_end_matches('/').to_owned();
        Ok(Self { store: opened.store, prefix, address })
    }

    fn path(&self, key: &Key) -> Path {
        self.prefix.clone().join(key.owner.as_str()).join(key.name.as_str())
    }
}

#[async_trait]
impl PayloadStore for Objects {
    async fn put(&self, key: &Key, payload: Bytes) -> Result<(), String> {
        let put = self.store.put(&self.path(key), PutPayload::from_bytes(payload)).await;
        put.map(drop).map_err(|error| chain(&error))
    }

    async fn get(&self, key: &Key, size: usize) -> Result<Option<Bytes>, String> {
        let object = match self.store.get(&self.path(key)).await {
            Err(Error::NotFound { .. }) => return Ok(None),
            object => object.map_err(|error| chain(&error))?,
        };
        let mut bytes = BytesMut::with_capacity(size);
        let mut stream = object.into_stream();
        while let Some(chunk) = stream.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| chain(&error))?);
            // One that is longer than promised is wrong already.
            if bytes.len() > size {
                break;
            }
        }
        Ok(Some(bytes.freeze()))
    }

    async fn sweep(&self, before: SystemTime) -> Result<Swept, String> {
        let mut swept = Swept::default();
        let prefix = (!self.prefix.as_ref().is_empty()).then_some(&self.prefix);
        let mut listed = self.store.list(prefix);
        while let Some(object) = listed.next().await {
            let object = object.map_err(|error| chain(&error))?;
            let digest = object.location.filename().unwrap_or_default();
            // Whatever else lies there is not touched.
            if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                continue;
            }
            if SystemTime::from(object.last_modified) >= before {
                swept.kept += 1;
                continue;
            }
            match self.store.delete(&object.location).await {
                Ok(()) => {
                    swept.removed += 1;
                    swept.bytes += object.size;
                }
                Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(chain(&error)),
            }
        }
        Ok(swept)
    }

    fn address(&self) -> &str {
        &self.address
    }
}
