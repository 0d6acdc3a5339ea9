//! One watch, followed for ever: what comes, what goes, and how the watch stands.

use std::{collections::HashSet, fmt::Debug, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    api::ApiResource,
    runtime::{
        WatchStreamExt as _,
        watcher::{self, Event, watcher},
    },
};
use serde::de::DeserializeOwned;

use super::{cache::Health, live, watch::words, work::Key};

/// Objects per page of a list.
const PAGE: u32 = 100;
/// How often a resource that does not exist is looked for.
const ABSENT_RETRY: Duration = Duration::from_secs(10);

/// Who hears of a watch.
pub trait Listener<K> {
    /// An object is there, or has changed.
    fn keep(&self, object: K);
    /// An object is gone.
    fn forget(&self, key: &Key);
    /// What is known of this watch's objects.
    fn keys(&self) -> Vec<Key>;
    /// How the watch stands now; said again and again.
    fn stands(&self, health: Health);
}

/// Follows the objects of `api`, those with `selector` if there is one. A watch that is refused is tried again, slower and
/// slower; where the resource does not exist all of its objects are gone. Never ends; cancel safe.
pub async fn follow<K>(api: Api<K>, selector: Option<&str>, listener: &impl Listener<K>)
where
    K: Resource<DynamicType = ApiResource> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let mut config = watcher::Config::default().page_size(PAGE);
    if let Some(selector) = selector {
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
                    listener.keep(object);
                }
                Ok(Event::InitDone) => {
                    for key in listener.keys().into_iter().filter(|key| !listed.contains(key)) {
                        listener.forget(&key);
                    }
                    listed = HashSet::new();
                    listener.stands(Health::Synced);
                }
                Ok(Event::Apply(object)) => {
                    listener.keep(object);
                    listener.stands(Health::Synced);
                }
                Ok(Event::Delete(object)) => listener.forget(&live::key(object.meta())),
                Err(
                    watcher::Error::InitialListFailed(kube::Error::Api(status))
                    | watcher::Error::WatchStartFailed(kube::Error::Api(status)),
                ) if status.code == 404 => {
                    for key in listener.keys() {
                        listener.forget(&key);
                    }
                    listener.stands(Health::Absent);
                    break;
                }
                // A connection that ends is mended by itself; a list or watch that cannot begin is worth a word.
                Err(watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) => {
                    listener.stands(Health::Failing(words(&error)));
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(ABSENT_RETRY).await;
    }
}
