//! Bringing a workload to what is desired, and handing its replicas from one owner to the other.
//!
//! | scaling | `spec.replicas` belongs to |
//! |---|---|
//! | off | us, by apply |
//! | on | the autoscaler; before it first writes, `asya-operator-create` holds the place |
//!
//! At no moment is the field without an owner: it would fall back to 1, and start or end pods.

use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    apply::{Applier, Owner, identify, timely},
    live::{Kind, Live},
    refusal::Refusal,
    work::Key,
};
use crate::actor::CREATE_MANAGER;

/// Applies a workload whose replicas belong to an autoscaler: `desired` has none.
///
/// # Errors
/// Why it is not there now.
pub async fn scaled(
    applier: &Applier,
    desired: &Value,
    minimum: u32,
    owner: Owner<'_>,
) -> Result<(), Refusal> {
    let (kind, key) = identify(desired)?;
    if applier.settled(desired) {
        return Ok(());
    }
    // The transition is made on what the server has now: a cache that is behind would give back old replicas.
    match applier.look(kind, &key).await? {
        None => applier.create(desired, minimum, owner).await?,
        Some(live) => hand_over(applier, kind, &key, &live).await?,
    }
    applier.apply(desired, Some(owner)).await.map(drop)
}

/// Gives the replicas that we own to the manager that holds the place, at their present number.
async fn hand_over(applier: &Applier, kind: Kind, key: &Key, live: &Live) -> Result<(), Refusal> {
    if !live.owns_replicas || live.inherited {
        return Ok(());
    }
    let Some(replicas) = live.spec.replicas else { return Ok(()) };
    let resource = kind.resource();
    let body = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        // Fails if anybody scaled it meanwhile; the next look takes the new number.
        "metadata": {"name": key.1, "namespace": key.0, "resourceVersion": live.metadata.resource_version},
        "spec": {"replicas": replicas},
    });
    let api: Api<DynamicObject> = Api::namespaced_with(applier.client().clone(), &key.0, &resource);
    let parameters = PatchParams::apply(CREATE_MANAGER).force();
    applier.wrote(kind, "apply");
    timely(api.patch(&key.1, &parameters, &Patch::Apply(&body)))
        .await
        .map(drop)
        .map_err(|error| Refusal::of(kind, key, &error))
}
