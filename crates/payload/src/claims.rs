//! Checking payloads in and redeeming them.

use std::{fmt, sync::Arc, time::Duration};

use asya_envelope::Raw;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use crate::{
    PayloadStore, Reference,
    store::{Key, LIMIT, hex},
};

/// Payloads above this many bytes are checked in: the smallest limit that accounts of SQS have.
pub const DEFAULT_THRESHOLD: usize = 256 * 1024;
/// The largest payload that is checked in or redeemed: as large as a handler's largest reply.
pub const DEFAULT_MOST: usize = asya_envelope::limits::DEFAULT_MAX_REPLY;
/// How long the store keeps a payload: as long as an envelope may wait and a dead letter may be replayed.
pub const DEFAULT_LIFETIME: Duration = Duration::from_secs(30 * 24 * 3600);

/// What is checked in, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Payloads of more bytes than this are checked in.
    pub threshold: usize,
    /// Payloads of more bytes than this are neither checked in nor redeemed.
    pub most: usize,
    /// How long the store keeps a payload.
    pub lifetime: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { threshold: DEFAULT_THRESHOLD, most: DEFAULT_MOST, lifetime: DEFAULT_LIFETIME }
    }
}

/// Why a payload was not checked in or redeemed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The store holds nothing under the reference. No later try helps.
    #[error("payload {sha256} of envelope {owner:?} is not in {store}; it was kept until {expires}")]
    Missing {
        /// Who it belongs to.
        owner: String,
        /// Its digest.
        sha256: String,
        /// Until when it was to be kept.
        expires: Timestamp,
        /// Where it was looked for.
        store: String,
    },
    /// The reference is not this envelope's, or the store holds something else. No later try helps.
    #[error("the reference to the payload cannot be followed: {0}")]
    Invalid(String),
    /// It is larger than is held in memory.
    #[error("a payload of {size} bytes is over the limit of {most} bytes for payloads in the store")]
    TooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit.
        most: usize,
    },
    /// The store does not answer, or not as it should. A later try may help.
    #[error("payload store {store}: {reason}")]
    Unavailable {
        /// Its address.
        store: String,
        /// What it says.
        reason: String,
    },
}

impl ClaimError {
    /// Why, in one word: `missing`, `invalid`, `too_large`, `unavailable`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing",
            Self::Invalid(_) => "invalid",
            Self::TooLarge { .. } => "too_large",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

/// Something that claims have done, for whoever counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A payload of so many bytes was stored, again or for the first time.
    CheckedIn(u64),
    /// A payload of so many bytes was read, and is what it should be.
    Fetched(u64),
    /// A payload was not stored, for the reason that [`ClaimError::word`] gives. Each try counts.
    NotCheckedIn(&'static str),
    /// A payload was not read, or is not what it should be, likewise.
    NotFetched(&'static str),
}

type Watcher = Arc<dyn Fn(Event) + Send + Sync>;

/// Checks payloads in and redeems them. Cloning shares the store.
#[derive(Clone)]
pub struct Claims {
    store: Arc<dyn PayloadStore>,
    options: Options,
    watcher: Option<Watcher>,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("store", &self.store.address())
            .field("options", &self.options)
            .finish()
    }
}

impl Claims {
    /// Claims on a store.
    pub fn new(store: Arc<dyn PayloadStore>, options: Options) -> Self {
        Self { store, options, watcher: None }
    }

    /// The same, telling `watcher` of each thing done, in place of one that was told before. It must not block.
    #[must_use]
    pub fn watched(mut self, watcher: impl Fn(Event) + Send + Sync + 'static) -> Self {
        self.watcher = Some(Arc::new(watcher));
        self
    }

    /// The same, with a threshold that is not above `most`: what a transport does not take must not be sent whole.
    #[must_use]
    pub fn at_most(mut self, most: usize) -> Self {
        self.options.threshold = self.options.threshold.min(most);
        self
    }

