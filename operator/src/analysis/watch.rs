//! The watches that keep what is known up to date. A watch that is refused says so once, and tries again, slower and slower.

use std::{fmt::Debug, sync::Arc, time::Duration};

use asya_resources::k8sgpt::{GROUP, NAME_LABEL, RESULT_KIND};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, GroupVersionKind},
    core::{DynamicResourceScope, PartialObjectMeta},
};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{LABEL, NAMESPACE_LABEL, known::Known, subject, subject::Subject, tally::Finding};
use crate::{
    actor::Stored,
    controllers::{
        apply::Applier,
        cache::Health,
        follow::{self, Listener},
        live::{self, Kind, Live},
        work::{Key, Queue},
    },
};

/// How long changes of Results are collected: a thousand of them are a few writes of a status.
pub const TALLY: Duration = Duration::from_secs(5);
/// How long changes of actors are collected.
const ACTORS: Duration = Duration::from_secs(1);

/// What watches feed.
#[derive(Clone)]
pub struct Feed {
    /// What is known.
    pub known: Arc<Known>,
    /// What is to be looked at.
    pub queue: Arc<Queue<Key>>,
    /// Whose ledger forgets what is gone.
    pub applier: Arc<Applier>,
}

/// What is watched.
#[derive(Clone, Copy, Debug)]
enum What {
    Subjects,
    Results,
    Objects(Kind),
}

impl What {
    fn resource(self) -> ApiResource {
        match self {
            Self::Subjects => subject::resource(),
            Self::Results => ApiResource::from_gvk_with_plural(
                &GroupVersionKind::gvk(GROUP, "v1alpha1", RESULT_KIND),
                self.plural(),
            ),
            Self::Objects(kind) => kind.resource(),
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Self::Subjects => "k8sgpts",
            Self::Results => "results",
            Self::Objects(kind) => kind.plural(),
        }
    }

    fn selector(self) -> Option<&'static str> {
        match self {
            Self::Subjects => None,
            Self::Results => Some(NAME_LABEL),
            Self::Objects(_) => Some(LABEL),
        }
    }
}

/// Starts every watch in each namespace (none = all); they end with `stop`.
pub fn start(client: &Client, namespaces: &[String], feed: &Feed, stop: &CancellationToken) {
    let everywhere = [String::new()];
    let namespaces = if namespaces.is_empty() { &everywhere } else { namespaces };
    for namespace in namespaces {
        for what in [What::Subjects, What::Results] {
            spawn(client, what, namespace, feed, stop);
        }
        for kind in Kind::OF_ANALYSIS.into_iter().filter(|kind| *kind != Kind::ClusterRoleBinding) {
            spawn(client, What::Objects(kind), namespace, feed, stop);
        }
    }
    spawn(client, What::Objects(Kind::ClusterRoleBinding), "", feed, stop);
}

fn spawn(client: &Client, what: What, namespace: &str, feed: &Feed, stop: &CancellationToken) {
    feed.known.set_health(what.plural(), namespace, Health::Starting);
    let (client, namespace, feed, stop) = (client.clone(), namespace.to_owned(), feed.clone(), stop.clone());
    tokio::spawn(async move {
        let watch = async {
            match what {
                What::Subjects | What::Results => follow::<Stored>(client, what, &namespace, &feed).await,
                What::Objects(kind) if kind.metadata_only() => {
                    follow::<PartialObjectMeta<Live>>(client, what, &namespace, &feed).await;
                }
                What::Objects(_) => follow::<Live>(client, what, &namespace, &feed).await,
            }
        };
        tokio::select! { () = watch => {}, () = stop.cancelled() => {} }
    });
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
    fn keep(self, what: What, feed: &Feed);
}

impl Watched for Stored {
    fn keep(self, what: What, feed: &Feed) {
        match what {
            What::Subjects => match Subject::read(&self) {
                Ok(subject) => keep_subject(subject, feed),
                Err(error) => warn!(error, k8sgpt = self.metadata.name, "cannot be read, and stays as it is"),
            },
            What::Results => {
                let key = live::key(&self.metadata);
                let Some(finding) = Finding::read(&self) else { return };
                let before = feed.known.put_finding(key.clone(), finding.clone());
                if before.as_ref() != Some(&finding) {
                    counted(&key.0, &finding, feed);
                }
            }
            What::Objects(_) => {}
        }
    }
}

