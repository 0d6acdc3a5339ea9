//! Which objects must be looked at, when something of the cluster changed.
//!
//! A [`Planner`] holds the objects of a cluster and remembers what each evaluation read. A change puts every object that
//! read the changed one on the list, besides the changed one itself: a Service that comes evaluates its Ingress again. It
//! has no clock and starts nothing; a watcher feeds it and asks [`Planner::next`].

mod readers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;

use crate::analyzer::Selection;
use crate::evaluate::{Evaluation, evaluate};
use crate::extent::Extent;
use crate::inventory::Inventory;
use crate::kind::GroupKind;
use crate::live::Live;
use crate::object::{Object, ObjectRef};
use crate::snapshot::{Recorder, Snapshot};
use crate::view::{Read, Unverified};
use readers::Readers;

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
    /// Which objects of these kinds are looked at.
    extent: Extent,
    /// Kinds of which none is looked at: not any more, or because they are not served any more.
    idle: BTreeSet<GroupKind>,
    /// How long what fails again and again must go on well before it counts as healed.
    settle: SignedDuration,
    /// How long changes of one object are collected.
    debounce: Duration,
    /// The last evaluation of each object.
    last: HashMap<ObjectRef, Last>,
    readers: Readers,
    due: BTreeSet<(Timestamp, ObjectRef)>,
    waiting: HashMap<ObjectRef, Timestamp>,
    /// Kinds whose every version is told, whatever the analyzers say of it: others look at them too.
    each_version: BTreeSet<GroupKind>,
    /// When the last object of a pass over all of them is due, until it was looked at.
    pass: Option<Timestamp>,
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

    /// Whether something was wrong, or may be.
    fn may_flap(&self) -> bool {
        let report = &self.said.report;
        !report.failures().is_empty() || report.doubts().iter().any(|doubt| doubt.why == Unverified::Settling)
    }

    /// Whether it is of another object that had the name before.
    fn is_before(&self, object: &Object) -> bool {
        self.said.uid.as_deref().zip(object.uid()).is_some_and(|(before, now)| before != now)
    }
}

