//! `asya-operator finalizers remove`: actors can then be deleted without an operator.

use anyhow::{Context, Result};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, ListParams, Patch, PatchParams},
    core::{DynamicObject, PartialObjectMeta},
};
use serde_json::{Value, json};
use tracing::info;

use crate::{
    actor::{self, FINALIZER},
    settings::Settings,
};

/// Objects per page of a list.
const PAGE: u32 = 500;

type Metadata = PartialObjectMeta<DynamicObject>;

/// Removes our finalizer from every actor. Doing it again does nothing; without the CRD there is nothing to do.
///
/// # Errors
/// What the API server said.
pub async fn remove(client: Client, settings: Settings) -> Result<()> {
    let resource: ApiResource = actor::resource();
    let everywhere = [String::new()];
    let namespaces = if settings.namespaces.is_empty() { &everywhere[..] } else { &settings.namespaces };
    let mut freed = 0_usize;
    for namespace in namespaces {
        let api: Api<Metadata> = if namespace.is_empty() {
            Api::all_with(client.clone(), &resource)
        } else {
            Api::namespaced_with(client.clone(), namespace, &resource)
        };
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = match api.list(&page).await {
                Ok(list) => list,
                Err(kube::Error::Api(status)) if status.is_not_found() => break,
                Err(error) => return Err(error).context("listing actors"),
            };
            for actor in &list.items {
                freed += usize::from(free(&client, &resource, actor).await?);
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    info!(actors = freed, "removed the operator's finalizer");
    Ok(())
}

async fn free(client: &Client, resource: &ApiResource, actor: &Metadata) -> Result<bool> {
    let metadata = actor.meta();
    let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return Ok(false) };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    // Merge patches replace whole lists: the resourceVersion keeps another's finalizer from being lost.
    let Some(patch) =
        without(metadata.finalizers.as_deref().unwrap_or_default(), metadata.resource_version.as_ref())
    else {
        return Ok(false);
    };
    match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(kube::Error::Api(status)) if status.is_conflict() => {
            let fresh = api.get(name).await.with_context(|| format!("reading {namespace}/{name}"))?;
            let finalizers = fresh.metadata.finalizers.unwrap_or_default();
            let Some(patch) = without(&finalizers, fresh.metadata.resource_version.as_ref()) else {
                return Ok(false);
            };
            api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .with_context(|| format!("patching {namespace}/{name}"))?;
            Ok(true)
        }
        Err(error) => Err(error).with_context(|| format!("patching {namespace}/{name}")),
    }
}

/// The patch that leaves all finalizers but ours; `None` when ours is not there.
pub(super) fn without(finalizers: &[String], version: Option<&String>) -> Option<Value> {
    let rest: Vec<_> = finalizers.iter().filter(|name| *name != FINALIZER).collect();
    (rest.len() < finalizers.len())
        .then(|| json!({"metadata": {"finalizers": rest, "resourceVersion": version}}))
}
