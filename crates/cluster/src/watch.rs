//! A cluster kept in memory and looked at whenever something of it changes.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use asya_analysis::reference::USERS;
use asya_analysis::{GroupKind, Object, ObjectRef, Planner, Read, Selection, Step, Unverified};
use futures::StreamExt as _;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event as CoreEvent, Secret};
use kube::Client;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Error, Event, watcher};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::api::{Api, Patience};
use crate::catalogue::{Catalogue, Served};

/// Changes on their way from the watches to the planner, each an object of some ten kilobytes; with more the watches wait,
/// and the API server keeps them.
const UNDER_WAY: usize = 64;

/// How long the first lists may take before it is looked at what is there: a kind whose list hangs must not hold up the
/// others.
const FIRST_LISTS: Duration = Duration::from_secs(30);

/// Pause before a kind is listed again whose right is missing.
const REFUSED: Duration = Duration::from_secs(15);

/// The part of the interval that a resync takes: the rest is for a queue that is slower than that.
const SPREAD: u32 = 2;

/// How a cluster is watched.
#[derive(Debug, Clone, Copy)]
pub struct WatchOptions {
    /// How long changes of one object are collected.
    pub debounce: Duration,
    /// How often everything is told again, changed or not; it takes half of that time.
    pub resync: Duration,
    /// How long what fails again and again must go on well before it counts as healed.
    pub settle: Duration,
    /// How often it is asked which kinds are served, while one is not that somebody looks at or asks for: two requests.
    pub discovery: Duration,
    /// Whether Secrets are watched, for their names and keys. The right that this needs gives their contents too.
    pub secrets: bool,
}

impl Default for WatchOptions {
    /// Collects for 200 ms, tells everything every ten minutes, and leaves Secrets alone. What crashed must run for ten
    /// minutes: as long as the kubelet waits before it forgets the crashes.
    fn default() -> Self {
        let (resync, settle) = (Duration::from_secs(600), Duration::from_secs(600));
        let (debounce, discovery) = (Duration::from_millis(200), Duration::from_secs(60));
        Self { debounce, resync, settle, discovery, secrets: false }
    }
}

/// What a watch of one kind has seen.
enum Seen {
    /// All of a kind, each of which was put before.
    Listed(GroupKind, Result<BTreeSet<ObjectRef>, Unverified>),
    Put(Box<Object>),
    Gone(ObjectRef),
    /// The kinds that are served now.
    Served(Catalogue),
}

/// One cluster under watch: an informer per kind that is looked at or that somebody asks for while looking.
pub struct Watch {
    client: Client,
    catalogue: Catalogue,
    options: WatchOptions,
    planner: Planner,
    informers: JoinSet<()>,
    /// The kinds that are watched, or cannot be.
    begun: BTreeSet<GroupKind>,
    /// Whether what is in ConfigMaps is read.
    config_maps: bool,
    /// Kinds of these that were not served when it was asked last.
    absent: BTreeSet<GroupKind>,
    /// The kinds that were not listed yet.
    unlisted: BTreeSet<GroupKind>,
    seen: (mpsc::Sender<Seen>, mpsc::Receiver<Seen>),
    again: Arc<Notify>,
}

impl Watch {
    /// Will watch what `selection` looks at, as `catalogue` says it is served.
    #[must_use]
    pub fn new(client: Client, catalogue: Catalogue, selection: Selection, options: WatchOptions) -> Self {
        let subjects = selection.subjects();
        let config_maps = selection.reads_config_maps();
        let mut watch = Self {
            config_maps,
            client,
            catalogue,
            options,
            planner: Planner::new(selection, options.debounce)
                .settling(SignedDuration::try_from(options.settle).unwrap_or(SignedDuration::MAX)),
            informers: JoinSet::new(),
            begun: BTreeSet::new(),
            absent: BTreeSet::new(),
            unlisted: BTreeSet::new(),
            seen: mpsc::channel(UNDER_WAY),
            again: Arc::default(),
        };
        subjects.into_iter().for_each(|kind| watch.begin(kind));
        watch
    }

    /// Tells everything again, changed or not, whenever `again` is notified.
    #[must_use]
    pub fn again(mut self, again: Arc<Notify>) -> Self {
        self.again = again;
        self
    }

    /// Watches until nobody listens to `told`. Cancel safe: what was told and not received is lost with the receiver.
    pub async fn run(mut self, told: mpsc::Sender<Step>) {
        let first_look = Instant::now() + FIRST_LISTS;
        let mut resync = Instant::now() + self.options.resync;
        let mut discovery = Instant::now() + self.options.discovery;
        loop {
            let ready = self.unlisted.is_empty() || Instant::now() >= first_look;
            if ready {
                while let Some(step) = self.planner.next(Timestamp::now()) {
                    if told.send(step).await.is_err() {
                        return;
                    }
                }
                for read in self.planner.inventory().take_wanted() {
                    self.follow(read);
                }
            }
            let mut asked = false;
            let wakes = if ready { self.wakes().min(resync) } else { first_look };
            tokio::select! {
                seen = self.seen.1.recv() => if let Some(seen) = seen { self.take(seen) },
                () = sleep_until(wakes) => {}
                () = sleep_until(discovery), if !self.absent.is_empty() => {
                    discovery = Instant::now() + self.options.discovery;
                    while self.informers.try_join_next().is_some() {}
                    let api = Api::new(self.client.clone(), Patience::default());
                    self.informers.spawn(discover(api, self.seen.0.clone()));
                }
                () = self.again.notified() => (asked, resync) = (true, Instant::now()),
                () = told.closed() => return,
            }
            // What has come meanwhile, before it is looked at anything.
            while let Ok(seen) = self.seen.1.try_recv() {
                self.take(seen);
            }
            if Instant::now() >= resync {
                let over = if asked { Duration::ZERO } else { self.options.resync / SPREAD };
                self.planner.resync(Timestamp::now(), over);
                resync = Instant::now() + self.options.resync;
            }
        }
    }

