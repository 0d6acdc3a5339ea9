//! The watch of one kind, in a namespace or everywhere.

use std::collections::BTreeSet;
use std::pin::pin;

use asya_analysis::{Object, Unverified};
use futures::StreamExt as _;
use kube::Client;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use tokio::sync::mpsc;
use tokio::time::{Duration, sleep};

use super::{Place, Seen};
use crate::catalogue::Served;

/// Objects on a page of a list. A page is held as a whole, as trees and with all that is thrown away then: tens of
/// kilobytes for each pod.
const PAGE: u32 = 100;

/// The API server no longer knows what came after the version that it was asked for.
const GONE: u16 = 410;

/// Pause before a kind is listed again whose right is missing.
const REFUSED: Duration = Duration::from_secs(15);

/// Lists and watches one kind, until it is not served any more: by pages and with bookmarks, from a new list where the
/// API server no longer knows what came last, and after a pause that grows where it fails.
pub(super) async fn inform(
    client: Client,
    place: Place,
    served: Served,
    config_maps: bool,
    seen: mpsc::Sender<Seen>,
) {
    let resource = ApiResource {
        group: served.group.clone(),
        version: served.version.clone(),
        api_version: served.api_version(),
        kind: served.kind.clone(),
        plural: served.plural.clone(),
    };
    let api: kube::Api<DynamicObject> = match &place.1 {
        Some(namespace) => kube::Api::namespaced_with(client, namespace, &resource),
        None => kube::Api::all_with(client, &resource),
    };
    let mut informer = Informer { place, served, config_maps, known: false, refused: None };
    // From a new list after each refusal: only a list says that what was in doubt is known again.
    while informer.follow(api.clone(), &seen).await {
        sleep(REFUSED).await;
    }
}

/// One kind under watch.
struct Informer {
    place: Place,
    served: Served,
    /// Whether what is in ConfigMaps is kept.
    config_maps: bool,
    /// It was listed, and what was listed is not in doubt.
    known: bool,
    /// Why it could not be, as it was said last.
    refused: Option<Unverified>,
}

impl Informer {
    /// Follows the kind until the right to see it is gone; false when nobody listens any more, or it is not served any more.
    async fn follow(&mut self, api: kube::Api<DynamicObject>, seen: &mpsc::Sender<Seen>) -> bool {
        let config = Config::default().page_size(PAGE);
        let mut events = pin!(watcher(api.clone(), config.clone()).default_backoff());
        let (mut list, mut hole) = (BTreeSet::new(), false);
        while let Some(event) = events.next().await {
            let news = match event {
                Ok(Event::Init) => {
                    list.clear();
                    hole = false;
                    continue;
                }
                // Passed on as it comes: a list is never held as a whole.
                Ok(Event::InitApply(object)) => match self.whole(object) {
                    Some(object) => {
                        list.insert(object.reference());
                        Seen::Put(Box::new(object))
                    }
                    None => {
                        hole = true;
                        continue;
                    }
                },
                // A list with a hole proves no absence.
                Ok(Event::InitDone) if hole => {
                    let why = Unverified::Failed("an object of the list cannot be understood".to_owned());
                    Seen::Listed(self.place.clone(), Err(why))
                }
                Ok(Event::InitDone) => {
                    (self.known, self.refused) = (true, None);
                    Seen::Listed(self.place.clone(), Ok(std::mem::take(&mut list)))
                }
                Ok(Event::Apply(object)) => match self.whole(object) {
                    Some(object) => Seen::Put(Box::new(object)),
                    None => continue,
                },
                Ok(Event::Delete(object)) => match self.whole(object) {
                    Some(object) => Seen::Gone(object.reference()),
                    None => continue,
                },
                // Said by an answer, not by the watch: asked again, it would be the same for ever.
                Err(Error::WatchStartFailed(kube::Error::Api(status))) if status.code == GONE => {
                    tracing::debug!(kind = %self.place.0, "what came last is forgotten, listing anew");
                    events.set(watcher(api.clone(), config.clone()).default_backoff());
                    continue;
                }
                Err(error) => {
                    if let Some(why) = self.refusal(&error)
                        && seen.send(Seen::Listed(self.place.clone(), Err(why))).await.is_err()
                    {
                        return false;
                    }
                    match self.refused {
                        Some(Unverified::Forbidden) => return true,
                        Some(Unverified::NotInstalled) => Seen::Unknown(self.place.clone()),
                        _ => continue,
                    }
                }
            };
            let ended = matches!(news, Seen::Unknown(_));
            if seen.send(news).await.is_err() || ended {
                return false;
            }
        }
        true
    }

    /// An object as the analyzers take it, without values that none of them reads: what is not kept is not sent. Those of
    /// a list do not say their kind.
    fn whole(&self, object: DynamicObject) -> Option<Object> {
        let mut value = serde_json::to_value(object).ok()?;
        let fields = value.as_object_mut()?;
        fields.insert("apiVersion".to_owned(), self.served.api_version().into());
        fields.insert("kind".to_owned(), self.served.kind.clone().into());
        let object = Object::new(value).inspect_err(|error| tracing::warn!(%error, "left out")).ok()?;
        Some(object.blanked(self.config_maps))
    }

    /// What is to be told of a failure, once. What was seen before stays as it was seen, unless the right to see it is gone.
    fn refusal(&mut self, error: &Error) -> Option<Unverified> {
        let why = unverified(error);
        if self.refused.as_ref() == Some(&why) {
            tracing::debug!(kind = %self.place.0, %error, "watch failed again");
            return None;
        }
        let (kind, namespace) = (self.served.full_name(), self.place.1.as_deref());
        if why == Unverified::Forbidden {
            tracing::warn!(%error, namespace, "the right to list and watch {kind} is missing: what depends on it is in doubt");
            self.known = false;
        } else {
            tracing::warn!(%error, namespace, "watching {kind} failed, trying again");
        }
        self.refused = Some(why.clone());
        (!self.known).then_some(why)
    }
}

fn unverified(error: &Error) -> Unverified {
    let status = match error {
        Error::InitialListFailed(kube::Error::Api(status))
        | Error::WatchStartFailed(kube::Error::Api(status))
        | Error::WatchFailed(kube::Error::Api(status))
        | Error::WatchError(status) => Some(status.code),
        _ => None,
    };
    match status {
        Some(403) => Unverified::Forbidden,
        Some(404) => Unverified::NotInstalled,
        _ => Unverified::Failed(error.to_string()),
    }
}