impl Planner {
    /// A planner for the kinds that `selection` looks at. Changes of one object within `debounce` are one.
    #[must_use]
    pub fn new(selection: Selection, debounce: Duration) -> Self {
        Self {
            each_version: BTreeSet::new(),
            unnamed: BTreeMap::new(),
            pass: Some(Timestamp::MIN),
            inventory: Inventory::default(),
            subjects: selection.subjects(),
            extent: Extent::default(),
            idle: BTreeSet::new(),
            settle: SignedDuration::ZERO,
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
        self.settle = settle;
        self
    }

    /// With these objects alone to be looked at.
    #[must_use]
    pub fn within(mut self, extent: Extent) -> Self {
        self.extent = extent;
        self
    }

    /// With these kinds as such of which none is looked at any more, which is told: what was found of them is to be closed.
    #[must_use]
    pub fn leaving(mut self, kinds: impl IntoIterator<Item = GroupKind>) -> Self {
        self.idle.extend(kinds.into_iter().filter(|kind| !self.subjects.contains(kind)));
        self.unnamed.extend(self.idle.iter().map(|kind| (kind.clone(), None)));
        self
    }

    /// With these kinds told of whenever an object of them changes, and not only when the analyzers say something else.
    #[must_use]
    pub fn each_version(mut self, kinds: BTreeSet<GroupKind>) -> Self {
        self.each_version = kinds;
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
        // Also of one that was not looked at yet: another watcher may have told of it.
        if self.subjects.contains(&object.kind) && self.inventory.is_within(object, &self.extent) {
            self.enter(object.clone(), self.after_debounce(now));
        }
        self.inventory.remove(object);
        affected.insert(object.clone());
        self.schedule(affected, now);
    }

    /// Takes that all of a kind in `namespace` (none: everywhere) were listed, at the start of its watch or after one that
    /// was lost: those that are there were put before, and what is not in `list` is gone. An error leaves what was known,
    /// in doubt.
    pub fn listed(
        &mut self,
        kind: &GroupKind,
        namespace: Option<&str>,
        list: Result<BTreeSet<ObjectRef>, Unverified>,
        now: Timestamp,
    ) {
        match list {
            Ok(there) => {
                let gone = self.inventory.names_in(kind, namespace).filter(|object| !there.contains(object));
                gone.collect::<Vec<_>>().iter().for_each(|object| self.remove(object, now));
                self.inventory.mark(kind, namespace, Ok(()));
            }
            Err(why) => self.inventory.mark(kind, namespace, Err(why)),
        }
        if self.subjects.contains(kind) {
            // Served, or in doubt whether it is.
            self.idle.remove(kind);
            self.unnamed.remove(kind);
            self.name(kind);
        }
        // A pass goes over what this list brought, and over what waited for it.
        self.pass = self.pass.map(|ends| ends.max(self.after_debounce(now)));
        // Whoever asked before it was listed, or while it could not be, got no answer.
        let in_doubt = self.last.iter().filter(|(_, last)| last.is_in_doubt());
        let in_doubt: BTreeSet<ObjectRef> = in_doubt.map(|(object, _)| object.clone()).collect();
        self.schedule(in_doubt, now);
    }

    /// Takes that a kind is not served any more, for sure: all of its objects are gone.
    pub fn uninstalled(&mut self, kind: &GroupKind, now: Timestamp) {
        let all: Vec<ObjectRef> = self.inventory.names(kind).collect();
        all.iter().for_each(|object| self.remove(object, now));
        self.inventory.mark(kind, None, Err(Unverified::NotInstalled));
        if self.idle.insert(kind.clone()) {
            self.name(kind);
        }
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
        self.pass = Some(at);
        for kind in self.subjects.union(&self.idle).cloned().collect::<Vec<_>>() {
            self.name(&kind);
        }
    }

    /// Whether a pass over all objects, the first or that of a resync, has ended since this was asked last. To be asked when
    /// [`Planner::next`] has nothing more at `now`.
    pub fn passes(&mut self, now: Timestamp) -> bool {
        self.pass.take_if(|end| *end <= now).is_some()
    }

    /// When the pass that is under way ends, if no list that is still to come makes it longer.
    #[must_use]
    pub const fn pass_ends(&self) -> Option<Timestamp> {
        self.pass
    }

    /// Of how many objects something could not be verified when they were looked at last.
    #[must_use]
    pub fn in_doubt(&self) -> usize {
        self.last.values().filter(|last| last.is_in_doubt()).count()
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
            let within = self.inventory.is_within(&object, &self.extent);
            match self.inventory.found(&object).filter(|_| within) {
                // Gone, or not to be looked at any more.
                None => {
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
                    self.inventory.set_settle(self.settle_of(&object));
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
                    let is_shown = self.each_version.contains(&evaluation.object.kind);
                    let is_other = |last: Last| {
                        last.says_other(&evaluation)
                            || (is_shown && last.said.resource_version != evaluation.resource_version)
                    };
                    if last.is_none_or(is_other) {
                        let object = Arc::unwrap_or_clone(found);
                        return Some(Step::Look(Box::new(Looked { object, snapshot, evaluation })));
                    }
                }
            }
        }
        self.next_page().map(Step::Live)
    }

    /// How long `object` must go on well. Nothing where it was well before: its pods need not be read to say so. A pod says
    /// it itself.
    fn settle_of(&self, object: &ObjectRef) -> SignedDuration {
        let may_flap = object.kind.is::<Pod>() || self.last.get(object).is_some_and(Last::may_flap);
        if may_flap { self.settle } else { SignedDuration::ZERO }
    }

    /// The next page of names, as they are now.
    fn next_page(&mut self) -> Option<Live> {
        let (kind, after) = self.unnamed.pop_first()?;
        let except = self.unknown(&kind).unwrap_or_default();
        let looked_at = self.inventory.within(&kind, &self.extent).filter(|_| !self.idle.contains(&kind));
        let page = Live::page(kind.clone(), after, looked_at.map(|object| object.path())).except(except);
        if page.until.is_some() {
            self.unnamed.insert(kind, page.until.clone());
        }
        Some(page)
    }

    /// Will tell which objects of `kind` there are, from the first one, if that is known and somebody looks at them.
    fn name(&mut self, kind: &GroupKind) {
        if self.unknown(kind).is_some() {
            self.unnamed.insert(kind.clone(), None);
        }
    }

    /// The namespaces whose objects of `kind` are not known, where it is known at all which of them are looked at.
    fn unknown(&self, kind: &GroupKind) -> Option<BTreeSet<String>> {
        if self.idle.contains(kind) {
            return Some(BTreeSet::new());
        }
        if !self.subjects.contains(kind) {
            return None;
        }
        if self.inventory.is_listed(kind, None) {
            return Some(BTreeSet::new());
        }
        let mut named = self.extent.named()?;
        let all = named.len();
        named.retain(|namespace| !self.inventory.is_listed(kind, Some(namespace)));
        (named.len() < all).then_some(named)
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
            // What has left the extent is told gone.
            let told = self.last.contains_key(&object);
            let looked_at = told || self.inventory.is_within(&object, &self.extent);
            if self.subjects.contains(&object.kind) && looked_at {
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

#[cfg(test)]
mod tests;