    fn take(&mut self, seen: Seen) {
        let now = Timestamp::now();
        match seen {
            Seen::Listed(kind, list) => {
                self.unlisted.remove(&kind);
                self.planner.listed(&kind, list, now);
            }
            Seen::Put(object) => self.planner.put(&object, now),
            Seen::Gone(object) => self.planner.remove(&object, now),
            Seen::Served(catalogue) => {
                self.catalogue = catalogue;
                let came = self.absent.extract_if(.., |kind| self.catalogue.find(kind).is_ok());
                for kind in came.collect::<Vec<_>>() {
                    tracing::info!(%kind, "served now");
                    self.begun.remove(&kind);
                    self.begin(kind);
                }
            }
        }
    }

    /// Watches the kinds that answer a question.
    fn follow(&mut self, read: Read) {
        match read {
            Read::Object(object) => self.begin(object.kind),
            Read::List(kind, ..) => self.begin(kind),
            Read::Users(_) => USERS.into_iter().for_each(|kind| self.begin(kind)),
            Read::Events(..) => self.begin(GroupKind::of::<CoreEvent>()),
            // A log has no watch; analyzers of logs have nothing to say here.
            Read::Log(_) => {}
        }
    }

    /// Begins to watch a kind, once.
    fn begin(&mut self, kind: GroupKind) {
        if !self.begun.insert(kind.clone()) {
            return;
        }
        let served = if kind.is::<Secret>() && !self.options.secrets {
            Err(Unverified::NotRead)
        } else {
            self.catalogue.find(&kind).cloned()
        };
        match served {
            Ok(served) => {
                tracing::debug!(kind = %kind, "watching");
                self.unlisted.insert(kind.clone());
                let (client, seen) = (self.client.clone(), self.seen.0.clone());
                self.informers.spawn(inform(client, kind, served, self.config_maps, seen));
            }
            Err(why) => {
                if why != Unverified::NotRead {
                    self.absent.insert(kind.clone());
                }
                self.planner.listed(&kind, Err(why), Timestamp::now());
            }
        }
    }

    fn wakes(&self) -> Instant {
        let Some(at) = self.planner.wakes() else { return Instant::now() + self.options.resync };
        let wait = at.duration_since(Timestamp::now());
        Instant::now() + Duration::try_from(wait).unwrap_or_default()
    }
}

/// Asks which kinds are served. Where nobody answers, it is asked again next time.
async fn discover(api: Api, seen: mpsc::Sender<Seen>) {
    match Catalogue::read(&api).await {
        Ok(catalogue) => drop(seen.send(Seen::Served(catalogue)).await),
        Err(error) => tracing::debug!(%error, "which kinds are served is not known"),
    }
}

/// Lists and watches one kind, for ever: by pages and with bookmarks, from a new list where the API server no longer
/// knows what came last, and after a pause that grows where it fails.
async fn inform(
    client: Client,
    kind: GroupKind,
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
    let api: kube::Api<DynamicObject> = kube::Api::all_with(client, &resource);
    let mut informer = Informer { kind, served, config_maps, known: false, refused: None };
    // From a new list after each refusal: only a list says that what was in doubt is known again.
    while informer.follow(api.clone(), &seen).await {
        sleep(REFUSED).await;
    }
}

/// One kind under watch.
struct Informer {
    kind: GroupKind,
    served: Served,
    /// Whether what is in ConfigMaps is kept.
    config_maps: bool,
    /// It was listed, and what was listed is not in doubt.
    known: bool,
    /// Why it could not be, as it was said last.
    refused: Option<Unverified>,
}

impl Informer {
    /// Follows the kind until the right to see it is gone; false when nobody listens any more.
    async fn follow(&mut self, api: kube::Api<DynamicObject>, seen: &mpsc::Sender<Seen>) -> bool {
        let mut events = pin!(watcher(api, Config::default()).default_backoff());
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
                    Seen::Listed(self.kind.clone(), Err(why))
                }
                Ok(Event::InitDone) => {
                    (self.known, self.refused) = (true, None);
                    Seen::Listed(self.kind.clone(), Ok(std::mem::take(&mut list)))
                }
                Ok(Event::Apply(object)) => match self.whole(object) {
                    Some(object) => Seen::Put(Box::new(object)),
                    None => continue,
                },
                Ok(Event::Delete(object)) => match self.whole(object) {
                    Some(object) => Seen::Gone(object.reference()),
                    None => continue,
                },
                Err(error) => match self.refusal(&error) {
                    Some(why) => {
                        let relist = why == Unverified::Forbidden;
                        if seen.send(Seen::Listed(self.kind.clone(), Err(why))).await.is_err() {
                            return false;
                        }
                        if relist {
                            return true;
                        }
                        continue;
                    }
                    None if self.refused == Some(Unverified::Forbidden) => return true,
                    None => continue,
                },
            };
            if seen.send(news).await.is_err() {
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
            tracing::debug!(kind = %self.kind, %error, "watch failed again");
            return None;
        }
        let kind = self.served.full_name();
        if why == Unverified::Forbidden {
            tracing::warn!(%error, "the right to list and watch {kind} is missing: what depends on it is in doubt");
            self.known = false;
        } else {
            tracing::warn!(%error, "watching {kind} failed, trying again");
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
