//! The watches that keep what is known up to date.

use std::{fmt::Debug, sync::Arc, time::Duration};

use asya_resources::agent::{LABEL, PLURAL, REGISTRY};
use kube::{
    Api, Client, Resource,
    api::ApiResource,
    core::{DynamicResourceScope, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{REGISTRY_LABEL, known::Known, run::Work, subject, subject::Subject};
use crate::{
    actor::Stored,
    controllers::{
        apply::Applier,
        cache::Health,
        follow::{self, Listener},
        live::{Kind, Live},
        work::{Key, Queue},
    },
};

/// How long changes of an actor's status are collected.
const ACTORS: Duration = Duration::from_secs(1);

/// What watches feed.
#[derive(Clone)]
pub struct Feed {
    /// What is known.
    pub known: Arc<Known>,
    /// What is to be looked at.
    pub queue: Arc<Queue<Work>>,
    /// Whose ledger forgets what is gone.
    pub applier: Arc<Applier>,
}

/// What is watched.
#[derive(Clone, Copy, Debug)]
enum What {
    Agents,
    Actors,
    Registries,
}

impl What {
    const ALL: [Self; 3] = [Self::Agents, Self::Actors, Self::Registries];

    fn resource(self) -> ApiResource {
        self.kind().map_or_else(subject::resource, Kind::resource)
    }

    fn kind(self) -> Option<Kind> {
        match self {
            Self::Agents => None,
            Self::Actors => Some(Kind::AsyncActor),
            Self::Registries => Some(Kind::ConfigMap),
        }
    }

    fn plural(self) -> &'static str {
        self.kind().map_or(PLURAL, Kind::plural)
    }

    fn selector(self) -> Option<&'static str> {
        match self {
            Self::Agents => None,
            Self::Actors => Some(LABEL),
            Self::Registries => Some(REGISTRY_LABEL),
        }
    }
}

/// Starts every watch in each namespace (none = all); they end with `stop`.
pub fn start(client: &Client, namespaces: &[String], feed: &Feed, stop: &CancellationToken) {
    let everywhere = [String::new()];
    let namespaces = if namespaces.is_empty() { &everywhere } else { namespaces };
    for namespace in namespaces {
        for what in What::ALL {
            feed.known.set_health(what.plural(), namespace, Health::Starting);
            let (client, stop) = (client.clone(), stop.clone());
            let watch = Watch { what, namespace: namespace.clone(), feed: feed.clone() };
            tokio::spawn(async move {
                let following = async {
                    match what {
                        What::Agents => watch.follow::<Stored>(client).await,
                        What::Actors => watch.follow::<Live>(client).await,
                        What::Registries => watch.follow::<PartialObjectMeta<Live>>(client).await,
                    }
                };
                tokio::select! { () = following => {}, () = stop.cancelled() => {} }
            });
        }
    }
}

/// One watch.
struct Watch {
    what: What,
    namespace: String,
    feed: Feed,
}

/// What can be watched.
trait Watched:
    Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>
    + Clone
    + Debug
    + DeserializeOwned
    + Send
    + 'static
{
    /// Keeps it, and wants looked at what changed by it.
    fn keep(self, watch: &Watch);
}

impl Watched for Stored {
    fn keep(self, watch: &Watch) {
        let subject = Subject::read(&self);
        let key = subject.key();
        let before = watch.feed.known.put(subject.clone());
        if before.is_none_or(|before| !before.same_wish(&subject)) {
            watch.feed.queue.now(Work::Agent(key));
        }
    }
}

impl Watched for Live {
    fn keep(self, watch: &Watch) {
        let Some(kind) = watch.what.kind() else { return };
        let object = self.slim();
        let work = work(kind, &object);
        let now = object.metadata.resource_version.clone();
        let before = watch.feed.known.cache.put(kind, object);
        if before.is_none_or(|before| before.metadata.resource_version != now) {
            watch.feed.queue.after(work, ACTORS);
        }
    }
}

impl Watched for PartialObjectMeta<Live> {
    fn keep(self, watch: &Watch) {
        Live::of_metadata(self.metadata).keep(watch);
    }
}

impl<K: Watched> Listener<K> for Watch {
    fn keep(&self, object: K) {
        object.keep(self);
    }

    fn forget(&self, key: &Key) {
        let Feed { known, queue, applier } = &self.feed;
        match self.what.kind() {
            None => {
                if known.remove(key) {
                    queue.now(Work::Registry(key.0.clone()));
                }
            }
            Some(kind) => {
                if let Some(gone) = known.cache.remove(kind, key) {
                    applier.forget(kind, key, gone.uid());
                    queue.now(work(kind, &gone));
                }
            }
        }
    }

    fn keys(&self) -> Vec<Key> {
        match self.what.kind() {
            None => self.feed.known.keys(&self.namespace),
            Some(kind) => {
                let all = self.feed.known.cache.all(kind).into_iter().map(|object| object.key());
                all.filter(|key| self.namespace.is_empty() || key.0 == self.namespace).collect()
            }
        }
    }

    /// Keeps how the watch stands, and says what is news.
    fn stands(&self, health: Health) {
        let (resource, namespace) = (self.what.plural(), &self.namespace);
        if !self.feed.known.set_health(resource, namespace, health.clone()) {
            return;
        }
        match health {
            Health::Synced => info!(resource, namespace, "watching, for agents"),
            Health::Absent => warn!(resource, namespace, "its CRD is not installed; waiting for it"),
            Health::Failing(error) => warn!(resource, namespace, error, "cannot watch; trying again"),
            Health::Starting => {}
        }
        everything(&self.feed.known, &self.feed.queue);
    }
}

impl Watch {
    async fn follow<K: Watched>(&self, client: Client) {
        let resource = self.what.resource();
        let api: Api<K> = if self.namespace.is_empty() {
            Api::all_with(client, &resource)
        } else {
            Api::namespaced_with(client, &self.namespace, &resource)
        };
        follow::follow(api, self.what.selector(), self).await;
    }
}

/// Wants everything looked at: also the entries of namespaces whose last agent went while nobody looked.
pub fn everything(known: &Known, queue: &Queue<Work>) {
    for key in known.keys("") {
        queue.now(Work::Agent(key));
    }
    let registries = known.cache.all(Kind::ConfigMap).into_iter().map(|object| object.key());
    let left = registries.filter(|(_, name)| name == REGISTRY).map(|(namespace, _)| namespace);
    for namespace in known.namespaces().into_iter().chain(left) {
        queue.now(Work::Registry(namespace));
    }
}

/// What has to be looked at when an object has changed.
fn work(kind: Kind, object: &Live) -> Work {
    let (namespace, name) = object.key();
    match kind {
        Kind::ConfigMap => Work::Registry(namespace),
        _ => Work::Agent((namespace, name)),
    }
}
