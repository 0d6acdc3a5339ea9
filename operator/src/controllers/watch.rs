//! The watches that keep the cache up to date. A watch that is refused says so once, and tries again, slower and slower.

use std::{
    collections::{BTreeSet, HashSet},
    sync::Arc,
    time::Duration,
};

use futures::StreamExt;
use kube::{
    Api, Client, Resource,
    api::ApiResource,
    core::{DynamicResourceScope, PartialObjectMeta},
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    cache::{Cache, Health, Scope},
    live::{self, Kind, Live},
    runtime::SETTLES,
    slim,
    work::{Key, Queue, Work},
};
use crate::actor::{self, ACTOR_LABEL, Stored};

/// Objects per page of a list: a page is in memory as a whole, as bytes and as objects with all that is then dropped.
const PAGE: u32 = 100;
/// How often a resource that does not exist is looked for: KEDA may be installed any time.
const ABSENT_RETRY: Duration = Duration::from_secs(10);

/// Told of each object that is gone, with its uid.
pub type Gone = Arc<dyn Fn(Kind, &Key, &str) + Send + Sync>;

/// What watches feed.
#[derive(Clone)]
pub struct Feed {
    /// What is known.
    pub cache: Arc<Cache>,
    /// What is to be looked at.
    pub queue: Arc<Queue>,
    /// Lets the ledger forget what is gone.
    pub gone: Gone,
    /// Namespaces that credentials are written into.
    pub projected: Arc<BTreeSet<String>>,
}

/// Starts the watch of every kind in each namespace; they end with `stop`.
pub fn start(client: &Client, namespaces: &[String], feed: &Feed, stop: &CancellationToken) {
    let everywhere = [String::new()];
    let namespaces = if namespaces.is_empty() { &everywhere } else { namespaces };
    for namespace in namespaces {
        for kind in std::iter::once(None).chain(Kind::ALL.map(Some)) {
            // Namespaces are not in a namespace: one watch, below.
            if matches!(kind, Some(Kind::Namespace | Kind::Secret)) {
                continue;
            }
            let scope = Scope { kind, namespace: namespace.clone() };
            spawn(client.clone(), scope, feed.clone(), stop.clone());
        }
    }
    let scope = Scope { kind: Some(Kind::Namespace), namespace: String::new() };
    spawn(client.clone(), scope, feed.clone(), stop.clone());
}

fn spawn(client: Client, scope: Scope, feed: Feed, stop: CancellationToken) {
    feed.cache.set_health(&scope, Health::Starting);
    tokio::spawn(async move {
        let watch = async {
            match scope.kind {
                None => follow::<Stored>(client, actor::resource(), &scope, &feed).await,
                Some(kind) if kind.metadata_only() => {
                    follow::<PartialObjectMeta<Live>>(client, kind.resource(), &scope, &feed).await;
                }
                Some(kind) => follow::<Live>(client, kind.resource(), &scope, &feed).await,
            }
        };
        tokio::select! { () = watch => {}, () = stop.cancelled() => {} }
    });
}

/// What can be watched.
trait Watched:
    Resource<DynamicType = ApiResource, Scope = DynamicResourceScope> + Clone + std::fmt::Debug + Send + 'static
{
    /// Puts it into the cache, and wants looked at what changed by it.
    fn keep(self, kind: Option<Kind>, feed: &Feed);
}

impl Watched for Stored {
    fn keep(mut self, _: Option<Kind>, feed: &Feed) {
        slim::slim_metadata(&mut self.metadata);
        let key = live::key(&self.metadata);
        let metadata = self.metadata.clone();
        let before = feed.cache.put_actor(key.clone(), self);
        // Our own writes of the status come back as well; they are no reason to look.
        let same = before.is_some_and(|before| {
            let before = &before.metadata;
            before.uid == metadata.uid
                && before.generation == metadata.generation
                && before.labels == metadata.labels
                && before.annotations == metadata.annotations
                && before.finalizers == metadata.finalizers
                && before.deletion_timestamp == metadata.deletion_timestamp
        });
        if !same {
            share(&key.0, feed);
            feed.queue.now(Work::Actor(key));
        }
    }
}

impl Watched for Live {
    fn keep(self, kind: Option<Kind>, feed: &Feed) {
        let Some(kind) = kind else { return };
        let object = self.slim();
        let (actor, namespace) = (whose(kind, &object), object.key().0);
        let now = object.metadata.resource_version.clone();
        let before = feed.cache.put(kind, object);
        if before.is_some_and(|before| before.metadata.resource_version == now) {
            return;
        }
        wake(kind, actor, namespace, feed);
    }
}

impl Watched for PartialObjectMeta<Live> {
    fn keep(self, kind: Option<Kind>, feed: &Feed) {
        Live::of_metadata(self.metadata).keep(kind, feed);
    }
}

/// The actor that is looked at when an object changed. A runtime is owned by all actors of its namespace.
fn whose(kind: Kind, object: &Live) -> Option<Key> {
    object.actor().filter(|_| kind != Kind::ConfigMap || object.label(ACTOR_LABEL).is_some())
}

