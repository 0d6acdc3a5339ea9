//! The API server, the CRD, KEDA.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Finding, numbers};
use crate::cluster::{
    Cluster, ClusterError,
    resource::{CRDS, DEPLOYMENTS},
};

/// Oldest Kubernetes that is supported: docs/install.md.
const OLDEST_KUBERNETES: (u16, u16) = (1, 29);
/// Oldest KEDA that is supported.
const OLDEST_KEDA: (u16, u16) = (2, 18);
const OUR_CRD: &str = "asyncactors.asya.sh";
const KEDA_CRD: &str = "scaledobjects.keda.sh";
const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// Labels of KEDA's operator: of its chart, and of its release files.
const KEDA_LABELS: [&str; 2] = ["app.kubernetes.io/name=keda-operator", "app=keda-operator"];

pub(super) fn server(cluster: &Cluster) -> Finding {
    let found = format!("{} at {} (context {})", cluster.version, cluster.server, cluster.context);
    match numbers(&cluster.version) {
        Some(version) if version < OLDEST_KUBERNETES => Finding::warn(
            "api server",
            found,
            "upgrade to Kubernetes 1.29 or newer: native sidecars and CEL rules need it",
        ),
        _ => Finding::ok("api server", found),
    }
}

pub(super) async fn crd(cluster: &Cluster) -> Finding {
    const CHECK: &str = "crd";
    let crd = match cluster.get(CRDS, None, OUR_CRD).await {
        Ok(Some(crd)) => crd,
        Ok(None) => {
            return Finding::fail(
                CHECK,
                format!("{OUR_CRD} is not installed"),
                "helm install asya charts/asya-operator -n asya-system --create-namespace: docs/install.md",
            );
        }
        Err(error) => return Finding::unread(CHECK, &error),
    };
    let conditions = crd["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let bad = conditions.iter().find(|condition| {
        matches!(condition["type"].as_str(), Some("Established" | "NamesAccepted"))
            && condition["status"] != "True"
    });
    if let Some(bad) = bad {
        let words = bad["message"].as_str().unwrap_or_default().to_owned();
        return Finding::fail(CHECK, words, format!("kubectl describe crd {OUR_CRD}"));
    }
    let ours: Value = serde_saphyr::from_str(asya_resources::CRD).unwrap_or_default();
    let missing: Vec<_> = fields(&ours).difference(&fields(&crd)).cloned().collect();
    let found = format!("{OUR_CRD}, served as {}", versions(&crd).join(", "));
    if missing.is_empty() {
        return Finding::ok(CHECK, found);
    }
    Finding::warn(
        CHECK,
        format!("{found}; it does not know spec.{}", missing.join(", spec.")),
        "it is older than this asya: helm upgrade the operator's chart, which renews the CRD: docs/upgrade.md",
    )
}

fn versions(crd: &Value) -> Vec<String> {
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let served = versions.filter(|version| version["served"] == true);
    served.filter_map(|version| version["name"].as_str().map(str::to_owned)).collect()
}

/// The fields of `spec` that a CRD declares.
fn fields(crd: &Value) -> BTreeSet<String> {
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let specs = versions.filter_map(|version| {
        version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].as_object()
    });
    specs.flat_map(|spec| spec.keys().cloned()).collect()
}

/// `scaled`: whether an actor wants KEDA.
pub(super) async fn keda(cluster: &Cluster, scaled: bool) -> Vec<Finding> {
    const CHECK: &str = "keda";
    let crd = match cluster.get(CRDS, None, KEDA_CRD).await {
        Ok(Some(crd)) => crd,
        Ok(None) => {
            let fix =
                "helm install keda kedacore/keda -n keda --create-namespace; the operator notices by itself";
            let found = "KEDA is not installed";
            return vec![if scaled {
                Finding::fail(CHECK, format!("{found}, and actors with scaling.enabled need it"), fix)
            } else {
                Finding::warn(CHECK, format!("{found}: actors run with fixed replicas only"), fix)
            }];
        }
        Err(error) => return vec![Finding::unread(CHECK, &error)],
    };
    let label = crd["metadata"]["labels"][VERSION_LABEL].as_str();
    let upgrade = "upgrade KEDA to 2.18 or newer: older ones do not take the push scaler";
    let mut findings = vec![match label.and_then(|text| Some((text, numbers(text)?))) {
        Some((text, version)) if version < OLDEST_KEDA => {
            Finding::warn(CHECK, format!("KEDA {text}"), upgrade)
        }
        Some((text, _)) => Finding::ok(CHECK, format!("KEDA {text}")),
        None => Finding::warn(CHECK, "KEDA, of an unknown version: its CRDs have no label", upgrade),
    }];
    findings.extend(keda_runs(cluster).await);
    findings
}

/// Whether KEDA's operator runs, as far as one may look.
async fn keda_runs(cluster: &Cluster) -> Option<Finding> {
    const CHECK: &str = "keda runs";
    let mut found = Vec::new();
    for labels in KEDA_LABELS {
        match cluster.list(DEPLOYMENTS, None, labels).await {
            Ok(more) => found.extend(more),
            Err(ClusterError::Forbidden(_)) => return None,
            Err(error) => return Some(Finding::unread(CHECK, &error)),
        }
    }
    let Some(first) = found.first() else {
        return Some(Finding::warn(
            CHECK,
            "no Deployment of KEDA's operator was found",
            "if KEDA runs under another name, nothing; else its CRDs are left over: install KEDA again",
        ));
    };
    let name = first["metadata"]["name"].as_str().unwrap_or_default();
    let namespace = first["metadata"]["namespace"].as_str().unwrap_or_default();
    let ready = first["status"]["readyReplicas"].as_i64().unwrap_or(0);
    Some(if ready > 0 {
        Finding::ok(CHECK, format!("{name} in {namespace}, {ready} ready"))
    } else {
        let fix = format!("kubectl -n {namespace} describe deployment {name}");
        Finding::fail(CHECK, format!("{name} in {namespace} is not ready"), fix)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_crd_declares_every_field_of_a_spec() {
        let ours: Value = serde_saphyr::from_str(asya_resources::CRD).unwrap();
        let fields = fields(&ours);
        assert!(fields.contains("transport") && fields.contains("paused") && fields.len() > 15, "{fields:?}");
        assert_eq!(versions(&ours), ["v1alpha1"]);
    }
}
