//! Which kind somebody means.

use asya_cluster::{Api, Catalogue, Served};

use super::refused::refused;
use crate::service::Error;

/// A kind that every cluster serves: group, version, kind, as in paths, in namespaces, and what else it is called.
type Known = (&'static str, &'static str, &'static str, &'static str, bool, &'static [&'static str]);

/// Those that K8sGPT has names for. They take no discovery.
const KNOWN: [Known; 18] = [
    ("", "v1", "Pod", "pods", true, &["po"]),
    ("apps", "v1", "Deployment", "deployments", true, &["deploy"]),
    ("", "v1", "Service", "services", true, &["svc"]),
    ("", "v1", "Node", "nodes", false, &["no"]),
    ("batch", "v1", "Job", "jobs", true, &[]),
    ("batch", "v1", "CronJob", "cronjobs", true, &["cj"]),
    ("apps", "v1", "StatefulSet", "statefulsets", true, &["sts"]),
    ("apps", "v1", "DaemonSet", "daemonsets", true, &["ds"]),
    ("apps", "v1", "ReplicaSet", "replicasets", true, &["rs"]),
    ("", "v1", "ConfigMap", "configmaps", true, &["cm"]),
    ("", "v1", "Secret", "secrets", true, &[]),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", true, &["ing"]),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", true, &["pvc", "pvcs"]),
    ("", "v1", "PersistentVolume", "persistentvolumes", false, &["pv", "pvs"]),
    ("", "v1", "Namespace", "namespaces", false, &["ns"]),
    ("", "v1", "ServiceAccount", "serviceaccounts", true, &["sa"]),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", true, &["hpa"]),
    ("", "v1", "Event", "events", true, &["ev"]),
];

/// The kind that is called so, in any case: as K8sGPT and kubectl abbreviate it, or as the cluster has it.
///
/// # Errors
/// There is none, or the cluster does not say which it serves.
pub(super) async fn called(api: &Api, name: &str) -> Result<Served, Error> {
    if let Some(known) = known(name) {
        return Ok(known);
    }
    let catalogue =
        Catalogue::read(api).await.map_err(|refusal| refused(&refusal, "get", "discovery", None))?;
    catalogue.called(name).cloned().ok_or_else(|| {
        let known: Vec<_> = KNOWN.iter().map(|known| known.2.to_ascii_lowercase()).collect();
        Error::invalid(
            "resourceType",
            format!(
                "resourceType: the cluster serves no {name:?}; there are {}, and the kinds of its CustomResourceDefinitions, as \
                 asyncactors or asyncactors.asya.sh",
                known.join(", ")
            ),
        )
    })
}

/// One of [`KNOWN`].
pub(super) fn known(name: &str) -> Option<Served> {
    let lower = name.to_ascii_lowercase();
    let is = |(_, _, kind, plural, _, others): &&Known| {
        kind.eq_ignore_ascii_case(&lower) || *plural == lower || others.contains(&lower.as_str())
    };
    KNOWN.iter().find(is).map(|&(group, version, kind, plural, namespaced, _)| Served {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespaced,
        listable: true,
    })
}
