//! What is said about an analysis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Condition;

/// Everything that is asked for works.
pub const READY: &str = "Ready";
/// The cluster that is analysed answers, and its kubeconfig is accepted.
pub const CLUSTER: &str = "ClusterReachable";
/// The model answers.
pub const MODEL: &str = "ModelReady";
/// Every sink takes messages.
pub const SINKS: &str = "SinksReady";
/// Another operator looks after these kinds.
pub const ANOTHER: &str = "AnotherOperator";
/// Something works in another way than the manifest says.
pub const WARNING: &str = "ConfigurationWarning";

/// Every condition type with its meaning; the table of the documentation.
pub const CONDITIONS: [(&str, &str); 6] = [
    (READY, "the cluster is analysed"),
    (CLUSTER, "the cluster that is analysed answers, and its kubeconfig is accepted"),
    (MODEL, "the model answers; absent while findings are not explained"),
    (SINKS, "every sink takes messages; absent without sinks"),
    (ANOTHER, "another operator looks after these kinds, and nothing is done here"),
    (WARNING, "something works in another way than the manifest says; the reason says what"),
];

/// What is said about an analysis. What is absent was not seen yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct K8sGptStatus {
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
    /// When everything was looked at last, as RFC 3339.
    #[cfg_attr(feature = "schema", schemars(extend("format" = "date-time")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_run: Option<String>,
    /// What is broken now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub findings: Option<Counts>,
    /// The cluster that is analysed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<WatchedCluster>,
}

/// What is broken now, in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Counts {
    /// Results that are open.
    pub total: u32,
    /// Open Results by kind of object.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_kind: BTreeMap<String, u32>,
    /// Open Results by severity: info, warning, error, critical.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub by_severity: BTreeMap<String, u32>,
    /// Open Results that wait for an explanation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unexplained: Option<u32>,
    /// Findings that spec.suppress and spec.minSeverity hold back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<u32>,
    /// Objects of which something could not be read, so that they keep the Results that they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unverified: Option<u32>,
}

/// The cluster that is analysed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct WatchedCluster {
    /// What tells it from others: in-cluster, or the name of the kubeconfig's Secret.
    pub name: String,
    /// Address of its API server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Version of Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl K8sGptStatus {
    /// Reads the status of an object as the API server has it. What another version wrote in another way is left out.
    pub fn read(object: &Value) -> Self {
        crate::status::readable(object)
    }

    /// The condition of a type, if it was ever set.
    pub fn condition(&self, r#type: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.r#type == r#type)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_empty_status_of_the_original_is_read() {
        assert_eq!(K8sGptStatus::read(&json!({ "status": {} })), K8sGptStatus::default());
        assert_eq!(serde_json::to_value(K8sGptStatus::default()).unwrap(), json!({}));
    }

    #[test]
    fn a_field_of_another_type_does_not_hide_the_others() {
        let object = json!({ "status": { "findings": 3, "lastRun": "2026-01-01T00:00:00Z" } });
        let status = K8sGptStatus::read(&object);
        assert_eq!((status.findings, status.last_run.as_deref()), (None, Some("2026-01-01T00:00:00Z")));
    }
}
