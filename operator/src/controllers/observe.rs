//! Objects of the cluster become what the status is made from.

use jiff::Timestamp;
use serde_json::Value;

use super::live::Live;
use crate::status::{Pod, Replicas, pods::Container};

/// A pod as the status wants it.
pub fn pod(live: &Live) -> Pod {
    let status = &live.status;
    let text = |value: &Value, name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let conditions = status["conditions"].as_array();
    let condition = |wanted: &str| conditions.into_iter().flatten().find(|found| found["type"] == wanted);
    let holds = |wanted: &str| condition(wanted).is_some_and(|found| found["status"] == "True");
    let unscheduled = condition("PodScheduled").filter(|found| found["status"] == "False");
    let without_sandbox = condition("PodReadyToStartContainers").filter(|found| found["status"] == "False");
    let containers = ["initContainerStatuses", "containerStatuses"];
    Pod {
        name: live.key().1,
        phase: text(status, "phase"),
        ready: holds("Ready"),
        terminating: live.deleting(),
        reason: text(status, "reason"),
        unschedulable: unscheduled.map(|found| text(found, "message")),
        without_sandbox: without_sandbox.filter(|_| holds("PodScheduled")).and_then(time),
        containers: containers
            .iter()
            .flat_map(|list| status[list].as_array().into_iter().flatten())
            .map(container)
            .collect(),
    }
}

fn time(condition: &Value) -> Option<Timestamp> {
    condition["lastTransitionTime"].as_str()?.parse().ok()
}

fn container(status: &Value) -> Container {
    let text = |path: &str| status.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let ended = ["/state/terminated", "/lastState/terminated"]
        .iter()
        .find_map(|path| status.pointer(path))
        .map(|ended| {
            let code =
                ended["exitCode"].as_i64().and_then(|code| i32::try_from(code).ok()).unwrap_or_default();
            (ended["reason"].as_str().unwrap_or_default().to_owned(), code)
        });
    let restarts = status["restartCount"].as_i64().and_then(|count| i32::try_from(count).ok());
    Container {
        name: text("/name"),
        restarts: restarts.unwrap_or_default(),
        waiting: status.pointer("/state/waiting/reason").and_then(Value::as_str).map(str::to_owned),
        message: text("/state/waiting/message"),
        ended,
    }
}

/// The replicas of a workload.
pub fn replicas(live: &Live) -> Replicas {
    let number =
        |name: &str| live.status[name].as_i64().and_then(|n| i32::try_from(n).ok()).unwrap_or_default();
    Replicas {
        desired: live.spec.replicas.unwrap_or(1),
        total: number("replicas"),
        ready: number("readyReplicas"),
    }
}

/// Why the API server makes no pods of a workload, in its words: a quota, a policy. Where none is wanted it is of no account.
pub fn refused(live: &Live) -> Option<String> {
    let failure = condition(live, "ReplicaFailure").filter(|(status, ..)| *status == "True");
    let (_, reason, message) = failure.filter(|_| live.spec.replicas != Some(0))?;
    Some(if message.is_empty() { reason } else { message }.to_owned())
}

/// A condition of an object: its status, reason and message.
pub fn condition<'a>(live: &'a Live, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = live.status["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == name)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    Some((text("status"), text("reason"), text("message")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_crashing_container_is_seen_with_its_exit_code() {
        let live: Live = serde_json::from_value(json!({
            "metadata": {"name": "ocr-1", "namespace": "ns"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}],
                "containerStatuses": [{"name": "asya-runtime", "restartCount": 3,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                    "lastState": {"terminated": {"reason": "Error", "exitCode": 2}}}]},
        }))
        .unwrap();
        let pod = pod(&live);
        assert_eq!((pod.phase.as_str(), pod.ready), ("Running", false));
        assert_eq!(pod.containers[0].waiting.as_deref(), Some("CrashLoopBackOff"));
        assert_eq!(pod.containers[0].ended, Some(("Error".to_owned(), 2)));
    }

    #[test]
    fn pods_that_a_quota_refuses_are_seen_while_any_is_wanted() {
        let deployment = |replicas: i32, status: &str| -> Live {
            serde_json::from_value(json!({
                "metadata": {"name": "ocr", "namespace": "ns"},
                "spec": {"replicas": replicas},
                "status": {"conditions": [{"type": "ReplicaFailure", "status": status, "reason": "FailedCreate",
                    "message": "pods \"ocr-1\" is forbidden: exceeded quota: small"}]},
            }))
            .unwrap()
        };
        let words = refused(&deployment(3, "True")).unwrap();
        assert!(words.contains("exceeded quota"), "{words}");
        assert_eq!(refused(&deployment(3, "False")), None);
        assert_eq!(refused(&deployment(0, "True")), None);
    }
}
