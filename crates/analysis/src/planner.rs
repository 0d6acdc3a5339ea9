//! Which objects must be looked at, when something of the cluster changed.
//!
//! A [`Planner`] holds the objects of a cluster and remembers what each evaluation read. A change puts every object that
//! read the changed one on the list, besides the changed one itself: a Service that comes evaluates its Ingress again. It
//! has no clock and starts nothing; a watcher feeds it and asks [`Planner::next`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::analyzer::Selection;
use crate::evaluate::{Evaluation, evaluate};
use crate::inventory::{Inventory, involved};
use crate::kind::GroupKind;
use crate::live::Live;
use crate::object::{Object, ObjectRef};
use crate::reference::named_by;
use crate::selector::Selector;
use crate::snapshot::{Recorder, Snapshot};
use crate::view::{Read, Unverified};

/// What has to be told.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// An object was looked at: the object, what its analyzers read, and what they say.
    Look(Box<Looked>),
    /// An object is gone.
    Gone(ObjectRef),
    /// These are there, and no others of their kind.
    Live(Live),
}

/// One evaluation and all that it stands on.
#[derive(Debug, Clone, PartialEq)]
pub struct Looked {
    /// The object.
    pub object: Object,
    /// What was read of the rest.
    pub snapshot: Snapshot,
    /// What the analyzers say.
    pub evaluation: Evaluation,
}

/// The objects of one cluster, and which of them are to be looked at again.
pub struct Planner {
    inventory: Inventory,
    selection: Selection,
    subjects: BTreeSet<GroupKind>,
    /// How long changes of one object are collected.
    debounce: Duration,
    /// The last evaluation of each object.
    last: HashMap<ObjectRef, Last>,
    readers: Readers,
    due: BTreeSet<(Timestamp, ObjectRef)>,
    waiting: HashMap<ObjectRef, Timestamp>,
    /// Kinds whose objects are to be told of by name, and behind which path to go on.
    unnamed: BTreeMap<GroupKind, Option<String>>,
}

/// What an evaluation read, and what it said.
struct Last {
    reads: BTreeSet<Read>,
    said: Evaluation,
    /// The next one is to be told whatever it says.
    again: bool,
}

impl Last {
    /// Whether an evaluation has to be told after this one. A new version of the object alone is no reason.
    fn says_other(&self, evaluation: &Evaluation) -> bool {
        let said = &self.said;
        self.again
            || said.report != evaluation.report
            || said.uid != evaluation.uid
            || said.parent != evaluation.parent
    }

    fn is_in_doubt(&self) -> bool {
        !self.said.report.doubts().is_empty()
    }

    /// Whether it is of another object that had the name before.
    fn is_before(&self, object: &Object) -> bool {
        self.said.uid.as_deref().zip(object.uid()).is_some_and(|(before, now)| before != now)
    }
}

/// Who read what.
#[derive(Default)]
struct Readers {
    /// By kind and name, then by the namespace that was asked for.
    objects: HashMap<(GroupKind, String), BTreeMap<Option<String>, BTreeSet<ObjectRef>>>,
    lists: HashMap<(GroupKind, Option<String>), BTreeMap<ObjectRef, BTreeSet<Selector>>>,
}

impl Planner {
    /// A planner for the kinds that `selection` looks at. Changes of one object within `debounce` are one.
    #[must_use]
    pub fn new(selection: Selection, debounce: Duration) -> Self {
        Self {
            unnamed: BTreeMap::new(),
            inventory: Inventory::default(),
            subjects: selection.subjects(),
            selection,
            debounce,
            last: HashMap::new(),
            readers: Readers::default(),
            due: BTreeSet::new(),
            waiting: HashMap::new(),
        }
    }

    /// With so long for what fails again and again to go on well before it counts as healed.
    #[must_use]
    pub fn settling(mut self, settle: SignedDuration) -> Self {
        self.inventory.set_settle(settle);
        self
    }

    /// Takes an object that came or changed at `now`.
    pub fn put(&mut self, object: &Object, now: Timestamp) {
        if self.inventory.holds(object) {
            return;
        }
        let reference = object.reference();
        let mut affected = self.readers.of(object);
        if let Some(before) = self.inventory.found(&reference) {
            affected.extend(self.readers.of(&before));
        }
        self.inventory.put(object);
        affected.insert(reference);
        self.schedule(affected, now);
    }