    /// What is checked in, and for how long.
    pub fn options(&self) -> Options {
        self.options
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn PayloadStore> {
        &self.store
    }

    /// The reference under which `payload` would be kept for envelope `owner`; none if it is small enough to travel.
    /// The same content under the same owner is the same object, however often it is checked in.
    ///
    /// # Errors
    /// [`ClaimError::TooLarge`].
    pub async fn reference(&self, owner: &str, payload: &Raw) -> Result<Option<Reference>, ClaimError> {
        let size = payload.as_bytes().len();
        let Options { threshold, most, lifetime } = self.options;
        if size <= threshold {
            return Ok(None);
        }
        if size > most {
            let error = ClaimError::TooLarge { size: size as u64, most };
            self.tell(Event::NotCheckedIn(error.word()));
            return Err(error);
        }
        let bytes = payload.as_bytes().clone();
        // Some milliseconds per megabyte: not beside what answers probes.
        let sha256 = tokio::task::spawn_blocking(move || hex(&Sha256::digest(&bytes))).await;
        let sha256 = sha256.map_err(|error| self.unavailable(error.to_string()))?;
        let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
        let expires = Timestamp::now().saturating_add(lifetime).unwrap_or(Timestamp::MAX);
        Ok(Some(Reference { owner: owner.to_owned(), sha256, size: size as u64, expires }))
    }

    /// Stores `payload` under its reference; confirmed when this returns.
    ///
    /// # Errors
    /// [`ClaimError::Unavailable`].
    pub async fn put(&self, reference: &Reference, payload: &Raw) -> Result<(), ClaimError> {
        let key = Key::of(reference);
        let put = timeout(LIMIT, self.store.put(&key, payload.as_bytes().clone())).await;
        let put = put
            .unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
            .map_err(|reason| self.unavailable(reason));
        self.tell(match &put {
            Ok(()) => Event::CheckedIn(reference.size),
            Err(error) => Event::NotCheckedIn(error.word()),
        });
        put
    }

    /// Checks `payload` in for envelope `owner`, if it is large.
    ///
    /// # Errors
    /// [`ClaimError::TooLarge`], [`ClaimError::Unavailable`].
    pub async fn check_in(&self, owner: &str, payload: &Raw) -> Result<Option<Reference>, ClaimError> {
        let Some(reference) = self.reference(owner, payload).await? else { return Ok(None) };
        self.put(&reference, payload).await?;
        Ok(Some(reference))
    }

    /// The payload that `reference` refers to, for envelope `id`: checked for its size, its digest, and to be JSON.
    ///
    /// # Errors
    /// [`ClaimError`]; only of [`ClaimError::Unavailable`] a later try may help.
    pub async fn redeem(&self, id: &str, reference: &Reference) -> Result<Raw, ClaimError> {
        let got = self.fetch(id, reference).await;
        self.tell(match &got {
            Ok(_) => Event::Fetched(reference.size),
            Err(error) => Event::NotFetched(error.word()),
        });
        got
    }

    async fn fetch(&self, id: &str, reference: &Reference) -> Result<Raw, ClaimError> {
        if let Some(fault) = reference.fault(id) {
            return Err(ClaimError::Invalid(fault));
        }
        let most = self.options.most;
        let size = usize::try_from(reference.size).ok().filter(|size| *size <= most);
        let Some(size) = size else { return Err(ClaimError::TooLarge { size: reference.size, most }) };
        let got = timeout(LIMIT, self.store.get(&Key::of(reference), size)).await;
        let got = got.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")));
        let Some(bytes) = got.map_err(|reason| self.unavailable(reason))? else {
            return Err(ClaimError::Missing {
                owner: reference.owner.clone(),
                sha256: reference.sha256.clone(),
                expires: reference.expires,
                store: self.store.address().to_owned(),
            });
        };
        if bytes.len() != size {
            let what = if bytes.len() > size { "more than" } else { "fewer than" };
            return Err(ClaimError::Invalid(format!(
                "the store holds {what} the {size} bytes that it promises"
            )));
        }
        let expected = reference.sha256.clone();
        let checked = tokio::task::spawn_blocking(move || {
            if hex(&Sha256::digest(&bytes)) != expected {
                return Err("what the store holds has another digest than the reference promises".to_owned());
            }
            Raw::parse(bytes).map_err(|error| format!("what the store holds is not JSON: {error}"))
        });
        checked.await.map_err(|error| self.unavailable(error.to_string()))?.map_err(ClaimError::Invalid)
    }

    fn tell(&self, event: Event) {
        if let Some(watcher) = &self.watcher {
            watcher(event);
        }
    }

    fn unavailable(&self, reason: impl Into<String>) -> ClaimError {
        ClaimError::Unavailable { store: self.store.address().to_owned(), reason: reason.into() }
    }
}
