//! Binding mode: the sidecar joins a workload that somebody else made.

use std::time::Duration;

use asya_resources::Binding;
use kube::{Api, api::DynamicObject};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    apply::{Written, timely},
    context::Context,
    live::{Kind, Live, fingerprint},
    refusal::Refusal,
    work::Key,
};
use crate::{
    actor::Actor,
    desired::{self, binding},
};

/// Others' reverts of our part within [`CONTEST`] after which they are taken to insist.
const CONTESTED: usize = 2;
/// See [`CONTESTED`].
const CONTEST: Duration = Duration::from_secs(10 * 60);

/// What is remembered of a bound workload.
#[derive(Clone, Debug, Default)]
pub struct Bound {
    /// Its generation when it was looked into, and the actor as [`binding::resolved`].
    resolved: Option<(i64, i64, Actor)>,
    /// Fingerprint of the part that was applied last.
    part: Option<u64>,
    /// When it had to be applied again.
    repairs: Vec<Instant>,
    /// Since when our part is gone from it, while the actor is being deleted.
    given_back: Option<Instant>,
}

/// The kind of the bound workload.
pub fn kind(binding: &Binding) -> Kind {
    if binding.kind == Kind::StatefulSet.word() { Kind::StatefulSet } else { Kind::Deployment }
}

/// The actor with what the bound workload says; it is asked for when it is new or was changed.
///
/// # Errors
/// A reason word and a sentence: it is not there, or cannot be attached to.
pub async fn resolve(
    context: &Context,
    key: &Key,
    actor: &Actor,
    wanted: &desired::Context<'_>,
    binding: &Binding,
) -> Result<Actor, (&'static str, String)> {
    let kind = kind(binding);
    let target = (key.0.clone(), binding.name.clone());
    let cached = context.cache.object(kind, &target).and_then(|live| live.metadata.generation);
    let known = context.remember(key, |memory| memory.bound.resolved.clone());
    if let Some((generation, own, resolved)) = known
        && (cached, actor.generation) == (Some(generation), own)
    {
        return Ok(resolved);
    }
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &target.0, &kind.resource());
    let live = timely(api.get_opt(&target.1)).await.map_err(|error| {
        let refusal = Refusal::of(kind, &target, &error);
        (refusal.reason(), refusal.to_string())
    })?;
    let Some(live) = live else {
        let sentence = format!("{kind} {} does not exist: make it, or name another one", binding.name);
        return Err(("WorkloadNotFound", sentence));
    };
    let generation = live.metadata.generation.unwrap_or_default();
    let resolved = binding::resolved(actor, wanted, binding, &live.data)?;
    let known = (generation, actor.generation, resolved.clone());
    context.remember(key, |memory| memory.bound.resolved = Some(known));
    Ok(resolved)
}

/// Applies our part to the bound workload, which must exist.
///
/// # Errors
/// Why our part is not there now.
pub async fn apply(context: &Context, key: &Key, binding: &Binding, part: &Value) -> Result<(), Refusal> {
    let kind = kind(binding);
    let target = (key.0.clone(), binding.name.clone());
    let uid = match context.cache.object(kind, &target) {
        Some(live) => Some(live.uid().to_owned()),
        None => context.applier.look(kind, &target).await?.map(|live| live.uid().to_owned()),
    };
    let Some(uid) = uid else {
        return Err(Refusal::Foreign(format!("{kind} {} went away meanwhile", binding.name)));
    };
    // With its uid the object cannot come into being by this apply.
    let mut part = part.clone();
    part["metadata"]["uid"] = json!(uid);
    if context.cache.object(kind, &target).is_some() && context.applier.settled(&part) {
        return Ok(());
    }
    let now = fingerprint(&part.to_string());
    let (repeated, reverts) = context.remember(key, |memory| {
        memory.bound.repairs.retain(|at| at.elapsed() < CONTEST);
        (memory.bound.part == Some(now), memory.bound.repairs.len())
    });
    if repeated && reverts >= CONTESTED {
        return Err(Refusal::Contested(format!(
            "somebody else takes our part of {kind} {} away again: tell that tool to leave the sidecar alone \
             (docs/binding.md)",
            binding.name
        )));
    }
    let written = context.applier.apply_part(&part).await?;
    context.remember(key, |memory| {
        memory.bound.part = Some(now);
        memory.bound.given_back = None;
        if repeated && written == Written::Applied {
            memory.bound.repairs.push(Instant::now());
        }
    });
    Ok(())
}

/// Takes our part of the bound workload away, once; how long ago that was.
///
/// # Errors
/// What the API server said.
pub async fn remove(context: &Context, key: &Key, binding: &Binding) -> Result<Duration, Refusal> {
    if let Some(at) = context.remember(key, |memory| memory.bound.given_back) {
        return Ok(at.elapsed());
    }
    let kind = kind(binding);
    let target = (key.0.clone(), binding.name.clone());
    if context.applier.look(kind, &target).await?.is_some() {
        let resource = kind.resource();
        let nothing = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": target.1, "namespace": target.0},
        });
        context.applier.apply_part(&nothing).await?;
    }
    context.remember(key, |memory| memory.bound.given_back = Some(Instant::now()));
    Ok(Duration::ZERO)
}

/// Whether a pod of a bound workload may be reading the queue: it has the sidecar, or it would not have our label and not be
/// known here, and something of it has started.
pub fn reads(pod: &Live) -> bool {
    let started = |list: &str| {
        let containers = pod.status[list].as_array();
        containers.into_iter().flatten().any(|container| container["state"]["running"].is_object())
    };
    match pod.status["phase"].as_str() {
        Some("Succeeded" | "Failed") => false,
        Some("Running") => true,
        _ => started("initContainerStatuses") || started("containerStatuses"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_reads_from_the_start_of_its_sidecar_to_its_end() {
        let pod = |status: Value| {
            let pod = json!({"metadata": {"name": "vllm-1", "namespace": "ns"}, "status": status});
            reads(&serde_json::from_value(pod).unwrap())
        };
        assert!(pod(json!({"phase": "Running"})));
        let sidecar = |state: Value| json!({"phase": "Pending", "initContainerStatuses": [{"state": state}]});
        assert!(pod(sidecar(json!({"running": {"startedAt": "2026-01-01T12:00:00Z"}}))), "a native sidecar");
        assert!(!pod(sidecar(json!({"waiting": {"reason": "ImagePullBackOff"}}))));
        for phase in ["Pending", "Succeeded", "Failed"] {
            assert!(!pod(json!({"phase": phase})), "{phase}: such pods may stay for ever");
        }
    }
}
