//! What is kept of one AsyncActor.

use asya_resources::{AsyncActorStatus, Condition, scaling::DEFAULT_MAX_REPLICAS};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::actors::{Actor, ActorProblem};

/// Longest sentence that is kept of a condition, in characters: longer ones are lists of pods.
const LONGEST: usize = 500;

/// What a page shows of the object. `queue` is empty where its status does not tell it.
pub(super) fn seen(object: &DynamicObject) -> Actor {
    let spec = &object.data["spec"];
    let status = AsyncActorStatus::read(&json!({"status": object.data["status"]}));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok());
    let scaling = &spec["scaling"];
    let scaled = scaling["enabled"] == true;
    let replicas = |field: &str, default: u32| {
        let said = scaling[field].as_u64().and_then(|number| u32::try_from(number).ok());
        scaled.then(|| said.unwrap_or(default))
    };
    Actor {
        name: object.metadata.name.clone().unwrap_or_default(),
        namespace: object.metadata.namespace.clone(),
        queue: status.queue.as_ref().map(|queue| queue.name.clone()).unwrap_or_default(),
        handler: text(&spec["handler"]),
        transport: text(&spec["transport"]).unwrap_or_default(),
        problems: status.conditions.iter().filter(|condition| condition.is_bad()).map(problem).collect(),
        paused: spec["paused"] == true,
        ready: count(status.ready_replicas),
        desired: count(status.desired_replicas),
        min_replicas: replicas("minReplicas", 0),
        max_replicas: replicas("maxReplicas", DEFAULT_MAX_REPLICAS),
        queued: count(status.queued_messages).map(u64::from),
        in_flight: count(status.processing_messages).map(u64::from),
        status: status.status,
        ..Actor::default()
    }
}

fn problem(condition: &Condition) -> ActorProblem {
    let mut message: String = condition.message.chars().take(LONGEST).collect();
    if message.len() < condition.message.len() {
        message.push('…');
    }
    ActorProblem { condition: condition.r#type.clone(), reason: condition.reason.clone(), message }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use super::*;

    fn object(spec: Value, status: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor",
            "metadata": {"name": "ocr", "namespace": "team"}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn an_actor_is_kept_with_its_word_its_replicas_and_what_is_wrong_with_it() {
        let condition = |kind: &str, status: &str, message: &str| {
            json!({"type": kind, "status": status, "reason": "R", "message": message,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let spec = json!({"transport": "rabbitmq", "handler": "ocr.read", "paused": true,
            "scaling": {"enabled": true, "minReplicas": 1}, "workload": {"template": {"spec": {}}}});
        let status = json!({"status": "Degraded", "readyReplicas": 1, "desiredReplicas": 3, "queuedMessages": 7,
        "processingMessages": 2, "queue": {"transport": "rabbitmq", "name": "asya-team-ocr"}, "conditions": [
            condition("TransportReady", "True", "all is well"),
            condition("WorkloadReady", "False", &"ä".repeat(LONGEST + 1)),
            condition("Stalled", "False", "nothing waits"),
            condition("ConfigurationWarning", "True", "a limit is missing"),
        ]});
        let actor = seen(&object(spec, status));
        let problems: Vec<_> = actor.problems.iter().map(|it| it.condition.as_str()).collect();
        assert_eq!(problems, ["WorkloadReady", "ConfigurationWarning"]);
        assert_eq!(actor.problems[0].message.chars().count(), LONGEST + 1);
        let expected = Actor {
            name: "ocr".to_owned(),
            namespace: Some("team".to_owned()),
            queue: "asya-team-ocr".to_owned(),
            handler: Some("ocr.read".to_owned()),
            transport: "rabbitmq".to_owned(),
            status: Some("Degraded".to_owned()),
            ready: Some(1),
            desired: Some(3),
            queued: Some(7),
            in_flight: Some(2),
            min_replicas: Some(1),
            max_replicas: Some(50),
            paused: true,
            problems: actor.problems.clone(),
            ..Actor::default()
        };
        assert_eq!(actor, expected);
    }

    #[test]
    fn an_actor_that_nobody_has_looked_after_is_known_by_name() {
        let actor = seen(&object(json!({"transport": "sqs"}), Value::Null));
        assert_eq!((actor.name.as_str(), actor.queue.as_str(), actor.transport.as_str()), ("ocr", "", "sqs"));
        assert_eq!((actor.status, actor.ready, actor.max_replicas), (None, None, None));
    }
}
