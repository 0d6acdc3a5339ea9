//! Which objects must be looked at, when something of the cluster changed.
//!
//! A [`Planner`] holds the objects of a cluster and remembers what each evaluation read. A change puts every object that
//! read the changed one on the list, besides the changed one itself: a Service that comes evaluates its Ingress again. It
//! has no clock and starts nothing; a watcher feeds it and asks [`Planner::next`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;

use crate::analyzer::Selection;
use crate::evaluate::{Evaluation, evaluate};
use crate::inventory::{Inventory, involved};
use crate::kind::GroupKind;
use crate::object::{Object, ObjectRef};
use crate::reference::named_by;
use crate::selector::Selector;
use crate::snapshot::{Recorder, Snapshot};
use crate::view::{Read, Unverified};

/// What has to be told about one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// It was looked at: the object, what its analyzers read, and what they say.
    Look(Box<Looked>),
    /// It is gone.
    Gone(ObjectRef),
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
}

/// What an evaluation read, and what it said; none if it is to be told whatever it says.
struct Last {
    reads: BTreeSet<Read>,
    said: Option<Evaluation>,
}

impl Last {
    /// Whether an evaluation has to be told after this one. A new version of the object alone is no reason.
    fn says_other(&self, evaluation: &Evaluation) -> bool {
        self.said.as_ref().is_none_or(|said| {
            said.report != evaluation.report || said.uid != evaluation.uid || said.parent != evaluation.parent
        })
    }

