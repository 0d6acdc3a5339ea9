//! What every look at an actor shares.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use asya_resources::AsyncActorStatus;
use jiff::Timestamp;
use kube::{Client, runtime::events::Recorder};
use tokio::time::Instant;

use super::{
    apply::Applier,
    cache::Cache,
    live::Kind,
    script::{CANNOT, Script},
    work::{Key, Queue, Work},
};
use crate::{
    actor::Stored,
    cluster::{Cluster, Facts},
    metrics::Metrics,
    queues::{Brokers, Queued, Retirement},
    settings::Settings,
    status::Stall,
};

/// Label by which a namespace asks for a Pod Security Standard.
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// What every look at an actor shares.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the operator was told.
    pub settings: Settings,
    /// What is known of the cluster.
    pub cache: Arc<Cache>,
    /// Writes objects.
    pub applier: Arc<Applier>,
    /// The brokers.
    pub brokers: Arc<Brokers>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is to be looked at.
    pub queue: Arc<Queue>,
    /// Tells people.
    pub recorder: Recorder,
    /// What the API server and KEDA can do.
    pub facts: RwLock<Facts>,
    /// The runtime that is injected, or a sentence why there is none.
    script: RwLock<Result<Arc<Script>, String>>,
    /// What keeps the runtime out of namespaces, one sentence each.
    runtime_problems: Mutex<HashMap<String, String>>,
    /// Who rolls.
    pub rollouts: super::rollout::Rollouts,
    /// The credentials that are written into namespaces.
    pub projections: super::projection::Projections,
    /// Actors whose queue is another's.
    pub losers: Arc<super::conflict::Losers>,
    memory: Mutex<HashMap<Key, Memory>>,
}

/// What is remembered of one actor between two looks. Losing it costs a few calls.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The transport and queue that were last ensured, and when.
    pub ensured: Option<(String, String, Instant)>,
    /// What the broker last said, and when.
    pub queued: Option<(Queued, Instant)>,
    /// Whether messages wait and nothing moves.
    pub stall: Stall,
    /// The template that was applied, while a newer one waits.
    pub applied: Option<Arc<str>>,
    /// The workload that it is bound to.
    pub bound: super::binding::Bound,
    /// How far the deletion of its queues got, by transport and name.
    pub retirements: HashMap<(String, String), Retirement>,
    /// What is known of the queues that it left behind, by transport and name.
    pub behind: HashMap<(String, String), super::behind::Behind>,
    /// The status that was written last, and the version of the object that it made.
    pub written: Option<(u64, AsyncActorStatus)>,
}

/// The parts of a [`Context`].
pub struct Parts {
    /// See [`Context::client`].
    pub client: Client,
    /// See [`Context::settings`].
    pub settings: Settings,
    /// See [`Context::cache`].
    pub cache: Arc<Cache>,
    /// See [`Context::applier`].
    pub applier: Arc<Applier>,
    /// See [`Context::metrics`].
    pub metrics: Arc<Metrics>,
    /// See [`Context::queue`].
    pub queue: Arc<Queue>,
    /// See [`Context::recorder`].
    pub recorder: Recorder,
}

impl Context {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        let Parts { client, settings, cache, applier, metrics, queue, recorder } = parts;
        let brokers = Arc::new(Brokers::new(&settings));
        let script = match &settings.runtime.github {
            Some(release) => {
                Err(format!("{CANNOT}: {} of {} is not here yet", release.version, release.repo))
            }
            None => Script::read(&settings.runtime.path).map(Arc::new),
        };
        Self {
            client,
            settings,
            cache,
            applier,
            brokers,
            metrics,
            queue,
            recorder,
            script: RwLock::new(script),
            runtime_problems: Mutex::default(),
            facts: RwLock::default(),
            rollouts: super::rollout::Rollouts::default(),
            projections: super::projection::Projections::default(),
            losers: Arc::default(),
            memory: Mutex::default(),
        }
    }

    /// Reads or changes what is remembered of an actor.
    pub fn remember<T>(&self, actor: &Key, change: impl FnOnce(&mut Memory) -> T) -> T {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        change(memory.entry(actor.clone()).or_default())
    }

    /// Notes what keeps the runtime out of a namespace; its actors are looked at when that changed.
    pub fn runtime_problem(&self, namespace: &str, problem: Option<String>) {
        let mut problems = self.runtime_problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.get(namespace) == problem.as_ref() {
            return;
        }
        match problem {
            Some(problem) => problems.insert(namespace.to_owned(), problem),
            None => problems.remove(namespace),
        };
        for key in self.cache.actor_keys().into_iter().filter(|key| key.0 == namespace) {
            self.queue.now(Work::Actor(key));
        }
    }

    /// The runtime that is injected.
    ///
    /// # Errors
    /// A sentence why there is none, with the words `runtime ConfigMap`.
    pub fn script(&self) -> Result<Arc<Script>, String> {
        self.script.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a runtime, or another reason why there is none; everything is looked at.
    pub fn provide(&self, script: Result<Arc<Script>, String>) {
        {
            let mut known = self.script.write().unwrap_or_else(PoisonError::into_inner);
            if matches!((&*known, &script), (Err(before), Err(now)) if before == now) {
                return;
            }
            *known = script;
        }
        if let Some(namespace) = &self.settings.runtime.namespace {
            self.queue.now(Work::Runtime(namespace.clone()));
        }
        for key in self.cache.actor_keys() {
            self.queue.now(Work::Runtime(key.0.clone()));
            self.queue.now(Work::Actor(key));
        }
    }

    /// What keeps the runtime out of a namespace.
    pub fn runtime_missing(&self, namespace: &str) -> Option<String> {
        if let Err(why) = self.script() {
            return Some(why);
        }
        self.runtime_problems.lock().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned()
    }

    /// Forgets an actor that is gone.
    pub fn forget(&self, actor: &Key) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).remove(actor);
        self.rollouts.forget(self, actor);
        self.metrics.word(actor, None);
    }

    /// Forgets everything: another replica may have acted since.
    pub fn clear(&self) {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.applier.clear();
        self.projections.clear();
        self.rollouts.recall(&self.cache, Timestamp::now());
        self.metrics.forget_words();
    }

    /// What can be relied on in a namespace.
    pub fn cluster(&self, namespace: &str) -> Cluster {
        let restricted = self
            .cache
            .object(Kind::Namespace, &(String::new(), namespace.to_owned()))
            .is_some_and(|object| object.label(POD_SECURITY) == Some("restricted"));
        let facts = self.facts.read().unwrap_or_else(PoisonError::into_inner);
        Cluster { native_sidecars: facts.native_sidecars, keda: facts.keda, restricted }
    }

    /// The status of an actor as it was last read or written.
    pub fn status(&self, actor: &Key, stored: &Stored) -> AsyncActorStatus {
        let seen = super::apply::version(&stored.metadata);
        let written = self.remember(actor, |memory| memory.written.clone());
        match written {
            Some((version, status)) if version > seen => status,
            _ => AsyncActorStatus::read(&serde_json::json!({"status": stored.status})),
        }
    }
}
