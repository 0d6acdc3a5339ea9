//! What is known of the cluster, kept up to date by watches; reading it costs no call.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use super::{
    live::{Kind, Live},
    work::Key,
};
use crate::actor::Stored;

/// One watch: a kind in a namespace, or in all of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    /// The kind; `None` = actors.
    pub kind: Option<Kind>,
    /// The namespace; empty = all.
    pub namespace: String,
}

impl Scope {
    /// What is watched, for people.
    pub fn plural(&self) -> &'static str {
        self.kind.map_or("asyncactors", Kind::plural)
    }

    fn holds(&self, namespace: &str) -> bool {
        self.namespace.is_empty() || self.namespace == namespace
    }
}

/// How one watch stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// The first list is not there yet.
    Starting,
    /// It follows the cluster.
    Synced,
    /// The resource does not exist (its CRD is not installed).
    Absent,
    /// It fails; what was known before is kept: the server's words.
    Failing(String),
}

/// What is known of the cluster.
#[derive(Debug, Default)]
pub struct Cache {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    actors: HashMap<Key, Arc<Stored>>,
    objects: HashMap<Kind, HashMap<Key, Arc<Live>>>,
    /// Names of pods by actor.
    pods: HashMap<Key, HashSet<String>>,
    health: BTreeMap<Scope, Health>,
    actors_version: u64,
}

impl State {
    fn forget_pod(&mut self, pod: &Live) {
        if let Some(actor) = pod.actor()
            && let Some(names) = self.pods.get_mut(&actor)
        {
            names.remove(&pod.key().1);
            if names.is_empty() {
                self.pods.remove(&actor);
            }
        }
    }
}

impl Cache {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// An actor.
    pub fn actor(&self, key: &Key) -> Option<Arc<Stored>> {
        self.read().actors.get(key).cloned()
    }

    /// All actors.
    pub fn actors(&self) -> Vec<Arc<Stored>> {
        self.read().actors.values().cloned().collect()
    }

    /// The keys of all actors.
    pub fn actor_keys(&self) -> Vec<Key> {
        self.read().actors.keys().cloned().collect()
    }

    /// Changes when an actor came, went or names another transport.
    pub fn actors_version(&self) -> u64 {
        self.read().actors_version
    }

    /// An object.
    pub fn object(&self, kind: Kind, key: &Key) -> Option<Arc<Live>> {
        self.read().objects.get(&kind)?.get(key).cloned()
    }

    /// All objects of a kind in a namespace.
    pub fn objects(&self, kind: Kind, namespace: &str) -> Vec<Arc<Live>> {
        let state = self.read();
        let objects = state.objects.get(&kind).into_iter().flatten();
        objects.filter(|((ns, _), _)| ns == namespace).map(|(_, object)| object.clone()).collect()
    }

    /// All objects of a kind.
    pub fn all(&self, kind: Kind) -> Vec<Arc<Live>> {
        self.read().objects.get(&kind).into_iter().flat_map(HashMap::values).cloned().collect()
    }

    /// The pods of an actor, by name.
    pub fn pods(&self, actor: &Key) -> Vec<Arc<Live>> {
        let state = self.read();
        let (Some(names), Some(pods)) = (state.pods.get(actor), state.objects.get(&Kind::Pod)) else {
            return Vec::new();
        };
        let mut names: Vec<_> = names.iter().collect();
        names.sort_unstable();
        names.into_iter().filter_map(|name| pods.get(&(actor.0.clone(), name.clone())).cloned()).collect()
    }

    /// Keeps an actor; what was known of it before.
    pub fn put_actor(&self, key: Key, actor: Stored) -> Option<Arc<Stored>> {
        let mut state = self.write();
        let same = state.actors.get(&key).is_some_and(|before| {
            before.metadata.uid == actor.metadata.uid && before.spec["transport"] == actor.spec["transport"]
        });
        state.actors_version += u64::from(!same);
        state.actors.insert(key, Arc::new(actor))
    }

