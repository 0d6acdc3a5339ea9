//! The condition types of an actor.

use crate::Condition;

/// The broker answers and the queue is there.
pub const TRANSPORT: &str = "TransportReady";
/// The workload is there and its pods are well.
pub const WORKLOAD: &str = "WorkloadReady";
/// KEDA scales the workload.
pub const SCALING: &str = "ScalingReady";
/// Messages wait and no pod makes progress.
pub const STALLED: &str = "Stalled";
/// Running pods are behind the operator's runtime or sidecar.
pub const UPDATE: &str = "UpdateAvailable";
/// Something works in another way than one would expect.
pub const WARNING: &str = "ConfigurationWarning";
/// The actor is being deleted.
pub const DELETING: &str = "Deleting";

/// Every condition type with its meaning; the table of the documentation.
pub const ALL: [(&str, &str); 7] = [
    (TRANSPORT, "the broker answers and the queue is there"),
    (WORKLOAD, "the workload is there and its pods are well; none is needed at zero"),
    (SCALING, "KEDA scales the workload; absent while scaling is off"),
    (STALLED, "messages wait and no pod makes progress"),
    (UPDATE, "running pods are behind the operator's runtime or sidecar and follow at their next restart"),
    (WARNING, "something works in another way than one would expect; the reason says what"),
    (DELETING, "the actor is being deleted; the reason says what is waited for"),
];

/// The conditions that count in the summary, in the order in which they are reached: the contract's.
pub const SUMMARY: [&str; 3] = [TRANSPORT, WORKLOAD, SCALING];

/// The status that means trouble, or news, in a condition of this type.
pub fn bad_when(r#type: &str) -> &'static str {
    if SUMMARY.contains(&r#type) { "False" } else { "True" }
}

impl Condition {
    /// Whether it says that something is wrong, or different from what one would expect.
    pub fn is_bad(&self) -> bool {
        self.status == bad_when(&self.r#type)
    }
}
