//! Objects of actors as the caches keep them: metadata, status, and the few fields of the spec that are read.

use std::{
    borrow::Cow,
    fmt,
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use kube::{
    Resource,
    api::{ApiResource, GroupVersionKind},
    core::DynamicResourceScope,
};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;

use super::{
    managers::{inherited, writers},
    script::PREFIX,
    slim::{slim_metadata, slim_status},
    work::Key,
};
use crate::{
    actor::{ACTOR_LABEL, FIELD_MANAGER},
    desired::rollout,
};

/// Labels of the ConfigMaps that hold the runtime, or the user's name for a trigger.
pub const CONFIG_MAPS: &str = "app.kubernetes.io/name in (asya-runtime,asya-trigger-auth)";
/// Label that KEDA gives to what it makes for a ScaledObject.
const SCALED_OBJECT_LABEL: &str = "scaledobject.keda.sh/name";

/// The kinds of object that belong to actors, or to an analysis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// apps/v1.
    Deployment,
    /// apps/v1.
    StatefulSet,
    /// v1, by label; of the spec the runtime's volume alone.
    Pod,
    /// autoscaling/v2; KEDA makes them.
    HorizontalPodAutoscaler,
    /// v1, metadata only.
    ConfigMap,
    /// v1, metadata only.
    ServiceAccount,
    /// v1, metadata only.
    Service,
    /// v1, metadata only: the Pod Security Standard that it enforces.
    Namespace,
    /// v1; credentials that we write. Never watched: that would need a right on all Secrets.
    Secret,
    /// keda.sh/v1alpha1.
    ScaledObject,
    /// keda.sh/v1alpha1.
    ScaledJob,
    /// keda.sh/v1alpha1, metadata only.
    TriggerAuthentication,
    /// asya.sh/v1alpha1; of an analysis.
    AsyncActor,
    /// rbac.authorization.k8s.io/v1, metadata only; of an analysis.
    Role,
    /// rbac.authorization.k8s.io/v1, metadata only; of an analysis.
    RoleBinding,
    /// rbac.authorization.k8s.io/v1, metadata only; of an analysis.
    ClusterRoleBinding,
}