    /// Forgets an actor.
    pub fn remove_actor(&self, key: &Key) -> Option<Arc<Stored>> {
        let mut state = self.write();
        state.actors_version += 1;
        state.actors.remove(key)
    }

    /// Keeps an object; what was known of it before.
    pub fn put(&self, kind: Kind, object: Live) -> Option<Arc<Live>> {
        let key = object.key();
        let actor = object.actor();
        let mut state = self.write();
        let before = state.objects.entry(kind).or_default().insert(key.clone(), Arc::new(object));
        if kind == Kind::Pod {
            if let Some(before) = &before
                && before.actor() != actor
            {
                state.forget_pod(before);
            }
            if let Some(actor) = actor {
                state.pods.entry(actor).or_default().insert(key.1);
            }
        }
        before
    }

    /// Forgets an object.
    pub fn remove(&self, kind: Kind, key: &Key) -> Option<Arc<Live>> {
        let mut state = self.write();
        let gone = state.objects.get_mut(&kind)?.remove(key)?;
        if kind == Kind::Pod {
            state.forget_pod(&gone);
        }
        Some(gone)
    }

    /// What a watch holds that a new list no longer does.
    pub fn missing(&self, scope: &Scope, listed: &HashSet<Key>) -> Vec<Key> {
        let state = self.read();
        let gone = |key: &&Key| scope.holds(&key.0) && !listed.contains(*key);
        match scope.kind {
            None => state.actors.keys().filter(gone).cloned().collect(),
            Some(kind) => {
                state.objects.get(&kind).into_iter().flat_map(HashMap::keys).filter(gone).cloned().collect()
            }
        }
    }

    /// How a watch stands; true when that is news.
    pub fn set_health(&self, scope: &Scope, health: Health) -> bool {
        let mut state = self.write();
        if state.health.get(scope) == Some(&health) {
            return false;
        }
        state.health.insert(scope.clone(), health);
        true
    }

    /// How the watches stand.
    pub fn health(&self) -> BTreeMap<Scope, Health> {
        self.read().health.clone()
    }

    /// Whether a kind is followed in a namespace: what is not in the cache does not exist.
    pub fn follows(&self, kind: Kind, namespace: &str) -> bool {
        let state = self.read();
        state.health.iter().any(|(scope, health)| {
            scope.kind == Some(kind) && scope.holds(namespace) && *health == Health::Synced
        })
    }

    /// Whether the resource of a kind exists on the server, as far as any watch could tell.
    pub fn exists(&self, kind: Kind) -> bool {
        let state = self.read();
        state.health.iter().any(|(scope, health)| {
            scope.kind == Some(kind) && !matches!(health, Health::Absent | Health::Starting)
        })
    }

    /// What cannot be watched for a namespace: one sentence each.
    pub fn blind(&self, namespace: &str) -> Vec<String> {
        let state = self.read();
        let failing = state.health.iter().filter_map(|(scope, health)| match health {
            // Without namespaces one fact about each is missing, and it is off by default.
            Health::Failing(words) if scope.kind != Some(Kind::Namespace) && scope.holds(namespace) => {
                Some(format!("cannot watch {}: {words}", scope.plural()))
            }
            _ => None,
        });
        failing.collect()
    }

    /// Whether every watch has its first list, or is known not to get it.
    pub fn settled(&self) -> bool {
        let state = self.read();
        !state.health.is_empty() && state.health.values().all(|health| *health != Health::Starting)
    }

    /// Whether actors are known.
    pub fn knows_actors(&self) -> bool {
        let state = self.read();
        let mut actors = state.health.iter().filter(|(scope, _)| scope.kind.is_none()).peekable();
        actors.peek().is_some() && actors.all(|(_, health)| *health == Health::Synced)
    }

    /// Objects by kind, for metrics.
    pub fn sizes(&self) -> Vec<(&'static str, usize)> {
        let state = self.read();
        let kinds = state.objects.iter().map(|(kind, objects)| (kind.word(), objects.len()));
        kinds.chain([(asya_resources::KIND, state.actors.len())]).collect()
    }
}
