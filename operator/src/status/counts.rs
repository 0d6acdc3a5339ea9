//! Replicas and messages, and when they are worth a write.

use asya_resources::AsyncActorStatus;
use asya_transport::Depth;
use jiff::{SignedDuration, Timestamp};

use super::Observed;

/// Counts of messages are written at most so often per actor: a person's eye needs no more, and a thousand busy actors
/// then cost the API server some 30 writes a second.
const COUNTS_EVERY: SignedDuration = SignedDuration::from_secs(30);

/// A time as Kubernetes writes it: RFC 3339 in whole seconds.
pub(super) fn text(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

/// Sets what concerns pods.
pub(super) fn replicas(status: &mut AsyncActorStatus, observed: &Observed<'_>) {
    let alive: Vec<_> = observed
        .pods
        .iter()
        .filter(|pod| !pod.terminating && pod.phase != "Succeeded" && pod.phase != "Failed")
        .collect();
    let failing = count(observed.pods.iter().filter(|pod| pod.trouble(observed.now).is_some()).count());
    let replicas = observed.replicas.unwrap_or_default();
    let pending = count(alive.iter().filter(|pod| !pod.ready && pod.trouble(observed.now).is_none()).count());
    status.ready_replicas = Some(replicas.ready);
    status.replicas = Some(replicas.ready);
    status.total_replicas = Some(replicas.total);
    status.pending_replicas = Some(pending);
    status.failing_pods = Some(failing);
    status.ready_replicas_summary = Some(format!("{}/{}", replicas.ready, replicas.total));
    status.replicas_summary = Some(format!("{}/{}", replicas.total, replicas.desired));
    scaled(status, observed, replicas.desired);
    status.desired_replicas = Some(replicas.desired);
    status.scaling_mode = Some(if observed.scaling { "KEDA" } else { "Manual" }.to_owned());
    status.selector.clone_from(&observed.selector);
    status.workload_ref.clone_from(&observed.workload_ref);
    status.scaled_object_ref.clone_from(&observed.scaled_object_ref);
}

/// Remembers a change of the wanted replicas, as an absolute time: "5m ago" would be wrong a minute later.
fn scaled(status: &mut AsyncActorStatus, observed: &Observed<'_>, desired: i32) {
    let before = observed.previous.desired_replicas;
    if let (Some(before), true) = (before, observed.replicas.is_some())
        && before != desired
    {
        let direction = if desired > before { "up" } else { "down" };
        let now = text(observed.now);
        status.last_scale_formatted = Some(format!("{now} ({direction})"));
        status.last_scale_time = Some(now);
        status.last_scale_direction = Some(direction.to_owned());
    }
    status.last_scale_formatted.get_or_insert_with(|| "-".to_owned());
}

/// Sets the counts of messages, when they are worth it.
pub(super) fn messages(status: &mut AsyncActorStatus, observed: &Observed<'_>) {
    let counted = observed.previous.queue.as_ref().and_then(|queue| queue.counted_time.clone());
    status.queue.clone_from(&observed.queue);
    let Some(queue) = &mut status.queue else {
        (status.queued_messages, status.processing_messages) = (None, None);
        return;
    };
    queue.counted_time.clone_from(&counted);
    let Some(depth) = observed.depth else { return };
    let last = counted.and_then(|text| text.parse().ok());
    let old = observed.previous.queued_messages.zip(observed.previous.processing_messages);
    if worth_writing(old, depth, last, observed.now) {
        status.queued_messages = Some(count(depth.ready));
        status.processing_messages = Some(count(depth.in_flight));
        queue.counted_time = Some(text(observed.now));
    }
}

/// Whether new counts tell a person something: the first ones; later ones when either crosses zero or changes by more
/// than a factor of two, at most once in [`COUNTS_EVERY`].
pub fn worth_writing(old: Option<(i32, i32)>, new: Depth, last: Option<Timestamp>, now: Timestamp) -> bool {
    let Some((queued, processing)) = old else { return true };
    let early = last.is_some_and(|last| now.duration_since(last) < COUNTS_EVERY);
    !early && (tells(queued, count(new.ready)) || tells(processing, count(new.in_flight)))
}

fn tells(old: i32, new: i32) -> bool {
    (old == 0) != (new == 0) || new > old.saturating_mul(2) || old > new.saturating_mul(2)
}

fn count(number: impl TryInto<i32>) -> i32 {
    number.try_into().unwrap_or(i32::MAX)
}
