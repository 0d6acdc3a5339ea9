//! The list and the watch of each namespace.

use std::{error::Error as _, pin::pin, sync::Arc, time::Duration};

use asya_resources::{API_VERSION, KIND};
use futures::StreamExt;
use http::{HeaderValue, header::USER_AGENT};
use kube::{
    Api, Client, Config,
    api::ListParams,
    core::{ApiResource, DynamicObject},
    runtime::watcher::{self, Event, watcher},
};
use tokio::{task::JoinSet, time::sleep};

use super::{Cluster, Scope, seen::seen, shown};

/// Objects of one page of a list: they are in memory as a whole until what is kept of them is taken out.
const PAGE: u32 = 100;
/// First pause before the API server is asked again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest one: how long a right that was given is waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// As roles and the API server's sentences name them.
const PLURAL: &str = "asyncactors";

/// Whether a cluster's actors are to be known, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Also where there is no service account around this process; then by `KUBECONFIG`.
    pub always: bool,
    /// Namespaces besides that of tools' actors.
    pub namespaces: Vec<String>,
    /// All namespaces.
    pub everywhere: bool,
}

/// Keeps the cluster up to date, for ever; ends at once where there is none and none is insisted on. `home` is the
/// namespace of tools' actors, else it is the one around this process. Cancel safe.
pub async fn follow(cluster: Arc<Cluster>, wish: Wish, home: Option<String>) {
    // Several libraries bring rustls; without one provider for all, the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let Some((client, around)) = connected(&cluster, &wish).await else { return };
    let home = home.unwrap_or_else(|| {
        cluster.settle(&around);
        around
    });
    let mut scopes = vec![Some(home)];
    scopes.extend(wish.namespaces.iter().cloned().map(Some));
    if wish.everywhere {
        scopes = vec![None];
    }
    scopes.sort();
    scopes.dedup();
    tracing::info!(namespaces = ?scopes.iter().map(shown).collect::<Vec<_>>(), "watching the cluster's actors");
    let watches: JoinSet<()> =
        scopes.into_iter().map(|scope| keep(client.clone(), Arc::clone(&cluster), scope)).collect();
    watches.join_all().await;
}

/// A client and the namespace around this process.
async fn connected(cluster: &Cluster, wish: &Wish) -> Option<(Client, String)> {
    let mut pause = FIRST_PAUSE;
    loop {
        let config = if wish.always {
            Config::infer().await.map_err(|error| error.to_string())
        } else if let Ok(config) = Config::incluster() {
            Ok(config)
        } else {
            tracing::info!(
                "there is no service account of a cluster: only the actors that tools name are known"
            );
            return None;
        };
        let client = config.and_then(|mut config| {
            let agent = HeaderValue::from_static(concat!("asya-gateway/", env!("CARGO_PKG_VERSION")));
            config.headers.push((USER_AGENT, agent));
            let namespace = config.default_namespace.clone();
            Client::try_from(config).map(|client| (client, namespace)).map_err(|error| error.to_string())
        });
        match client {
            Ok(connected) => {
                cluster.reached();
                return Some(connected);
            }
            Err(error) => {
                if pause == FIRST_PAUSE {
                    tracing::warn!(error, "the cluster's actors are not known");
                }
                let why = "there is no way to the API server of a cluster: neither a service account nor a kubeconfig";
                cluster.trouble(&None, format!("the cluster's actors are not known: {why}"), false);
            }
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Lists and watches one namespace, or all, for ever: from a new list after each failure, for only a list says that
/// what was in doubt is known again.
async fn keep(client: Client, cluster: Arc<Cluster>, scope: Scope) {
    let (group, version) = API_VERSION.split_once('/').unwrap_or_default();
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: API_VERSION.to_owned(),
        kind: KIND.to_owned(),
        plural: PLURAL.to_owned(),
    };
    let api: Api<DynamicObject> = match &scope {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let mut failures = Failures::default();
    loop {
        let error = once(api.clone(), &cluster, &scope, &mut failures).await;
        sleep(failures.add(&cluster, &scope, &error)).await;
    }
}

/// Lists, then watches until that fails.
async fn once(
    api: Api<DynamicObject>,
    cluster: &Cluster,
    scope: &Scope,
    failures: &mut Failures,
) -> watcher::Error {
    // The watcher logs every refusal by itself, and this is to be said once.
    if let Err(error) = api.list(&ListParams::default().limit(1)).await {
        return watcher::Error::InitialListFailed(error);
    }
    let mut events = pin!(watcher(api, watcher::Config::default().page_size(PAGE)));
    let mut list = Vec::new();
    loop {
        match events.next().await {
            Some(Ok(Event::Init)) => list.clear(),
            Some(Ok(Event::InitApply(object))) => list.push(seen(&object)),
            Some(Ok(Event::InitDone)) => {
                cluster.listed(scope, std::mem::take(&mut list));
                failures.end(scope);
            }
            Some(Ok(Event::Apply(object))) => cluster.put(scope, seen(&object)),
            Some(Ok(Event::Delete(object))) => {
                let metadata = object.metadata;
                let namespace = metadata.namespace.unwrap_or_default();
                cluster.remove(scope, &namespace, &metadata.name.unwrap_or_default());
            }
            Some(Err(error)) => return error,
            // A watcher goes on for ever.
            None => return watcher::Error::NoResourceVersion,
        }
    }
}

/// Failures in a row, and what was said of them.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    said: Option<Kind>,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Forbidden,
    Missing,
    /// What the watch came from is no longer kept: the list is read anew.
    Expired,
    Away,
}

impl Failures {
    fn end(&mut self, scope: &Scope) {
        if self.said.is_some() {
            tracing::info!(namespace = shown(scope), "the cluster's actors are known again");
        }
        *self = Self::default();
    }

    /// Says it once; how long to wait. A watch that breaks once breaks because the API server or something on the way
    /// to it was restarted: that is not said.
    fn add(&mut self, cluster: &Cluster, scope: &Scope, error: &watcher::Error) -> Duration {
        let pause = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(self.count)).min(LONGEST_PAUSE);
        self.count += 1;
        let kind = kind(error);
        let quiet = kind == Kind::Expired || (kind == Kind::Away && self.count == 1);
        if !quiet {
            let why = sentence(kind, scope, error);
            if self.said.replace(kind) == Some(kind) {
                tracing::debug!(%error, namespace = shown(scope), "the cluster's actors are still not known");
            } else {
                tracing::warn!("{why}");
            }
            cluster.trouble(scope, why, kind != Kind::Away);
        }
        pause
    }
}

fn kind(error: &watcher::Error) -> Kind {
    use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
    let code = match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status))
        | WatchError(status) => status.code,
        _ => return Kind::Away,
    };
    match code {
        403 => Kind::Forbidden,
        404 => Kind::Missing,
        410 => Kind::Expired,
        _ => Kind::Away,
    }
}

