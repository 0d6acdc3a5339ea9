//! The operator's Deployment, its Lease, its version.

use jiff::Timestamp;
use serde_json::Value;

use super::Finding;
use crate::cluster::{Cluster, Operator, find_operator, resource::LEASES};

/// Name of the leader's Lease.
const LEASE: &str = "asya-operator.asya.sh";
/// A Lease that was not renewed for so long has no holder: twice what it is made for.
const EXPIRED_SECONDS: i64 = 30;
/// This program's, which is the workspace's and the charts'.
const VERSION: &str = env!("CARGO_PKG_VERSION");

pub(super) async fn check(cluster: &Cluster) -> Vec<Finding> {
    const CHECK: &str = "operator";
    let operators = match find_operator(cluster).await {
        Ok(operators) => operators,
        Err(error) => return vec![Finding::unread(CHECK, &error)],
    };
    let [operator] = &operators[..] else {
        return vec![if operators.is_empty() {
            Finding::fail(
                CHECK,
                "no Deployment of the operator was found",
                "helm install asya charts/asya-operator -n asya-system --create-namespace: docs/install.md",
            )
        } else {
            let names: Vec<_> =
                operators.iter().map(|found| format!("{}/{}", found.namespace, found.name)).collect();
            Finding::fail(
                CHECK,
                format!("{} operators: {}", names.len(), names.join(", ")),
                "two operators revert each other unless they watch different namespaces; helm uninstall one of them",
            )
        }];
    };
    let mut findings = vec![runs(operator), version(operator)];
    findings.extend(leader(cluster, operator).await);
    findings
}

fn runs(operator: &Operator) -> Finding {
    let Operator { name, namespace, image, ready, wanted, .. } = operator;
    let found = format!("{name} in {namespace}, {ready} of {wanted} ready, image {image}");
    let fix = format!(
        "kubectl -n {namespace} describe deployment {name}; kubectl -n {namespace} logs deployment/{name}"
    );
    match (ready, wanted) {
        (_, 0) => Finding::fail(
            "operator",
            found,
            format!("kubectl -n {namespace} scale deployment {name} --replicas=1"),
        ),
        (0, _) => Finding::fail("operator", found, fix),
        (ready, wanted) if ready < wanted => Finding::warn("operator", found, fix),
        _ => Finding::ok("operator", found),
    }
}

fn version(operator: &Operator) -> Finding {
    const CHECK: &str = "versions";
    let sidecar =
        operator.env("ASYA_SIDECAR_IMAGE").map_or_else(String::new, |image| format!(", sidecar {image}"));
    let found = |version: &str| format!("asya {VERSION}, operator {version}{sidecar}");
    match operator.version.as_deref() {
        Some(version) if version.trim_start_matches('v') == VERSION => Finding::ok(CHECK, found(version)),
        Some(version) => Finding::warn(
            CHECK,
            found(version),
            "use asya and the operator of one release: fields and words may differ (docs/upgrade.md)",
        ),
        None => Finding::warn(
            CHECK,
            found("of an unknown version"),
            "the image has no tag and the Deployment no label",
        ),
    }
}

/// Who leads; `None` where nobody is elected.
async fn leader(cluster: &Cluster, operator: &Operator) -> Option<Finding> {
    const CHECK: &str = "leader";
    let Operator { namespace, name, wanted, .. } = operator;
    if !elects(&operator.object) {
        return (*wanted > 1).then(|| {
            Finding::fail(
                CHECK,
                format!("{wanted} replicas without leader election"),
                "set leaderElection.enabled in the chart",
            )
        });
    }
    let lease = match cluster.get(LEASES, Some(namespace), LEASE).await {
        Ok(lease) => lease,
        Err(error) => return Some(Finding::unread(CHECK, &error)),
    };
    let fix = format!("kubectl -n {namespace} logs deployment/{name}");
    let holder = lease
        .as_ref()
        .and_then(|lease| lease["spec"]["holderIdentity"].as_str())
        .filter(|holder| !holder.is_empty());
    let Some((lease, holder)) = lease.as_ref().zip(holder) else {
        return Some(Finding::fail(CHECK, "nobody holds the Lease", fix));
    };
    let renewed: Option<Timestamp> = lease["spec"]["renewTime"].as_str().and_then(|time| time.parse().ok());
    let age = renewed.map(|renewed| Timestamp::now().duration_since(renewed).as_secs());
    Some(match age {
        Some(age) if age > EXPIRED_SECONDS => {
            Finding::fail(CHECK, format!("{holder} has not renewed the Lease for {age} s"), fix)
        }
        _ => Finding::ok(CHECK, holder),
    })
}

fn elects(deployment: &Value) -> bool {
    let containers = deployment["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
    let mut arguments = containers.filter_map(|container| container["args"].as_array()).flatten();
    arguments.any(|argument| {
        argument.as_str().is_some_and(|text| text == "--leader-elect" || text == "--leader-elect=true")
    })
}
