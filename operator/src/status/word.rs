//! The one word of `kubectl get`.

use asya_resources::AsyncActorStatus;
use jiff::{SignedDuration, Timestamp};

use super::{Observed, Trouble, conditions};

/// Pods that are not ready so long after the last scaling are no longer coming up: the contract's bound.
const SETTLING: SignedDuration = SignedDuration::from_mins(5);

macro_rules! words {
    ($($word:ident $meaning:literal;)+) => {
        /// The state of an actor in one word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Word {
            $(#[doc = $meaning] $word,)+
        }

        impl Word {
            /// Every word with its meaning, in order of decision; the table of the documentation.
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$word, $meaning)),+];

            /// The word itself.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => stringify!($word),)+
                }
            }
        }
    };
}

words! {
    Terminating "the actor is being deleted; the condition Deleting says what is waited for";
    Creating "the actor was just seen; its workload is not there yet";
    TransportError "the transport is not configured, the broker does not answer, or the queue is missing or not ours";
    PendingResources "a pod finds no node with room for it";
    ImagePullError "an image cannot be pulled";
    ConfigError "a ConfigMap or Secret that a container needs is missing";
    VolumeError "a volume cannot be mounted, or the pod's network is not ready";
    RuntimeError "the handler's container keeps ending";
    SidecarError "the sidecar keeps ending";
    WorkloadError "the manifest, the workload or a pod has another problem; the condition WorkloadReady says which";
    ScalingError "KEDA cannot scale the workload; the condition ScalingReady says why";
    Paused "spec.paused is set: no replica runs, messages wait";
    Napping "scaled to zero: nothing waits";
    ScalingUp "more pods are wanted than are ready";
    ScalingDown "fewer pods are wanted than exist";
    Degraded "some pods are not ready, long after the last scaling";
    Running "every pod that is wanted is ready";
    Unknown "none of the above: please report it";
}

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
        return troubled(observed);
    }
    if observed.paused {
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

/// The word for the worst trouble of the pods.
fn troubled(observed: &Observed<'_>) -> Word {
    let worst = observed.pods.iter().filter_map(|pod| pod.trouble(observed.now)).min();
    match worst.map(|(trouble, _)| trouble) {
        Some(Trouble::Resources) => Word::PendingResources,
        Some(Trouble::Image) => Word::ImagePullError,
        Some(Trouble::Config) => Word::ConfigError,
        Some(Trouble::Volume) => Word::VolumeError,
        Some(Trouble::Runtime) => Word::RuntimeError,
        Some(Trouble::Sidecar) => Word::SidecarError,
        Some(Trouble::Other) | None => Word::WorkloadError,
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
