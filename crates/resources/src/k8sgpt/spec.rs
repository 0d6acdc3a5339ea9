//! `K8sGPT`: what is analysed, how it is explained, who is told.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Ai, Analysis, Analyzers, LabelSelector, NamedSink, PodDelta, Prompt, RemoteCache, Severity, Sink,
    Suppression, TargetNamespaces, sink::ORIGINAL_SINK,
};
use crate::Metadata;

/// What is analysed, how it is explained, who is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct K8sGpt {
    /// Always [`API_VERSION`](super::API_VERSION).
    pub api_version: String,
    /// Always [`KIND`](super::KIND).
    pub kind: String,
    /// Name and labels.
    pub metadata: Metadata,
    /// What is wanted.
    #[serde(default)]
    pub spec: K8sGptSpec,
}

/// What is wanted of an analysis.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct K8sGptSpec {
    /// Which model explains findings. Absent means that they are found and told without explanation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ai: Option<Ai>,
    /// How often everything is looked at, and how long a problem must last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// The only namespace that is looked at. Empty means every namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_namespace: Option<String>,
    /// Namespaces that are looked at, within targetNamespace if that is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_namespaces: Option<TargetNamespaces>,
    /// Objects that are looked at, by their labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_selector: Option<LabelSelector>,
    /// Analyzers that run instead of the default ones, for example Ingress.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<String>,
    /// Analyzers that run besides the default ones or those of filters, or do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzers: Option<Analyzers>,
    /// Analyzers of one's own, over gRPC.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub custom_analyzers: Vec<CustomAnalyzer>,
    /// Findings that are less bad make no Result. Absent means that all do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
    /// Findings that make no Result, because one knows of them.
    #[cfg_attr(feature = "schema", schemars(length(max = MAX_SUPPRESSIONS)))]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suppress: Vec<Suppression>,
    /// How a model is asked, by kind of object.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = MAX_PROMPTS),
            extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind"])
        )
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompts: Vec<Prompt>,
    /// Who is told about findings. For more than one: sinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<Sink>,
    /// Who is told about findings, any number, each with a name; besides sink.
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = MAX_SINKS),
            extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
        )
    )]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sinks: Vec<NamedSink>,
    /// Whether explanations are asked for anew although one is kept. Each finding is still asked about once.
    pub no_cache: bool,
    /// Where explanations are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_cache: Option<RemoteCache>,
    /// Key of a Secret with a kubeconfig of the cluster that is analysed; absent means this one. Without a key it is value,
    /// as the Cluster API writes it. Of the kubeconfig only inline certificates and tokens are used; one with programs, files
    /// or without TLS is refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KeyRef>,
    /// Further things to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extra_options: Option<ExtraOptions>,
    /// Other tools whose reports are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrations: Option<Integrations>,
    /// Image, without its tag. It counts only with imageOverride: what manifests name here is K8sGPT's program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Tag or digest of the image. It counts only with imageOverride.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Whether repository and version name the image that runs; it must be built on asya-crew.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub image_override: bool,
    /// When the image is pulled: Always, IfNotPresent or Never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<String>,
    /// Secrets with credentials for the image's registry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<ObjectName>,
    /// Requests and limits of each container of the analysis. Absent means the operator's.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::resources"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<Value>,
    /// What the pods have besides what they need.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodDelta>,
    /// Labels that a node must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Labels of the workloads.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deployment_labels: BTreeMap<String, String>,
    /// Annotations of the workloads.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub deployment_annotations: BTreeMap<String, String>,
    /// Labels of the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_labels: BTreeMap<String, String>,
    /// Annotations of the pods.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub pod_annotations: BTreeMap<String, String>,
    /// Security context of the pods, written as anywhere in Kubernetes.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::open"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<Value>,
    /// Security context of the containers, written as anywhere in Kubernetes.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::open"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_security_context: Option<Value>,
}

/// Most suppressions: each is tried on every finding.
#[cfg(feature = "schema")]
const MAX_SUPPRESSIONS: u32 = 256;
/// Most prompts: more than a cluster has kinds that break.
#[cfg(feature = "schema")]
const MAX_PROMPTS: u32 = 128;
/// Most sinks: every finding is sent to each.
#[cfg(feature = "schema")]
const MAX_SINKS: u32 = 32;

/// A key of a Secret or ConfigMap of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct KeyRef {
    /// Name of the Secret or ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Key within it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// An object of the same namespace, by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ObjectName {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An analyzer of one's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct CustomAnalyzer {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it listens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
}

/// Where a server listens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Connection {
    /// Its host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
}

/// Further things to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ExtraOptions {
    /// For Backstage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backstage: Option<Backstage>,
    /// Role of AWS that the ServiceAccounts of the analysis may take on: the value of eks.amazonaws.com/role-arn.
    #[serde(rename = "serviceAccountIRSA", skip_serializing_if = "Option::is_none")]
    pub service_account_irsa: Option<String>,
}

/// For Backstage.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Backstage {
    /// Whether a Result gets the label backstage.io/kubernetes-id of the object that it is about.
    pub enabled: bool,
}

/// Other tools whose reports are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Integrations {
    /// Trivy's reports. Trivy itself is not installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trivy: Option<Trivy>,
}

/// Trivy's reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Trivy {
    /// Whether they are read.
    pub enabled: bool,
    /// Without effect: Trivy is never installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_install: Option<bool>,
    /// Without effect: reports stand beside the objects that they are about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

