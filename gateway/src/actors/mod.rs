//! What actors there are, for those who look at a gateway.
//!
//! | module | holds |
//! |---|---|
//! | [`depths`] | [`Depths`]: the actors that tools name, with how full their queues are |
//! | [`routed`] | [`Routed`]: those of another source, with where routes lead from them |
//!
//! A gateway knows of actors what its surroundings tell: a broker the depths of queues, a host of actors their state.

pub mod depths;
pub mod routed;

use futures::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

pub use depths::Depths;
pub use routed::Routed;

use crate::service::Error;

/// One actor. What the source does not know is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Actor {
    /// Its name.
    #[schema(example = "ocr")]
    pub name: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The queue that it reads.
    #[schema(example = "asya-ocr")]
    pub queue: String,
    /// What it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub handler: Option<String>,
    /// How its envelopes travel.
    #[schema(example = "rabbitmq")]
    pub transport: String,
    /// Its state in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Replicas that work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,
    /// Replicas that there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// Messages that wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued: Option<u64>,
    /// Messages in hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    /// Messages on the broker's dead-letter queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead: Option<u64>,
    /// Actors that routes lead to from here.
    pub next: Vec<String>,
    /// Envelopes per second that it has handled lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

/// Something that knows actors. Asked whenever somebody looks: answers come within seconds, from a memory if need be.
pub trait Source: Send + Sync {
    /// The actors, by name.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nothing can be said about any of them.
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>>;
}
