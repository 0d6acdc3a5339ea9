//! The `Result` objects of a namespace, followed by a watch as any client would: what came and went, and when.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, WatchEvent, WatchParams},
};
use serde_json::Value;
use tokio::{sync::Notify, task::JoinHandle, time::timeout_at};

/// What happened to a Result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happened {
    /// It came.
    Added,
    /// It was changed.
    Modified,
    /// It went.
    Deleted,
}

/// One event of the watch.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it came.
    pub at: Instant,
    /// What happened.
    pub happened: Happened,
    /// The object that the Result is about: `Kind namespace/name`, or `Kind name`.
    pub object: String,
    /// Its spec.
    pub spec: Value,
}

/// What a watch has seen.
pub struct Results {
    log: Arc<Log>,
    watch: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    more: Notify,
}

impl Results {
    /// Follows those of `namespace`, of which there are none yet.
    ///
    /// # Errors
    /// The API server's.
    pub async fn follow(client: Client, namespace: &str) -> Result<Self> {
        let kind = GroupVersionKind::gvk("core.k8sgpt.ai", "v1alpha1", "Result");
        let kind = ApiResource::from_gvk_with_plural(&kind, "results");
        let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
        let version = api.list(&ListParams::default()).await?.metadata.resource_version;
        let mut version = version.context("a list has a version")?;
        let log = Arc::new(Log::default());
        let into = Arc::clone(&log);
        let watch = tokio::spawn(async move {
            // A watch that ends goes on from what it has seen last.
            while let Ok(events) = api.watch(&WatchParams::default().timeout(290), &version).await {
                let mut events = std::pin::pin!(events);
                while let Some(Ok(event)) = events.next().await {
                    let (happened, object) = match event {
                        WatchEvent::Added(object) => (Happened::Added, object),
                        WatchEvent::Modified(object) => (Happened::Modified, object),
                        WatchEvent::Deleted(object) => (Happened::Deleted, object),
                        WatchEvent::Bookmark(_) | WatchEvent::Error(_) => continue,
                    };
                    version = object.metadata.resource_version.clone().unwrap_or(version);
                    into.take(happened, &object.data["spec"]);
                }
            }
        });
        Ok(Self { log, watch })
    }

    /// All that happened.
    pub fn seen(&self) -> Vec<Seen> {
        self.log.seen.lock().expect("no panic in it").clone()
    }

    /// When this happened to the Result of an object since `since`; none in so long.
    pub async fn wait(
        &self,
        since: Instant,
        limit: Duration,
        happened: Happened,
        object: &str,
    ) -> Option<Seen> {
        let end = tokio::time::Instant::now() + limit;
        loop {
            let more = self.log.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            let is = |seen: &Seen| seen.at >= since && seen.happened == happened && seen.object == object;
            if let Some(seen) = self.seen().into_iter().find(is) {
                return Some(seen);
            }
            timeout_at(end, more).await.ok()?;
        }
    }
}

impl Log {
    fn take(&self, happened: Happened, spec: &Value) {
        let text = |field: &str| spec[field].as_str().unwrap_or_default();
        let object = format!("{} {}", text("kind"), text("name"));
        let seen = Seen { at: Instant::now(), happened, object, spec: spec.clone() };
        self.seen.lock().expect("no panic in it").push(seen);
        self.more.notify_waiters();
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        self.watch.abort();
    }
}
