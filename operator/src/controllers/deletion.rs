//! Taking an actor down, in an order in which no work is lost.
//!
//! scaler deleted and gone → workload at zero → pods gone → queue by policy → finalizer. Each look does what is next and
//! waits; where it got to is read from the cluster, and the few facts that the cluster does not show are in the status.

use std::time::Duration;

use asya_envelope::Queue;
use asya_resources::{AsyncActorStatus, Binding, DeletionPolicy, DeletionStatus, QueueStatus};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::events::EventType,
};
use serde_json::Value;

use super::{
    actor::{ELSEWHERE, Outcome, Stop, blank, keda_authentication, refused},
    apply::{Owner, timely},
    context::Context,
    finalizers,
    live::Kind,
    observe,
    report::{report, tell},
    work::Key,
};
use crate::{
    actor::{self, FINALIZER, Stored},
    queues::Queued,
    settings,
    status::{Pod, Verdict},
};

/// SQS counts approximately: so many readings in a row must find nothing, …
const SQS_READINGS: i32 = 3;
/// … so far apart.
const SQS_APART: SignedDuration = SignedDuration::from_secs(60);

/// What a step came to.
enum Step {
    /// It is done.
    Done,
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
    let mut facts = previous.clone();
    let step = match workload(context, key, stored).await {
        Ok(Step::Done) => queue(context, key, stored, &mut facts, now).await,
        Ok(waits) => waits,
        Err(refusal) => Step::Waits(refused(&refusal), refusal.to_string(), Duration::ZERO),
    };
    match step {
        Step::Done => {
            let version = stored.metadata.resource_version.as_ref();
            if let Some(patch) = finalizers::without(finalizers, version) {
                let api: Api<Stored> = Api::namespaced_with(context.client.clone(), &key.0, &actor::resource());
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
            let mut observed = blank(stored, &facts, &pods, now);
            observed.deleting = Some((reason, sentence));
            observed.queue.clone_from(&previous.queue);
            observed.transport = match reason {
                "BrokerUnreachable" => Verdict::Bad(reason, "the broker cannot be reached".to_owned()),
                _ => Verdict::Unknown("BeingDeleted", "the actor is being deleted".to_owned()),
            };
            report(context, key, stored, &observed).await?;
            if again.is_zero() { Ok(Outcome::Failed(reason.to_owned(), None)) } else { Ok(Outcome::Waiting(again)) }
        }
    }
}

async fn workload(context: &Context, key: &Key, stored: &Stored) -> Result<Step, super::apply::Refusal> {
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
        super::binding::remove(context, key, &binding).await?;
        return Ok(Step::Done);
    }
    for kind in [Kind::Deployment, Kind::StatefulSet] {
        let Some(live) = context.cache.object(kind, key) else { continue };
        if live.controller() == Some(&uid) && !live.deleting() && live.spec.replicas != Some(0) {
            applier.scale(kind, key, 0).await?;
        }
    }
    let pods = context.cache.pods(key);
    let alive = pods.iter().filter(|pod| !matches!(pod.status["phase"].as_str(), Some("Succeeded" | "Failed"))).count();
    if alive > 0 {
        let sentence = format!("{alive} pods have to finish what they work on");
        return Ok(Step::Waits("WaitsForPods", sentence, ELSEWHERE));
    }
    Ok(Step::Done)
}

async fn queue(
    context: &Context,
    key: &Key,
    stored: &Stored,
    facts: &mut AsyncActorStatus,
    now: Timestamp,
) -> Step {
    let policy: DeletionPolicy =
        serde_json::from_value(stored.spec["deletionPolicy"].clone()).ok().unwrap_or_default();
    // An actor that never owned a queue has none to delete.
    let Some(owned) = facts.queue.clone() else { return Step::Done };
    let known = context.settings.transports.get(&owned.transport).filter(|transport| transport.enabled);
    let (true, true, Some(transport)) = (context.settings.manage_queues, policy != DeletionPolicy::Retain, known)
    else {
        return Step::Done;
    };
    let queue = Queue::new(owned.name.clone());
    let deletion = facts.deletion.get_or_insert_default();
    let queued = context.brokers.look(&transport.name, &queue).await;
    context.metrics.called(&transport.name, "depth", !matches!(queued, Queued::Unreachable(_)));
    let depth = match queued {
        Queued::There(depth) | Queued::Differs { depth, .. } => depth,
        Queued::Missing => return Step::Done,
        Queued::Unreachable(why) => return unreachable(context, key, stored, deletion, &owned, why, now).await,
    };
    deletion.unreachable_since = None;
    let waiting = depth.ready + depth.in_flight + depth.delayed;
    if policy == DeletionPolicy::DeleteIfEmpty {
        if waiting > 0 {
            let sentence = format!("queue {} holds {waiting} messages and stays", owned.name);
            tell(context, key, stored, EventType::Normal, "QueueRetained", &sentence).await;
            return Step::Done;
        }
        let approximate = matches!(transport.kind, settings::Kind::Sqs(_));
        if approximate && !read_enough(deletion, now) {
            let sentence = format!("queue {} is read several times, because SQS counts approximately", owned.name);
            let apart = Duration::try_from(SQS_APART).unwrap_or(ELSEWHERE);
            return Step::Waits("WaitsForCounts", sentence, apart);
        }
    }
    let deleted = context.brokers.delete(&transport.name, &queue, policy == DeletionPolicy::Delete).await;
    context.metrics.called(&transport.name, "delete", deleted.is_ok());
    match deleted {
        Ok(kept) => {
            for sentence in kept {
                tell(context, key, stored, EventType::Normal, "QueueRetained", &sentence).await;
            }
            Step::Done
        }
        Err(problem) => unreachable(context, key, stored, deletion, &owned, problem.to_string(), now).await,
    }
}

/// Counts a reading that found nothing; true when there were enough.
fn read_enough(deletion: &mut DeletionStatus, now: Timestamp) -> bool {
    let last: Option<Timestamp> = deletion.read_time.as_deref().and_then(|text| text.parse().ok());
    if last.is_none_or(|last| now.duration_since(last) >= SQS_APART) {
        deletion.empty_readings = Some(deletion.empty_readings.unwrap_or_default() + 1);
        deletion.read_time = Some(whole_seconds(now));
    }
    deletion.empty_readings.unwrap_or_default() >= SQS_READINGS
}

/// A broker that cannot be asked holds the deletion up for so long and no longer.
async fn unreachable(
    context: &Context,
    key: &Key,
    stored: &Stored,
    deletion: &mut DeletionStatus,
    owned: &QueueStatus,
    why: String,
    now: Timestamp,
) -> Step {
    let since = deletion.unreachable_since.get_or_insert_with(|| whole_seconds(now));
    let since: Timestamp = since.parse().unwrap_or(now);
    let limit = SignedDuration::try_from(context.settings.deletion_timeout).unwrap_or(SignedDuration::MAX);
    if now.duration_since(since) >= limit {
        let sentence = format!(
            "queue {} on transport {} was not deleted, because the broker did not answer: {why}; delete it by hand",
            owned.name, owned.transport
        );
        tell(context, key, stored, EventType::Warning, "QueueNotDeleted", &sentence).await;
        return Step::Done;
    }
    Step::Waits("BrokerUnreachable", why, ELSEWHERE)
}

fn whole_seconds(now: Timestamp) -> String {
    Timestamp::from_second(now.as_second()).unwrap_or(now).to_string()
}

/// Whether a stored actor names a workload that is not ours.
pub fn bound(spec: &Value) -> bool {
    !spec["workloadRef"].is_null()
}
