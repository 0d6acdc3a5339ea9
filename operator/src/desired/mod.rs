//! Pure: what objects an actor needs, as JSON for server-side apply.

use asya_envelope::Queue;
use serde_json::Value;

use crate::{
    actor::Actor,
    cluster::Cluster,
    settings::{Settings, Transport},
};

/// All that the objects of one actor depend on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The operator's configuration.
    pub settings: &'a Settings,
    /// The actor's transport.
    pub transport: &'a Transport,
    /// The actor's queue.
    pub queue: &'a Queue,
    /// What the server can do.
    pub cluster: &'a Cluster,
    /// Name of the ConfigMap with the runtime for this actor's pods.
    pub runtime: &'a str,
}

/// The objects of one actor, KEDA's excepted, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Accounts and services, which the workload needs.
    pub before: Vec<Value>,
    /// The Deployment or StatefulSet without `spec.replicas` while scaling is on; in binding mode the part of the
    /// bound object that is ours; `None` for a Job, whose template lives in the ScaledJob.
    pub workload: Option<Value>,
    /// The injected pod template, for a ScaledJob.
    pub template: Value,
    /// What cannot be done, each a reason word and a sentence: the workload is not applied.
    pub refused: Vec<(&'static str, String)>,
}

/// The objects of one actor.
pub type Builder = fn(&Actor, &Context<'_>) -> Desired;
