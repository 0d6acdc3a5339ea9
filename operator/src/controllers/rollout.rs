//! When pods follow a new runtime, sidecar or transport setting: who may roll, and how many at a time.
//!
//! What was applied is noted on the workload ([`desired::rollout`](crate::desired::rollout)); here it is read, and the
//! policy decides over a change that is not the actor's own:
//!
//! | pods | policy | what is applied |
//! |---|---|---|
//! | none | any | the newest template |
//! | running | `OnRestart` | the one that was applied, until somebody restarts it (`kubectl rollout restart`) |
//! | running | `Rolling` | the newest when fewer than `maxConcurrent` actors roll, else the one that was applied |
//!
//! A place among those that roll is noted on the workload, too: a restarted operator or a new leader finds it again.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use asya_resources::RolloutPolicy;
use jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt as _, api::DynamicObject};

use super::{
    apply::{identify, timely},
    cache::Cache,
    context::Context,
    former,
    live::{Kind, Live, fingerprint},
    refusal::Refusal,
    work::{Key, Work},
};
use crate::{
    actor::Actor,
    desired::{Desired, rollout},
};

/// A roll that takes longer no longer holds up others.
const ROLL_LIMIT: SignedDuration = SignedDuration::from_mins(15);
/// How soon a place is asked for again, should nobody tell that one became free.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waits {
    /// For the condition `UpdateAvailable`.
    pub sentence: String,
    /// When a place may have become free.
    pub again: Option<Duration>,
}

/// Puts the applied template back into what is desired where running pods must not follow now, and says so. `observed`
/// is the generation of the spec that an operator saw last.
///
/// # Errors
/// What the API server said when it was asked for the applied template.
pub async fn settle(
    context: &Context,
    key: &Key,
    actor: &Actor,
    desired: &mut Desired,
    observed: Option<i64>,
    now: Timestamp,
) -> Result<Option<Waits>, Refusal> {
    let Some(workload) = &desired.workload else { return Ok(None) };
    let (kind, target) = identify(workload)?;
    let newest = workload["metadata"]["annotations"][rollout::TEMPLATE].as_str().map(fingerprint);
    let newest_kept = newest.is_some();
    let is_newest = |live: &Live| newest_kept && live.template == newest;
    let pods = context.cache.pods(key).len();

    let cached = match context.cache.object(kind, &target) {
        Some(live) => Some(live),
        None if context.cache.follows(kind, &target.0) && actor.spec.workload_ref.is_none() => None,
        // Not followed, and what is applied must not be taken for missing.
        None => context.applier.look(kind, &target).await?.map(Arc::new),
    };
    let Some(mut live) = cached else { return Ok(None) };
    let settings = context.settings.rollout;
    let policy = actor.spec.rollout.map_or(settings.policy, |rollout| rollout.policy);
    if former::keep(context, (kind, &target), actor, desired, &live, observed).await? {
        return Ok(Some(waits(policy, kind, &target, settings.max_concurrent)));
    }
    context.rollouts.seen(context, key, &live, now);
    if is_newest(&live) || seen(&live, pods).is_free(desired) {
        context.rollouts.follows(context, key);
        rollout::follow(desired, &seen(&live, pods));
        return Ok(None);
    }
    let kept = context.remember(key, |memory| memory.applied.clone());
    let kept = kept.filter(|text| live.template == Some(fingerprint(text)));
    let Some(applied) = (match kept {
        Some(text) => Some(text),
        None => {
            // The cache keeps no templates, and may be behind what was applied a moment ago.
            let Some((fresh, text)) = fetch(context, kind, &target).await? else { return Ok(None) };
            live = Arc::new(fresh);
            text
        }
    }) else {
        // Nothing to go back to.
        rollout::follow(desired, &seen(&live, pods));
        return Ok(None);
    };
    let there = seen(&live, pods);
    if is_newest(&live) || there.is_free(desired) {
        context.rollouts.follows(context, key);
        rollout::follow(desired, &there);
        return Ok(None);
    }
    let mut old = desired.clone();
    if !rollout::wait(&mut old, &there, &applied) {
        // The same, in another spelling.
        rollout::follow(desired, &there);
        return Ok(None);
    }
    if policy == RolloutPolicy::Rolling
        && let Some(since) = context.rollouts.place(key, settings.max_concurrent, now)
    {
        context.remember(key, |memory| memory.applied = None);
        rollout::roll(desired, &there, &since.to_string());
        return Ok(None);
    }
    *desired = old;
    context.remember(key, |memory| memory.applied = Some(applied));
    Ok(Some(waits(policy, kind, &target, settings.max_concurrent)))
}

