//! The resources that commands know.

use kube::api::{ApiResource, GroupVersionKind};

/// One kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    /// Empty for the core group.
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    /// Whether its objects are in namespaces.
    pub(crate) namespaced: bool,
}

const fn namespaced(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Resource {
    Resource { group, version, kind, plural, namespaced: true }
}

const fn global(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Resource {
    Resource { group, version, kind, plural, namespaced: false }
}

/// Our own.
pub(crate) const ACTORS: Resource = namespaced("asya.sh", "v1alpha1", "AsyncActor", "asyncactors");
pub(crate) const PODS: Resource = namespaced("", "v1", "Pod", "pods");
pub(crate) const SERVICES: Resource = namespaced("", "v1", "Service", "services");
pub(crate) const EVENTS: Resource = namespaced("events.k8s.io", "v1", "Event", "events");
pub(crate) const CONFIG_MAPS: Resource = namespaced("", "v1", "ConfigMap", "configmaps");
pub(crate) const DEPLOYMENTS: Resource = namespaced("apps", "v1", "Deployment", "deployments");
pub(crate) const STATEFUL_SETS: Resource = namespaced("apps", "v1", "StatefulSet", "statefulsets");
pub(crate) const LEASES: Resource = namespaced("coordination.k8s.io", "v1", "Lease", "leases");
pub(crate) const SCALED_OBJECTS: Resource =
    namespaced("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects");
pub(crate) const SCALED_JOBS: Resource = namespaced("keda.sh", "v1alpha1", "ScaledJob", "scaledjobs");
pub(crate) const TRIGGER_AUTHENTICATIONS: Resource =
    namespaced("keda.sh", "v1alpha1", "TriggerAuthentication", "triggerauthentications");
pub(crate) const AUTOSCALERS: Resource =
    namespaced("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");
pub(crate) const CRDS: Resource =
    global("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions");
/// Questions about one's own rights.
pub(crate) const ACCESS_REVIEWS: Resource =
    global("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews");

impl Resource {
    /// As kube wants it.
    pub(crate) fn api(self) -> ApiResource {
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(self.group, self.version, self.kind),
            self.plural,
        )
    }

    /// As roles and error messages of the API server name it: `pods`, `asyncactors.asya.sh`.
    pub(crate) fn full_name(self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }
}
