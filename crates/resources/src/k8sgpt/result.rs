//! `Result`: one object in which something is broken.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Phase, Severity};
use crate::Metadata;

/// One object in which something is broken. It stands in the namespace of its `K8sGPT`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultObject {
    /// Always [`API_VERSION`](super::API_VERSION).
    pub api_version: String,
    /// Always [`RESULT_KIND`](super::RESULT_KIND).
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
    /// What is broken.
    #[serde(default)]
    pub spec: ResultSpec,
}

/// What is broken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ResultSpec {
    /// Who explained it; empty while nobody did.
    pub backend: String,
    /// How far a change that a model proposed got.
    pub auto_remediation_status: AutoRemediationStatus,
    /// Kind of the object.
    pub kind: String,
    /// The object, as namespace/name, or name alone without a namespace.
    pub name: String,
    /// What is wrong with it.
    pub error: Vec<Failure>,
    /// The explanation; empty until there is one.
    pub details: String,
    /// Who owns the object in the end, as Kind/name; empty if nobody does.
    pub parent_object: String,
    /// Where one can see what is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
}

/// How far a change that a model proposed got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct AutoRemediationStatus {
    /// The phase of the Mutation, as a number.
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub phase: Phase,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Failure {
    /// A sentence for people.
    pub text: String,
    /// Names in the text that a model did not see. Here they only have their masks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sensitive: Vec<Sensitive>,
    /// What is wrong, as one word that never changes with names, numbers or times, for example ImagePullFailed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How bad it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Who found it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzer: Option<String>,
    /// The field whose documentation explains it, as kubectl explain takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Ids of the evidence for it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
}

/// A name that a model did not see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Sensitive {
    /// The name itself. Empty here: who may read a Result need not be allowed to read what it is about.
    pub unmasked: String,
    /// What stood in its place.
    pub masked: String,
}

/// Where one can see what is wrong: a field of an object, or of an event about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Evidence {
    /// Its name in explanations, for example e1.
    pub id: String,
    /// The object that has the field.
    pub object: EvidenceObject,
    /// The field, as kubectl writes paths, for example .status.phase.
    pub path: String,
    /// What it says there; absent where the field is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// An object that something can be seen in.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct EvidenceObject {
    /// Its API group; empty for the core group.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its namespace, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// How far a finding got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// It is new.
    Created,
    /// What is wrong is something else than before.
    Updated,
    /// It is known and still true.
    Historical,
    /// It is true no more; the object goes soon.
    Resolved,
}

/// What is known of a finding besides what is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ResultStatus {
    /// How far it got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// How bad the worst of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// When it was seen first, as RFC 3339.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen: Option<String>,
    /// When something of it changed last, as RFC 3339. It is true since then.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<String>,
    /// What is wrong, whatever the numbers, times and order in its texts: as long as it is the same, nobody is told again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The texts as they stand, without the explanation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// Address that was told last by spec.sink of the K8sGPT; empty if that stands in a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Names of the evidence that an explanation cites although it does not exist.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_citations: Vec<String>,
}

impl ResultObject {
    /// Reads an object as the API server has it, also one that the original wrote.
    ///
    /// # Errors
    /// Where a field has another type than the CRD says, or metadata is missing.
    pub fn read(object: &Value) -> serde_json::Result<Self> {
        crate::actor::read(object)
    }
}

impl ResultSpec {
    /// How bad the worst of it is; what says nothing about it is an error.
    pub fn severity(&self) -> Option<Severity> {
        self.error.iter().map(|failure| failure.severity.unwrap_or(Severity::Error)).max()
    }

    /// The namespace and the name of the object.
    pub fn subject(&self) -> (Option<&str>, &str) {
        match self.name.split_once('/') {
            Some((namespace, name)) => (Some(namespace).filter(|namespace| !namespace.is_empty()), name),
            None => (None, &self.name),
        }
    }

    /// The evidence of an id.
    pub fn evidence(&self, id: &str) -> Option<&Evidence> {
        self.evidence.iter().find(|evidence| evidence.id == id)
    }
}

impl ResultStatus {
    /// Reads the status of an object as the API server has it. What another version wrote in another way is left out.
    pub fn read(object: &Value) -> Self {
        crate::status::readable(object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_result_is_as_bad_as_the_worst_of_it() {
        let spec = |error: Value| from_value::<ResultSpec>(json!({ "error": error })).unwrap();
        assert_eq!(spec(json!([])).severity(), None);
        assert_eq!(spec(json!([{ "text": "a" }])).severity(), Some(Severity::Error));
        let both = spec(json!([{ "severity": "warning" }, { "severity": "critical" }]));
        assert_eq!(both.severity(), Some(Severity::Critical));
    }

    #[test]
    fn a_subject_may_have_no_namespace() {
        let of = |name: &str| ResultSpec { name: name.to_owned(), ..ResultSpec::default() };
        assert_eq!(of("shop/web").subject(), (Some("shop"), "web"));
        assert_eq!(of("node-1").subject(), (None, "node-1"));
        // As the original names webhooks.
        assert_eq!(of("/hook").subject(), (None, "hook"));
        assert_eq!(of("shop/web/app").subject(), (Some("shop"), "web/app"));
    }

    #[test]
    fn a_lifecycle_of_another_version_does_not_hide_the_rest() {
        let object = json!({ "status": { "lifecycle": "", "contentHash": "ab", "webhook": "" } });
        let status = ResultStatus::read(&object);
        assert_eq!((status.lifecycle, status.content_hash.as_deref()), (None, Some("ab")));
    }
}
