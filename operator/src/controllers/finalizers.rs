//! `asya-operator finalizers remove`: actors, or the `K8sGPT`s of cluster analysis, can then be deleted without an operator.

use std::time::Duration;

use anyhow::{Context, Result};
use asya_resources::k8sgpt;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, GroupVersionKind, ListParams, Patch, PatchParams},
    core::{DynamicObject, PartialObjectMeta},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::{
    actor::{self, FINALIZER},
    settings::Settings,
};

/// How often the operator's pods are counted while they end.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Objects per page of a list.
const PAGE: u32 = 500;

type Metadata = PartialObjectMeta<DynamicObject>;

/// Names the operator's own Deployment, which is stopped first. Set by the chart's hook.
const DEPLOYMENT: &str = "ASYA_OPERATOR_DEPLOYMENT";
/// How long the operator's pods may take to end: more than their grace period.
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// The objects that a finalizer is removed from.
struct Held {
    resource: ApiResource,
    finalizer: &'static str,
}

/// Removes our finalizer from every actor. Doing it again does nothing; without the CRD there is nothing to do. A
/// running operator would put finalizers back: where its Deployment is known, it is scaled to zero first.
///
/// # Errors
/// What the API server said.
pub async fn remove(client: Client, settings: Settings) -> Result<()> {
    remove_from(client, settings, Held { resource: actor::resource(), finalizer: FINALIZER }).await
}

/// As [`remove`], from every `K8sGPT`.
///
/// # Errors
/// As there.
pub async fn remove_analysis(client: Client, settings: Settings) -> Result<()> {
    let kind = GroupVersionKind::gvk(k8sgpt::GROUP, "v1alpha1", k8sgpt::KIND);
    let resource = ApiResource::from_gvk_with_plural(&kind, "k8sgpts");
    remove_from(client, settings, Held { resource, finalizer: k8sgpt::FINALIZER }).await
}

async fn remove_from(client: Client, settings: Settings, held: Held) -> Result<()> {
    if let Some(name) = std::env::var(DEPLOYMENT).ok().filter(|name| !name.is_empty()) {
        stop_operator(&client, &settings.namespace, &name).await?;
    }
    let Held { resource, finalizer } = &held;
    let everywhere = [String::new()];
    let namespaces = if settings.namespaces.is_empty() { &everywhere[..] } else { &settings.namespaces };
    let mut freed = 0_usize;
    for namespace in namespaces {
        let api: Api<Metadata> = if namespace.is_empty() {
            Api::all_with(client.clone(), resource)
        } else {
            Api::namespaced_with(client.clone(), namespace, resource)
        };
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = match api.list(&page).await {
                Ok(list) => list,
                Err(kube::Error::Api(status)) if status.is_not_found() => break,
                Err(error) => return Err(error).with_context(|| format!("listing {}", resource.plural)),
            };
            for object in &list.items {
                freed += usize::from(free(&client, &held, object).await?);
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    info!(kind = resource.kind, objects = freed, finalizer, "removed the finalizer");
    Ok(())
}

/// Scales the operator to zero and waits until its pods are gone; goes on without a pod that does not end in time.
async fn stop_operator(client: &Client, namespace: &str, name: &str) -> Result<()> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let nothing = json!({"spec": {"replicas": 0}});
    let deployment = match api.patch(name, &PatchParams::default(), &Patch::Merge(&nothing)).await {
        Ok(deployment) => deployment,
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("stopping deployment {namespace}/{name}")),
    };
    info!(deployment = name, "stopping the operator");
    let labels = deployment.spec.and_then(|spec| spec.selector.match_labels).unwrap_or_default();
    let selector = labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",");
    // The Deployment's own count leaves out pods that are ending, and those still act.
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let limit = Instant::now() + STOPS_WITHIN;
    loop {
        let list = pods.list_metadata(&ListParams::default().labels(&selector)).await;
        let left =
            list.with_context(|| format!("listing pods of deployment {namespace}/{name}"))?.items.len();
        if left == 0 {
            return Ok(());
        }
        if Instant::now() >= limit {
            warn!(pods = left, "the operator did not end in time; its finalizers may come back");
            return Ok(());
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn free(client: &Client, held: &Held, object: &Metadata) -> Result<bool> {
    let Held { resource, finalizer } = held;
    let metadata = object.meta();
    let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return Ok(false) };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, resource);
    // Merge patches replace whole lists: the resourceVersion keeps another's finalizer from being lost.
    let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
    let Some(patch) = without(finalizer, finalizers, metadata.resource_version.as_ref()) else {
        return Ok(false);
    };
    match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(kube::Error::Api(status)) if status.is_conflict() => {
            let fresh = api.get(name).await.with_context(|| format!("reading {namespace}/{name}"))?;
            let finalizers = fresh.metadata.finalizers.unwrap_or_default();
            let version = fresh.metadata.resource_version.as_ref();
            let Some(patch) = without(finalizer, &finalizers, version) else {
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

/// The patch that leaves all finalizers but one; `None` when that one is not there.
pub(super) fn without(finalizer: &str, finalizers: &[String], version: Option<&String>) -> Option<Value> {
    let rest: Vec<_> = finalizers.iter().filter(|name| *name != finalizer).collect();
    (rest.len() < finalizers.len())
        .then(|| json!({"metadata": {"finalizers": rest, "resourceVersion": version}}))
}
