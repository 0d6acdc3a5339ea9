//! What the actors of the analysis send each other, as payloads: watch → analyze → findings → explain → notify.

use serde::{Deserialize, Serialize};

use crate::evaluate::Evaluation;
use crate::finding::{Change, Finding, Observation, Sequence};
use crate::live::Live;
use crate::object::{Object, ObjectRef};
use crate::snapshot::Snapshot;

/// What a watcher sends: one object to be looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// The cluster, as its watcher is called.
    pub cluster: String,
    /// The order of what is seen of the cluster.
    pub sequence: Sequence,
    /// Names of the analyzers; empty: those that run by default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub analyzers: Vec<String>,
    /// What is to be looked at.
    #[serde(flatten)]
    pub subject: Subject,
}

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Subject {
    /// An object and what its analyzers read.
    Look {
        /// The object.
        object: Box<Object>,
        /// What they read.
        snapshot: Snapshot,
    },
    /// An object that is gone.
    Gone(ObjectRef),
    /// Nothing: which objects of a kind there are.
    Live(Live),
    /// What the analyzers found already where the object is known: with what they read it is too large for a message.
    Found(Box<Evaluation>),
    /// An object of which not even that fits into a message: nobody can say anything of it.
    TooLarge(ObjectRef),
}

/// What an analysis sends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// The cluster, as its watcher is called.
    pub cluster: String,
    /// The order of what is seen of the cluster.
    pub sequence: Sequence,
    /// What was seen.
    #[serde(flatten)]
    pub observation: Observation,
}

/// What the findings send on: one change of one finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// What happened: opened, changed or resolved.
    pub change: Change,
    /// The finding after it.
    pub finding: Finding,
}
