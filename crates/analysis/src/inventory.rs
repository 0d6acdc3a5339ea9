//! A view of objects in memory: what the caches of a watcher hold, what `asya analyze` fetched, what a test made up.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;

use crate::extent::Extent;
use crate::kept::Kept;
use crate::kind::GroupKind;
use crate::object::{Object, ObjectRef};
use crate::reference::{USERS, named_by};
use crate::scrub::scrub;
use crate::selector::Selector;
use crate::view::{LogTail, Lookup, Read, Unverified, View};

/// Namespace and name.
type Key = (Option<String>, String);

/// Objects of one kind by namespace and name.
type Named = BTreeMap<Key, Arc<Kept>>;

/// Objects in memory. A kind that was never listed is [`Unverified::NotYet`], and what was asked of it is kept to be
/// fetched: [`Inventory::take_wanted`].
#[derive(Debug, Default)]
pub struct Inventory {
    now: Option<Timestamp>,
    settle: SignedDuration,
    objects: BTreeMap<GroupKind, Named>,
    /// Which lists were read, in which scope (none: everywhere), and how that went.
    listed: BTreeMap<(GroupKind, Option<String>), Result<(), Unverified>>,
    /// Objects asked for by name, outside of any list.
    single: BTreeMap<ObjectRef, Lookup<Arc<Object>>>,
    logs: BTreeMap<LogTail, Lookup<Arc<str>>>,
    events: BTreeMap<ObjectRef, Named>,
    users: BTreeMap<ObjectRef, BTreeSet<ObjectRef>>,
    wanted: RefCell<BTreeSet<Read>>,
    wake: Cell<Option<Timestamp>>,
}