fn wake(kind: Kind, actor: Option<Key>, namespace: String, feed: &Feed) {
    match (kind, actor) {
        (Kind::Namespace, _) => {}
        (Kind::ConfigMap, None) => feed.queue.now(Work::Runtime(namespace)),
        (_, Some(actor)) => {
            if feed.cache.actor(&actor).is_some() {
                feed.queue.now(Work::Actor(actor));
            }
        }
        (_, None) => {}
    }
}

/// What the actors of a namespace share has other owners.
fn share(namespace: &str, feed: &Feed) {
    feed.queue.after(Work::Runtime(namespace.to_owned()), SETTLES);
    if feed.projected.contains(namespace) {
        feed.queue.after(Work::Projection(namespace.to_owned()), SETTLES);
    }
}

fn forget(scope: &Scope, key: &Key, feed: &Feed) {
    match scope.kind {
        None => {
            if feed.cache.remove_actor(key).is_some() {
                feed.queue.now(Work::Actor(key.clone()));
                share(&key.0, feed);
            }
        }
        Some(kind) => {
            if let Some(gone) = feed.cache.remove(kind, key) {
                (feed.gone)(kind, key, gone.uid());
                wake(kind, whose(kind, &gone), key.0.clone(), feed);
            }
        }
    }
}

async fn follow<K>(client: Client, resource: ApiResource, scope: &Scope, feed: &Feed)
where
    K: Watched + serde::de::DeserializeOwned,
{
    let api: Api<K> = if scope.namespace.is_empty() {
        Api::all_with(client, &resource)
    } else {
        Api::namespaced_with(client, &scope.namespace, &resource)
    };
    let mut config = watcher::Config::default().page_size(PAGE);
    if let Some(selector) = scope.kind.and_then(Kind::selector) {
        config = config.labels(selector);
    }
    loop {
        let mut events = std::pin::pin!(watcher(api.clone(), config.clone()).default_backoff());
        let mut listed = HashSet::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => listed.clear(),
                Ok(Event::InitApply(object)) => {
                    listed.insert(live::key(object.meta()));
                    object.keep(scope.kind, feed);
                }
                Ok(Event::InitDone) => {
                    for key in feed.cache.missing(scope, &listed) {
                        forget(scope, &key, feed);
                    }
                    listed = HashSet::new();
                    synced(scope, feed);
                }
                Ok(Event::Apply(object)) => {
                    object.keep(scope.kind, feed);
                    synced(scope, feed);
                }
                Ok(Event::Delete(object)) => forget(scope, &live::key(object.meta()), feed),
                Err(error) if absent(&error) => {
                    lost(scope, feed);
                    break;
                }
                Err(error) => failed(scope, &error, feed),
            }
        }
        tokio::time::sleep(ABSENT_RETRY).await;
    }
}

fn synced(scope: &Scope, feed: &Feed) {
    let before = feed.cache.health().get(scope).cloned();
    if !feed.cache.set_health(scope, Health::Synced) {
        return;
    }
    match before {
        Some(Health::Failing(_)) => {
            info!(kind = scope.plural(), namespace = scope.namespace, "the watch is mended");
        }
        Some(Health::Absent) => info!(kind = scope.plural(), "the resource exists now, and is watched"),
        _ => {}
    }
    if matches!(before, Some(Health::Failing(_) | Health::Absent)) {
        everything(feed);
    }
}

/// The resource is not there: its CRD is not installed, or was removed with all its objects.
fn lost(scope: &Scope, feed: &Feed) {
    for key in feed.cache.missing(scope, &HashSet::new()) {
        forget(scope, &key, feed);
    }
    if feed.cache.set_health(scope, Health::Absent) {
        match scope.kind {
            None => warn!(
                "CRDs not installed: asyncactors.asya.sh does not exist; waiting for it (asya-operator crds apply)"
            ),
            Some(kind) if kind.of_keda() => {
                info!(kind = kind.plural(), "KEDA is not installed: waiting for its resources");
            }
            Some(kind) => warn!(kind = kind.plural(), "the API server does not have this resource"),
        }
        everything(feed);
    }
}

fn failed(scope: &Scope, error: &watcher::Error, feed: &Feed) {
    // A connection that ends is mended by itself; a list or watch that cannot begin is worth a word.
    let words = match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) => words(error),
        _ => return,
    };
    if feed.cache.set_health(scope, Health::Failing(words.clone())) {
        warn!(
            kind = scope.plural(),
            namespace = scope.namespace,
            error = words,
            "cannot watch; trying again"
        );
        everything(feed);
    }
}

fn everything(feed: &Feed) {
    for key in feed.cache.actor_keys() {
        feed.queue.now(Work::Actor(key));
    }
}

fn absent(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// What went wrong with a call, in the API server's own words where it has any.
pub fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Service(source) => {
            let mut text = source.to_string();
            let mut inner = source.source();
            while let Some(error) = inner {
                let next = error.to_string();
                if !text.contains(&next) {
                    text = format!("{text}: {next}");
                }
                inner = error.source();
            }
            text
        }
        other => other.to_string(),
    }
}
