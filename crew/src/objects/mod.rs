//! Ends as objects: one indented JSON file each, in the layout of the Go system.
//!
//! | module | holds |
//! |---|---|
//! | `layout` | the key of a record, and its text |
//!
//! Which store, and how it is opened, is said in [`asya_objects`].
//!
//! A record is stored when the store has confirmed it; what fails is an [`ActError`], so that the message stays.

mod layout;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_envelope::report::hex_digest;
use bytes::Bytes;
use jiff::Timestamp;
use object_store::{
    Attribute, Attributes, Error, ObjectStore, PutOptions, PutPayload, path::Path, signer::Method,
};

use asya_objects::{Bucket, chain};
pub use asya_objects::{Place, PlaceError, S3};

use crate::actor::ActError;

/// Prefix of the keys of what succeeded, in the Go system.
pub const DEFAULT_RESULTS_PREFIX: &str = "happy-asya/";
/// Prefix of the keys of what failed, in the Go system.
pub const DEFAULT_ERRORS_PREFIX: &str = "error-asya/";
/// How long one write may take before it counts as failed; the message comes again.
const PUT_LIMIT: Duration = Duration::from_secs(60);
/// Records that are remembered, so that a message that comes again because its final report was not taken is not
/// stored twice: more than one engine has in hand.
const REMEMBERED: usize = 1_024;

/// A store of records.
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Set where a missing bucket can be made.
    bucket: Option<Bucket>,
    /// Address of the store, in front of keys.
    base: String,
    results: String,
    errors: String,
    /// Attributes are not kept by a directory, which refuses them.
    attributes: Attributes,
    recent: Mutex<VecDeque<(String, String)>>,
}

/// Which of the two prefixes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// What succeeded.
    Results,
    /// What failed.
    Errors,
}

impl Objects {
    /// Opens the store; nothing is sent yet.
    ///
    /// # Errors
    /// A place that cannot be used whatever is waited for.
    pub fn open(place: &Place, results: &str, errors: &str) -> Result<Self, PlaceError> {
        let opened = place.open()?;
        let mut attributes = Attributes::new();
        if opened.keeps_attributes {
            attributes.insert(Attribute::ContentType, "application/json".into());
        }
        Ok(Self {
            store: opened.store,
            bucket: opened.bucket,
            base: opened.base,
            results: results.to_owned(),
            errors: errors.to_owned(),
            attributes,
            recent: Mutex::default(),
        })
    }

    /// Stores an envelope, and says under which address. `body` is the message as it came.
    ///
    /// # Errors
    /// [`ActError::Objects`] when the store does not confirm.
    pub async fn put(
        &self,
        kind: Kind,
        id: &str,
        actors: &[String],
        current: usize,
        body: &Bytes,
    ) -> Result<String, ActError> {
        let digest = hex_digest(body);
        if let Some(known) = self.remembered(&digest) {
            return Ok(known);
        }
        let prefix = match kind {
            Kind::Results => &self.results,
            Kind::Errors => &self.errors,
        };
        let key = layout::key(prefix, Timestamp::now(), layout::last_actor(actors, current), id);
        let address = format!("{}/{key}", self.base);
        let payload = PutPayload::from(layout::indented(body));
        let written = tokio::time::timeout(PUT_LIMIT, self.write(&key, payload)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => return Err(ActError::Objects { address, reason }),
            Err(_) => {
                return Err(ActError::Objects { address, reason: format!("no answer within {PUT_LIMIT:?}") });
            }
        }
        let mut recent = self.recent.lock().expect("no code panics while it holds the list");
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back((digest, address.clone()));
        Ok(address)
    }

    async fn write(&self, key: &Path, payload: PutPayload) -> Result<(), String> {
        let again = payload.clone();
        match self.put_object(key, payload).await {
            Ok(()) => Ok(()),
            Err(Error::NotFound { .. }) if self.bucket.is_some() => {
                self.make_bucket().await?;
                self.put_object(key, again).await.map_err(|error| chain(&error))
            }
            Err(error) => Err(chain(&error)),
        }
    }

    async fn put_object(&self, key: &Path, payload: PutPayload) -> Result<(), Error> {
        let options = PutOptions { attributes: self.attributes.clone(), ..PutOptions::default() };
        self.store.put_opts(key, payload, options).await.map(drop)
    }

    /// Makes the bucket that is not there, as the Go system does. One that another process made meanwhile is fine.
    async fn make_bucket(&self) -> Result<(), String> {
        let Some(bucket) = &self.bucket else { return Ok(()) };
        let status = bucket.make(Method::PUT).await?;
        tracing::info!(store = self.base, status, "made the bucket, which was not there");
        Ok(())
    }

    fn remembered(&self, digest: &str) -> Option<String> {
        let recent = self.recent.lock().expect("no code panics while it holds the list");
        recent.iter().find(|(known, _)| known == digest).map(|(_, address)| address.clone())
    }

    /// The address of the store.
    pub fn base(&self) -> &str {
        &self.base
    }
}