impl Inventory {
    /// An empty one, at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self { now: Some(now), ..Self::default() }
    }

    /// These objects as the whole cluster: every kind counts as listed, so that what is not here is not there.
    #[must_use]
    pub fn of(objects: impl IntoIterator<Item = Object>) -> Self {
        let mut inventory = Self::default();
        for object in objects {
            inventory.put(&object);
        }
        inventory.listed.insert((ANY, None), Ok(()));
        inventory
    }

    /// Sets the time of the view.
    pub fn set_now(&mut self, now: Timestamp) {
        self.now = Some(now);
    }

    /// Sets how long what fails again and again must go on well before it counts as healed.
    pub fn set_settle(&mut self, settle: SignedDuration) {
        self.settle = settle;
    }

    /// Takes the answer to a list of `kind` in `namespace`, or everywhere; what was there of that scope before goes.
    pub fn put_list(
        &mut self,
        kind: &GroupKind,
        namespace: Option<&str>,
        list: Result<Vec<Object>, Unverified>,
    ) {
        let scope = (kind.clone(), namespace.map(str::to_owned));
        match list {
            Ok(objects) => {
                let old: Vec<ObjectRef> = self.names_in(kind, namespace).collect();
                old.iter().for_each(|object| self.remove(object));
                objects.iter().for_each(|object| self.put(object));
                self.listed.insert(scope, Ok(()));
            }
            Err(why) => {
                self.listed.insert(scope, Err(why));
            }
        }
    }

    /// Takes how listing a kind in `namespace` or everywhere went, without its objects.
    pub(crate) fn mark(&mut self, kind: &GroupKind, namespace: Option<&str>, listed: Result<(), Unverified>) {
        self.listed.insert((kind.clone(), namespace.map(str::to_owned)), listed);
    }

    /// The object of just this namespace and name.
    pub(crate) fn found(&self, object: &ObjectRef) -> Option<Arc<Object>> {
        Some(self.kept(object)?.object())
    }

    /// Whether this version of the object is here.
    pub(crate) fn holds(&self, object: &Object) -> bool {
        self.kept(&object.reference()).is_some_and(|kept| kept.is(object))
    }

    fn kept(&self, object: &ObjectRef) -> Option<&Arc<Kept>> {
        self.objects.get(&object.kind)?.get(&(object.namespace.clone(), object.name.clone()))
    }

    /// Takes the answer about one object, for kinds that are not listed.
    pub fn put_single(&mut self, object: ObjectRef, answer: Lookup<Object>) {
        let answer = match answer {
            Lookup::Found(object) => Lookup::Found(Arc::new(object)),
            Lookup::NotFound => Lookup::NotFound,
            Lookup::Unverified(why) => Lookup::Unverified(why),
        };
        self.single.insert(object, answer);
    }

    /// Takes the answer about a log, without what looks like a secret: it goes into snapshots, and from there to others.
    pub fn put_log(&mut self, log: LogTail, answer: Lookup<String>) {
        let answer = match answer {
            Lookup::Found(text) => Lookup::Found(Arc::from(scrub(&text))),
            Lookup::NotFound => Lookup::NotFound,
            Lookup::Unverified(why) => Lookup::Unverified(why),
        };
        self.logs.insert(log, answer);
    }

    /// Adds an object, or takes its newer version.
    pub fn put(&mut self, object: &Object) {
        let reference = object.reference();
        self.remove(&reference);
        let kept = Arc::new(Kept::new(object));
        let key = (reference.namespace.clone(), reference.name.clone());
        if let Some(about) = involved(object) {
            self.events.entry(about).or_default().insert(key.clone(), kept.clone());
        }
        for named in named_by(object) {
            self.users.entry(named).or_default().insert(reference.clone());
        }
        self.objects.entry(reference.kind).or_default().insert(key, kept);
    }

    /// Takes an object out; one that is not here is fine.
    pub fn remove(&mut self, object: &ObjectRef) {
        let key = (object.namespace.clone(), object.name.clone());
        let Some(old) = self.objects.get_mut(&object.kind).and_then(|objects| objects.remove(&key)) else {
            return;
        };
        let old = old.object();
        if let Some(about) = involved(&old) {
            drop_from(&mut self.events, &about, |events| events.remove(&key).is_some(), BTreeMap::is_empty);
        }
        for named in named_by(&old) {
            drop_from(&mut self.users, &named, |users| users.remove(object), BTreeSet::is_empty);
        }
    }

    /// All objects of `kind`, by namespace and name.
    pub fn objects(&self, kind: &GroupKind) -> impl Iterator<Item = Arc<Object>> {
        self.entries(kind, None).map(|(_, kept)| kept.object())
    }

    /// Which objects of `kind` there are, by namespace and name.
    pub fn names(&self, kind: &GroupKind) -> impl Iterator<Item = ObjectRef> {
        self.names_in(kind, None)
    }

    /// The objects of `kind` that are looked at, by namespace and name.
    pub(crate) fn within(&self, kind: &GroupKind, extent: &Extent) -> impl Iterator<Item = ObjectRef> {
        let entries = self.names(kind).zip(self.entries(kind, None));
        entries.filter(|(object, (_, kept))| extent.contains(object, kept.labels())).map(|(object, _)| object)
    }

    /// Whether the object is here and looked at.
    pub(crate) fn is_within(&self, object: &ObjectRef, extent: &Extent) -> bool {
        self.kept(object).is_some_and(|kept| extent.contains(object, kept.labels()))
    }

    pub(crate) fn names_in(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
    ) -> impl Iterator<Item = ObjectRef> {
        self.entries(kind, namespace).map(|((namespace, name), _)| ObjectRef {
            kind: kind.clone(),
            namespace: namespace.clone(),
            name: name.clone(),
        })
    }

    /// The objects of `kind` in `namespace` or everywhere.
    fn entries(&self, kind: &GroupKind, namespace: Option<&str>) -> impl Iterator<Item = (&Key, &Arc<Kept>)> {
        let first = (namespace.map(str::to_owned), String::new());
        let objects = self.objects.get(kind).into_iter().flat_map(move |named| named.range(first.clone()..));
        objects.take_while(move |((of, _), _)| namespace.is_none() || of.as_deref() == namespace)
    }

    /// What was asked for since the last call and could not be answered because nobody fetched it. Asking for it again
    /// after its `put` gives the answer.
    #[must_use]
    pub fn take_wanted(&self) -> BTreeSet<Read> {
        std::mem::take(&mut self.wanted.borrow_mut())
    }

    /// The first time since the last call from which on an answer may be another, by the clock alone.
    pub(crate) fn take_wake(&self) -> Option<Timestamp> {
        self.wake.take()
    }

    /// Whether all objects of a kind are known, in `namespace` or everywhere.
    pub(crate) fn is_listed(&self, kind: &GroupKind, namespace: Option<&str>) -> bool {
        self.scope(kind, namespace).is_ok()
    }

    /// Whether the kind is listed where `namespace` is, or why not.
    fn scope(&self, kind: &GroupKind, namespace: Option<&str>) -> Result<(), Unverified> {
        let everywhere = self.listed.get(&(kind.clone(), None)).or_else(|| self.listed.get(&(ANY, None)));
        let here =
            namespace.and_then(|namespace| self.listed.get(&(kind.clone(), Some(namespace.to_owned()))));
        match (here, everywhere) {
            (Some(Ok(())), _) | (_, Some(Ok(()))) => Ok(()),
            (Some(Err(why)), _) | (None, Some(Err(why))) => Err(why.clone()),
            (None, None) => Err(Unverified::NotYet),
        }
    }

    fn want(&self, read: Read) {
        self.wanted.borrow_mut().insert(read);
    }
}

