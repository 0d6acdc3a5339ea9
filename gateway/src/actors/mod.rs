//! What actors there are, for those who look at a gateway.
//!
//! | module | holds |
//! |---|---|
//! | [`depths`] | [`Depths`]: the actors that tools name and a cluster has, with how full their queues are |
//! | [`kubernetes`] | the AsyncActors of a cluster |
//! | `merge` | these and those as one list |
//! | [`routed`] | [`Routed`]: those of another source, with where routes lead from them |
//!
//! A gateway knows of actors what its surroundings tell: a broker the depths of queues, a cluster or a host of actors
//! their state.

pub mod depths;
pub mod kubernetes;
mod merge;
pub mod routed;

use futures::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

pub use depths::Depths;
pub use routed::Routed;

use crate::service::Error;

/// Something about an actor that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ActorProblem {
    /// What it is about.
    #[schema(example = "TransportReady")]
    pub condition: String,
    /// Why, in one word.
    #[schema(example = "QueueMissing")]
    pub reason: String,
    /// Why, and what to do, as a sentence.
    pub message: String,
}

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
    /// What is not as it should be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ActorProblem>,
    /// No replica is to run, whatever waits.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Replicas that work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<u32>,
    /// Replicas that there should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired: Option<u32>,
    /// Fewest replicas, where their number follows the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_replicas: Option<u32>,
    /// Most replicas, where their number follows the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_replicas: Option<u32>,
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
    /// Envelopes per second that it has handled lately; of those that gateways know, unless this one hosts the actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
}

/// Something that knows actors. Asked whenever somebody looks: answers come within seconds, from a memory if need be.
pub trait Source: Send + Sync {
    /// The actors, by name; of several of one name the one that envelopes are sent to comes first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when nothing can be said about any of them.
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>>;

    /// What cannot be told of them, and why, as sentences.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}
