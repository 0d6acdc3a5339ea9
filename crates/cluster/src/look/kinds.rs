//! Which kind somebody means.

use super::Error;
use crate::{Api, Catalogue, Served};

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
pub async fn called(api: &Api, name: &str) -> Result<Served, Error> {
    if let Some(known) = known(name) {
        return Ok(known);
    }
    let catalogue = catalogue(api).await?;
    catalogue.called(name).cloned().ok_or_else(|| Error::NoKind { name: name.to_owned() })
}

/// The kinds that the cluster serves.
pub(super) async fn catalogue(api: &Api) -> Result<Catalogue, Error> {
    Catalogue::read(api).await.map_err(Error::refused("get", "discovery", None))
}

/// The kinds that every cluster serves, in lower case.
pub fn names() -> impl Iterator<Item = String> {
    KNOWN.iter().map(|known| known.2.to_ascii_lowercase())
}

/// A kind that every cluster serves, by what it is called.
#[must_use]
pub fn known(name: &str) -> Option<Served> {
    let lower = name.to_ascii_lowercase();
    let is = |(_, _, kind, plural, _, others): &&Known| {
        kind.eq_ignore_ascii_case(&lower) || *plural == lower || others.contains(&lower.as_str())
    };
    KNOWN.iter().find(is).map(served)
}

/// Pods.
pub(super) fn pods() -> Served {
    served(&KNOWN[0])
}

/// Events.
pub(super) fn events() -> Served {
    served(&KNOWN[KNOWN.len() - 1])
}

fn served(&(group, version, kind, plural, namespaced, _): &Known) -> Served {
    Served {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        namespaced,
        listable: true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_every_name_of_theirs() {
        for name in ["Pod", "pods", "PO"] {
            assert_eq!(known(name), Some(pods()), "{name}");
        }
        assert_eq!(events().path(Some("shop")), "/api/v1/namespaces/shop/events");
        assert_eq!(known("asyncactors"), None);
    }
}