/// Key of a kubeconfig in its Secret, as the Cluster API writes it.
pub const KUBECONFIG_KEY: &str = "value";

impl K8sGpt {
    /// Reads an object as the API server has it. As in Kubernetes, null is the same as absent, and what is not known here
    /// is passed over.
    ///
    /// # Errors
    /// Where a field has another type than the CRD says, or metadata is missing.
    pub fn read(object: &Value) -> serde_json::Result<Self> {
        crate::actor::read(object)
    }
}

impl K8sGptSpec {
    /// Everybody who is told about findings, with the name under which that is remembered.
    pub fn sinks(&self) -> impl Iterator<Item = (&str, &Sink)> {
        let original = self.sink.as_ref().map(|sink| (ORIGINAL_SINK, sink));
        original.into_iter().chain(self.sinks.iter().map(|named| (named.name.as_str(), &named.sink)))
    }

    /// How often everything is looked at, and how long a problem must last, defaults filled in.
    pub fn analysis(&self) -> Analysis {
        self.analysis.clone().unwrap_or_default()
    }

    /// Whether objects of a namespace are looked at.
    pub fn looks_at(&self, namespace: &str) -> bool {
        let only = self.target_namespace.as_deref().filter(|only| !only.is_empty());
        let among = self.target_namespaces.as_ref().is_none_or(|namespaces| namespaces.contains(namespace));
        only.is_none_or(|only| only == namespace) && among
    }

    /// The namespaces that are looked at, if they can be listed without knowing those of the cluster.
    pub fn namespaces(&self) -> Option<Vec<&str>> {
        match self.target_namespace.as_deref().filter(|only| !only.is_empty()) {
            Some(only) => Some(if self.looks_at(only) { vec![only] } else { Vec::new() }),
            None => self.target_namespaces.as_ref()?.names(),
        }
    }

    /// The Secret and its key that hold the kubeconfig of the cluster that is analysed; `None` means this one. A reference
    /// without a name has an empty one: then no cluster is analysed, and not this one instead.
    pub fn kubeconfig(&self) -> Option<(&str, &str)> {
        let reference = self.kubeconfig.as_ref()?;
        let name = reference.name.as_deref().unwrap_or_default();
        Some((name, reference.key.as_deref().filter(|key| !key.is_empty()).unwrap_or(KUBECONFIG_KEY)))
    }

    /// Whether a model explains findings.
    pub fn explains(&self) -> bool {
        self.ai.as_ref().is_some_and(|ai| ai.enabled)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn a_manifest_without_spec_or_with_nulls_is_read() {
        let bare =
            json!({ "apiVersion": "core.k8sgpt.ai/v1alpha1", "kind": "K8sGPT", "metadata": { "name": "a" } });
        assert_eq!(K8sGpt::read(&bare).unwrap().spec, K8sGptSpec::default());
        let mut nulls = bare;
        nulls["spec"] = json!({ "ai": null, "sink": { "secret": null }, "filters": null });
        let spec = K8sGpt::read(&nulls).unwrap().spec;
        assert_eq!((spec.ai, spec.sink), (None, Some(Sink::default())));
    }

    #[test]
    fn the_original_sink_and_the_named_ones_are_all_told() {
        let spec: K8sGptSpec =
            from_value(json!({ "sink": { "webhook": "a" }, "sinks": [{ "name": "b" }, { "name": "c" }] }))
                .unwrap();
        assert_eq!(spec.sinks().map(|(name, _)| name).collect::<Vec<_>>(), ["spec.sink", "b", "c"]);
    }

    #[test]
    fn one_target_namespace_narrows_the_others() {
        let spec = |fields: Value| from_value::<K8sGptSpec>(fields).unwrap();
        let all = spec(json!({ "targetNamespace": "" }));
        assert!(all.looks_at("a") && all.namespaces().is_none());
        let one = spec(json!({ "targetNamespace": "a" }));
        assert!(one.looks_at("a") && !one.looks_at("b"));
        assert_eq!(one.namespaces(), Some(vec!["a"]));
        let none = spec(json!({ "targetNamespace": "a", "targetNamespaces": { "exclude": ["a"] } }));
        assert_eq!(none.namespaces(), Some(vec![]));
        assert_eq!(
            spec(json!({ "targetNamespaces": { "include": ["b", "a"] } })).namespaces(),
            Some(vec!["a", "b"])
        );
    }

    #[test]
    fn a_kubeconfig_stands_where_the_cluster_api_writes_it() {
        let of = |fields: Value| from_value::<K8sGptSpec>(json!({ "kubeconfig": fields })).unwrap();
        assert_eq!(of(json!({ "name": "a" })).kubeconfig(), Some(("a", "value")));
        assert_eq!(of(json!({ "name": "a", "key": "config" })).kubeconfig(), Some(("a", "config")));
        assert_eq!(
            of(json!({ "key": "config" })).kubeconfig(),
            Some(("", "config")),
            "never this cluster instead"
        );
        assert_eq!(K8sGptSpec::default().kubeconfig(), None);
    }

    #[test]
    fn nothing_explains_unless_a_model_is_enabled() {
        let explains = |fields: Value| from_value::<K8sGptSpec>(fields).unwrap().explains();
        assert!(!explains(json!({})) && !explains(json!({ "ai": {} })));
        assert!(explains(json!({ "ai": { "enabled": true } })));
    }
}
