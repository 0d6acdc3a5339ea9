//! The actors of the cluster analysis, each a step on a queue.
//!
//! | module | holds |
//! |---|---|
//! | `watch` | watches a cluster and sends what has to be looked at (feature `watch`) |
//! | `also` | which actors of yours it sends objects to (feature `watch`) |
//! | [`analyze`] | [`Analyze`]: looks at one object and what was read with it; has no rights in the cluster |
//! | [`findings`] | [`Findings`]: what is wrong, from when it is seen until it is healed; sends on what changed |
//! | [`mute`] | [`Mute`](mute::Mute): what findings tells nobody |
//! | `results` | `Results`: writes what is wrong as objects that kubectl shows (feature `results`) |
//! | `custom` | asks analyzers of anybody over gRPC (feature `custom`) |
//! | `explain` | `Explain`: has a model explain what is wrong (feature `explain`) |
//! | `remedy` | `Remedy`: has a model propose a change, and applies what is approved (feature `remedy`) |
//! | `notify` | `Notify`: tells people and other systems (feature `notify`) |
//!
//! What they send each other is [`asya_analysis::message`].

#[cfg(feature = "watch")]
pub mod also;
pub mod analyze;
#[cfg(feature = "custom")]
pub mod custom;
#[cfg(feature = "explain")]
pub mod explain;
pub mod findings;
pub mod mute;
#[cfg(feature = "notify")]
pub mod notify;
#[cfg(feature = "remedy")]
pub mod remedy;
#[cfg(feature = "results")]
pub mod results;
#[cfg(feature = "watch")]
pub mod watch;

pub use analyze::Analyze;
#[cfg(feature = "explain")]
pub use explain::Explain;
pub use findings::Findings;
#[cfg(feature = "notify")]
pub use notify::Notify;
#[cfg(feature = "remedy")]
pub use remedy::Remedy;
#[cfg(feature = "results")]
pub use results::Results;

#[cfg(any(feature = "explain", feature = "notify"))]
use asya_analysis::record::key;
use asya_envelope::{Envelope, Raw};
#[cfg(feature = "explain")]
use asya_handler::{End, Fate};
#[cfg(feature = "explain")]
use asya_store::Write;
use serde::{Serialize, de::DeserializeOwned};

use crate::actor::ActError;

/// The payload as what it should be. What it is not is said with the place of the fault.
fn read<T: DeserializeOwned>(envelope: &Envelope, what: &str) -> Result<T, ActError> {
    serde_json::from_slice(envelope.payload.as_bytes())
        .map_err(|error| ActError::Unfit(format!("the payload is not {what}: {error}")))
}

/// The envelope as it came, at its next actor.
#[cfg(feature = "explain")]
fn unchanged(envelope: &Envelope, writes: Vec<Write>) -> End {
    let mut onward = envelope.clone();
    onward.route = envelope.route.advanced();
    End::Platform { envelopes: vec![onward], writes, fate: Fate::GoesOn }
}

/// The envelope at its next actor, with this payload.
fn onward(envelope: &Envelope, payload: &impl Serialize) -> Envelope {
    let mut onward = envelope.clone();
    onward.route = envelope.route.advanced();
    onward.payload = Raw::of(payload);
    onward
}
