//! What runs the analysis.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{K8sGptSpec, ObjectName};

/// The original's image, which its CRD fills in where a manifest says nothing.
pub const ORIGINAL_REPOSITORY: &str = "ghcr.io/k8sgpt-ai/k8sgpt";

/// What the pods of the analysis have besides what they need.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct PodDelta {
    /// Labels of the pods; they win over podLabels.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the pods; they win over podAnnotations.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels that a node must have; they are added to those of spec.nodeSelector.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints of nodes that are put up with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Nodes and pods to be near to or far from, written as affinity of a pod.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::open"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Value>,
    /// Secrets with credentials for the registry; they are added to those of spec.imagePullSecrets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<ObjectName>,
    /// How the pods are spread, written as topologySpreadConstraints of a pod.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::open_list"))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<Value>,
    /// Priority class of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
}

/// A taint that is put up with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Toleration {
    /// Key of the taint. Absent with the operator Exists means every taint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Equal or Exists. Absent means Equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Value of the taint, for Equal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// NoSchedule, PreferNoSchedule or NoExecute. Absent means all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// Seconds that a pod stays on a node with NoExecute. Absent means for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

/// Which image runs the analysis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image {
    /// The operator's own.
    Own,
    /// The operator's own, although the manifest names this one.
    OwnInsteadOf(String),
    /// This one.
    Named(String),
}

impl K8sGptSpec {
    /// Which image runs the analysis. The one that a manifest names is K8sGPT's, which is another program: it counts only
    /// with `imageOverride`, and the original's own not even then.
    pub fn image(&self) -> Image {
        let repository = self.repository.as_deref().filter(|repository| !repository.is_empty());
        let version = self.version.as_deref().filter(|version| !version.is_empty());
        if repository.is_none() && version.is_none() {
            return Image::Own;
        }
        let repository = repository.unwrap_or(ORIGINAL_REPOSITORY);
        let joint = if version.is_some_and(|version| version.starts_with("sha256:")) { '@' } else { ':' };
        let image = format!("{repository}{joint}{}", version.unwrap_or("latest"));
        if self.image_override && repository != ORIGINAL_REPOSITORY {
            Image::Named(image)
        } else {
            Image::OwnInsteadOf(image)
        }
    }

    /// What the pods of the analysis have: the original's fields and those of `podTemplate` together.
    pub fn pod(&self) -> PodDelta {
        let delta = self.pod_template.clone().unwrap_or_default();
        let over = |under: &BTreeMap<String, String>, over: BTreeMap<String, String>| {
            let mut all = under.clone();
            all.extend(over);
            all
        };
        let mut secrets = self.image_pull_secrets.clone();
        for secret in delta.image_pull_secrets {
            if !secrets.contains(&secret) {
                secrets.push(secret);
            }
        }
        PodDelta {
            labels: over(&self.pod_labels, delta.labels),
            annotations: over(&self.pod_annotations, delta.annotations),
            node_selector: over(&self.node_selector, delta.node_selector),
            image_pull_secrets: secrets,
            ..delta
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    fn image(fields: Value) -> Image {
        from_value::<K8sGptSpec>(fields).unwrap().image()
    }

    #[test]
    fn the_image_of_a_manifest_counts_only_when_it_is_asked_for() {
        let sample = json!({ "repository": "ghcr.io/k8sgpt-ai/k8sgpt", "version": "v0.3.41" });
        assert_eq!(image(sample), Image::OwnInsteadOf("ghcr.io/k8sgpt-ai/k8sgpt:v0.3.41".to_owned()));
        assert_eq!(image(json!({ "version": "" })), Image::Own);
        assert_eq!(
            image(json!({ "version": "v1" })),
            Image::OwnInsteadOf(format!("{ORIGINAL_REPOSITORY}:v1"))
        );
        let own = json!({ "repository": "registry/crew", "version": "v2", "imageOverride": true });
        assert_eq!(image(own), Image::Named("registry/crew:v2".to_owned()));
        let digest = json!({ "repository": "registry/crew", "version": "sha256:ab", "imageOverride": true });
        assert_eq!(image(digest), Image::Named("registry/crew@sha256:ab".to_owned()));
    }

    #[test]
    fn the_originals_own_image_never_runs() {
        let filled_in = json!({ "repository": ORIGINAL_REPOSITORY, "version": "v1", "imageOverride": true });
        assert_eq!(image(filled_in), Image::OwnInsteadOf(format!("{ORIGINAL_REPOSITORY}:v1")));
    }

    #[test]
    fn a_pod_has_the_originals_fields_and_the_further_ones() {
        let spec: K8sGptSpec = from_value(json!({
            "nodeSelector": { "disk": "ssd", "zone": "a" },
            "podLabels": { "team": "sre" },
            "imagePullSecrets": [{ "name": "one" }],
            "podTemplate": {
                "nodeSelector": { "zone": "b" },
                "labels": { "cost": "1" },
                "imagePullSecrets": [{ "name": "one" }, { "name": "two" }],
                "tolerations": [{ "key": "gpu", "operator": "Exists" }],
            },
        }))
        .unwrap();
        assert_eq!(
            to_value(spec.pod()).unwrap(),
            json!({
                "nodeSelector": { "disk": "ssd", "zone": "b" },
                "labels": { "team": "sre", "cost": "1" },
                "imagePullSecrets": [{ "name": "one" }, { "name": "two" }],
                "tolerations": [{ "key": "gpu", "operator": "Exists" }],
            })
        );
    }
}
