//! Taking an actor down, in an order in which no work is lost.
//!
//! scaler deleted and gone → workload at zero → pods gone → workload deleted → queue by policy → finalizer. Each look does
//! what is next and waits; where it got to is read from the cluster.

use std::time::Duration;

use asya_envelope::Queue;
use asya_resources::{AsyncActorStatus, Binding, DeletionPolicy};
use jiff::Timestamp;
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};

use super::{
    actor::{ELSEWHERE, Outcome, Stop, blank},
    apply::{Owner, timely},
    binding,
    conflict::{self, Heir},
    context::Context,
    finalizers,
    live::Kind,
    observe,
    refusal::Refusal,
    report::{report, tell},
    scaling::keda_authentication,
    work::Key,
};
use crate::{
    actor::{self, ACTOR_LABEL, FINALIZER, Stored},
    queues::Retired,
    status::{Pod, Verdict},
};

/// Finalizer of the API server for `kubectl delete --cascade=orphan`: what is owned is to stay, and goes on working. Its
/// pods are not waited for, and the queue that they read stays.
const ORPHAN: &str = "orphan";

/// What a step came to.
enum Step {
    /// It is done.
    Done,
    /// It is not, and will not be: who still reads the queue, which stays for that. A sentence.
    Read(String),
    /// Something has to happen first: a reason word, a sentence, when to look again.
    Waits(&'static str, String, Duration),
}

/// Does what is next of a deletion.
///
/// # Errors
/// What could not even be reported in the status.
pub async fn proceed(
    context: &Context,
    key: &Key,
    stored: &Stored,
    previous: &AsyncActorStatus,
    now: Timestamp,
) -> Result<Outcome, Stop> {
    let finalizers = stored.metadata.finalizers.as_deref().unwrap_or_default();
    if !finalizers.iter().any(|name| name == FINALIZER) {
        return Ok(Outcome::Done(None));
    }
    let waits = places(previous).next().is_some() && policy(stored) != DeletionPolicy::Retain;
    let step = match workload(context, key, stored, waits).await {
        Ok(Step::Done) => queues(context, key, stored, previous).await,
        Ok(Step::Read(who)) => {
            for queue in places(previous).map(|(_, name, _)| name) {
                let sentence = format!("queue {queue} was kept: {who}");
                tell(context, key, stored, EventType::Normal, "QueueRetained", &sentence).await;
            }
            Step::Done
        }
        Ok(waits) => waits,
        Err(refusal) => Step::Waits(refusal.reason(), refusal.to_string(), Duration::ZERO),
    };
    match step {
        Step::Done | Step::Read(_) => {
            let version = stored.metadata.resource_version.as_ref();
            if let Some(patch) = finalizers::without(FINALIZER, finalizers, version) {
                let api: Api<Stored> =
                    Api::namespaced_with(context.client.clone(), &key.0, &actor::resource());
                context.metrics.wrote(asya_resources::KIND, "patch");
                match timely(api.patch(&key.1, &PatchParams::default(), &Patch::Merge(&patch))).await {
                    Ok(_) => {}
                    Err(kube::Error::Api(status)) if status.is_not_found() => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(Outcome::Done(None))
        }
        Step::Waits(reason, sentence, again) => {
            let pods: Vec<Pod> = context.cache.pods(key).iter().map(|pod| observe::pod(pod)).collect();
            let mut observed = blank(stored, previous, &pods, now);
            observed.deleting = Some((reason, sentence));
            observed.queue.clone_from(&previous.queue);
            observed.transport = Verdict::Unknown("BeingDeleted", "the actor is being deleted".to_owned());
            report(context, key, stored, &observed).await?;
            if again.is_zero() {
                Ok(Outcome::Failed(reason.to_owned(), None))
            } else {
                Ok(Outcome::Waiting(again))
            }
        }
    }
}

/// `waits`: whether a queue is to be taken down afterwards, and who reads it has to be gone.
async fn workload(context: &Context, key: &Key, stored: &Stored, waits: bool) -> Result<Step, Refusal> {
    if orphaned(context, key, stored).await? {
        return Ok(Step::Read("its workload was left to itself (--cascade=orphan)".to_owned()));
    }
    let uid = stored.metadata.uid.clone().unwrap_or_default();
    let owner = Owner { name: &key.1, uid: &uid };
    let applier = &context.applier;
    for kind in [Kind::ScaledObject, Kind::ScaledJob] {
        if !applier.delete(kind, key, owner).await? {
            let sentence = format!("KEDA has to let {kind} {} go", key.1);
            return Ok(Step::Waits("WaitsForKeda", sentence, ELSEWHERE));
        }
    }
    applier.delete(Kind::TriggerAuthentication, &(key.0.clone(), keda_authentication(&key.1)), owner).await?;
    let binding: Option<Binding> = serde_json::from_value(stored.spec["workloadRef"].clone()).ok();
    if let Some(binding) = binding {
        let step = given_back(context, key, &binding).await?;
        return Ok(if waits { step } else { Step::Done });
    }
    for kind in [Kind::Deployment, Kind::StatefulSet] {
        let Some(live) = context.cache.object(kind, key) else { continue };
        if live.controller() == Some(&uid) && !live.deleting() && live.spec.replicas != Some(0) {
            applier.scale(kind, key, 0).await?;
        }
    }
    let pods = context.cache.pods(key);
    let alive = pods
        .iter()
        .filter(|pod| !matches!(pod.status["phase"].as_str(), Some("Succeeded" | "Failed")))
        .count();
    if alive > 0 {
        let sentence = format!("{alive} pods have to finish what they work on");
        return Ok(Step::Waits("WaitsForPods", sentence, ELSEWHERE));
    }
    // The collector of garbage would, too; but it may not know our kind yet, soon after its CRD was installed.
    for kind in [Kind::Deployment, Kind::StatefulSet, Kind::Service] {
        applier.delete(kind, key, owner).await?;
    }
    Ok(Step::Done)
}

/// Whether what the actor made is to stay. The server's collector takes the owner from each object, and then its finalizer
/// from the actor: where that is not seen any more the objects tell, as the server has them; the cache may be behind. A
/// bound workload was never the actor's to leave.
async fn orphaned(context: &Context, key: &Key, stored: &Stored) -> Result<bool, Refusal> {
    if !stored.spec["workloadRef"].is_null() {
        return Ok(false);
    }
    if stored.metadata.finalizers.iter().flatten().any(|name| name == ORPHAN) {
        return Ok(true);
    }
    for kind in [Kind::Deployment, Kind::StatefulSet, Kind::ScaledJob] {
        if context.cache.object(kind, key).is_none() {
            continue;
        }
        let live = context.applier.look(kind, key).await?;
        if live.is_some_and(|live| live.label(ACTOR_LABEL) == Some(&key.1) && live.controller().is_none()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes our part of a bound workload away, and waits until its owner's controller replaced the pods that have it: until
/// then sidecars read the queue.
async fn given_back(context: &Context, key: &Key, binding: &Binding) -> Result<Step, Refusal> {
    let since = binding::remove(context, key, binding).await?;
    let reading = context.cache.pods(key).iter().filter(|pod| binding::reads(pod)).count();
    let who = format!("{reading} pods of {} {} still have the sidecar", binding.kind, binding.name);
    Ok(if reading == 0 {
        Step::Done
    } else if since < context.settings.deletion_timeout {
        let sentence = format!("{who}: its rollout has to replace them");
        Step::Waits("WaitsForPods", sentence, ELSEWHERE)
    } else {
        Step::Read(who)
    })
}

/// The queue that the actor owns, and those that it left behind.
async fn queues(context: &Context, key: &Key, stored: &Stored, previous: &AsyncActorStatus) -> Step {
    let (mut kept, mut waits) = (Vec::new(), None);
    for (transport, name, is_former) in places(previous) {
        let queue = Queue::named(name.clone());
        let heir = is_former.then(|| conflict::heir(context, stored, transport, &queue)).flatten();
        if let Some(Heir { actor: (namespace, heir), .. }) = heir {
            kept.push(format!("queue {queue} was kept: actor {heir} in namespace {namespace} may use it"));
            continue;
        }
        match Box::pin(retire(context, key, stored, transport, &queue)).await {
            Retired::Gone { dead_letters } => kept.extend(dead_letters),
            Retired::Kept(sentence) => kept.push(sentence),
            Retired::Again { after, why } => waits = Some((after, why)),
        }
    }
    if let Some((after, why)) = waits {
        return Step::Waits("WaitsForQueue", why, after.max(ELSEWHERE));
    }
    for sentence in kept {
        tell(context, key, stored, EventType::Normal, "QueueRetained", &sentence).await;
    }
    Step::Done
}

/// Transport and name of each queue to take down, and whether it was left behind. An actor that never owned one has none.
fn places(previous: &AsyncActorStatus) -> impl Iterator<Item = (&String, &String, bool)> {
    let former = previous.former_queues.iter().map(|former| (&former.transport, &former.name, true));
    former.chain(previous.queue.iter().map(|owned| (&owned.transport, &owned.name, false)))
}

fn policy(stored: &Stored) -> DeletionPolicy {
    serde_json::from_value(stored.spec["deletionPolicy"].clone()).ok().unwrap_or_default()
}

/// One step of the deletion of one queue; one that is done with is answered the same again.
async fn retire(context: &Context, key: &Key, stored: &Stored, transport: &str, queue: &Queue) -> Retired {
    let (policy, limit) = (policy(stored), context.settings.deletion_timeout);
    let place = (transport.to_owned(), queue.as_str().to_owned());
    // Taken out while it is used: a lock is not held across a wait, and an actor is looked at by one worker at a time.
    let kept = context.remember(key, |memory| memory.retirements.remove(&place));
    let mut retirement = kept.unwrap_or_else(|| context.brokers.retirement(transport, policy, limit));
    let retired = context.brokers.retire(transport, queue, &mut retirement).await;
    context.metrics.called(transport, "delete", !matches!(retired, Retired::Again { .. }));
    context.remember(key, |memory| memory.retirements.insert(place, retirement));
    retired
}
