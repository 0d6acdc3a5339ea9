//! Writing objects: server-side apply as one field manager, and only when something would change.
//!
//! A ledger remembers of each object what was applied and how the server answered. While the desired object is the same
//! and the cache shows no later change, nothing is sent. It is in memory only: after a restart each object is applied
//! once more, which changes nothing on the server.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions},
    core::DynamicResourceScope,
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{debug, info};

use super::{
    cache::Cache,
    live::{Kind, Live, fingerprint},
    managers::rewrite,
    refusal::Refusal,
    work::Key,
};
use crate::{
    actor::{ACTOR_LABEL, CREATE_MANAGER, FIELD_MANAGER},
    desired::rollout,
    metrics::Metrics,
};

/// How long one call may take: a stuck server must not hold a worker.
const CALL: Duration = Duration::from_secs(30);
/// Repairs of the same object within [`CONTEST`] after which somebody else is taken to insist.
const CONTESTED_REPAIRS: usize = 3;
/// See [`CONTESTED_REPAIRS`].
const CONTEST: Duration = Duration::from_secs(10 * 60);

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing was sent.
    Unchanged,
    /// The object was made or applied.
    Applied,
}

/// Who an object must belong to.
#[derive(Clone, Copy, Debug)]
pub struct Owner<'a> {
    /// The name of the actor, or of the analysis.
    pub name: &'a str,
    /// Its uid.
    pub uid: &'a str,
}

/// How much of an object is ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    Whole,
    Part,
}

#[derive(Clone, Debug)]
struct Entry {
    desired: u64,
    uid: String,
    generation: Option<i64>,
    version: u64,
    /// When somebody else's change was undone.
    repairs: Vec<Instant>,
}

/// Writes objects.
pub struct Applier {
    client: Client,
    manager: &'static str,
    cache: Arc<Cache>,
    metrics: Arc<Metrics>,
    ledger: Mutex<HashMap<(Kind, Key), Entry>>,
}

impl Applier {
    /// Writes through `client`, guided by `cache`.
    pub fn new(client: Client, cache: Arc<Cache>, metrics: Arc<Metrics>) -> Self {
        Self::under(FIELD_MANAGER, client, cache, metrics)
    }

    /// The same under another field manager. Only the operator's own takes over what the previous operator left.
    pub fn under(manager: &'static str, client: Client, cache: Arc<Cache>, metrics: Arc<Metrics>) -> Self {
        Self { client, manager, cache, metrics, ledger: Mutex::default() }
    }