fn waits(policy: RolloutPolicy, kind: Kind, target: &Key, most: u16) -> Waits {
    const OLDER: &str = "pods run with an older runtime, sidecar or transport setting";
    match policy {
        RolloutPolicy::OnRestart => Waits {
            sentence: format!(
                "{OLDER} and follow at their next restart: kubectl rollout restart {}/{} -n {}",
                kind.word().to_lowercase(),
                target.1,
                target.0
            ),
            again: None,
        },
        RolloutPolicy::Rolling => Waits {
            sentence: format!("{OLDER} and wait for their turn: {most} actors roll at a time"),
            again: Some(ASK_AGAIN),
        },
    }
}

fn seen(live: &Live, pods: usize) -> rollout::Live<'_> {
    static NONE: std::collections::BTreeMap<String, String> = std::collections::BTreeMap::new();
    let running = live.status["replicas"].as_i64().unwrap_or_default();
    rollout::Live {
        annotations: live.metadata.annotations.as_ref().unwrap_or(&NONE),
        has_pods: pods > 0 || running > 0 || live.spec.replicas.unwrap_or(1) > 0,
        restarted: live.spec.restarted_at(),
    }
}

/// The workload as it is on the server, and the template that was applied last.
async fn fetch(
    context: &Context,
    kind: Kind,
    key: &Key,
) -> Result<Option<(Live, Option<Arc<str>>)>, Refusal> {
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &key.0, &kind.resource());
    let object = timely(api.get_opt(&key.1)).await.map_err(|error| Refusal::of(kind, key, &error))?;
    let Some(object) = object else { return Ok(None) };
    let text = object.annotations().get(rollout::TEMPLATE).map(|text| Arc::from(text.as_str()));
    let live = serde_json::to_value(object).and_then(serde_json::from_value);
    let live = live.map_err(|error| Refusal::of(kind, key, &kube::Error::SerdeError(error)))?;
    Ok(Some((live, text)))
}

/// Actors that roll, each since when, and those that wait for a place.
#[derive(Debug, Default)]
pub struct Rollouts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rolling: HashMap<Key, Timestamp>,
    waiting: BTreeSet<Key>,
}

impl Rollouts {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Forgets everything but what the cluster says of those that roll.
    pub fn recall(&self, cache: &Cache, now: Timestamp) {
        let rolling = [Kind::Deployment, Kind::StatefulSet].into_iter().flat_map(|kind| cache.all(kind));
        let rolling = rolling.filter(|live| !is_done(live));
        let rolling =
            rolling.filter_map(|live| Some((live.actor()?, since(&live).filter(|at| is_recent(*at, now))?)));
        self.with(|state| *state = State { rolling: rolling.collect(), waiting: BTreeSet::new() });
    }

    /// Hears how a workload stands: a place may be taken, or become free for the next.
    fn seen(&self, context: &Context, key: &Key, live: &Live, now: Timestamp) {
        let Some(since) = since(live).filter(|at| is_recent(*at, now)) else { return };
        if self.with(|state| state.stands(key, since, is_done(live))) {
            self.wake(context);
        }
    }

    /// Hears that an actor has no update to wait for.
    fn follows(&self, context: &Context, key: &Key) {
        self.with(|state| state.waiting.remove(key));
        context.remember(key, |memory| memory.applied = None);
    }

    /// A place among those that roll: since when it is this actor's. Without one it waits.
    fn place(&self, key: &Key, most: u16, now: Timestamp) -> Option<Timestamp> {
        self.with(|state| state.place(key, most, now))
    }

    /// Gives back a place that was taken just now, by an actor whose workload could then not be written.
    pub fn release(&self, context: &Context, key: &Key, now: Timestamp) {
        if self.with(|state| state.rolling.get(key) == Some(&now)) {
            self.forget(context, key);
        }
    }

    /// Gives back the place of an actor that is gone.
    pub fn forget(&self, context: &Context, key: &Key) {
        let free = self.with(|state| {
            state.waiting.remove(key);
            state.rolling.remove(key).is_some()
        });
        if free {
            self.wake(context);
        }
    }