    /// Takes that an object is gone at `now`.
    pub fn remove(&mut self, object: &ObjectRef, now: Timestamp) {
        let Some(before) = self.inventory.found(object) else { return };
        let mut affected = self.readers.of(&before);
        self.inventory.remove(object);
        affected.insert(object.clone());
        self.schedule(affected, now);
    }

    /// Takes that all of a kind were listed, at the start of its watch or after one that was lost: those that are there
    /// were put before, and what is not in `list` is gone. An error leaves what was known, in doubt.
    pub fn listed(
        &mut self,
        kind: &GroupKind,
        list: Result<BTreeSet<ObjectRef>, Unverified>,
        now: Timestamp,
    ) {
        match list {
            Ok(there) => {
                let gone = self.inventory.names(kind).filter(|object| !there.contains(object));
                gone.collect::<Vec<_>>().iter().for_each(|object| self.remove(object, now));
                self.inventory.mark(kind, Ok(()));
                self.name(kind);
            }
            Err(why) => {
                self.inventory.mark(kind, Err(why));
                self.unnamed.remove(kind);
            }
        }
        // Whoever asked before it was listed, or while it could not be, got no answer.
        let in_doubt = self.last.iter().filter(|(_, last)| last.is_in_doubt());
        let in_doubt: BTreeSet<ObjectRef> = in_doubt.map(|(object, _)| object.clone()).collect();
        self.schedule(in_doubt, now);
    }

    /// Puts every object that is looked at on the list again, as a slow resync does, one after the other in the time of
    /// `over`: a queue that stands still otherwise is not to be flooded. Which objects there are is told at once.
    pub fn resync(&mut self, now: Timestamp, over: Duration) {
        let all: BTreeSet<ObjectRef> =
            self.subjects.iter().flat_map(|kind| self.inventory.names(kind)).collect();
        self.last.values_mut().for_each(|last| last.again = true);
        let step = over / u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
        let mut at = self.after_debounce(now);
        for object in all {
            self.enter(object, at);
            at = at.checked_add(step).unwrap_or(at);
        }
        for kind in self.subjects.clone() {
            self.name(&kind);
        }
    }

    /// When [`Planner::next`] has something to do, if nothing else happens.
    #[must_use]
    pub fn wakes(&self) -> Option<Timestamp> {
        if self.unnamed.is_empty() { self.due.first().map(|(at, _)| *at) } else { Some(Timestamp::MIN) }
    }

    /// Evaluates what is due, until one of them has to be told: because it says something else than last time, or has
    /// not been told. None when nothing is due. An object that is healthy, was healthy and changed is not told. When all
    /// that is due was looked at, it is told which objects there are.
    pub fn next(&mut self, now: Timestamp) -> Option<Step> {
        self.inventory.set_now(now);
        while let Some((at, object)) = self.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, object.clone()));
            self.waiting.remove(&object);
            match self.inventory.found(&object) {
                None => {
                    // Also of one that was not looked at yet: another watcher may have told of it.
                    if let Some(last) = self.last.remove(&object) {
                        self.readers.forget(&object, &last.reads);
                    }
                    return Some(Step::Gone(object));
                }
                Some(found) if self.last.get(&object).is_some_and(|last| last.is_before(&found)) => {
                    if let Some(last) = self.last.remove(&object) {
                        self.readers.forget(&object, &last.reads);
                    }
                    self.enter(object.clone(), at);
                    return Some(Step::Gone(object));
                }
                Some(found) => {
                    let recorder = Recorder::new(&self.inventory);
                    let evaluation = evaluate(&found, &self.selection, &recorder);
                    let snapshot = recorder.finish();
                    let reads: BTreeSet<Read> = snapshot.reads().cloned().collect();
                    let last = self.last.remove(&object);
                    if let Some(last) = &last {
                        self.readers.forget(&object, &last.reads);
                    }
                    self.readers.remember(&object, &reads);
                    if let Some(at) = self.inventory.take_wake() {
                        self.enter(object.clone(), at);
                    }
                    self.last.insert(object, Last { reads, said: evaluation.clone(), again: false });
                    if last.is_none_or(|last| last.says_other(&evaluation)) {
                        let object = Arc::unwrap_or_clone(found);
                        return Some(Step::Look(Box::new(Looked { object, snapshot, evaluation })));
                    }
                }
            }
        }
        self.next_page().map(Step::Live)
    }

    /// The next page of names, as they are now.
    fn next_page(&mut self) -> Option<Live> {
        let (kind, after) = self.unnamed.pop_first()?;
        let paths = self.inventory.names(&kind).map(|object| object.path());
        let page = Live::page(kind.clone(), after, paths);
        if page.until.is_some() {
            self.unnamed.insert(kind, page.until.clone());
        }
        Some(page)
    }

    /// Will tell which objects of `kind` there are, from the first one, if that is known and somebody looks at them.
    fn name(&mut self, kind: &GroupKind) {
        if self.subjects.contains(kind) && self.inventory.is_listed(kind) {
            self.unnamed.insert(kind.clone(), None);
        }
    }

    /// The objects.
    #[must_use]
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Those of `objects` that are looked at, after the debounce; one that waits keeps its time, so that an object that
    /// never rests is looked at too.
    fn schedule(&mut self, objects: BTreeSet<ObjectRef>, now: Timestamp) {
        let at = self.after_debounce(now);
        for object in objects {
            if self.subjects.contains(&object.kind) {
                self.enter(object, at);
            }
        }
    }

    /// Looks at `object` at the time `at`, or before if it waits for that already.
    fn enter(&mut self, object: ObjectRef, at: Timestamp) {
        match self.waiting.get(&object) {
            Some(waits) if *waits <= at => return,
            Some(waits) => {
                self.due.remove(&(*waits, object.clone()));
            }
            None => {}
        }
        self.waiting.insert(object.clone(), at);
        self.due.insert((at, object));
    }

    fn after_debounce(&self, now: Timestamp) -> Timestamp {
        now.checked_add(self.debounce).unwrap_or(Timestamp::MAX)
    }
}

