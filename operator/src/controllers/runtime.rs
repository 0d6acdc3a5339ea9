//! The runtime's ConfigMaps, one reconciler per namespace.
//!
//! Each version is an immutable ConfigMap `asya-runtime-<hash>`, owned by all actors of the namespace and so collected
//! with the last of them. Beside it `asya-runtime` holds the newest version under the documented name, without owner.
//! An older version stays while a workload, a ScaledJob or a pod mounts it: of a job that began before, the pods may
//! still be waiting for their node.

use std::{collections::HashSet, time::Duration};

use kube::{
    Api,
    api::{DeleteParams, DynamicObject},
};
use serde_json::Value;

use super::{
    actor::{Outcome, Stop},
    apply::{reference, timely},
    cache::Cache,
    context::Context,
    live::{Kind, Live},
    script::{ALIAS, PREFIX},
    work::Key,
};

/// How soon the owners are written again: a thousand actors that come at once are one write, not a thousand.
pub const SETTLES: Duration = Duration::from_secs(1);

/// What mounts a runtime.
const USERS: [Kind; 4] = [Kind::Deployment, Kind::StatefulSet, Kind::ScaledJob, Kind::Pod];

/// Looks at one namespace.
///
/// # Errors
/// What the API server said.
pub async fn reconcile(context: &Context, namespace: &str) -> Result<Outcome, Stop> {
    let owners = owners(context, namespace);
    let wanted = context.settings.runtime.namespace.as_deref() == Some(namespace);
    if owners.is_empty() && !wanted {
        return Ok(Outcome::Done(None));
    }
    // Every actor says in its status when there is none.
    let Ok(script) = context.script() else { return Ok(Outcome::Done(None)) };
    for object in [script.versioned(namespace, &owners), script.alias(namespace)] {
        match context.applier.apply(&object, None).await {
            Ok(_) => {}
            Err(refusal) => {
                let sentence = format!("the runtime ConfigMap cannot be written: {refusal}");
                context.runtime_problem(namespace, Some(sentence));
                return Ok(Outcome::Failed(refusal.reason().to_owned(), None));
            }
        }
    }
    context.runtime_problem(namespace, None);
    for old in unused(&context.cache, namespace, script.name()) {
        let api: Api<DynamicObject> =
            Api::namespaced_with(context.client.clone(), namespace, &Kind::ConfigMap.resource());
        context.metrics.wrote(Kind::ConfigMap.word(), "delete");
        match timely(api.delete(&old.1, &DeleteParams::default())).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(Outcome::Done(None))
}

/// Owner references of all actors of a namespace that are not going, in an order that stays.
fn owners(context: &Context, namespace: &str) -> Vec<Value> {
    let actors = context.cache.actors();
    let mut owners: Vec<_> = actors
        .iter()
        .filter(|actor| actor.metadata.namespace.as_deref() == Some(namespace))
        .filter(|actor| actor.metadata.deletion_timestamp.is_none())
        .map(|actor| {
            let metadata = &actor.metadata;
            (metadata.name.clone().unwrap_or_default(), metadata.uid.clone().unwrap_or_default())
        })
        .collect();
    owners.sort();
    owners.iter().map(|(name, uid)| reference(name, uid)).collect()
}

/// Versions that nothing mounts any more, other than the `current` one.
fn unused(cache: &Cache, namespace: &str, current: &str) -> Vec<Key> {
    let users: Vec<_> = USERS
        .into_iter()
        .flat_map(|kind| cache.objects(kind, namespace))
        .filter(|live| needs(live))
        .collect();
    let used: HashSet<_> = users.iter().flat_map(|live| live.spec.runtimes()).collect();
    let ours = |map: &Live| {
        map.label("app.kubernetes.io/managed-by") == Some(crate::actor::FIELD_MANAGER)
            && map.label(crate::actor::ACTOR_LABEL).is_none()
    };
    let maps =
        cache.objects(Kind::ConfigMap, namespace).into_iter().filter(|map| ours(map) && !map.deleting());
    maps.map(|map| map.key())
        .filter(|(_, name)| name.starts_with(PREFIX) && name != ALIAS)
        .filter(|(_, name)| name != current && !used.contains(name.as_str()))
        .collect()
}

/// Whether what an object mounts may be mounted again. A job may follow a pod that failed by another one.
fn needs(live: &Live) -> bool {
    live.status["phase"] != "Succeeded"
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn put(cache: &Cache, kind: Kind, name: &str, spec: &Value, phase: &str) {
        let labels = json!({"app.kubernetes.io/managed-by": crate::actor::FIELD_MANAGER});
        let object = json!({"metadata": {"name": name, "namespace": "shop", "labels": labels}, "spec": spec,
            "status": {"phase": phase}});
        cache.put(kind, serde_json::from_value(object).unwrap());
    }

    #[test]
    fn a_runtime_that_a_workload_a_scaled_job_or_an_unfinished_pod_mounts_stays() {
        let cache = Cache::default();
        let maps = ["now", "deployed", "jobs", "pending", "failed", "done", "unknown"];
        for version in maps {
            put(&cache, Kind::ConfigMap, &format!("asya-runtime-{version}"), &json!({}), "");
        }
        let pod = |version: &str| {
            let name = format!("asya-runtime-{version}");
            json!({"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "asya-runtime", "configMap": {"name": name}}]})
        };
        put(&cache, Kind::Deployment, "ocr", &json!({"template": {"spec": pod("deployed")}}), "");
        let jobs = json!({"jobTargetRef": {"template": {"spec": pod("jobs")}}});
        put(&cache, Kind::ScaledJob, "batch", &jobs, "");
        put(&cache, Kind::Pod, "batch-1", &pod("pending"), "Pending");
        put(&cache, Kind::Pod, "batch-2", &pod("failed"), "Failed");
        put(&cache, Kind::Pod, "batch-3", &pod("done"), "Succeeded");
        let mut unused = unused(&cache, "shop", "asya-runtime-now");
        unused.sort();
        let names: Vec<_> = unused.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["asya-runtime-done", "asya-runtime-unknown"]);
    }
}
