//! What is known of the cluster, kept up to date by watches; reading it costs no call.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use asya_resources::agent::{AgentStatus, status::READY};
use tokio::time::Instant;

use super::{registry::Verdict, subject::Subject};
use crate::controllers::{
    cache::{Cache, Health},
    work::Key,
};

/// What is known of the cluster.
#[derive(Debug, Default)]
pub struct Known {
    /// The actors of agents, and the ConfigMaps with their entries.
    pub cache: Arc<Cache>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    subjects: HashMap<Key, Arc<Subject>>,
    /// What each agent's entry has to be, as its last look found.
    verdicts: BTreeMap<Key, Verdict>,
    /// The account that each agent is to move to, and since when gateways are told of it.
    announced: HashMap<Key, (String, Instant)>,
    /// By resource and namespace (empty = all).
    health: BTreeMap<(&'static str, String), Health>,
}

impl Known {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// An agent.
    pub fn subject(&self, key: &Key) -> Option<Arc<Subject>> {
        self.read().subjects.get(key).cloned()
    }

    /// The keys of all agents in a namespace (empty = all).
    pub fn keys(&self, namespace: &str) -> Vec<Key> {
        let state = self.read();
        state.subjects.keys().filter(|key| namespace.is_empty() || key.0 == namespace).cloned().collect()
    }

    /// Keeps an agent; what was known of it before.
    pub fn put(&self, subject: Subject) -> Option<Arc<Subject>> {
        self.write().subjects.insert(subject.key(), Arc::new(subject))
    }

    /// Forgets an agent; whether it was known.
    pub fn remove(&self, key: &Key) -> bool {
        let mut state = self.write();
        state.verdicts.remove(key);
        state.announced.remove(key);
        state.subjects.remove(key).is_some()
    }

    /// Keeps what was just written as the status, before the watch tells.
    pub fn wrote(&self, key: &Key, status: AgentStatus) {
        if let Some(subject) = self.write().subjects.get_mut(key) {
            Arc::make_mut(subject).status = status;
        }
    }

    /// Keeps what an agent's entry has to be; true when that is news. An entry that is known is not given up for one that
    /// cannot be told now.
    pub fn judge(&self, key: &Key, verdict: Verdict) -> bool {
        let mut state = self.write();
        if !state.subjects.contains_key(key) {
            return false;
        }
        let before = state.verdicts.get(key);
        let keeps =
            verdict == Verdict::Keep && matches!(before, Some(Verdict::Entry(_) | Verdict::Moving { .. }));
        if keeps || before == Some(&verdict) {
            return false;
        }
        state.verdicts.insert(key.clone(), verdict);
        true
    }

    /// Whether an agent's entry was found to name this account.
    pub fn tells_account(&self, key: &Key, account: &str) -> bool {
        self.read().verdicts.get(key).is_some_and(|verdict| verdict.tells_account(account))
    }

    /// For how long gateways have been told of the account that an agent is to move to.
    pub fn announced(&self, key: &Key, account: &str) -> Duration {
        let mut state = self.write();
        let announced =
            state.announced.entry(key.clone()).or_insert_with(|| (account.to_owned(), Instant::now()));
        if announced.0 != account {
            *announced = (account.to_owned(), Instant::now());
        }
        announced.1.elapsed()
    }

    /// Keeps that gateways are not told of the account that an agent is to move to.
    pub fn withdrawn(&self, key: &Key) {
        self.write().announced.remove(key);
    }

    /// What the entries of a namespace have to be, by agent; `None` while one of its agents was not looked at yet, or the
    /// agents of it are not known.
    pub fn verdicts(&self, namespace: &str) -> Option<BTreeMap<String, Verdict>> {
        if !self.follows("agents", namespace) {
            return None;
        }
        let state = self.read();
        let agents = state.subjects.keys().filter(|key| key.0 == namespace);
        agents.map(|key| Some((key.1.clone(), state.verdicts.get(key)?.clone()))).collect()
    }

    /// Namespaces with agents.
    pub fn namespaces(&self) -> BTreeSet<String> {
        self.read().subjects.keys().map(|key| key.0.clone()).collect()
    }

    /// Forgets what was judged: another replica may have acted since.
    pub fn clear(&self) {
        let mut state = self.write();
        state.verdicts.clear();
        state.announced.clear();
    }

    /// How a watch stands; true when that is news.
    pub fn set_health(&self, plural: &'static str, namespace: &str, health: Health) -> bool {
        let mut state = self.write();
        let before = state.health.insert((plural, namespace.to_owned()), health.clone());
        before != Some(health)
    }

    /// Whether a resource is followed in a namespace: what is not known does not exist.
    fn follows(&self, plural: &str, namespace: &str) -> bool {
        let state = self.read();
        state.health.iter().any(|((resource, scope), health)| {
            *resource == plural && (scope.is_empty() || scope == namespace) && *health == Health::Synced
        })
    }

    /// Whether every watch has its first list, or is known not to get it.
    pub fn settled(&self) -> bool {
        self.read().health.values().all(|health| *health != Health::Starting)
    }

    /// Watches that the API server refuses.
    pub fn failing(&self) -> usize {
        self.read().health.values().filter(|health| matches!(health, Health::Failing(_))).count()
    }

    /// Agents by their condition Ready, for metrics.
    pub fn by_ready(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::from([("True", 0), ("False", 0), ("Unknown", 0)]);
        for subject in self.read().subjects.values() {
            let status = subject.status.condition(READY).map_or("Unknown", |condition| &condition.status);
            let word = if ["True", "False"].contains(&status) { status } else { "Unknown" };
            if let Some(count) = counts.get_mut(word) {
                *count += 1;
            }
        }
        counts
    }
}