/// Stands for every kind in [`Inventory::of`]; no kind of Kubernetes is spelt like it.
const ANY: GroupKind = GroupKind::new("*", "*");

/// What an event is about, if the object is one.
pub(crate) fn involved(object: &Object) -> Option<ObjectRef> {
    if !object.kind().is::<Event>() {
        return None;
    }
    let about =
        |field: &str| object.text(&format!("/involvedObject/{field}")).filter(|text| !text.is_empty());
    Some(ObjectRef {
        kind: GroupKind::named(about("apiVersion").unwrap_or_default(), about("kind")?),
        namespace: about("namespace").map(str::to_owned),
        name: about("name")?.to_owned(),
    })
}

fn drop_from<V>(
    index: &mut BTreeMap<ObjectRef, V>,
    key: &ObjectRef,
    remove: impl FnOnce(&mut V) -> bool,
    is_empty: impl FnOnce(&V) -> bool,
) {
    if let Some(values) = index.get_mut(key) {
        remove(values);
        if is_empty(values) {
            index.remove(key);
        }
    }
}

impl View for Inventory {
    fn now(&self) -> Timestamp {
        self.now.unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn wake(&self, at: Timestamp) {
        self.wake.set(Some(self.wake.get().map_or(at, |first| first.min(at))));
    }

    fn settle(&self) -> SignedDuration {
        self.settle
    }

    fn object(&self, object: &ObjectRef) -> Lookup<Arc<Object>> {
        let by_kind = self.objects.get(&object.kind);
        // The owner of a namespaced object may belong to the cluster: its name without a namespace is tried as well.
        for namespace in [object.namespace.clone(), None] {
            if let Some(found) = by_kind.and_then(|objects| objects.get(&(namespace, object.name.clone()))) {
                return Lookup::Found(found.object());
            }
        }
        match self.scope(&object.kind, object.namespace.as_deref()) {
            Ok(()) => Lookup::NotFound,
            Err(why) => match (self.single.get(object), why) {
                (Some(answer), _) => answer.clone(),
                (None, Unverified::NotYet) => {
                    self.want(Read::Object(object.clone()));
                    Lookup::Unverified(Unverified::NotYet)
                }
                (None, why) => Lookup::Unverified(why),
            },
        }
    }

    fn list(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Arc<Object>>, Unverified> {
        self.scope(kind, namespace).inspect_err(|why| {
            if *why == Unverified::NotYet {
                self.want(Read::List(kind.clone(), namespace.map(str::to_owned), selector.clone()));
            }
        })?;
        let here = self.entries(kind, namespace).map(|(_, kept)| kept);
        Ok(here.filter(|kept| selector.matches(kept.labels())).map(|kept| kept.object()).collect())
    }

    fn users(&self, object: &ObjectRef) -> Result<Vec<ObjectRef>, Unverified> {
        for kind in &USERS {
            match self.scope(kind, object.namespace.as_deref()) {
                // A kind that this cluster does not serve has no objects to name anything.
                Ok(()) | Err(Unverified::NotInstalled) => {}
                Err(why) => {
                    if why == Unverified::NotYet {
                        self.want(Read::Users(object.clone()));
                    }
                    return Err(why);
                }
            }
        }
        Ok(self.users.get(object).into_iter().flatten().cloned().collect())
    }

    fn events(&self, about: &ObjectRef, uid: Option<&str>) -> Result<Vec<Arc<Object>>, Unverified> {
        let kind = GroupKind::of::<Event>();
        // Events about what belongs to the cluster are kept in the namespace `default`.
        let namespace = about.namespace.as_deref().unwrap_or("default");
        self.scope(&kind, Some(namespace)).inspect_err(|why| {
            if *why == Unverified::NotYet {
                self.want(Read::Events(about.clone(), uid.map(str::to_owned)));
            }
        })?;
        let kept = self.events.get(about).into_iter().flat_map(BTreeMap::values);
        let mut events: Vec<Arc<Object>> = kept.map(|kept| kept.object()).collect();
        // The kubelet writes the name of its node where the uid belongs.
        events.retain(|event| {
            match (event.text("/involvedObject/uid").filter(|text| !text.is_empty()), uid) {
                (Some(of), Some(uid)) => of == uid || of == about.name,
                _ => true,
            }
        });
        events.sort_by_key(|event| {
            event.typed::<Event>().ok().and_then(|event| crate::event::last_seen(&event))
        });
        Ok(events)
    }

    fn log(&self, log: &LogTail) -> Lookup<Arc<str>> {
        self.logs.get(log).cloned().unwrap_or_else(|| {
            self.want(Read::Log(log.clone()));
            Lookup::Unverified(Unverified::NotYet)
        })
    }
}
