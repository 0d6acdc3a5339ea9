//! Everything that a status depends on.

use asya_resources::{AsyncActorStatus, QueueStatus, ScaledObjectRef, WorkloadRef};
use asya_transport::Depth;
use jiff::Timestamp;

use super::{Former, Pod};

/// What was seen of one actor in one reconcile.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The generation of the spec.
    pub generation: i64,
    /// The status as it is stored.
    pub previous: &'a AsyncActorStatus,
    /// Now.
    pub now: Timestamp,
    /// The actor is being deleted: what is waited for.
    pub deleting: Option<(&'static str, String)>,
    /// Whether `spec.paused` is set.
    pub paused: bool,
    /// Whether scaling is on.
    pub scaling: bool,
    /// The transport and the queue.
    pub transport: Verdict,
    /// Whether the workload could be made; the pods' health is added from `pods`.
    pub workload: Verdict,
    /// Whether scaling could be set up and works; of no account while scaling is off.
    pub scaler: Verdict,
    /// What works in another way than one would expect.
    pub warnings: Vec<(&'static str, String)>,
    /// Running pods are behind the operator's runtime or sidecar: a sentence.
    pub update: Option<String>,
    /// Messages wait and nothing moves: a sentence.
    pub stalled: Option<String>,
    /// The API server makes no pods of the workload: its words.
    pub refused: Option<String>,
    /// The workload's replicas; `None` while there is no workload.
    pub replicas: Option<Replicas>,
    /// The pods that exist.
    pub pods: &'a [Pod],
    /// The queue's depth, if it was read.
    pub depth: Option<Depth>,
    /// The workload.
    pub workload_ref: Option<WorkloadRef>,
    /// The KEDA object.
    pub scaled_object_ref: Option<ScaledObjectRef>,
    /// Label selector of the pods.
    pub selector: Option<String>,
    /// The queue that the actor owns.
    pub queue: Option<QueueStatus>,
    /// The queues that it owned before.
    pub former: Vec<Former>,
}

/// How many pods a workload wants and has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replicas {
    /// Wanted.
    pub desired: i32,
    /// Existing.
    pub total: i32,
    /// Ready.
    pub ready: i32,
}

/// Whether one part works: a reason word and a sentence either way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Good(&'static str, String),
    /// It does not.
    Bad(&'static str, String),
    /// It was not looked at, because an earlier part does not work.
    Unknown(&'static str, String),
}

impl Verdict {
    /// Whether it works.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Good(..))
    }
}