    /// Lets the next one ask again.
    fn wake(&self, context: &Context) {
        if let Some(next) = self.with(|state| state.waiting.pop_first()) {
            context.queue.now(Work::Actor(next));
        }
    }
}

impl State {
    /// True when a place became free.
    fn stands(&mut self, key: &Key, since: Timestamp, done: bool) -> bool {
        match self.rolling.get(key) {
            // A cache that is behind tells of the roll before this one.
            Some(known) if since < *known => false,
            Some(_) if done => self.rolling.remove(key).is_some(),
            _ if done => false,
            _ => {
                self.rolling.insert(key.clone(), since);
                false
            }
        }
    }

    fn place(&mut self, key: &Key, most: u16, now: Timestamp) -> Option<Timestamp> {
        self.rolling.retain(|_, since| is_recent(*since, now));
        if !self.rolling.contains_key(key) && self.rolling.len() >= usize::from(most) {
            self.waiting.insert(key.clone());
            return None;
        }
        self.waiting.remove(key);
        Some(*self.rolling.entry(key.clone()).or_insert(now))
    }
}

fn since(live: &Live) -> Option<Timestamp> {
    live.metadata.annotations.as_ref()?.get(rollout::ROLLED)?.parse().ok()
}

fn is_recent(since: Timestamp, now: Timestamp) -> bool {
    now.duration_since(since) < ROLL_LIMIT
}

/// Whether all pods are new and ready.
fn is_done(live: &Live) -> bool {
    let number = |name: &str| live.status[name].as_i64().unwrap_or_default();
    let all = i64::from(live.spec.replicas.unwrap_or(1));
    number("observedGeneration") >= live.metadata.generation.unwrap_or_default()
        && number("updatedReplicas") >= all
        && number("readyReplicas") >= all
        && number("replicas") <= number("updatedReplicas").max(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> Key {
        ("ns".to_owned(), name.to_owned())
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn workload(name: &str, replicas: i64, since: Timestamp) -> Live {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "ns", "generation": 3, "labels": {"asya.sh/asya": name},
                "annotations": {rollout::ROLLED: since.to_string()}},
            "spec": {"replicas": 2},
            "status": {"observedGeneration": 3, "updatedReplicas": 2, "readyReplicas": 2, "replicas": replicas},
        }))
        .unwrap()
    }

    #[test]
    fn so_many_actors_roll_at_a_time_and_no_more() {
        let mut state = State::default();
        assert_eq!(state.place(&key("a"), 2, at(0)), Some(at(0)));
        assert_eq!(state.place(&key("b"), 2, at(1)), Some(at(1)));
        assert_eq!(state.place(&key("c"), 2, at(2)), None);
        assert_eq!(state.place(&key("a"), 2, at(3)), Some(at(0)), "who has a place keeps it, and its time");
        assert!(state.stands(&key("a"), at(0), true), "a place became free");
        assert_eq!(state.waiting.pop_first(), Some(key("c")));
        assert_eq!(state.place(&key("c"), 2, at(4)), Some(at(4)));
    }

    #[test]
    fn a_roll_before_this_one_gives_no_place_back() {
        let mut state = State::default();
        state.place(&key("a"), 1, at(100));
        assert!(!state.stands(&key("a"), at(0), true), "the cache is behind");
        assert_eq!(state.place(&key("b"), 1, at(101)), None);
    }

    #[test]
    fn a_roll_that_never_ends_holds_up_others_for_a_quarter_of_an_hour() {
        let mut state = State::default();
        state.place(&key("a"), 1, at(0));
        assert_eq!(state.place(&key("b"), 1, at(899)), None);
        assert_eq!(state.place(&key("b"), 1, at(900)), Some(at(900)));
    }

    #[test]
    fn a_new_leader_finds_the_places_on_the_cluster() {
        let cache = Cache::default();
        cache.put(Kind::Deployment, workload("old-pods-left", 3, at(0)));
        cache.put(Kind::StatefulSet, workload("done", 2, at(0)));
        cache.put(Kind::Deployment, workload("long-ago", 3, at(-1000)));
        let rollouts = Rollouts::default();
        rollouts.recall(&cache, at(10));
        assert_eq!(rollouts.place(&key("next"), 1, at(10)), None);
        assert_eq!(rollouts.place(&key("old-pods-left"), 1, at(10)), Some(at(0)));
        assert_eq!(rollouts.place(&key("next"), 2, at(10)), Some(at(10)));
    }
}
