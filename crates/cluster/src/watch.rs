//! A cluster kept in memory and looked at whenever something of it changes.

mod informer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use asya_analysis::reference::USERS;
use asya_analysis::{
    Extent, GroupKind, Object, ObjectRef, Planner, Read, Selection, Step, Unverified, analyzers,
};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event as CoreEvent, Secret};
use kube::Client;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::api::{Api, Patience};
use crate::catalogue::Catalogue;
use informer::inform;

/// Changes on their way from the watches to the planner, each an object of some ten kilobytes; with more the watches wait,
/// and the API server keeps them.
const UNDER_WAY: usize = 64;

/// How long the first lists may take before it is looked at what is there: a kind whose list hangs must not hold up the
/// others.
const FIRST_LISTS: Duration = Duration::from_secs(30);

/// The part of the interval that a resync takes: the rest is for a queue that is slower than that.
const SPREAD: u32 = 2;

/// How a cluster is watched.
#[derive(Debug, Clone)]
pub struct WatchOptions {
    /// Which objects are looked at.
    pub extent: Extent,
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
    /// Where the end of each pass over all objects is noted: the first, and that of every resync.
    pub passes: watch::Sender<Option<Pass>>,
}

impl Default for WatchOptions {
    /// Collects for 200 ms, tells everything every ten minutes, and leaves Secrets alone. What crashed must run for ten
    /// minutes: as long as the kubelet waits before it forgets the crashes.
    fn default() -> Self {
        let (resync, settle) = (Duration::from_secs(600), Duration::from_secs(600));
        let (debounce, discovery) = (Duration::from_millis(200), Duration::from_secs(60));
        let (extent, passes) = (Extent::default(), watch::Sender::new(None));
        Self { extent, debounce, resync, settle, discovery, secrets: false, passes }
    }
}

/// The last time when every object was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// When the last of them was.
    pub ended: Timestamp,
    /// Of how many objects something could not be verified.
    pub unverified: usize,
}

/// What a watch of one kind has seen.
enum Seen {
    /// All of a kind in a namespace or everywhere, each of which was put before.
    Listed(Place, Result<BTreeSet<ObjectRef>, Unverified>),
    Put(Box<Object>),
    Gone(ObjectRef),
    /// The API server does not know the kind: its watch has ended.
    Unknown(Place),
    /// The kinds that are served now.
    Served(Catalogue),
}

/// What is listed at once: a kind, in a namespace or everywhere.
type Place = (GroupKind, Option<String>);

/// One cluster under watch: an informer per kind that is looked at or that somebody asks for while looking.
pub struct Watch {
    client: Client,
    catalogue: Catalogue,
    options: WatchOptions,
    planner: Planner,
    informers: JoinSet<()>,
    /// The kinds that are watched, or cannot be.
    begun: BTreeSet<GroupKind>,
    /// What has an informer.
    informed: BTreeSet<Place>,
    /// Whether what is in ConfigMaps is read.
    config_maps: bool,
    /// Kinds of these that were not served when it was asked last.
    absent: BTreeSet<GroupKind>,
    /// What was not listed yet.
    unlisted: BTreeSet<Place>,
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
            planner: Planner::new(selection, options.debounce)
                .settling(SignedDuration::try_from(options.settle).unwrap_or(SignedDuration::MAX))
                .within(options.extent.clone())
                .leaving(analyzers::all().iter().map(|analyzer| analyzer.subject())),
            options,
            informers: JoinSet::new(),
            begun: BTreeSet::new(),
            informed: BTreeSet::new(),
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

