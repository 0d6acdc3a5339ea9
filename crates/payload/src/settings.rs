//! Which store, from the settings of a program.

use asya_settings::{Reader, positive_duration, units};

use crate::{
    Claims, Options, claims,
    store::{self, PayloadStore},
};
use std::sync::Arc;

/// The variable that turns claim check on.
pub const STORE: &str = "ASYA_PAYLOAD_STORE";

/// What is said of payloads, as text.
#[derive(Clone, Debug, Default)]
pub struct PayloadText {
    /// `ASYA_PAYLOAD_STORE`: where large payloads are kept; without it every payload travels in its envelope.
    pub store: Option<String>,
    /// `ASYA_PAYLOAD_THRESHOLD`.
    pub threshold: Option<String>,
    /// `ASYA_PAYLOAD_MAX`.
    pub most: Option<String>,
    /// `ASYA_PAYLOAD_LIFETIME`.
    pub lifetime: Option<String>,
}

impl PayloadText {
    /// What the environment says.
    pub fn from_env() -> Self {
        let of = |name| std::env::var(name).ok();
        Self {
            store: of(STORE),
            threshold: of("ASYA_PAYLOAD_THRESHOLD"),
            most: of("ASYA_PAYLOAD_MAX"),
            lifetime: of("ASYA_PAYLOAD_LIFETIME"),
        }
    }

    /// The claims that they mean; none without a store. A directory is made.
    pub fn claims(self, read: &mut Reader) -> Option<Claims> {
        let options = self.options(read);
        let store: Option<Arc<dyn PayloadStore>> =
            read.or(STORE, self.store, None, |text| store::open(text).map(Some));
        store.map(|store| Claims::new(store, options))
    }

    /// The options, for a store that is named otherwise.
    pub fn options(&self, read: &mut Reader) -> Options {
        let Self { store: _, threshold, most, lifetime } = self.clone();
        Options {
            threshold: read.or("ASYA_PAYLOAD_THRESHOLD", threshold, claims::DEFAULT_THRESHOLD, units::bytes),
            most: read.or("ASYA_PAYLOAD_MAX", most, claims::DEFAULT_MOST, units::bytes),
            lifetime: read.or("ASYA_PAYLOAD_LIFETIME", lifetime, claims::DEFAULT_LIFETIME, positive_duration),
        }
    }
}
