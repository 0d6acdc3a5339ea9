//! `cluster-info` and `list-filters`.

use asya_analysis::{Selection, analyzers};
use asya_cluster::Api;
use serde::Deserialize;
use serde_json::{Value, json};

use super::refused::refused;
use crate::service::Error;

/// What the API server says of itself.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
    #[serde(default)]
    platform: String,
}

/// The version of the cluster.
pub(super) async fn version(api: &Api) -> Result<String, Error> {
    let version: Version = read(api).await?;
    Ok(version.git_version)
}

async fn read(api: &Api) -> Result<Version, Error> {
    api.json("/version").await.map_err(|refusal| refused(&refusal, "get", "/version", None))
}

/// What the cluster is.
pub(super) async fn info(api: &Api) -> Result<Value, Error> {
    let Version { git_version, platform } = read(api).await?;
    let gateway = env!("CARGO_PKG_VERSION");
    Ok(json!({"version": git_version, "platform": platform, "gateway": gateway}))
}

/// The analyzers that there are, and which run when nobody names any.
pub(super) fn filters() -> Value {
    let standard = Selection::standard();
    let mut active: Vec<&str> = standard.names().collect();
    let mut available: Vec<&str> = analyzers::all().iter().map(|analyzer| analyzer.name()).collect();
    active.sort_unstable();
    available.sort_unstable();
    json!({"active": active, "available": available})
}