    /// Tells of objects of these kinds whenever they change, and not only when the analyzers say something else.
    #[must_use]
    pub fn each_version(mut self, kinds: BTreeSet<GroupKind>) -> Self {
        self.planner = self.planner.each_version(kinds);
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
                // Looked at when there is room to tell it, and no earlier: what comes until then is in it.
                while let Some(room) = self.room(&told).await {
                    let now = Timestamp::now();
                    let Some(step) = self.planner.next(now) else {
                        self.passed(now);
                        break;
                    };
                    room.send(step);
                    // Before the next one asks for the same: it would be in doubt, and told again.
                    if self.follow_wanted() && Instant::now() < first_look {
                        break;
                    }
                }
                self.follow_wanted();
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

    /// Waits for room to tell something, and takes what is seen meanwhile: a watch that nobody reads ends. Also when there
    /// is room at once, but no more than can be under way: many changes must not keep what is due from being told. None
    /// when nobody listens any more.
    async fn room<'a>(&mut self, told: &'a mpsc::Sender<Step>) -> Option<mpsc::Permit<'a, Step>> {
        loop {
            tokio::select! {
                room = told.reserve() => {
                    for _ in 0..UNDER_WAY {
                        let Ok(seen) = self.seen.1.try_recv() else { break };
                        self.take(seen);
                    }
                    return room.ok();
                }
                seen = self.seen.1.recv() => if let Some(seen) = seen { self.take(seen) },
            }
        }
    }

    fn take(&mut self, seen: Seen) {
        let now = Timestamp::now();
        match seen {
            Seen::Listed(place, list) => {
                self.unlisted.remove(&place);
                self.planner.listed(&place.0, place.1.as_deref(), list, now);
            }
            Seen::Put(object) => self.planner.put(&object, now),
            Seen::Gone(object) => self.planner.remove(&object, now),
            Seen::Unknown(place) => {
                self.informed.remove(&place);
                self.absent.insert(place.0);
            }
            Seen::Served(catalogue) => {
                self.catalogue = catalogue;
                // Told not to be served a second time: an API server that begins may not know its own kinds yet.
                let gone = |kind: &&GroupKind| self.catalogue.find(kind) == Err(Unverified::NotInstalled);
                self.absent.iter().filter(gone).for_each(|kind| self.planner.uninstalled(kind, now));
                let came = self.absent.extract_if(.., |kind| self.catalogue.find(kind).is_ok());
                for kind in came.collect::<Vec<_>>() {
                    tracing::info!(%kind, "served now");
                    self.begun.remove(&kind);
                    self.begin(kind);
                }
            }
        }
    }

    /// Watches what was asked for; whether something of it is not listed yet.
    fn follow_wanted(&mut self) -> bool {
        let wanted = self.planner.inventory().take_wanted();
        let more = !wanted.is_empty();
        wanted.into_iter().for_each(|read| self.follow(read));
        more && !self.unlisted.is_empty()
    }

    /// Notes that all was looked at that is due at `now`, once for each pass.
    fn passed(&mut self, now: Timestamp) {
        if self.unlisted.is_empty() && self.planner.passes(now) {
            let pass = Pass { ended: now, unverified: self.planner.in_doubt() };
            tracing::info!(unverified = pass.unverified, "every object was looked at");
            self.options.passes.send_replace(Some(pass));
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
                let named = self.options.extent.named().filter(|_| served.namespaced);
                if named.is_some() {
                    self.planner.listed(&kind, None, Err(Unverified::NotRead), Timestamp::now());
                }
                let namespaces =
                    named.map_or_else(|| vec![None], |named| named.into_iter().map(Some).collect());
                for namespace in namespaces {
                    let place = (kind.clone(), namespace);
                    if !self.informed.insert(place.clone()) {
                        continue;
                    }
                    tracing::debug!(%kind, namespace = place.1, "watching");
                    self.unlisted.insert(place.clone());
                    let (client, seen) = (self.client.clone(), self.seen.0.clone());
                    self.informers.spawn(inform(client, place, served.clone(), self.config_maps, seen));
                }
            }
            Err(why) => {
                if why != Unverified::NotRead {
                    self.absent.insert(kind.clone());
                }
                self.planner.listed(&kind, None, Err(why), Timestamp::now());
            }
        }
    }

    fn wakes(&self) -> Instant {
        // The end of a pass that waits for a list is the coming of that list.
        let ends = self.planner.pass_ends().filter(|_| self.unlisted.is_empty());
        let Some(at) = self.planner.wakes().into_iter().chain(ends).min() else {
            return Instant::now() + self.options.resync;
        };
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
