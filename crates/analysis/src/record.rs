//! What is kept of findings, and under which names: the actors write it, and whoever shows findings reads it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::finding::{Change, Finding, Lifecycle, Sequence};
use crate::message::{Explanation, Transition};
use crate::object::ObjectRef;

/// The table of what is known of objects, each a [`Kept`] under its [`key`]; also of those that are well.
pub const FINDINGS: &str = "analysis_findings";
/// Under the same keys, which object: of those alone that are not well, so that they are found without reading all.
pub const OPEN: &str = "analysis_open";
/// Under the same keys, what a model says of what is open: an [`Explained`].
pub const EXPLANATIONS: &str = "analysis_explanations";

/// A finding and what was told of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// The finding.
    pub finding: Finding,
    /// What was told last; the sequence of its finding is that of the message that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Transition>,
    /// The envelope that waits for the end of the grace period, and goes on then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits: Option<Box<RawValue>>,
}

impl Kept {
    /// What whoever is told of changes knows now; none: nothing is wrong as far as it knows. What is opened by the end of
    /// its grace period counts from when that is decided, a moment before it is sent.
    #[must_use]
    pub fn standing(self) -> Option<Transition> {
        let is_open = !matches!(self.finding.lifecycle, Lifecycle::Pending | Lifecycle::Resolved);
        if self.waits.is_some() && is_open {
            return Some(Transition { change: Change::Opened, finding: self.finding });
        }
        self.told
    }
}

/// An explanation of a finding that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The finding's fingerprint: another one, and the explanation is of what was wrong before.
    pub fingerprint: String,
    /// The finding's order when it was explained.
    pub sequence: Sequence,
    /// What the model says.
    pub explanation: Explanation,
}

/// The key of what is known of an object, in every table that has one: those of a cluster are one range, those of one of
/// its kinds are, and those of a kind in a namespace.
#[must_use]
pub fn key(cluster: &str, object: &ObjectRef) -> String {
    let namespace = object.namespace.as_deref().unwrap_or_default();
    format!("{cluster}/{}/{namespace}/{}", object.kind, object.name)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::Node;

    use super::*;

    #[test]
    fn objects_of_one_kind_and_namespace_are_one_range() {
        let web = ObjectRef::of::<Deployment>(Some("shop"), "web");
        assert_eq!(key("here", &web), "here/Deployment.apps/shop/web");
        assert_eq!(key("here", &ObjectRef::of::<Node>(None, "n")), "here/Node//n");
    }
}
