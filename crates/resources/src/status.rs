//! What an operator says about an actor.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What an operator says about an actor. All of it is optional; what is absent was not seen yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AsyncActorStatus {
    /// What holds and what does not, each with a reason and a sentence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// One word for all of it: Running, Napping, ScalingUp, TransportError and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The generation of the spec that this status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Pods that are ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Pods that exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_replicas: Option<i32>,
    /// Pods that are neither ready nor failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending_replicas: Option<i32>,
    /// Pods that do not come up or keep dying.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_pods: Option<i32>,
    /// Ready and existing pods, as 2/3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_replicas_summary: Option<String>,
    /// Deprecated: true and all conditions, as 3/3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_summary: Option<String>,
    /// The same as readyReplicas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Pods that should exist.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// Deprecated: existing and wanted pods, as 3/5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas_summary: Option<String>,
    /// When the number of wanted pods changed last, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<String>,
    /// Which way it changed: up or down.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scale_direction: Option<String>,
    /// Time and direction of the last change in one text; - before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scale_formatted: Option<String>,
    /// KEDA, or Manual while scaling is off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaling_mode: Option<String>,
    /// Ready or NotReady.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport_status: Option<String>,
    /// Messages that wait. Renewed when it changes by more than a factor of two or crosses zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queued_messages: Option<i32>,
    /// Messages in work. Renewed like queuedMessages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_messages: Option<i32>,
    /// The workload that runs the actor: the operator's own, or the bound one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<WorkloadRef>,
    /// The KEDA object that scales it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaled_object_ref: Option<ScaledObjectRef>,
    /// Label selector of the actor's pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// The queue that this actor owns: what a change of transport leaves behind and a deletion may delete. Absent when
    /// another actor owns the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueStatus>,
    /// Queues that the actor owned before its transport or the queue template changed, until they are gone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub former_queues: Vec<FormerQueue>,
    /// How far the deletion got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion: Option<DeletionStatus>,
}

/// One thing that holds or does not, as Kubernetes' own `metav1.Condition`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about, for example TransportReady.
    #[serde(rename = "type")]
    pub r#type: String,
    /// True, False or Unknown.
    pub status: String,
    /// The generation of the spec that this is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When status changed last, as RFC 3339.
    pub last_transition_time: String,
    /// One word that programs can rely on.
    pub reason: String,
    /// A sentence for people: what is wrong and what to do.
    #[serde(default)]
    pub message: String,
}

/// The workload that runs an actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// For example apps/v1.
    pub api_version: String,
    /// For example Deployment.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// The KEDA object that scales an actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScaledObjectRef {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

/// The queue that an actor owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct QueueStatus {
    /// The operator's name of the transport.
    pub transport: String,
    /// The queue's full name at the broker.
    pub name: String,
    /// The full name of its dead-letter queue, if it has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<String>,
    /// When the numbers of messages were written last, as RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_time: Option<String>,
}

/// A queue that an actor left behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct FormerQueue {
    /// The operator's name of the transport that it is on.
    pub transport: String,
    /// The queue's full name at the broker.
    pub name: String,
    /// When the actor got another one, as RFC 3339.
    pub left_time: String,
}

impl FormerQueue {
    /// Whether it is this queue.
    pub fn is(&self, transport: &str, name: &str) -> bool {
        (self.transport.as_str(), self.name.as_str()) == (transport, name)
    }
}

/// How far the deletion of an actor got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct DeletionStatus {
    /// Readings of the queue in a row that found it empty (SQS counts are approximate: three are needed).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_readings: Option<i32>,
    /// When it was read last, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_time: Option<String>,
    /// Since when the broker does not answer, as RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable_since: Option<String>,
}

/// What can be read of the status of an object: a field of another form is left out, and not all the others with it.
pub(crate) fn readable<T: DeserializeOwned + Default>(object: &Value) -> T {
    let Some(status) = object.get("status").and_then(Value::as_object) else { return T::default() };
    if let Ok(whole) = serde_json::from_value(Value::Object(status.clone())) {
        return whole;
    }
    let mut readable = status.clone();
    readable.retain(|key, value| {
        let alone = serde_json::json!({ key: value });
        serde_json::from_value::<T>(alone).is_ok()
    });
    serde_json::from_value(Value::Object(readable)).unwrap_or_default()
}

impl AsyncActorStatus {
    /// Reads the status of an object as the API server has it. What another version of the operator wrote in another
    /// way is left out, so that an old status never stops a reconcile.
    pub fn read(object: &Value) -> Self {
        readable(object)
    }

    /// The condition of a type, if it was ever set.
    pub fn condition(&self, r#type: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.r#type == r#type)
    }
}

impl Condition {
    /// Whether it holds.
    pub fn is_true(&self) -> bool {
        self.status == "True"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_another_type_does_not_hide_the_others() {
        let object = json!({"status": {"replicas": "three", "status": "Running", "later": {"a": 1}}});
        let read = AsyncActorStatus::read(&object);
        assert_eq!((read.replicas, read.status.as_deref()), (None, Some("Running")));
    }

    #[test]
    fn an_empty_status_is_written_as_nothing() {
        assert_eq!(serde_json::to_value(AsyncActorStatus::default()).unwrap(), json!({}));
    }
}
