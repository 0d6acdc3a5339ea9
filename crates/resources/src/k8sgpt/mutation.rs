//! `Mutation`: a change that a model proposes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Condition, Metadata};

/// Annotation by which somebody approves a proposal. Who may set it is for an admission policy to say.
pub const APPROVE_ANNOTATION: &str = "asya.sh/approve";
/// Who may approve: a ValidatingAdmissionPolicy and its binding, as YAML. Without them nothing is applied.
pub const APPROVAL_POLICY: &str = include_str!("../../../../crds/remedy/approval.yaml");
/// Finalizer of the original.
pub const FINALIZER: &str = "mutation.finalizer.k8sgpt.ai";

/// A change that a model proposes for one object.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mutation {
    /// Always [`API_VERSION`](super::API_VERSION).
    pub api_version: String,
    /// Always [`MUTATION_KIND`](super::MUTATION_KIND).
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
    /// What is proposed.
    #[serde(default)]
    pub spec: MutationSpec,
}

/// What is proposed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct MutationSpec {
    /// How alike old and new manifest are, in percent.
    pub similarity_score: String,
    /// Group, version and kind of the object.
    #[serde(rename = "resourceGVK")]
    pub resource_gvk: String,
    /// The object.
    pub resource: ObjectReference,
    /// The Result that this is for.
    pub result: ObjectReference,
    /// The manifest as it was, as YAML.
    pub origin_configuration: String,
    /// The manifest as it is to be, as YAML.
    pub target_configuration: String,
    /// What changes, as a unified diff.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// An object, as Kubernetes refers to one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    /// Group and version, for example apps/v1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// Its kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its namespace, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The version of it that is meant. A change is refused once the object has another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// A part of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field_path: Option<String>,
}

/// How far a proposal got; a number on the cluster. Those up to 5 are the original's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "i64", into = "i64")]
pub enum Phase {
    /// 0: nothing is proposed yet.
    #[default]
    NotStarted,
    /// 1: it is approved and being applied.
    InProgress,
    /// 2: it is applied, and the object is looked at again.
    Completed,
    /// 3: it helped.
    Successful,
    /// 4: it is applied, and the object is still broken.
    Pending,
    /// 5: it is given up: too different, refused, or the object changed meanwhile.
    Aborted,
    /// 6: it waits for approval.
    AwaitingApproval,
    /// 7: it did not help and was taken back.
    RolledBack,
    /// A number of another version.
    Other(i64),
}

impl From<i64> for Phase {
    fn from(number: i64) -> Self {
        let known = [
            Self::NotStarted,
            Self::InProgress,
            Self::Completed,
            Self::Successful,
            Self::Pending,
            Self::Aborted,
            Self::AwaitingApproval,
            Self::RolledBack,
        ];
        let index = usize::try_from(number).ok();
        index.and_then(|index| known.get(index)).copied().unwrap_or(Self::Other(number))
    }
}

impl From<Phase> for i64 {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::NotStarted => 0,
            Phase::InProgress => 1,
            Phase::Completed => 2,
            Phase::Successful => 3,
            Phase::Pending => 4,
            Phase::Aborted => 5,
            Phase::AwaitingApproval => 6,
            Phase::RolledBack => 7,
            Phase::Other(number) => number,
        }
    }
}

/// How far a proposal got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct MutationStatus {
    /// How far it got: 0 not started, 1 being applied, 2 applied, 3 it helped, 4 applied and still broken, 5 given up,
    /// 6 waits for approval, 7 taken back.
    #[cfg_attr(feature = "schema", schemars(with = "i64"))]
    pub phase: Phase,
    /// A sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What holds and what does not, each with a reason and a sentence.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When it was applied, as RFC 3339.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub applied_time: Option<String>,
    /// When it was taken back, as RFC 3339.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back_time: Option<String>,
}

impl Mutation {
    /// Reads an object as the API server has it, also one that the original wrote.
    ///
    /// # Errors
    /// Where a field has another type than the CRD says, or metadata is missing.
    pub fn read(object: &Value) -> serde_json::Result<Self> {
        crate::actor::read(object)
    }
}

impl MutationSpec {
    /// How alike old and new manifest are, from 0 to 100; `None` where the text is no such number.
    pub fn similarity(&self) -> Option<f64> {
        let number = self.similarity_score.trim().trim_end_matches('%').parse::<f64>().ok();
        number.filter(|number| (0.0..=100.0).contains(number))
    }
}

impl MutationStatus {
    /// Reads the status of an object as the API server has it. What another version wrote in another way is left out.
    pub fn read(object: &Value) -> Self {
        crate::status::readable(object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_phase_is_its_number_also_one_of_another_version() {
        for number in [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, i64::MAX] {
            let status = MutationStatus::read(&json!({ "status": { "phase": number } }));
            assert_eq!(serde_json::to_value(status.phase).unwrap(), number);
        }
        assert_eq!((Phase::from(5), Phase::from(8)), (Phase::Aborted, Phase::Other(8)));
    }

    #[test]
    fn a_score_that_is_no_percentage_is_none() {
        let of = |score: &str| {
            MutationSpec { similarity_score: score.to_owned(), ..MutationSpec::default() }.similarity()
        };
        assert_eq!(
            ["92.5", "100%", "", "NaN", "101", "high"].map(of),
            [Some(92.5), Some(100.0), None, None, None, None]
        );
    }
}
