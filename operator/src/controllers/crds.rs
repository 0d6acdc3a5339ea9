//! `asya-operator crds apply`: the CRDs of this version, over whatever made the ones that are there.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams},
};
use serde_json::Value;
use tracing::info;

use crate::{actor::FIELD_MANAGER, settings::Settings};

/// The CRDs of actors and agents, as they are generated from the types.
pub const CRDS: [&str; 2] = [asya_resources::CRD, asya_resources::agent::CRD];
/// How long the API server may take to serve a new CRD.
const ESTABLISH: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
        "customresourcedefinitions",
    )
}

/// Applies the CRDs of actors and agents and waits until they are served. What `kubectl apply` or Helm owned of them is taken over.
///
/// # Errors
/// What the API server said, or that it does not serve them in time.
pub async fn apply(client: Client, _: Settings) -> Result<()> {
    apply_all(client, &CRDS).await
}

/// As [`apply`], for those of cluster analysis. Nobody gets them by an upgrade of the operator: another one may look after
/// these kinds.
///
/// # Errors
/// As there.
pub async fn apply_analysis(client: Client, _: Settings) -> Result<()> {
    apply_all(client, &asya_resources::k8sgpt::CRDS).await
}

async fn apply_all(client: Client, crds: &[&str]) -> Result<()> {
    let api: Api<DynamicObject> = Api::all_with(client, &resource());
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    for text in crds {
        let crd: Value = serde_saphyr::from_str(text).context("reading an embedded CRD")?;
        let name =
            crd.pointer("/metadata/name").and_then(Value::as_str).context("a CRD has a name")?.to_owned();
        api.patch(&name, &parameters, &Patch::Apply(&crd))
            .await
            .with_context(|| format!("applying {name}"))?;
        established(&api, &name).await?;
        info!(crd = name, "applied");
    }
    Ok(())
}

async fn established(api: &Api<DynamicObject>, name: &str) -> Result<()> {
    let deadline = tokio::time::Instant::now() + ESTABLISH;
    loop {
        let crd = api.get(name).await.with_context(|| format!("reading {name}"))?;
        let conditions = crd.data.pointer("/status/conditions").and_then(Value::as_array);
        let condition = |wanted: &str| conditions.into_iter().flatten().find(|found| found["type"] == wanted);
        if condition("Established").is_some_and(|found| found["status"] == "True") {
            return Ok(());
        }
        if tokio::time::Instant::now() >= deadline {
            let why =
                condition("NamesAccepted").and_then(|found| found["message"].as_str()).unwrap_or_default();
            bail!("{name} is not served after {ESTABLISH:?} {why}");
        }
        tokio::time::sleep(LOOK).await;
    }
}