fn keep_subject(subject: Subject, feed: &Feed) {
    let key = subject.key();
    let before = feed.known.put_subject(subject.clone());
    // Our own writes of the status come back as well; they are no reason to look.
    let same = before.is_some_and(|before| {
        let plain = |subject: &Subject| Subject { status: Default::default(), ..subject.clone() };
        plain(&before) == plain(&subject)
    });
    if !same {
        feed.queue.now(key);
    }
}

fn counted(namespace: &str, finding: &Finding, feed: &Feed) {
    if let Some(key) = feed.known.of_label(namespace, &finding.of) {
        feed.queue.after(key, TALLY);
    }
}

impl Watched for Live {
    fn keep(self, what: What, feed: &Feed) {
        let What::Objects(kind) = what else { return };
        let object = self.slim();
        let whose = whose(&object, feed);
        let now = object.metadata.resource_version.clone();
        let before = feed.known.cache.put(kind, object);
        if let Some(key) = whose
            && before.is_none_or(|before| before.metadata.resource_version != now)
        {
            feed.queue.after(key, ACTORS);
        }
    }
}

impl Watched for PartialObjectMeta<Live> {
    fn keep(self, what: What, feed: &Feed) {
        Live::of_metadata(self.metadata).keep(what, feed);
    }
}

/// The `K8sGPT` that an object belongs to.
fn whose(object: &Live, feed: &Feed) -> Option<Key> {
    let own = object.key().0;
    feed.known.of_label(object.label(NAMESPACE_LABEL).unwrap_or(&own), object.label(LABEL)?)
}

fn keys(what: What, namespace: &str, feed: &Feed) -> Vec<Key> {
    match what {
        What::Subjects => feed.known.subject_keys(namespace),
        What::Results => feed.known.finding_keys(namespace),
        What::Objects(kind) => {
            let all = feed.known.cache.all(kind).into_iter().map(|object| object.key());
            all.filter(|key| namespace.is_empty() || key.0 == namespace).collect()
        }
    }
}

fn forget(what: What, key: &Key, feed: &Feed) {
    match what {
        What::Subjects => {
            if feed.known.remove_subject(key) {
                feed.queue.now(key.clone());
            }
        }
        What::Results => {
            if let Some(gone) = feed.known.remove_finding(key) {
                counted(&key.0, &gone, feed);
            }
        }
        What::Objects(kind) => {
            if let Some(gone) = feed.known.cache.remove(kind, key) {
                feed.applier.forget(kind, key, gone.uid());
                if let Some(key) = whose(&gone, feed) {
                    feed.queue.now(key);
                }
            }
        }
    }
}

/// One watch.
struct Watch<'a> {
    what: What,
    namespace: &'a str,
    feed: &'a Feed,
}

impl<K: Watched> Listener<K> for Watch<'_> {
    fn keep(&self, object: K) {
        object.keep(self.what, self.feed);
    }

    fn forget(&self, key: &Key) {
        forget(self.what, key, self.feed);
    }

    fn keys(&self) -> Vec<Key> {
        keys(self.what, self.namespace, self.feed)
    }

    fn stands(&self, health: Health) {
        stands(self.what, self.namespace, health, self.feed);
    }
}

async fn follow<K: Watched>(client: Client, what: What, namespace: &str, feed: &Feed) {
    let resource = what.resource();
    let api: Api<K> = if namespace.is_empty() {
        Api::all_with(client, &resource)
    } else {
        Api::namespaced_with(client, namespace, &resource)
    };
    follow::follow(api, what.selector(), &Watch { what, namespace, feed }).await;
}

/// Keeps how a watch stands, and says what is news.
fn stands(what: What, namespace: &str, health: Health, feed: &Feed) {
    if !feed.known.set_health(what.plural(), namespace, health.clone()) {
        return;
    }
    let resource = what.plural();
    match health {
        Health::Synced => info!(resource, namespace, "watching"),
        Health::Absent => warn!(resource, namespace, "its CRD is not installed; waiting for it"),
        Health::Failing(error) => warn!(resource, namespace, error, "cannot watch; trying again"),
        Health::Starting => {}
    }
    for subject in feed.known.subjects() {
        feed.queue.now(subject.key());
    }
}
