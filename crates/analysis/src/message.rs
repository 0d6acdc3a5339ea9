//! What the actors of the analysis send each other, as payloads: watch → analyze → findings → explain → notify.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evaluate::Evaluation;
use crate::finding::{Change, Finding, Observation, Sequence};
use crate::kind::GroupKind;
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
    /// Nothing: of which kinds custom analyzers speak.
    Custom(BTreeSet<GroupKind>),
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

/// A change of a finding with what is known about it: what comes out of the explanations, and what the notifications
/// read. A [`Transition`] alone is one that nobody has explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// The change.
    #[serde(flatten)]
    pub transition: Transition,
    /// What a model says about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// Whether the change went on before without its explanation, because the model was away or slow.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub late: bool,
}

/// What a model says about a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Its words; names are those of the cluster, secrets are `***`.
    pub text: String,
    /// Who said it: the provider.
    pub provider: String,
    /// The model.
    pub model: String,
    /// In which language.
    pub language: String,
    /// When.
    pub at: Timestamp,
    /// What `[e1]` and the like stand for in the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Cited>,
    /// Ids in the text that no evidence has: the model made them up, and the text is to be shown with a warning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invented: Vec<String>,
    /// Whether the text ends before its end, because the answer was longer than it may be.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// Evidence that an explanation cites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cited {
    /// As the text names it: `e1`.
    pub id: String,
    /// Where it is seen.
    pub source: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_transition_is_one_that_nobody_has_explained() {
        let text = r#"{"change":"opened","finding":{"cluster":"here","object":{"group":"","kind":"Pod","name":"web"},
            "failures":[],"fingerprint":"f","lifecycle":"created","firstSeen":"2026-01-01T00:00:00Z",
            "lastSeen":"2026-01-01T00:00:00Z","sequence":{"at":18446744073709551615,"number":1}}}"#;
        let transition: Transition = serde_json::from_str(text).unwrap();
        let told: Told = serde_json::from_str(text).unwrap();
        assert_eq!((&told.transition, &told.explanation, told.late), (&transition, &None, false));
        assert_eq!(serde_json::to_value(&told).unwrap(), serde_json::to_value(&transition).unwrap());
    }
}