impl Kind {
    /// Every kind that belongs to actors.
    pub const ALL: [Self; 12] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::Pod,
        Self::HorizontalPodAutoscaler,
        Self::ConfigMap,
        Self::ServiceAccount,
        Self::Service,
        Self::Namespace,
        Self::Secret,
        Self::ScaledObject,
        Self::ScaledJob,
        Self::TriggerAuthentication,
    ];
    /// Every kind that belongs to an analysis; its Secret is never watched.
    pub const OF_ANALYSIS: [Self; 6] = [
        Self::AsyncActor,
        Self::ServiceAccount,
        Self::Role,
        Self::RoleBinding,
        Self::ClusterRoleBinding,
        Self::ConfigMap,
    ];

    /// The kind of an object that is to be applied.
    pub fn of(object: &Value) -> Option<Self> {
        let word = object.get("kind")?.as_str()?;
        Self::ALL.into_iter().chain(Self::OF_ANALYSIS).find(|kind| kind.word() == word)
    }

    /// Its name in manifests.
    pub fn word(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::Pod => "Pod",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::ConfigMap => "ConfigMap",
            Self::ServiceAccount => "ServiceAccount",
            Self::Service => "Service",
            Self::Namespace => "Namespace",
            Self::Secret => "Secret",
            Self::ScaledObject => "ScaledObject",
            Self::ScaledJob => "ScaledJob",
            Self::TriggerAuthentication => "TriggerAuthentication",
            Self::AsyncActor => asya_resources::KIND,
            Self::Role => "Role",
            Self::RoleBinding => "RoleBinding",
            Self::ClusterRoleBinding => "ClusterRoleBinding",
        }
    }

    /// Its name in addresses.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::Pod => "pods",
            Self::HorizontalPodAutoscaler => "horizontalpodautoscalers",
            Self::ConfigMap => "configmaps",
            Self::ServiceAccount => "serviceaccounts",
            Self::Service => "services",
            Self::Namespace => "namespaces",
            Self::Secret => "secrets",
            Self::ScaledObject => "scaledobjects",
            Self::ScaledJob => "scaledjobs",
            Self::TriggerAuthentication => "triggerauthentications",
            Self::AsyncActor => "asyncactors",
            Self::Role => "roles",
            Self::RoleBinding => "rolebindings",
            Self::ClusterRoleBinding => "clusterrolebindings",
        }
    }

    fn group_version(self) -> (&'static str, &'static str) {
        match self {
            Self::Deployment | Self::StatefulSet => ("apps", "v1"),
            Self::Pod
            | Self::ConfigMap
            | Self::ServiceAccount
            | Self::Service
            | Self::Namespace
            | Self::Secret => ("", "v1"),
            Self::HorizontalPodAutoscaler => ("autoscaling", "v2"),
            Self::ScaledObject | Self::ScaledJob | Self::TriggerAuthentication => ("keda.sh", "v1alpha1"),
            Self::AsyncActor => ("asya.sh", "v1alpha1"),
            Self::Role | Self::RoleBinding | Self::ClusterRoleBinding => ("rbac.authorization.k8s.io", "v1"),
        }
    }

    /// What the API server calls it.
    pub fn resource(self) -> ApiResource {
        let (group, version) = self.group_version();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, self.word()), self.plural())
    }

    /// Whether KEDA brings it.
    pub fn of_keda(self) -> bool {
        self.group_version().0 == "keda.sh"
    }

    /// Whether only metadata is watched.
    pub fn metadata_only(self) -> bool {
        matches!(
            self,
            Self::ConfigMap
                | Self::ServiceAccount
                | Self::Service
                | Self::Namespace
                | Self::TriggerAuthentication
                | Self::Role
                | Self::RoleBinding
                | Self::ClusterRoleBinding
        )
    }

    /// Which of them are watched.
    pub fn selector(self) -> Option<&'static str> {
        match self {
            Self::Namespace | Self::HorizontalPodAutoscaler => None,
            Self::ConfigMap => Some(CONFIG_MAPS),
            _ => Some(ACTOR_LABEL),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One object as it is on the cluster.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Raw")]
pub struct Live {
    /// Metadata without `managedFields`, once it is in a cache.
    pub metadata: ObjectMeta,
    /// What is read of the spec.
    #[serde(default)]
    pub spec: Kept,
    /// The status.
    #[serde(default)]
    pub status: Value,
    /// Whether the previous operator's ownership of fields is still there, or that of a creation.
    #[serde(skip)]
    pub inherited: bool,
    /// Whether `spec.replicas` is among the fields that we applied.
    #[serde(skip)]
    pub owns_replicas: bool,
    /// [`fingerprint`] of the annotation with the applied template, which itself is not kept.
    #[serde(skip)]
    pub template: Option<u64>,
}

/// An object as it comes. The list of who owns which field, half of its bytes and most of its nodes, is not built up: of it
/// only two answers are kept.
#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    metadata: RawMetadata,
    #[serde(default)]
    spec: Kept,
    #[serde(default)]
    status: Value,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RawMetadata {
    managed_fields: Vec<Manager>,
    #[serde(flatten)]
    rest: ObjectMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Manager {
    manager: String,
    operation: String,
    subresource: String,
    fields_v1: Owned,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owned {
    #[serde(rename = "f:spec")]
    spec: OwnedSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OwnedSpec {
    #[serde(rename = "f:replicas")]
    replicas: Option<IgnoredAny>,
}

impl From<Raw> for Live {
    fn from(raw: Raw) -> Self {
        let managers = &raw.metadata.managed_fields;
        let writers =
            managers.iter().map(|it| (it.manager.as_str(), it.operation.as_str(), it.subresource.as_str()));
        let inherited = inherited(writers);
        let owns_replicas = managers.iter().any(|it| {
            it.operation == "Apply" && it.manager == FIELD_MANAGER && it.fields_v1.spec.replicas.is_some()
        });
        let (spec, status) = (raw.spec, raw.status);
        Self { metadata: raw.metadata.rest, spec, status, inherited, owns_replicas, template: None }.slim()
    }
}

/// A short stand-in for a text, good within this process.
pub fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// What is read of specs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Kept {
    /// Replicas of a workload.
    pub replicas: Option<i32>,
    /// Replicas that an autoscaler goes down to.
    pub min_replicas: Option<i32>,
    /// What an autoscaler scales.
    pub scale_target_ref: Option<Target>,
    /// What is read of a workload's pods.
    pub template: Option<Template>,
    /// The jobs of a ScaledJob.
    job_target_ref: Option<JobTarget>,
    /// Those of a pod.
    volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct JobTarget {
    template: Option<Template>,
}

/// What is read of a workload's pod template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Template {
    metadata: TemplateMetadata,
    spec: TemplateSpec,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct TemplateMetadata {
    annotations: Option<TemplateAnnotations>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct TemplateAnnotations {
    #[serde(rename = "kubectl.kubernetes.io/restartedAt")]
    restarted_at: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct TemplateSpec {
    volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Volume {
    config_map: Option<Target>,
}

impl Volume {
    fn runtime(&self) -> Option<&str> {
        let name = self.config_map.as_ref()?.name.as_str();
        name.starts_with(PREFIX).then_some(name)
    }
}

impl Kept {
    /// When somebody last restarted the workload by hand.
    pub fn restarted_at(&self) -> Option<&str> {
        self.template.as_ref()?.metadata.annotations.as_ref()?.restarted_at.as_deref()
    }

    /// Versions of the runtime that a pod, or pods of a workload or of a job, mount.
    pub fn runtimes(&self) -> impl Iterator<Item = &str> {
        let jobs = self.job_target_ref.iter().filter_map(|target| target.template.as_ref());
        let templates = self.template.iter().chain(jobs).flat_map(|template| &template.spec.volumes);
        templates.chain(&self.volumes).filter_map(Volume::runtime)
    }

    /// Drops volumes that no one asks for.
    fn slim(&mut self) {
        let jobs = self.job_target_ref.iter_mut().filter_map(|target| target.template.as_mut());
        let templates = self.template.iter_mut().chain(jobs).map(|template| &mut template.spec.volumes);
        for volumes in templates.chain([&mut self.volumes]) {
            volumes.retain(|volume| volume.runtime().is_some());
            volumes.shrink_to_fit();
        }
    }
}

/// Another object, by name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Target {
    /// Its name.
    pub name: String,
}

impl Resource for Live {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

impl Live {
    /// An object of which only the metadata is known.
    pub fn of_metadata(metadata: ObjectMeta) -> Self {
        Self { metadata, ..Self::default() }
    }

    /// Drops what no one reads, and remembers of it what matters.
    #[must_use]
    pub fn slim(mut self) -> Self {
        self.inherited |= inherited(writers(&self.metadata));
        let annotations = self.metadata.annotations.as_mut();
        if let Some(text) = annotations.and_then(|all| all.remove(rollout::TEMPLATE)) {
            self.template = Some(fingerprint(&text));
        }
        slim_metadata(&mut self.metadata);
        self.spec.slim();
        slim_status(&mut self.status);
        self
    }

    /// Namespace and name.
    pub fn key(&self) -> Key {
        key(&self.metadata)
    }

    /// The uid.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Uid of the controller that owns it.
    pub fn controller(&self) -> Option<&str> {
        let owners = self.metadata.owner_references.as_deref().unwrap_or_default();
        owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
    }

    /// A label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// The actor that it belongs to, by label, by owner, or as the target of an autoscaler.
    pub fn actor(&self) -> Option<Key> {
        let owners = self.metadata.owner_references.as_deref().unwrap_or_default();
        let name = self
            .label(ACTOR_LABEL)
            .or_else(|| owners.iter().find(|o| o.kind == asya_resources::KIND).map(|o| o.name.as_str()))
            .or_else(|| self.label(SCALED_OBJECT_LABEL))
            .or_else(|| self.spec.scale_target_ref.as_ref().map(|target| target.name.as_str()))?;
        Some((self.metadata.namespace.clone().unwrap_or_default(), name.to_owned()))
    }

    /// Whether it is being deleted.
    pub fn deleting(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// When it was made.
    pub fn created(&self) -> Option<Timestamp> {
        self.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }
}

/// Namespace and name of an object.
pub fn key(metadata: &ObjectMeta) -> Key {
    (metadata.namespace.clone().unwrap_or_default(), metadata.name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::actor::CREATE_MANAGER;

    #[test]
    fn of_an_object_only_what_is_read_is_kept() {
        let live: Live = serde_json::from_value(json!({
            "metadata": {"name": "ocr", "namespace": "ns", "annotations": {rollout::TEMPLATE: "{}", "a": "b"},
                "managedFields": [
                    {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {}}}}},
                    {"manager": CREATE_MANAGER, "operation": "Update", "fieldsV1": {"f:metadata": {}}},
                ]},
            "spec": {"replicas": 2, "template": {"spec": {"volumes": [{"name": "v", "emptyDir": {}},
                {"name": "r", "configMap": {"name": "asya-runtime-1"}}]}}},
            "status": {"phase": "Running", "hostIP": "10.0.0.1", "conditions": [{"type": "Ready", "probe": 1}]},
        }))
        .unwrap();
        assert_eq!((live.inherited, live.owns_replicas), (true, true));
        assert_eq!(live.template, Some(fingerprint("{}")));
        assert_eq!(live.metadata.managed_fields, None);
        assert_eq!(live.metadata.annotations.as_ref().unwrap().len(), 1);
        assert_eq!((live.key().1.as_str(), live.spec.replicas), ("ocr", Some(2)));
        assert_eq!(live.spec.runtimes().collect::<Vec<_>>(), ["asya-runtime-1"]);
        assert_eq!(live.status, json!({"phase": "Running", "conditions": [{"type": "Ready"}]}));
        assert_eq!(live.clone().slim(), live, "nothing is left to drop");
    }
}
