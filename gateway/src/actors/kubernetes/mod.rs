//! The AsyncActors of a cluster, kept in memory: read once and then watched, so that nobody who looks asks the API server.
//!
//! | module | holds |
//! |---|---|
//! | `seen` | what is kept of one of them |
//! | `watch` | the list and the watch of each namespace |
//!
//! What cannot be read is told as a warning and stops nothing: the actors that tools name are known without it.

mod seen;
mod watch;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::Actor;
use crate::metrics::Metrics;

pub use watch::{Wish, follow};

/// Most actors that are kept: some megabytes. What is beyond is left out, and said.
const MOST: usize = 10_000;

/// The namespaces that are watched: one, or all of them.
pub(super) type Scope = Option<String>;

/// What is known of a cluster's actors.
#[derive(Debug)]
pub struct Cluster {
    metrics: Arc<Metrics>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// By namespace and name.
    actors: BTreeMap<(String, String), Actor>,
    /// Why a namespace cannot be read.
    troubles: BTreeMap<Scope, String>,
    /// The namespace of tools' actors, where no setting says it.
    home: Option<String>,
    full: bool,
}

impl Cluster {
    /// Nothing is known yet. `metrics` will tell how much is.
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, known: Mutex::default() }
    }

    /// The actors by namespace and name; `queue` is empty where the operator does not tell it.
    pub fn actors(&self) -> Vec<Actor> {
        self.known().actors.values().cloned().collect()
    }

    /// The namespace that this gateway runs in, if nothing else says where tools' actors are.
    pub fn home(&self) -> Option<String> {
        self.known().home.clone()
    }

    /// What cannot be told, and why.
    pub fn warnings(&self) -> Vec<String> {
        let known = self.known();
        let mut warnings: Vec<String> = known.troubles.values().cloned().collect();
        warnings.dedup();
        if known.full {
            warnings.push(format!("the cluster has more than {MOST} actors: the others are not shown"));
        }
        warnings
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is a way to the API server.
    fn reached(&self) {
        self.known().troubles.clear();
    }

    fn settle(&self, namespace: &str) {
        self.known().home = Some(namespace.to_owned());
    }

    /// These are all actors of the scope.
    pub(super) fn listed(&self, scope: &Scope, actors: Vec<Actor>) {
        let mut known = self.known();
        known.troubles.remove(scope);
        known.forget(scope);
        known.full = false;
        actors.into_iter().for_each(|actor| known.put(actor));
        self.count(&known, scope);
    }

    fn put(&self, scope: &Scope, actor: Actor) {
        let mut known = self.known();
        known.put(actor);
        self.count(&known, scope);
    }

    fn remove(&self, scope: &Scope, namespace: &str, name: &str) {
        let mut known = self.known();
        known.actors.remove(&(namespace.to_owned(), name.to_owned()));
        self.count(&known, scope);
    }

    /// The scope cannot be read; what was read before is forgotten if it may not be read any more.
    fn trouble(&self, scope: &Scope, why: String, forget: bool) {
        let mut known = self.known();
        if forget {
            known.forget(scope);
        }
        known.troubles.insert(scope.clone(), why);
        self.count(&known, scope);
    }

    fn count(&self, known: &Known, scope: &Scope) {
        let actors = known.actors.keys().filter(|(namespace, _)| covers(scope, namespace)).count();
        self.metrics.cluster(shown(scope), actors, !known.troubles.contains_key(scope));
    }
}

impl Known {
    fn put(&mut self, actor: Actor) {
        let key = (actor.namespace.clone().unwrap_or_default(), actor.name.clone());
        if self.actors.len() < MOST || self.actors.contains_key(&key) {
            self.actors.insert(key, actor);
        } else {
            self.full = true;
        }
    }

    fn forget(&mut self, scope: &Scope) {
        self.actors.retain(|(namespace, _), _| !covers(scope, namespace));
    }
}

fn covers(scope: &Scope, namespace: &str) -> bool {
    scope.as_deref().is_none_or(|one| one == namespace)
}

/// A scope as settings write it.
fn shown(scope: &Scope) -> &str {
    scope.as_deref().unwrap_or("*")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(namespace: &str, name: &str) -> Actor {
        Actor { name: name.to_owned(), namespace: Some(namespace.to_owned()), ..Actor::default() }
    }

    fn names(cluster: &Cluster) -> Vec<String> {
        let name = |actor: Actor| format!("{}/{}", actor.namespace.unwrap_or_default(), actor.name);
        cluster.actors().into_iter().map(name).collect()
    }

    #[test]
    fn a_list_replaces_what_was_known_of_its_namespace_and_nothing_else() {
        let (metrics, a, b) = (Metrics::new(), Some("a".to_owned()), Some("b".to_owned()));
        let cluster = Cluster::new(Arc::clone(&metrics));
        cluster.listed(&a, vec![actor("a", "old"), actor("a", "stays")]);
        cluster.listed(&b, vec![actor("b", "other")]);
        cluster.listed(&a, vec![actor("a", "stays"), actor("a", "new")]);
        assert_eq!(names(&cluster), ["a/new", "a/stays", "b/other"]);
        cluster.remove(&a, "a", "stays");
        cluster.put(&a, actor("a", "more"));
        assert_eq!(names(&cluster), ["a/more", "a/new", "b/other"]);
        let text = metrics.encode();
        assert!(text.contains(r#"asya_gateway_kubernetes_actors{namespace="a"} 2"#), "{text}");
        assert!(text.contains(r#"asya_gateway_kubernetes_up{namespace="b"} 1"#), "{text}");
    }

    #[test]
    fn what_may_not_be_read_any_more_is_forgotten_and_what_is_away_is_not() {
        let (metrics, all) = (Metrics::new(), None);
        let cluster = Cluster::new(Arc::clone(&metrics));
        cluster.listed(&all, vec![actor("a", "one")]);
        cluster.trouble(&all, "away".to_owned(), false);
        assert_eq!((names(&cluster).len(), cluster.warnings()), (1, vec!["away".to_owned()]));
        cluster.trouble(&all, "forbidden".to_owned(), true);
        assert_eq!((names(&cluster).len(), cluster.warnings()), (0, vec!["forbidden".to_owned()]));
        assert!(metrics.encode().contains(r#"asya_gateway_kubernetes_up{namespace="*"} 0"#));
        cluster.listed(&all, vec![actor("a", "one")]);
        assert_eq!((names(&cluster).len(), cluster.warnings()), (1, vec![]));
    }

    #[test]
    fn more_actors_than_fit_are_left_out_and_said() {
        let cluster = Cluster::new(Metrics::new());
        let many = (0..MOST + 2).map(|number| actor("a", &format!("a{number}"))).collect();
        cluster.listed(&None, many);
        assert_eq!(cluster.actors().len(), MOST);
        assert!(cluster.warnings()[0].contains("10000"), "{:?}", cluster.warnings());
        cluster.listed(&None, vec![actor("a", "one")]);
        assert_eq!(cluster.warnings(), Vec::<String>::new());
    }
}
