//! What is known of the cluster, kept up to date by watches; reading it costs no call.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use asya_resources::k8sgpt::K8sGptStatus;

use super::{subject::Subject, tally::Finding};
use crate::controllers::{
    cache::{Cache, Health},
    work::Key,
};

/// What is known of the cluster.
#[derive(Debug, Default)]
pub struct Known {
    /// The objects that belong to a `K8sGPT`.
    pub cache: Arc<Cache>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    subjects: HashMap<Key, Arc<Subject>>,
    findings: HashMap<Key, Finding>,
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

    /// A `K8sGPT`.
    pub fn subject(&self, key: &Key) -> Option<Arc<Subject>> {
        self.read().subjects.get(key).cloned()
    }

    /// All of them.
    pub fn subjects(&self) -> Vec<Arc<Subject>> {
        self.read().subjects.values().cloned().collect()
    }

    /// The one whose objects carry this label, in its namespace.
    pub fn of_label(&self, namespace: &str, label: &str) -> Option<Key> {
        let state = self.read();
        let mut all = state.subjects.values();
        all.find(|subject| subject.namespace == namespace && subject.label() == label)
            .map(|found| found.key())
    }

    /// Keeps a `K8sGPT`; what was known of it before.
    pub fn put_subject(&self, subject: Subject) -> Option<Arc<Subject>> {
        self.write().subjects.insert(subject.key(), Arc::new(subject))
    }

    /// Forgets a `K8sGPT`; whether it was known.
    pub fn remove_subject(&self, key: &Key) -> bool {
        self.write().subjects.remove(key).is_some()
    }

    /// Keeps what was just written as the status, before the watch tells.
    pub fn wrote(&self, key: &Key, status: K8sGptStatus) {
        if let Some(subject) = self.write().subjects.get_mut(key) {
            Arc::make_mut(subject).status = status;
        }
    }

    /// Keeps a Result under its own name; what was known of it before.
    pub fn put_finding(&self, key: Key, finding: Finding) -> Option<Finding> {
        self.write().findings.insert(key, finding)
    }

    /// Forgets a Result.
    pub fn remove_finding(&self, key: &Key) -> Option<Finding> {
        self.write().findings.remove(key)
    }

    /// Does something with the Results of a `K8sGPT`.
    pub fn with_findings<T>(
        &self,
        of: &Subject,
        act: impl FnOnce(&mut dyn Iterator<Item = &Finding>) -> T,
    ) -> T {
        let (state, label) = (self.read(), of.label());
        let mut own = state
            .findings
            .iter()
            .filter(|((namespace, _), finding)| *namespace == of.namespace && finding.of == label)
            .map(|(_, finding)| finding);
        act(&mut own)
    }

    /// The keys of all `K8sGPT` objects in a namespace (empty = all).
    pub fn subject_keys(&self, namespace: &str) -> Vec<Key> {
        let state = self.read();
        state.subjects.keys().filter(|key| namespace.is_empty() || key.0 == namespace).cloned().collect()
    }

    /// The keys of all Results in a namespace (empty = all).
    pub fn finding_keys(&self, namespace: &str) -> Vec<Key> {
        let state = self.read();
        state.findings.keys().filter(|key| namespace.is_empty() || key.0 == namespace).cloned().collect()
    }

    /// How a watch stands; true when that is news.
    pub fn set_health(&self, plural: &'static str, namespace: &str, health: Health) -> bool {
        let mut state = self.write();
        let before = state.health.insert((plural, namespace.to_owned()), health.clone());
        before != Some(health)
    }

    /// Whether a resource is followed in a namespace: what is not known does not exist.
    pub fn follows(&self, plural: &str, namespace: &str) -> bool {
        let state = self.read();
        state.health.iter().any(|((resource, scope), health)| {
            *resource == plural && (scope.is_empty() || scope == namespace) && *health == Health::Synced
        })
    }

    /// Whether every watch has its first list, or is known not to get it.
    pub fn settled(&self) -> bool {
        let state = self.read();
        !state.health.is_empty() && state.health.values().all(|health| *health != Health::Starting)
    }

    /// Watches that the API server refuses.
    pub fn failing(&self) -> usize {
        self.read().health.values().filter(|health| matches!(health, Health::Failing(_))).count()
    }

    /// Why the watches of what must be known do not stand; empty = they do.
    pub fn missing(&self) -> String {
        let state = self.read();
        let words = state.health.iter().filter_map(|((plural, _), health)| match health {
            Health::Starting => Some(format!("waiting for the first list of {plural}")),
            Health::Absent => Some(format!("CRDs not installed: {plural}")),
            Health::Failing(words) if *plural == "k8sgpts" => Some(format!("cannot watch {plural}: {words}")),
            Health::Failing(_) | Health::Synced => None,
        });
        words.collect::<Vec<_>>().join("; ")
    }
}
