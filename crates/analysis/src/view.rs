//! What an analyzer may ask about the rest of the cluster, and the three answers: it is there, it is not there, nobody
//! could say.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kind::GroupKind;
use crate::object::{Object, ObjectRef};
use crate::selector::Selector;

/// Why something could not be read. Never the same as "not there".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
pub enum Unverified {
    /// The API server refused: a right is missing.
    #[error("forbidden")]
    Forbidden,
    /// The kind is not served by this cluster: its definition is not installed.
    #[error("the kind is not installed")]
    NotInstalled,
    /// It runs again after it ended, and not for long enough to say that it is well.
    #[error("it has not gone on well for long enough")]
    Settling,
    /// It is not looked at by setting, as Secrets are by default.
    #[error("not read by setting")]
    NotRead,
    /// Nobody asked for it before; whoever holds the view can read it and ask again.
    #[error("not read yet")]
    NotYet,
    /// The API server failed or did not answer in time, or the object could not be understood.
    #[error("{0}")]
    Failed(String),
}

/// The answer about one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lookup<T> {
    /// It is there.
    Found(T),
    /// The API server says that it is not there.
    NotFound,
    /// Nobody could say.
    Unverified(Unverified),
}

/// The last lines of a container's log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogTail {
    /// Of the pod's namespace.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// The container of the pod.
    pub container: String,
    /// The run before the last restart instead of the running one.
    pub previous: bool,
}

/// One question to a [`View`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Read {
    /// One object by its name.
    Object(ObjectRef),
    /// All objects of a kind that a selector matches, in one namespace or (none) everywhere.
    List(GroupKind, Option<String>, Selector),
    /// Which workloads, Ingresses and service accounts of its namespace name an object.
    Users(ObjectRef),
    /// The events about an object, by kind, namespace, name and, where the event has it, uid.
    Events(ObjectRef, Option<String>),
    /// The last lines of a log.
    Log(LogTail),
}

/// What an analyzer may ask. Whoever implements it answers from memory: no method blocks or fails.
pub trait View {
    /// The time of the view: an analyzer has no other clock.
    fn now(&self) -> Timestamp;

    /// Takes that the answers may say something else from `at` on, though nothing changes: whoever looks again does so then.
    fn wake(&self, _at: Timestamp) {}

    /// How long what fails again and again must go on well before it counts as healed; nothing where one looks once.
    fn settle(&self) -> SignedDuration {
        SignedDuration::ZERO
    }

    /// One object.
    fn object(&self, object: &ObjectRef) -> Lookup<Arc<Object>>;

    /// The objects of a kind that `selector` matches in `namespace`, or everywhere, by namespace and name.
    ///
    /// # Errors
    /// [`Unverified`] if they could not be listed.
    fn list(
        &self,
        kind: &GroupKind,
        namespace: Option<&str>,
        selector: &Selector,
    ) -> Result<Vec<Arc<Object>>, Unverified>;

    /// What of `object`'s namespace names it: see [`crate::reference`] for where a name counts.
    ///
    /// # Errors
    /// [`Unverified`] if one of the kinds that may name it could not be listed.
    fn users(&self, object: &ObjectRef) -> Result<Vec<ObjectRef>, Unverified>;

    /// The events about an object whose uid is `uid`, oldest first.
    ///
    /// # Errors
    /// [`Unverified`] if they could not be listed.
    fn events(&self, about: &ObjectRef, uid: Option<&str>) -> Result<Vec<Arc<Object>>, Unverified>;

    /// The last lines of a container's log (at most 100); [`Lookup::NotFound`] if there is no such log.
    fn log(&self, log: &LogTail) -> Lookup<Arc<str>>;
}

/// Typed questions to any [`View`].
pub trait Typed: View {
    /// Whether `patience` is over since `since`. Where it is not, the view is looked at again when it is.
    fn is_past(&self, since: Timestamp, patience: SignedDuration) -> bool {
        let end = since.saturating_add(patience).unwrap_or(Timestamp::MAX);
        let past = end <= self.now();
        if !past {
            self.wake(end);
        }
        past
    }

    /// The object `name` of `K`. One that is not a `K` is [`Unverified::Failed`].
    fn get<K>(&self, namespace: Option<&str>, name: &str) -> Lookup<K>
    where
        K: k8s_openapi::Resource + DeserializeOwned,
    {
        match self.object(&ObjectRef::of::<K>(namespace, name)) {
            Lookup::Found(object) => match object.typed() {
                Ok(typed) => Lookup::Found(typed),
                Err(malformed) => Lookup::Unverified(Unverified::Failed(malformed.to_string())),
            },
            Lookup::NotFound => Lookup::NotFound,
            Lookup::Unverified(why) => Lookup::Unverified(why),
        }
    }

    /// The objects of `K` that `selector` matches in `namespace`, or everywhere, by namespace and name.
    ///
    /// # Errors
    /// [`Unverified`] if they could not be listed, or one of them is not a `K`.
    fn all<K>(&self, namespace: Option<&str>, selector: &Selector) -> Result<Vec<K>, Unverified>
    where
        K: k8s_openapi::Resource + DeserializeOwned,
    {
        let objects = self.list(&GroupKind::of::<K>(), namespace, selector)?;
        objects
            .iter()
            .map(|object| object.typed().map_err(|malformed| Unverified::Failed(malformed.to_string())))
            .collect()
    }

    /// The events about `object`, oldest first.
    ///
    /// # Errors
    /// [`Unverified`] if they could not be listed, or one of them is not an event.
    fn events_about(&self, object: &Object) -> Result<Vec<Event>, Unverified> {
        let events = self.events(&object.reference(), object.uid())?;
        events
            .iter()
            .map(|event| event.typed().map_err(|malformed| Unverified::Failed(malformed.to_string())))
            .collect()
    }
}

impl<V: View + ?Sized> Typed for V {}