fn sentence(kind: Kind, scope: &Scope, error: &watcher::Error) -> String {
    let place = match scope {
        Some(namespace) => format!("namespace {namespace}"),
        None => "any namespace".to_owned(),
    };
    match kind {
        Kind::Forbidden => format!(
            "the gateway may not list and watch {PLURAL}.asya.sh in {place}, so it knows neither replicas nor states there, \
             nor actors that no tool names; its chart gives the right (kubernetes.enabled), and \
             ASYA_GATEWAY_KUBERNETES=off does without: {}",
            root(error)
        ),
        Kind::Missing => "the cluster has no kind AsyncActor: install asya-operator, or set \
                          ASYA_GATEWAY_KUBERNETES=off"
            .to_owned(),
        Kind::Expired | Kind::Away => format!(
            "the API server does not tell the actors of {place}; replicas and states are as they were last: {}",
            root(error)
        ),
    }
}

/// The innermost words: `connection refused` rather than what was being done.
fn root(error: &watcher::Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        words = source.to_string();
        next = source.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;
    use crate::metrics::Metrics;

    fn failed(code: u16) -> watcher::Error {
        watcher::Error::WatchError(Box::new(Status {
            code,
            message: "words".to_owned(),
            ..Status::default()
        }))
    }

    #[test]
    fn a_missing_right_is_told_at_once_with_the_way_to_mend_it() {
        let (cluster, scope) = (Cluster::new(Metrics::new()), Some("team".to_owned()));
        let mut failures = Failures::default();
        assert_eq!(failures.add(&cluster, &scope, &failed(403)), FIRST_PAUSE);
        let warnings = cluster.warnings();
        assert!(
            warnings[0].contains("namespace team") && warnings[0].contains("kubernetes.enabled"),
            "{warnings:?}"
        );
    }

    #[test]
    fn a_watch_that_breaks_once_is_not_told_and_pauses_grow_to_a_minute() {
        let (cluster, scope) = (Cluster::new(Metrics::new()), None);
        let mut failures = Failures::default();
        let pauses: Vec<u64> =
            (0..8).map(|_| failures.add(&cluster, &scope, &failed(500)).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(cluster.warnings().len(), 1);
        let quiet = Cluster::new(Metrics::new());
        failures.end(&scope);
        failures.add(&quiet, &scope, &failed(500));
        failures.add(&quiet, &scope, &failed(410));
        assert_eq!(quiet.warnings(), Vec::<String>::new());
    }
}