impl Readers {
    fn remember(&mut self, reader: &ObjectRef, reads: &BTreeSet<Read>) {
        for read in reads {
            match read {
                Read::Object(object) | Read::Users(object) | Read::Events(object, _) => {
                    let named = self.objects.entry((object.kind.clone(), object.name.clone())).or_default();
                    named.entry(object.namespace.clone()).or_default().insert(reader.clone());
                }
                Read::List(kind, namespace, selector) => {
                    let list = self.lists.entry((kind.clone(), namespace.clone())).or_default();
                    list.entry(reader.clone()).or_default().insert(selector.clone());
                }
                // A log has no watch: it is read again when its pod changes, and on resync.
                Read::Log(_) => {}
            }
        }
    }

    fn forget(&mut self, reader: &ObjectRef, reads: &BTreeSet<Read>) {
        for read in reads {
            match read {
                Read::Object(object) | Read::Users(object) | Read::Events(object, _) => {
                    let key = (object.kind.clone(), object.name.clone());
                    let Some(named) = self.objects.get_mut(&key) else { continue };
                    named.values_mut().for_each(|readers| {
                        readers.remove(reader);
                    });
                    named.retain(|_, readers| !readers.is_empty());
                    if named.is_empty() {
                        self.objects.remove(&key);
                    }
                }
                Read::List(kind, namespace, _) => {
                    let list = (kind.clone(), namespace.clone());
                    if let Some(readers) = self.lists.get_mut(&list) {
                        readers.remove(reader);
                        if readers.is_empty() {
                            self.lists.remove(&list);
                        }
                    }
                }
                Read::Log(_) => {}
            }
        }
    }

    /// Who read this state of an object: by name, as one of a list, as what names another, as an event about another.
    fn of(&self, object: &Object) -> BTreeSet<ObjectRef> {
        let reference = object.reference();
        let mut readers = self.readers_of(&reference);
        for named in named_by(object) {
            readers.extend(self.readers_of(&named));
        }
        if let Some(about) = involved(object) {
            readers.extend(self.readers_of(&about));
        }
        let labels = object.labels();
        for namespace in [reference.namespace.clone(), None] {
            let list = self.lists.get(&(reference.kind.clone(), namespace));
            let matching = list
                .into_iter()
                .flatten()
                .filter(|(_, selectors)| selectors.iter().any(|it| it.matches(&labels)));
            readers.extend(matching.map(|(reader, _)| reader.clone()));
        }
        readers
    }

    /// Who asked for an object by its name. One that belongs to the cluster may have been asked for in the namespace of
    /// what it owns.
    fn readers_of(&self, object: &ObjectRef) -> BTreeSet<ObjectRef> {
        let Some(named) = self.objects.get(&(object.kind.clone(), object.name.clone())) else {
            return BTreeSet::new();
        };
        let here = named
            .iter()
            .filter(|(namespace, _)| object.namespace.is_none() || **namespace == object.namespace);
        here.flat_map(|(_, readers)| readers.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests;
