//! What the current user may do.

use serde_json::{Value, json};

use super::Finding;
use crate::cluster::{
    Cluster, Resource,
    resource::{ACCESS_REVIEWS, ACTORS, EVENTS, PODS, SCALED_OBJECTS},
};

/// What commands need: verb, resource, subresource, and what for.
const NEEDED: [(&str, Resource, &str, &str); 7] = [
    ("get", ACTORS, "", "explain"),
    ("list", ACTORS, "", "doctor, pause --all"),
    ("patch", ACTORS, "", "pause, resume"),
    ("list", PODS, "", "explain, logs"),
    ("get", PODS, "log", "logs"),
    ("list", EVENTS, "", "explain"),
    ("get", SCALED_OBJECTS, "", "explain"),
];

/// Asks for each right in the namespace that is meant.
pub(super) async fn check(cluster: &Cluster) -> Finding {
    const CHECK: &str = "your rights";
    let mut missing = Vec::new();
    for (verb, resource, part, purpose) in NEEDED {
        let question = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": {
                "namespace": cluster.namespace, "verb": verb, "group": resource.group, "resource": resource.plural,
                "subresource": part,
            }},
        });
        match cluster.create(ACCESS_REVIEWS, None, &question).await {
            Ok(answer) if answer["status"]["allowed"] == Value::Bool(true) => {}
            Ok(_) => {
                let slash = if part.is_empty() { "" } else { "/" };
                missing.push(format!("{verb} {}{slash}{part} ({purpose})", resource.full_name()));
            }
            Err(error) => return Finding::unread(CHECK, &error),
        }
    }
    let namespace = &cluster.namespace;
    if missing.is_empty() {
        return Finding::ok(CHECK, format!("all that commands need in namespace {namespace}"));
    }
    Finding::warn(
        CHECK,
        format!("missing in namespace {namespace}: {}", missing.join(", ")),
        "ask for a Role with these verbs: docs/cluster-cli.md has one",
    )
}
