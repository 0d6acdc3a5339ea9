//! The one word of `kubectl get`.

use asya_resources::{AsyncActorStatus, Word};
use jiff::{SignedDuration, Timestamp};

use super::{Observed, Trouble, conditions};

/// Pods that are not ready so long after the last scaling are no longer coming up: the contract's bound.
const SETTLING: SignedDuration = SignedDuration::from_mins(5);

/// The word for what was observed. `status` has the new conditions and counts.
pub(super) fn decide(observed: &Observed<'_>, status: &AsyncActorStatus) -> Word {
    let holds = |name: &str| status.condition(name).is_some_and(asya_resources::Condition::is_true);
    if observed.deleting.is_some() {
        return Word::Terminating;
    }
    if !observed.transport.is_good() {
        return Word::TransportError;
    }
    if !observed.workload.is_good() {
        return Word::WorkloadError;
    }
    if !holds(conditions::WORKLOAD) {
        return troubled(observed, status);
    }
    // Pods may run on: until they ended what they have in hand, and where replicas of a bound workload are its owner's.
    if observed.paused && observed.replicas.is_some_and(|replicas| replicas.total == 0) {
        return Word::Paused;
    }
    if observed.scaling && !observed.scaler.is_good() {
        return Word::ScalingError;
    }
    let Some(replicas) = observed.replicas else { return Word::Creating };
    match (replicas.desired, replicas.total, replicas.ready) {
        (0, 0, _) if observed.scaling => Word::Napping,
        (0, 0, _) => Word::Running,
        (desired, total, _) if total > desired => Word::ScalingDown,
        (desired, total, ready) if total < desired || ready < total => {
            if settled(status, observed.now) && total == desired { Word::Degraded } else { Word::ScalingUp }
        }
        (desired, _, ready) if ready == desired => Word::Running,
        _ => Word::Unknown,
    }
}

/// The word for the worst trouble of the pods, or for those that cannot be made: a quota may have room a little later.
fn troubled(observed: &Observed<'_>, status: &AsyncActorStatus) -> Word {
    let worst = observed.pods.iter().filter_map(|pod| pod.trouble(observed.now)).min();
    match worst.map(|(trouble, _)| trouble) {
        Some(Trouble::Resources) => Word::PendingResources,
        Some(Trouble::Image) => Word::ImagePullError,
        Some(Trouble::Config) => Word::ConfigError,
        Some(Trouble::Volume) => Word::VolumeError,
        Some(Trouble::Runtime) => Word::RuntimeError,
        Some(Trouble::Sidecar) => Word::SidecarError,
        Some(Trouble::Other) => Word::WorkloadError,
        None if settled(status, observed.now) => Word::Degraded,
        None => Word::ScalingUp,
    }
}

/// Whether the last scaling is long ago. Without one, the workload is as old as its condition.
fn settled(status: &AsyncActorStatus, now: Timestamp) -> bool {
    let since = status.last_scale_time.as_deref().or_else(|| {
        status.condition(conditions::WORKLOAD).map(|condition| condition.last_transition_time.as_str())
    });
    since
        .and_then(|text| text.parse::<Timestamp>().ok())
        .is_some_and(|since| now.duration_since(since) > SETTLING)
}