    fn ledger<T>(&self, change: impl FnOnce(&mut HashMap<(Kind, Key), Entry>) -> T) -> T {
        change(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The objects of a kind in a namespace; what belongs to none has an empty one.
    fn of<K>(&self, kind: Kind, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
    {
        if namespace.is_empty() {
            Api::all_with(self.client.clone(), &kind.resource())
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
        }
    }

    fn api(&self, kind: Kind, namespace: &str) -> Api<DynamicObject> {
        self.of(kind, namespace)
    }

    /// Forgets everything: somebody else may have written since.
    pub fn clear(&self) {
        self.ledger(HashMap::clear);
    }

    /// Hears that an object is gone.
    pub fn forget(&self, kind: Kind, key: &Key, uid: &str) {
        self.ledger(|ledger| {
            let entry = (kind, key.clone());
            if ledger.get(&entry).is_some_and(|known| known.uid == uid) {
                ledger.remove(&entry);
            }
        });
    }

    /// Lets the next apply of an object send it, for kinds that no watch follows.
    pub fn expire(&self, kind: Kind, key: &Key) {
        self.ledger(|ledger| ledger.remove(&(kind, key.clone())));
    }

    /// Applies an object, if it is not as it should be. `owner` is `None` for objects of no actor.
    ///
    /// # Errors
    /// Why it is not as it should be now.
    pub async fn apply(&self, desired: &Value, owner: Option<Owner<'_>>) -> Result<Written, Refusal> {
        self.write(desired, owner, Extent::Whole).await
    }

    /// The same of our part of an object that stays somebody else's: what others wrote into it never becomes ours.
    ///
    /// # Errors
    /// Why it is not as it should be now.
    pub async fn apply_part(&self, desired: &Value) -> Result<Written, Refusal> {
        self.write(desired, None, Extent::Part).await
    }

    /// Sees that an object is there and its owner's, where it may not be written; `remedy` is for where it is not.
    ///
    /// # Errors
    /// That it is missing or somebody else's, or what the server said.
    pub async fn expect(&self, desired: &Value, owner: Owner<'_>, remedy: &str) -> Result<(), Refusal> {
        let (kind, key) = identify(desired)?;
        let live = match self.cache.object(kind, &key) {
            Some(live) => Some(live),
            None => self.look(kind, &key).await?.map(Arc::new),
        };
        let Some(live) = live else {
            return Err(Refusal::Missing(format!("{kind} {} does not exist: {remedy}", key.1)));
        };
        check_owner(kind, &key, &live, Some(owner))
    }

    async fn write(
        &self,
        desired: &Value,
        owner: Option<Owner<'_>>,
        extent: Extent,
    ) -> Result<Written, Refusal> {
        let (kind, key) = identify(desired)?;
        let hash = hash(desired);
        let known = self.ledger(|ledger| ledger.get(&(kind, key.clone())).cloned());
        let cached = self.cache.object(kind, &key);
        let mut repair = false;
        if let Some(known) = &known
            && known.desired == hash
        {
            match &cached {
                Some(live) if live.uid() == known.uid => match drift(live, known, desired) {
                    false => return Ok(Written::Unchanged),
                    true => repair = true,
                },
                // The watch is behind, or there is none: a deletion would have been heard of.
                None => return Ok(Written::Unchanged),
                Some(_) => {}
            }
        }
        let live = match cached {
            Some(live) => Some(live),
            // Just made: the watch has not told yet.
            None if known.is_some() => None,
            None => self.look(kind, &key).await?.map(Arc::new),
        };
        if let Some(live) = &live {
            check_owner(kind, &key, live, owner)?;
            if self.manager == FIELD_MANAGER && adopts(live, known.as_ref(), extent) {
                self.adopt(kind, &key).await?;
            }
        }
        if repair && let Some(entry) = &known {
            let recent = entry.repairs.iter().filter(|at| at.elapsed() < CONTEST).count();
            if recent >= CONTESTED_REPAIRS {
                return Err(Refusal::Contested(format!(
                    "{kind} {} was changed back {recent} times in ten minutes by somebody else: let one of the two \
                     own it",
                    key.1
                )));
            }
        }
        let answer = self.send_apply(kind, &key, desired).await?;
        let before = live.and_then(|live| live.metadata.generation);
        let undone = repair && before.is_some() && answer.metadata.generation != before;
        if undone {
            info!(%kind, namespace = key.0, name = key.1, "repaired what somebody else changed");
        }
        self.record(kind, &key, hash, &answer.metadata, undone);
        Ok(Written::Applied)
    }

    /// Makes a workload with so many replicas by one creation, under a manager of its own. An apply has to follow: it
    /// makes all fields ours but the replicas.
    ///
    /// # Errors
    /// Why it is not there now.
    pub async fn create(&self, desired: &Value, replicas: u32, owner: Owner<'_>) -> Result<(), Refusal> {
        let (kind, key) = identify(desired)?;
        let mut first = desired.clone();
        first["spec"]["replicas"] = json!(replicas);
        let object: DynamicObject = serde_json::from_value(first)
            .map_err(|error| Refusal::Server { words: format!("{kind} {}: {error}", key.1), code: 0 })?;
        let parameters =
            PostParams { field_manager: Some(CREATE_MANAGER.to_owned()), ..PostParams::default() };
        self.metrics.wrote(kind.word(), "create");
        match timely(self.api(kind, &key.0).create(&parameters, &object)).await {
            Ok(object) => {
                self.own(kind, &key, &object.metadata).await?;
                self.record(kind, &key, 0, &object.metadata, false);
                Ok(())
            }
            // Made by an earlier try, or somebody else's.
            Err(kube::Error::Api(status)) if status.is_already_exists() => match self.look(kind, &key).await?
            {
                Some(live) => check_owner(kind, &key, &live, Some(owner)),
                None => Ok(()),
            },
            Err(error) => Err(Refusal::of(kind, &key, &error)),
        }
    }

    async fn send_apply(&self, kind: Kind, key: &Key, desired: &Value) -> Result<Live, Refusal> {
        let api: Api<Live> = self.of(kind, &key.0);
        let parameters = PatchParams::apply(self.manager).force();
        self.metrics.wrote(kind.word(), "apply");
        debug!(%kind, namespace = key.0, name = key.1, "applying");
        timely(api.patch(&key.1, &parameters, &Patch::Apply(desired)))
            .await
            .map_err(|error| Refusal::of(kind, key, &error))
    }

    fn record(&self, kind: Kind, key: &Key, desired: u64, metadata: &ObjectMeta, repaired: bool) {
        self.ledger(|ledger| {
            let id = (kind, key.clone());
            let mut repairs = ledger.remove(&id).map(|entry| entry.repairs).unwrap_or_default();
            repairs.retain(|at| at.elapsed() < CONTEST);
            if repaired {
                repairs.push(Instant::now());
            }
            let entry = Entry {
                desired,
                uid: metadata.uid.clone().unwrap_or_default(),
                generation: metadata.generation,
                version: version(metadata),
                repairs,
            };
            ledger.insert(id, entry);
        });
    }

    /// An object as it is on the server, past the cache.
    ///
    /// # Errors
    /// What the server said.
    pub async fn look(&self, kind: Kind, key: &Key) -> Result<Option<Live>, Refusal> {
        let api: Api<Live> = self.of(kind, &key.0);
        match timely(api.get_opt(&key.1)).await {
            Ok(live) => Ok(live.map(Live::slim)),
            Err(error) => Err(Refusal::of(kind, key, &error)),
        }
    }

    /// Deletes an object of this owner. True when it is gone; what is somebody else's counts as gone.
    ///
    /// # Errors
    /// What the server said.
    pub async fn delete(&self, kind: Kind, key: &Key, owner: Owner<'_>) -> Result<bool, Refusal> {
        let live = match self.cache.object(kind, key) {
            Some(live) => Some(live),
            None if self.cache.follows(kind, &key.0) => None,
            None if kind.of_keda() => None,
            None => self.look(kind, key).await?.map(Arc::new),
        };
        let Some(live) = live else { return Ok(true) };
        if live.controller() != Some(owner.uid) {
            return Ok(true);
        }
        if live.deleting() {
            return Ok(false);
        }
        self.metrics.wrote(kind.word(), "delete");
        let only = Preconditions { uid: live.metadata.uid.clone(), resource_version: None };
        let parameters = DeleteParams::background().preconditions(only);
        match timely(self.api(kind, &key.0).delete(&key.1, &parameters)).await {
            Ok(_) => Ok(false),
            Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(true),
            Err(error) => Err(Refusal::of(kind, key, &error)),
        }
    }

    /// Sets a workload's replicas through its scale, as an autoscaler would.
    ///
    /// # Errors
    /// What the server said.
    pub async fn scale(&self, kind: Kind, key: &Key, replicas: i32) -> Result<(), Refusal> {
        let api = self.api(kind, &key.0);
        let parameters =
            PatchParams { field_manager: Some(CREATE_MANAGER.to_owned()), ..PatchParams::default() };
        self.metrics.wrote(kind.word(), "scale");
        match timely(api.patch_scale(
            &key.1,
            &parameters,
            &Patch::Merge(json!({"spec": {"replicas": replicas}})),
        ))
        .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
            Err(error) => Err(Refusal::of(kind, key, &error)),
        }
    }

    /// Makes the previous operator's ownership ours, so that what is no longer applied goes away.
    async fn adopt(&self, kind: Kind, key: &Key) -> Result<(), Refusal> {
        let object = timely(self.api(kind, &key.0).get_opt(&key.1)).await;
        match object.map_err(|error| Refusal::of(kind, key, &error))? {
            Some(object) => {
                info!(%kind, namespace = key.0, name = key.1, "adopting an object of the previous operator");
                self.own(kind, key, &object.metadata).await
            }
            None => Ok(()),
        }
    }

    /// Rewrites who owns which fields, as [`rewrite`] says.
    async fn own(&self, kind: Kind, key: &Key, metadata: &ObjectMeta) -> Result<(), Refusal> {
        let mut fields = serde_json::to_value(&metadata.managed_fields).unwrap_or_default();
        let Some(entries) = fields.as_array_mut() else { return Ok(()) };
        rewrite(entries);
        // A merge patch replaces the list; the resourceVersion makes it fail if anything changed since.
        let patch =
            json!({"metadata": {"resourceVersion": metadata.resource_version, "managedFields": entries}});
        self.metrics.wrote(kind.word(), "patch");
        timely(self.api(kind, &key.0).patch(&key.1, &PatchParams::default(), &Patch::Merge(&patch)))
            .await
            .map(drop)
            .map_err(|error| Refusal::of(kind, key, &error))
    }

    /// The API server.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Counts a write that somebody else sends.
    pub fn wrote(&self, kind: Kind, verb: &'static str) {
        self.metrics.wrote(kind.word(), verb);
    }

    /// Whether an object is as it was applied, as far as the cache knows: applying it would send nothing.
    pub fn settled(&self, desired: &Value) -> bool {
        let Ok((kind, key)) = identify(desired) else { return false };
        let cached = self.cache.object(kind, &key);
        self.ledger(|ledger| {
            let Some(known) = ledger.get(&(kind, key)).filter(|known| known.desired == hash(desired)) else {
                return false;
            };
            cached.is_none_or(|live| live.uid() == known.uid && !drift(&live, known, desired))
        })
    }
}

fn check_owner(kind: Kind, key: &Key, live: &Live, owner: Option<Owner<'_>>) -> Result<(), Refusal> {
    if live.deleting() {
        return Err(Refusal::Leaving(format!("{kind} {} is being deleted; it comes back after that", key.1)));
    }
    let Some(owner) = owner else { return Ok(()) };
    let ours = match live.controller() {
        Some(uid) => uid == owner.uid,
        None => live.label(ACTOR_LABEL) == Some(owner.name),
    };
    if ours {
        return Ok(());
    }
    let whose =
        live.metadata.owner_references.iter().flatten().find(|reference| reference.controller == Some(true));
    let whose = whose.map_or_else(|| "nobody".to_owned(), |owner| format!("{} {}", owner.kind, owner.name));
    let remedy = match kind {
        Kind::ServiceAccount => "delete it, or name an account of yours in serviceAccountName",
        _ => "rename one of the two",
    };
    Err(Refusal::Foreign(format!("{kind} {} exists and belongs to {whose}: {remedy}", key.1)))
}

/// Whether what the previous operator wrote has to become ours before an apply. A cache that is behind does not know.
fn adopts(live: &Live, known: Option<&Entry>, extent: Extent) -> bool {
    let behind = known.is_some_and(|known| version(&live.metadata) < known.version);
    extent == Extent::Whole && live.inherited && !behind
}

/// Whether somebody changed an object since it was applied.
fn drift(live: &Live, known: &Entry, desired: &Value) -> bool {
    let seen = version(&live.metadata);
    if seen < known.version {
        return false;
    }
    let changed = match (live.metadata.generation, known.generation) {
        (Some(now), Some(then)) => now > then,
        _ => seen > known.version,
    };
    let template = &desired["metadata"]["annotations"][rollout::TEMPLATE];
    changed || live.template != template.as_str().map(fingerprint) || !holds(&live.metadata, desired)
}

/// Whether the metadata has everything that is desired of it, apart from the template, which a cache does not keep.
fn holds(metadata: &ObjectMeta, desired: &Value) -> bool {
    let has = |live: Option<&std::collections::BTreeMap<String, String>>, wanted: &Value| {
        wanted
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != rollout::TEMPLATE)
            .all(|(key, value)| live.and_then(|live| live.get(key)).map(String::as_str) == value.as_str())
    };
    let wanted = &desired["metadata"];
    let owners = wanted["ownerReferences"]
        .as_array()
        .into_iter()
        .flatten()
        .all(|owner| metadata.owner_references.iter().flatten().any(|live| owner["uid"] == live.uid));
    has(metadata.labels.as_ref(), &wanted["labels"])
        && has(metadata.annotations.as_ref(), &wanted["annotations"])
        && owners
}

/// An owner reference to an actor, for objects that several of them share.
pub fn reference(name: &str, uid: &str) -> Value {
    json!({
        "apiVersion": asya_resources::API_VERSION,
        "kind": asya_resources::KIND,
        "name": name,
        "uid": uid,
    })
}

/// Kind, namespace and name of an object that is to be applied.
///
/// # Errors
/// A kind that is not one of ours.
pub fn identify(desired: &Value) -> Result<(Kind, Key), Refusal> {
    let text = |path: &str| desired.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    match Kind::of(desired) {
        Some(kind) => Ok((kind, (text("/metadata/namespace"), text("/metadata/name")))),
        None => {
            Err(Refusal::Server { words: format!("kind {:?} is not one of ours", text("/kind")), code: 0 })
        }
    }
}

fn hash(desired: &Value) -> u64 {
    let mut hasher = DefaultHasher::new();
    desired.hash(&mut hasher);
    hasher.finish()
}

/// Resource versions of one object grow, as Kubernetes promises since 1.35 and has always done.
pub fn version(metadata: &ObjectMeta) -> u64 {
    metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// Ends a call that takes too long.
///
/// # Errors
/// Those of the call, or that it took too long.
pub async fn timely<T>(call: impl Future<Output = kube::Result<T>>) -> kube::Result<T> {
    tokio::time::timeout(CALL, call)
        .await
        .unwrap_or_else(|_| Err(kube::Error::Service("the API server did not answer in 30 s".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live(generation: i64, version: &str) -> Live {
        let metadata =
            json!({"generation": generation, "resourceVersion": version, "labels": {"a": "1", "b": "2"}});
        Live::of_metadata(serde_json::from_value(metadata).unwrap())
    }

    fn entry(generation: i64, version: u64) -> Entry {
        Entry { desired: 0, uid: String::new(), generation: Some(generation), version, repairs: Vec::new() }
    }

    #[test]
    fn a_cache_that_is_behind_is_not_drift() {
        let desired = json!({"metadata": {"labels": {"a": "9"}}});
        assert!(!drift(&live(1, "10"), &entry(2, 12), &desired));
        assert!(drift(&live(2, "12"), &entry(2, 12), &desired), "a label was changed");
        assert!(drift(&live(3, "13"), &entry(2, 12), &json!({})), "the spec was changed");
        assert!(!drift(&live(2, "20"), &entry(2, 12), &json!({})), "only the status was changed");
    }

    #[test]
    fn a_bound_workload_is_never_adopted() {
        let by_manager = Live { inherited: true, ..live(1, "10") };
        assert!(adopts(&by_manager, None, Extent::Whole));
        assert!(!adopts(&by_manager, Some(&entry(1, 12)), Extent::Whole), "the cache is behind");
        assert!(!adopts(&by_manager, None, Extent::Part), "any kubebuilder operator calls itself manager");
    }
}
