//! Which kinds a watcher must be allowed to list, so that no analyzer is in doubt for want of a right.
//!
//! The tables of the analyzers' tests fail for a read of a kind that is missing here, so the roles that are generated from
//! this list (`examples/watch-rules.rs`) neither lag behind the analyzers nor go beyond them. What a person's own rules
//! look at ([`crate::rules`]), and targets and owners of kinds that nobody here knows, need rights of their own.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::Resource;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{
    ConfigMap, Event, LimitRange, Namespace, Node, PersistentVolume, PersistentVolumeClaim, Pod,
    ReplicationController, Secret, Service, ServiceAccount,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{Ingress, IngressClass, NetworkPolicy};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use k8s_openapi::api::storage::v1::{CSIDriver, StorageClass};

use crate::kind::GroupKind;

/// The verbs of a watcher: it lists each kind once and then follows it.
pub const VERBS: [&str; 2] = ["list", "watch"];

/// The kind that is read by setting only: Kubernetes gives no right to the names of Secrets without their contents.
pub const SECRETS: (GroupKind, &str) = of::<Secret>();

/// Every kind that an analyzer looks at or asks for, Secrets aside, with its name in roles.
pub const KINDS: [(GroupKind, &str); 47] = [
    of::<ConfigMap>(),
    of::<Event>(),
    of::<LimitRange>(),
    of::<Namespace>(),
    of::<Node>(),
    of::<PersistentVolume>(),
    of::<PersistentVolumeClaim>(),
    of::<Pod>(),
    of::<ReplicationController>(),
    of::<Service>(),
    of::<ServiceAccount>(),
    of::<MutatingWebhookConfiguration>(),
    of::<ValidatingWebhookConfiguration>(),
    of::<DaemonSet>(),
    of::<Deployment>(),
    of::<ReplicaSet>(),
    of::<StatefulSet>(),
    of::<HorizontalPodAutoscaler>(),
    of::<CronJob>(),
    of::<Job>(),
    of::<EndpointSlice>(),
    of::<Ingress>(),
    of::<IngressClass>(),
    of::<NetworkPolicy>(),
    of::<PodDisruptionBudget>(),
    of::<ClusterRole>(),
    of::<ClusterRoleBinding>(),
    of::<Role>(),
    of::<RoleBinding>(),
    of::<CSIDriver>(),
    of::<StorageClass>(),
    (GroupKind::new("gateway.networking.k8s.io", "Gateway"), "gateways"),
    (GroupKind::new("gateway.networking.k8s.io", "GatewayClass"), "gatewayclasses"),
    (GroupKind::new("gateway.networking.k8s.io", "HTTPRoute"), "httproutes"),
    (GroupKind::new("gateway.networking.k8s.io", "ReferenceGrant"), "referencegrants"),
    (GroupKind::new("keda.sh", "ClusterTriggerAuthentication"), "clustertriggerauthentications"),
    (GroupKind::new("keda.sh", "ScaledObject"), "scaledobjects"),
    (GroupKind::new("keda.sh", "TriggerAuthentication"), "triggerauthentications"),
    (GroupKind::new("olm.operatorframework.io", "ClusterCatalog"), "clustercatalogs"),
    (GroupKind::new("olm.operatorframework.io", "ClusterExtension"), "clusterextensions"),
    (GroupKind::new("operators.coreos.com", "CatalogSource"), "catalogsources"),
    (GroupKind::new("operators.coreos.com", "ClusterServiceVersion"), "clusterserviceversions"),
    (GroupKind::new("operators.coreos.com", "InstallPlan"), "installplans"),
    (GroupKind::new("operators.coreos.com", "OperatorGroup"), "operatorgroups"),
    (GroupKind::new("operators.coreos.com", "Subscription"), "subscriptions"),
    (GroupKind::new("wgpolicyk8s.io", "ClusterPolicyReport"), "clusterpolicyreports"),
    (GroupKind::new("wgpolicyk8s.io", "PolicyReport"), "policyreports"),
];

const fn of<K: Resource>() -> (GroupKind, &'static str) {
    (GroupKind::of::<K>(), K::URL_PATH_SEGMENT)
}

/// The resources of [`KINDS`] by their API group: the rules of a role.
#[must_use]
pub fn by_group() -> BTreeMap<String, BTreeSet<&'static str>> {
    let mut groups: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for (kind, resource) in KINDS {
        groups.entry(kind.group.into_owned()).or_default().insert(resource);
    }
    groups
}

/// Whether a watcher may be asked about `kind`: it is listed here, or none of Kubernetes' own nor of a group of ours, so
/// that nobody but a person can know of it.
#[cfg(test)]
pub(crate) fn covers(kind: &GroupKind) -> bool {
    let known = |(listed, _): &(GroupKind, &str)| listed == kind;
    let strange = !KINDS.iter().any(|(listed, _)| listed.group == kind.group)
        && kind.group.contains('.')
        && !kind.group.ends_with(".k8s.io");
    *kind == SECRETS.0 || KINDS.iter().any(known) || strange
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyzers;

    #[test]
    fn every_subject_is_there_once() {
        let kinds: BTreeSet<GroupKind> = KINDS.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds.len(), KINDS.len());
        for analyzer in analyzers::all() {
            assert!(kinds.contains(&analyzer.subject()), "{}", analyzer.name());
        }
    }

    #[test]
    fn nothing_is_there_that_no_analyzer_names() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files =
            ["analyzers", "."].map(|below| std::fs::read_dir(folder.join(below)).expect("the sources"));
        let named: String = files
            .into_iter()
            .flatten()
            .map(|file| file.expect("a file").path())
            .filter(|path| path.is_file() && !path.ends_with("rights.rs") && !path.ends_with("lib.rs"))
            .map(|path| std::fs::read_to_string(path).expect("a text"))
            .map(|text| text.split("mod tests {").next().unwrap_or_default().to_owned())
            .collect();
        let subjects: BTreeSet<GroupKind> = analyzers::all().iter().map(|one| one.subject()).collect();
        // Kinds that objects name: owners and targets, and what a trigger authenticates by.
        let named_by_objects = ["ReplicationController", "ClusterTriggerAuthentication"];
        let others = KINDS.map(|(kind, _)| kind).into_iter();
        let others =
            others.filter(|kind| !subjects.contains(kind) && !named_by_objects.contains(&kind.kind.as_ref()));
        for kind in others {
            let typed = named.contains(&format!("<{}>", kind.kind)) && !kind.group.contains("gateway");
            let written = |word: &str| named.contains(&format!("\"{word}\""));
            assert!(typed || (written(&kind.kind) && written(&kind.group)), "nobody asks for {kind}");
        }
    }

    #[test]
    fn what_is_missing_would_be_found() {
        assert!(!covers(&GroupKind::new("", "Endpoints")));
        assert!(!covers(&GroupKind::new("apps", "ControllerRevision")));
        assert!(!covers(&GroupKind::new("keda.sh", "ScaledJob")), "of a group that is read");
        assert!(covers(&GroupKind::new("argoproj.io", "Rollout")), "a stranger");
    }
}
