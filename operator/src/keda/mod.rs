//! Pure: the KEDA objects of an actor.

use serde_json::Value;

/// KEDA's objects of one actor, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scaling {
    /// TriggerAuthentication first, then ScaledObject or ScaledJob.
    pub objects: Vec<Value>,
    /// What does not scale as one would expect, each a reason word and a sentence; the objects are applied all the
    /// same.
    pub warnings: Vec<(&'static str, String)>,
    /// What cannot be done, each a reason word and a sentence: nothing is applied.
    pub refused: Vec<(&'static str, String)>,
}
