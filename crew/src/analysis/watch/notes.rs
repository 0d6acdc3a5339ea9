//! What is written on the Lease, for whoever shows how far the watch of a cluster is: the renewals take it along.

use std::collections::BTreeMap;

use asya_cluster::{Api, Pass};
use serde::Deserialize;
use tokio::sync::watch;

/// When every object was looked at last, RFC 3339.
const LAST_PASS: &str = "analysis.asya.sh/last-pass";
/// The address of the API server.
const SERVER: &str = "analysis.asya.sh/server";
/// Its version, as `v1.34.1`.
const VERSION: &str = "analysis.asya.sh/version";
/// Of how many objects something could not be verified in the last pass.
const UNVERIFIED: &str = "analysis.asya.sh/unverified";
/// How the cluster is called in findings.
const CLUSTER: &str = "analysis.asya.sh/cluster";

/// Where the notes stand.
pub(super) type Sender = watch::Sender<BTreeMap<String, String>>;

/// What is known before anything was asked.
pub(super) fn of(cluster: &str, watched: &kube::Config) -> BTreeMap<String, String> {
    let server = watched.cluster_url.to_string();
    [(CLUSTER, cluster.to_owned()), (SERVER, server)].map(|(name, text)| (name.to_owned(), text)).into()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    git_version: String,
}

/// Notes the version of the API server, if it tells it.
pub(super) async fn version(api: &Api, notes: &Sender) {
    match api.json::<Version>("/version").await {
        Ok(version) => notes.send_modify(|notes| drop(notes.insert(VERSION.to_owned(), version.git_version))),
        Err(error) => tracing::debug!(%error, "the API server does not tell its version"),
    }
}

/// Notes each pass, for ever.
pub(super) async fn keep(mut passes: watch::Receiver<Option<Pass>>, notes: &Sender) {
    while passes.changed().await.is_ok() {
        let Some(Pass { ended, unverified }) = *passes.borrow_and_update() else { continue };
        notes.send_modify(|notes| {
            notes.insert(LAST_PASS.to_owned(), ended.to_string());
            notes.insert(UNVERIFIED.to_owned(), unverified.to_string());
        });
    }
    // Its watch ends by itself.
    std::future::pending::<()>().await;
}
