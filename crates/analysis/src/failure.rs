//! One thing that is wrong with an object.

use std::collections::BTreeSet;

pub use asya_resources::k8sgpt::Severity;
use serde::{Deserialize, Serialize};

use crate::object::ObjectRef;

/// Where one can see it: a field of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Evidence {
    /// The object.
    pub object: ObjectRef,
    /// The field, as kubectl writes paths: `.status.containerStatuses[0].state.waiting.reason`; of an event: `.message`; of a
    /// pod's log: `.log[CONTAINER]`, before its last restart `.log[CONTAINER].previous`.
    pub path: String,
    /// What it says there; absent where the field is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Failure {
    /// What is wrong, as one word that never changes with names, numbers or times: `ImagePullFailed`. With the evidence's
    /// paths it is what makes a finding the same finding.
    pub code: String,
    /// A sentence for people.
    pub text: String,
    /// How bad it is.
    pub severity: Severity,
    /// Where one can see it; never empty for the analyzers of this crate.
    pub evidence: Vec<Evidence>,
    /// Names in the text that a model outside must not see.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub sensitive: BTreeSet<String>,
    /// The field whose documentation explains it, as `kubectl explain` takes it: `deployment.spec.replicas`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The analyzer that found it, as filters name it; [`evaluate`](crate::evaluate()) fills it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analyzer: Option<String>,
}

impl Failure {
    /// A failure; evidence, sensitive names and field come by the methods below.
    #[must_use]
    pub fn new(code: &str, severity: Severity, text: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            text: text.into(),
            severity,
            evidence: Vec::new(),
            sensitive: BTreeSet::new(),
            field: None,
            analyzer: None,
        }
    }

    /// Adds where one can see it.
    #[must_use]
    pub fn seen(
        mut self,
        object: &ObjectRef,
        path: impl Into<String>,
        value: impl Into<Option<String>>,
    ) -> Self {
        self.evidence.push(Evidence { object: object.clone(), path: path.into(), value: value.into() });
        self
    }

    /// Adds names that the text contains.
    #[must_use]
    pub fn hides<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.sensitive.extend(names.into_iter().filter(|name| !name.is_empty()).map(str::to_owned));
        self
    }

    /// Names the field whose documentation explains it.
    #[must_use]
    pub fn explained_by(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }
}