    fn is_in_doubt(&self) -> bool {
        self.said.as_ref().is_none_or(|said| !said.report.doubts().is_empty())
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

    /// Takes an object that came or changed at `now`.
    pub fn put(&mut self, object: Object, now: Timestamp) {
        let reference = object.reference();
        let before = self.inventory.found(&reference);
        if before.as_deref() == Some(&object) {
            return;
        }
        let mut affected = self.readers.of(&object);
        if let Some(before) = &before {
            affected.extend(self.readers.of(before));
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

    /// Takes the answer to a list of all of a kind, at the start of its watch or after one that was lost. What is not in
    /// it is gone; what is in it unchanged is not looked at again. An error leaves what was known, in doubt.
    pub fn listed(&mut self, kind: &GroupKind, list: Result<Vec<Object>, Unverified>, now: Timestamp) {
        match list {
            Ok(objects) => {
                let there: BTreeSet<ObjectRef> = objects.iter().map(Object::reference).collect();
                let gone: Vec<ObjectRef> = self
                    .inventory
                    .objects(kind)
                    .map(|object| object.reference())
                    .filter(|object| !there.contains(object))
                    .collect();
                gone.iter().for_each(|object| self.remove(object, now));
                objects.into_iter().for_each(|object| self.put(object, now));
                self.inventory.mark(kind, Ok(()));
            }
            Err(why) => self.inventory.mark(kind, Err(why)),
        }
        // Whoever asked before it was listed, or while it could not be, got no answer.
        let in_doubt = self.last.iter().filter(|(_, last)| last.is_in_doubt());
        let in_doubt = in_doubt.map(|(object, _)| object.clone()).collect();
        self.schedule(in_doubt, now);
    }

    /// Puts every object that is looked at on the list again, as a slow resync does.
    pub fn resync(&mut self, now: Timestamp) {
        let all: BTreeSet<ObjectRef> = self
            .subjects
            .iter()
            .flat_map(|kind| self.inventory.objects(kind).map(|object| object.reference()))
            .collect();
        self.last.values_mut().for_each(|last| last.said = None);
        self.schedule(all, now);
    }

    /// When [`Planner::next`] has something to do, if nothing else happens.
    #[must_use]
    pub fn wakes(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Evaluates what is due, until one of them has to be told: because it says something else than last time, or has
    /// not been told. None when nothing is due. An object that is healthy, was healthy and changed is not told.
    pub fn next(&mut self, now: Timestamp) -> Option<Step> {
        self.inventory.set_now(now);
        while let Some((at, object)) = self.due.first().cloned().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, object.clone()));
            self.waiting.remove(&object);
            match self.inventory.found(&object) {
                None => {
                    if let Some(last) = self.last.remove(&object) {
                        self.readers.forget(&object, &last.reads);
                        return Some(Step::Gone(object));
                    }
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
                    self.last.insert(object, Last { reads, said: Some(evaluation.clone()) });
                    if last.is_none_or(|last| last.says_other(&evaluation)) {
                        let object = (*found).clone();
                        return Some(Step::Look(Box::new(Looked { object, snapshot, evaluation })));
                    }
                }
            }
        }
        None
    }

    /// The objects.
    #[must_use]
    pub const fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// Those of `objects` that are looked at, after the debounce; one that waits keeps its time, so that an object that
    /// never rests is looked at too.
    fn schedule(&mut self, objects: BTreeSet<ObjectRef>, now: Timestamp) {
        let at = now.checked_add(self.debounce).unwrap_or(Timestamp::MAX);
        for object in objects {
            if self.subjects.contains(&object.kind) && !self.waiting.contains_key(&object) {
                self.waiting.insert(object.clone(), at);
                self.due.insert((at, object));
            }
        }
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use k8s_openapi::api::core::v1::{Event, Pod};
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{event, object};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    fn planner() -> Planner {
        let mut planner =
            Planner::new(Selection::new(&["Pod"], &[], &[]).unwrap(), Duration::from_millis(200));
        for kind in [GroupKind::of::<Pod>(), GroupKind::of::<Event>(), GroupKind::new("batch", "Job")] {
            planner.listed(&kind, Ok(Vec::new()), at(0));
        }
        planner
    }

    fn pod(state: &Value) -> Object {
        object(
            "v1",
            "Pod",
            "web",
            json!({"spec": {"containers": []}, "status": {"phase": "Pending", "containerStatuses": [
            {"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state}]}}),
        )
    }

    fn waiting(reason: &str) -> Object {
        pod(&json!({"waiting": {"reason": reason, "message": "m"}}))
    }

    fn looked(step: Option<Step>) -> Vec<String> {
        match step {
            Some(Step::Look(looked)) => {
                looked.evaluation.report.failures().iter().map(|it| it.code.clone()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn changes_within_the_debounce_are_one_and_none_waits_longer() {
        let mut planner = planner();
        planner.put(waiting("ContainerCreating"), at(0));
        planner.put(waiting("ErrImagePull"), at(150));
        assert_eq!(planner.wakes(), Some(at(200)), "the first change counts");
        assert_eq!(planner.next(at(199)), None);
        assert_eq!(looked(planner.next(at(200))), ["ImagePullFails"]);
        assert_eq!(planner.next(at(200)), None);
        assert_eq!(planner.wakes(), None);
    }

    #[test]
    fn what_an_evaluation_read_brings_it_back_when_it_changes() {
        let mut planner = planner();
        let creating = waiting("ContainerCreating");
        planner.put(creating.clone(), at(0));
        assert!(looked(planner.next(at(200))).is_empty());
        planner.put(event(&creating, "FailedMount", "no such secret", "2026-01-01T00:00:00Z"), at(300));
        assert_eq!(looked(planner.next(at(500))), ["VolumeMountFails"], "an event about it");
        let other = object("v1", "Pod", "other", json!({}));
        planner.put(event(&other, "FailedMount", "another's", "2026-01-01T00:00:00Z"), at(600));
        assert_eq!(planner.wakes(), None, "an event about another");
    }

    #[test]
    fn what_says_the_same_is_told_once_and_again_on_resync() {
        let mut planner = planner();
        let version = |version: &str| {
            let mut value = waiting("ErrImagePull").value().clone();
            value["metadata"]["resourceVersion"] = json!(version);
            Object::new(value).unwrap()
        };
        planner.put(version("1"), at(0));
        assert_eq!(looked(planner.next(at(200))), ["ImagePullFails"]);
        planner.put(version("2"), at(300));
        assert_eq!(planner.next(at(500)), None, "a heartbeat");
        planner.put(version("2"), at(600));
        assert_eq!(planner.wakes(), None, "the same version");
        planner.resync(at(700));
        assert_eq!(looked(planner.next(at(900))), ["ImagePullFails"]);
        planner.resync(at(1000));
        assert_eq!(looked(planner.next(at(1200))), ["ImagePullFails"]);
    }

    #[test]
    fn an_object_that_goes_is_told_once() {
        let mut planner = planner();
        let pod = waiting("ErrImagePull");
        planner.put(pod.clone(), at(0));
        planner.next(at(200)).unwrap();
        planner.remove(&pod.reference(), at(300));
        assert_eq!(planner.next(at(500)), Some(Step::Gone(pod.reference())));
        planner.remove(&pod.reference(), at(600));
        assert_eq!(planner.wakes(), None);
        planner.put(pod.clone(), at(700));
        planner.next(at(900)).unwrap();
        planner.listed(&GroupKind::of::<Pod>(), Ok(Vec::new()), at(1000));
        assert_eq!(
            planner.next(at(1200)),
            Some(Step::Gone(pod.reference())),
            "not in the list after a lost watch"
        );
    }

    #[test]
    fn what_could_not_be_asked_is_looked_at_when_it_can_be() {
        let mut planner = Planner::new(Selection::new(&["Pod"], &[], &[]).unwrap(), Duration::ZERO);
        let creating = waiting("ContainerCreating");
        planner.listed(&GroupKind::of::<Pod>(), Ok(vec![creating.clone()]), at(0));
        assert!(looked(planner.next(at(0))).is_empty());
        assert_eq!(planner.inventory().take_wanted().len(), 1, "somebody should watch events");
        let mount = event(&creating, "FailedMount", "no such secret", "2026-01-01T00:00:00Z");
        planner.listed(&GroupKind::of::<Event>(), Ok(vec![mount]), at(1));
        assert_eq!(looked(planner.next(at(1))), ["VolumeMountFails"]);
        planner.listed(&GroupKind::of::<Event>(), Err(Unverified::Forbidden), at(2));
        planner.put(waiting("ErrImagePull"), at(3));
        assert_eq!(looked(planner.next(at(3))), ["ImagePullFails"]);
        assert_eq!(planner.readers.objects.len(), 0, "nothing is remembered of what is no longer read");
    }
}
