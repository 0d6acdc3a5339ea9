//! `cluster-info` and `list-filters`.

use asya_analysis::{Selection, analyzers};
use asya_cluster::{Api, look};
use serde_json::{Value, json};

use crate::service::Error;

/// What the cluster is.
pub(super) async fn info(api: &Api) -> Result<Value, Error> {
    let look::Version { git_version, platform } = look::version(api).await?;
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
