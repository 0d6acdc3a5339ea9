//! When pods follow a new runtime, sidecar or transport setting.
//!
//! A change of the actor's own spec is applied at once. Where the spec is the one that was applied and still the workload
//! would change, the change is the platform's, and the policy decides:
//!
//! | pods | policy | the workload is |
//! |---|---|---|
//! | none | any | applied |
//! | running | `OnRestart` | left alone, until somebody restarts it (`kubectl rollout restart`) |
//! | running | `Rolling` | applied when fewer than `maxConcurrent` actors roll, else left alone |

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use asya_resources::{RolloutPolicy, RolloutStatus};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::{context::Context, live::Live, work::Key};
use crate::actor::Actor;

/// A roll that takes longer no longer holds up others.
const ROLL_LIMIT: Duration = Duration::from_secs(15 * 60);
/// How soon a place among the rolling actors is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// What becomes of the workload now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is applied.
    Apply(RolloutStatus),
    /// It is left alone: a sentence, and when to ask again.
    Hold {
        /// For the status.
        rollout: RolloutStatus,
        /// For the condition `UpdateAvailable`.
        sentence: String,
        /// When a place may have become free.
        again: Option<Duration>,
    },
}

/// Actors that roll or wait with the roll. In memory: a new leader may let a few more roll at the same time.
#[derive(Debug, Default)]
pub struct Rollouts {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rolling: HashMap<Key, Instant>,
    /// When the workload was last restarted by hand, as it was when the update began to wait.
    waiting: HashMap<Key, Option<String>>,
}

/// Which template is applied at which generation of the spec: what `status.rollout` remembers.
fn mark(workload: &Value, generation: i64) -> String {
    let digest = Sha256::digest(workload["spec"].to_string());
    let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{hash}-{generation}")
}

fn same_spec(mark: &str, generation: i64) -> bool {
    mark.rsplit_once('-').is_some_and(|(_, applied)| applied == generation.to_string())
}

/// Decides. `running` is the number of pods that would be replaced.
pub fn decide(
    context: &Context,
    key: &Key,
    actor: &Actor,
    workload: &Value,
    applied: Option<&str>,
    live: Option<&Live>,
    running: usize,
) -> Decision {
    let wanted = mark(workload, actor.generation);
    let hash =
        |mark: &str| mark.rsplit_once('-').map_or_else(|| mark.to_owned(), |(hash, _)| hash.to_owned());
    let apply = |rolls: bool| {
        context.rollouts.begins(key, rolls);
        Decision::Apply(RolloutStatus { applied: Some(wanted.clone()), available: None })
    };
    let (Some(applied), Some(live)) = (applied, live) else { return apply(false) };
    if hash(applied) == hash(&wanted) || !same_spec(applied, actor.generation) || running == 0 {
        context.rollouts.ended(key, live);
        return apply(false);
    }
    let policy = actor.spec.rollout.map_or(context.settings.rollout.policy, |rollout| rollout.policy);
    let rollout = RolloutStatus { applied: Some(applied.to_owned()), available: Some(hash(&wanted)) };
    match policy {
        RolloutPolicy::OnRestart if context.rollouts.restarted(key, live.spec.restarted_at()) => apply(false),
        RolloutPolicy::OnRestart => Decision::Hold {
            rollout,
            sentence: format!(
                "pods run with an older runtime, sidecar or transport setting and follow at their next restart: kubectl \
                 rollout restart {}/{} -n {}",
                workload["kind"].as_str().unwrap_or("deployment").to_lowercase(),
                key.1,
                key.0
            ),
            again: None,
        },
        RolloutPolicy::Rolling if context.rollouts.place(key, context.settings.rollout.max_concurrent) => {
            apply(true)
        }
        RolloutPolicy::Rolling => Decision::Hold {
            rollout,
            sentence: format!(
                "pods run with an older runtime, sidecar or transport setting and wait for their turn: {} actors roll at \
                 a time",
                context.settings.rollout.max_concurrent
            ),
            again: Some(ASK_AGAIN),
        },
    }
}

impl Rollouts {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn begins(&self, key: &Key, rolls: bool) {
        self.with(|state| {
            state.waiting.remove(key);
            if rolls {
                state.rolling.insert(key.clone(), Instant::now());
            }
        });
    }

    /// Gives the place back when all pods are new and ready.
    fn ended(&self, key: &Key, live: &Live) {
        let number = |name: &str| live.status[name].as_i64().unwrap_or_default();
        let seen = number("observedGeneration") >= live.metadata.generation.unwrap_or_default();
        let all = i64::from(live.spec.replicas.unwrap_or(1));
        if seen
            && number("updatedReplicas") >= all
            && number("readyReplicas") >= all
            && number("replicas") <= all
        {
            self.forget(key);
        }
    }

    /// Gives the place back.
    pub fn forget(&self, key: &Key) {
        self.with(|state| {
            state.rolling.remove(key);
            state.waiting.remove(key);
        });
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.with(|state| *state = State::default());
    }

    fn place(&self, key: &Key, most: u16) -> bool {
        self.with(|state| {
            state.rolling.retain(|_, since| since.elapsed() < ROLL_LIMIT);
            state.rolling.contains_key(key) || state.rolling.len() < usize::from(most)
        })
    }

    /// Whether the workload was restarted by hand since its update began to wait.
    fn restarted(&self, key: &Key, at: Option<&str>) -> bool {
        self.with(|state| {
            let first = state.waiting.entry(key.clone()).or_insert_with(|| at.map(str::to_owned));
            first.as_deref() != at
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(name: &str) -> Key {
        ("ns".to_owned(), name.to_owned())
    }

    #[test]
    fn so_many_actors_roll_at_a_time_and_no_more() {
        let rollouts = Rollouts::default();
        for name in ["a", "b"] {
            assert!(rollouts.place(&key(name), 2));
            rollouts.begins(&key(name), true);
        }
        assert!(!rollouts.place(&key("c"), 2));
        assert!(rollouts.place(&key("a"), 2), "who has a place keeps it");
        let done: Live = serde_json::from_value(json!({
            "metadata": {"generation": 3}, "spec": {"replicas": 2},
            "status": {"observedGeneration": 3, "updatedReplicas": 2, "readyReplicas": 2, "replicas": 2},
        }))
        .unwrap();
        rollouts.ended(&key("a"), &done);
        assert!(rollouts.place(&key("c"), 2));
    }

    #[test]
    fn a_roll_with_old_pods_left_keeps_its_place() {
        let rollouts = Rollouts::default();
        rollouts.begins(&key("a"), true);
        let busy: Live = serde_json::from_value(json!({
            "metadata": {"generation": 3}, "spec": {"replicas": 2},
            "status": {"observedGeneration": 3, "updatedReplicas": 2, "readyReplicas": 2, "replicas": 3},
        }))
        .unwrap();
        rollouts.ended(&key("a"), &busy);
        assert!(!rollouts.place(&key("b"), 1));
    }

    #[test]
    fn only_a_restart_after_the_update_counts() {
        let rollouts = Rollouts::default();
        assert!(!rollouts.restarted(&key("a"), Some("10:00")));
        assert!(!rollouts.restarted(&key("a"), Some("10:00")));
        assert!(rollouts.restarted(&key("a"), Some("11:00")));
    }

    #[test]
    fn a_mark_tells_whose_change_it_is() {
        let old = mark(&json!({"spec": {"template": 1}}), 7);
        assert!(same_spec(&old, 7) && !same_spec(&old, 8));
        assert_ne!(old, mark(&json!({"spec": {"template": 2}}), 7));
    }
}
