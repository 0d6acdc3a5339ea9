//! The runtime's ConfigMaps, one reconciler per namespace.
//!
//! Each version is an immutable ConfigMap `asya-runtime-<hash>`, owned by all actors of the namespace and so collected
//! with the last of them. Beside it `asya-runtime` holds the newest version under the documented name, without owner.
//! An older version stays while a workload mounts it.

use std::time::Duration;

use kube::{
    Api,
    api::{DeleteParams, DynamicObject},
};
use serde_json::Value;

use super::{
    actor::{Outcome, Stop},
    apply::{reference, timely},
    context::Context,
    live::{Kind, Live},
    script::{ALIAS, PREFIX, Script},
    work::Key,
};

/// How soon the owners are written again: a thousand actors that come at once are one write, not a thousand.
pub const SETTLES: Duration = Duration::from_secs(1);

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
    for old in unused(context, namespace, &script) {
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

/// Versions that no workload mounts any more.
fn unused(context: &Context, namespace: &str, script: &Script) -> Vec<Key> {
    let cache = &context.cache;
    let workloads =
        [Kind::Deployment, Kind::StatefulSet].into_iter().flat_map(|kind| cache.objects(kind, namespace));
    let used: Vec<String> =
        workloads.flat_map(|live| live.spec.config_maps().map(str::to_owned).collect::<Vec<_>>()).collect();
    let current = script.name();
    let ours = |map: &Live| {
        map.label("app.kubernetes.io/managed-by") == Some(crate::actor::FIELD_MANAGER)
            && map.label(crate::actor::ACTOR_LABEL).is_none()
    };
    let maps =
        cache.objects(Kind::ConfigMap, namespace).into_iter().filter(|map| ours(map) && !map.deleting());
    maps.map(|map| map.key())
        .filter(|(_, name)| name.starts_with(PREFIX) && name != ALIAS)
        .filter(|(_, name)| name != current && !used.contains(name))
        .collect()
}
