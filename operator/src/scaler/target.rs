//! What the scaler knows of an actor: from the operator's caches, never from who asks.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{PoisonError, RwLock},
};

use asya_envelope::Queue;

/// One actor, as the scaler needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name of its transport.
    pub transport: String,
    /// The queue that it reads.
    pub queue: Queue,
    /// Whether the push scaler is on for it; on SQS, where each look is billed, only on its own request.
    pub push: bool,
    /// Whether its workload has no replicas.
    pub at_zero: bool,
    /// Messages that one replica is there for.
    pub queue_length: u32,
}

/// Where actors are found; called for each open stream twice a second, so it must not call anybody.
pub trait Actors: Send + Sync + 'static {
    /// The actor of that namespace and name, as far as is known now.
    fn find(&self, namespace: &str, name: &str) -> Option<Target>;

    /// Where the metrics of its sidecars are served, of those that may have messages in hand; `None` = nowhere.
    fn sidecars(&self, namespace: &str, name: &str) -> Option<Vec<SocketAddr>>;
}

/// Actors in memory, for those who embed the scaler or test it.
#[derive(Debug, Default)]
pub struct Known {
    targets: RwLock<HashMap<Key, Target>>,
    sidecars: RwLock<HashMap<Key, Vec<SocketAddr>>>,
}

type Key = (String, String);

impl Known {
    /// Adds or replaces an actor; `None` removes it.
    pub fn set(&self, namespace: &str, name: &str, target: Option<Target>) {
        let mut known = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), name.to_owned());
        match target {
            Some(target) => known.insert(key, target),
            None => known.remove(&key),
        };
    }

    /// Says where the sidecars of an actor are.
    pub fn set_sidecars(&self, namespace: &str, name: &str, addresses: Vec<SocketAddr>) {
        let mut sidecars = self.sidecars.write().unwrap_or_else(PoisonError::into_inner);
        sidecars.insert((namespace.to_owned(), name.to_owned()), addresses);
    }
}

impl Actors for Known {
    fn find(&self, namespace: &str, name: &str) -> Option<Target> {
        let known = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    fn sidecars(&self, namespace: &str, name: &str) -> Option<Vec<SocketAddr>> {
        let sidecars = self.sidecars.read().unwrap_or_else(PoisonError::into_inner);
        Some(sidecars.get(&(namespace.to_owned(), name.to_owned())).cloned().unwrap_or_default())
    }
}
