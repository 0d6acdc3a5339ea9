//! What one evaluation read, to be repeated elsewhere without a cluster.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::kind::GroupKind;
use crate::object::{Object, ObjectRef};
use crate::selector::Selector;
use crate::view::{LogTail, Lookup, Read, Unverified, View};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Answer {
    Object(Lookup<Arc<Object>>),
    Objects(Result<Vec<Arc<Object>>, Unverified>),
    Users(Result<Vec<ObjectRef>, Unverified>),
    Log(Lookup<Arc<str>>),
}

/// The answers of a view to all that was asked of it. It is a view itself: the same questions get the same answers, and
/// one that was not asked before is [`Unverified::NotYet`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    now: Timestamp,
    #[serde(default, skip_serializing_if = "SignedDuration::is_zero")]
    settle: SignedDuration,
    #[serde(with = "pairs")]
    answers: BTreeMap<Read, Answer>,
}

impl Snapshot {
    /// What was read: what must be looked at again when one of these changes.
    pub fn reads(&self) -> impl Iterator<Item = &Read> {
        self.answers.keys()
    }
}

/// A map with keys that are not strings, as a list of pairs: JSON has no other way.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::{Answer, Read};

    pub(super) fn serialize<S: Serializer>(
        map: &BTreeMap<Read, Answer>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<Read, Answer>, D::Error> {
        Ok(Vec::<(Read, Answer)>::deserialize(deserializer)?.into_iter().collect())
    }
}

/// A view that writes down what is asked of another, and what it answered.
pub struct Recorder<'a> {
    inner: &'a dyn View,
    answers: RefCell<BTreeMap<Read, Answer>>,
}

impl<'a> Recorder<'a> {
    /// Records what is asked of `inner`.
    #[must_use]
    pub fn new(inner: &'a dyn View) -> Self {
        Self { inner, answers: RefCell::default() }
    }

    /// What was read.
    #[must_use]
    pub fn finish(self) -> Snapshot {
        Snapshot { now: self.inner.now(), settle: self.inner.settle(), answers: self.answers.into_inner() }
    }

    /// What was read so far, without the answers.
    #[must_use]
    pub fn reads(&self) -> BTreeSet<Read> {
        self.answers.borrow().keys().cloned().collect()
    }

    fn note(&self, read: Read, answer: Answer) {
        self.answers.borrow_mut().insert(read, answer);
    }
}

impl View for Recorder<'_> {
    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn wake(&self, at: Timestamp) {
        self.inner.wake(at);
    }

    fn settle(&self) -> SignedDuration {
        self.inner.settle()
    }

    fn object(&self, object: &ObjectRef) -> Lookup<Arc<Object>> {
        let answer = self.inner.object(object);
        self.note(Read::Object(object.clone()), Answer::Object(answer.clone()));
        answer
    }

    fn list(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Arc<Object>>, Unverified> {
        let answer = self.inner.list(kind, namespace, selector);
        let read = Read::List(kind.clone(), namespace.map(str::to_owned), selector.clone());
        self.note(read, Answer::Objects(answer.clone()));
        answer
    }

    fn users(&self, object: &ObjectRef) -> Result<Vec<ObjectRef>, Unverified> {
        let answer = self.inner.users(object);
        self.note(Read::Users(object.clone()), Answer::Users(answer.clone()));
        answer
    }

    fn events(&self, about: &ObjectRef, uid: Option<&str>) -> Result<Vec<Arc<Object>>, Unverified> {
        let answer = self.inner.events(about, uid);
        self.note(Read::Events(about.clone(), uid.map(str::to_owned)), Answer::Objects(answer.clone()));
        answer
    }

    fn log(&self, log: &LogTail) -> Lookup<Arc<str>> {
        let answer = self.inner.log(log);
        self.note(Read::Log(log.clone()), Answer::Log(answer.clone()));
        answer
    }
}

impl View for Snapshot {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn settle(&self) -> SignedDuration {
        self.settle
    }

    fn object(&self, object: &ObjectRef) -> Lookup<Arc<Object>> {
        match self.answers.get(&Read::Object(object.clone())) {
            Some(Answer::Object(answer)) => answer.clone(),
            _ => Lookup::Unverified(Unverified::NotYet),
        }
    }

    fn list(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Arc<Object>>, Unverified> {
        let read = Read::List(kind.clone(), namespace.map(str::to_owned), selector.clone());
        match self.answers.get(&read) {
            Some(Answer::Objects(answer)) => answer.clone(),
            _ => Err(Unverified::NotYet),
        }
    }

    fn users(&self, object: &ObjectRef) -> Result<Vec<ObjectRef>, Unverified> {
        match self.answers.get(&Read::Users(object.clone())) {
            Some(Answer::Users(answer)) => answer.clone(),
            _ => Err(Unverified::NotYet),
        }
    }

    fn events(&self, about: &ObjectRef, uid: Option<&str>) -> Result<Vec<Arc<Object>>, Unverified> {
        match self.answers.get(&Read::Events(about.clone(), uid.map(str::to_owned))) {
            Some(Answer::Objects(answer)) => answer.clone(),
            _ => Err(Unverified::NotYet),
        }
    }

    fn log(&self, log: &LogTail) -> Lookup<Arc<str>> {
        match self.answers.get(&Read::Log(log.clone())) {
            Some(Answer::Log(answer)) => answer.clone(),
            _ => Lookup::Unverified(Unverified::NotYet),
        }
    }
}
