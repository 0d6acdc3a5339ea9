//! The last thing that went wrong: what a crashing container said last, else the newest of conditions, Events, ends of
//! containers and lines of the sidecar.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod as CorePod;
use kube::{Api, api::LogParams};
use serde::Serialize;
use serde_json::Value;

use super::Pod;
use crate::cluster::{
    Actor, Cluster, ClusterError,
    error::Asked,
    resource::{EVENTS, PODS},
};

/// Lines of a log that are looked at.
const LINES: i64 = 200;
/// Pods whose logs are looked at: one that fails is like the next.
const LOOKED_AT: usize = 3;

/// The last error.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LastError {
    /// Where it was said: `condition TransportReady`, `event FailedCreate`, `log of POD/CONTAINER`.
    pub(super) source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<Timestamp>,
    pub(super) message: String,
}

/// The newest error of all places that may be read; the rights that are missing go into `not_read`.
pub(super) async fn last(
    cluster: &Cluster,
    actor: &Actor,
    pods: &[Pod],
    not_read: &mut Vec<String>,
) -> Result<Option<LastError>, ClusterError> {
    let mut errors = conditions(actor);
    errors.extend(pods.iter().flat_map(ends));
    match cluster.list(EVENTS, Some(&actor.namespace), "").await {
        Ok(found) => errors.extend(
            found
                .iter()
                .filter(|event| concerns(event, actor, pods) && !is_warned(event, actor))
                .filter_map(event),
        ),
        Err(ClusterError::Forbidden(words)) => not_read.push(words),
        Err(error) => return Err(error),
    }
    let mut order: Vec<&Pod> = pods.iter().collect();
    order.sort_by_key(|pod| !pod.is_in_trouble());
    // Conditions and Events follow from a crash; its last words say why.
    let mut crashes = Vec::new();
    for pod in order.into_iter().take(LOOKED_AT) {
        for container in &pod.containers {
            let previous = container.state.starts_with("waiting") && container.last.is_some();
            if !previous && container.name != asya_resources::SIDECAR_CONTAINER {
                continue;
            }
            match log(cluster, actor, pod, &container.name, previous).await {
                Ok(found) if previous => crashes.extend(found),
                Ok(found) => errors.extend(found),
                Err(ClusterError::Forbidden(words)) => {
                    not_read.push(words);
                    return Ok(newest(errors));
                }
                // The pod went away, or its node does not answer: the others still say something.
                Err(error) => not_read.push(format!("log of {}/{}: {error}", pod.name, container.name)),
            }
        }
    }
    Ok(newest(crashes).or_else(|| newest(errors)))
}

/// The newest; of equally old ones the first found.
fn newest(errors: Vec<LastError>) -> Option<LastError> {
    errors.into_iter().reduce(|best, error| if error.at > best.at { error } else { best })
}

fn conditions(actor: &Actor) -> Vec<LastError> {
    let bad = actor.status.conditions.iter().filter(|condition| {
        condition.is_bad()
            && (condition.status == "False" || condition.r#type == asya_resources::conditions::STALLED)
    });
    bad.map(|condition| LastError {
        source: format!("condition {}, {}", condition.r#type, condition.reason),
        at: condition.last_transition_time.parse().ok(),
        message: condition.message.clone(),
    })
    .collect()
}

fn ends(pod: &Pod) -> Vec<LastError> {
    let failed = pod.containers.iter().filter_map(|container| {
        let last = container.last.as_ref().filter(|last| last.exit_code != 0)?;
        let words = if last.message.is_empty() { String::new() } else { format!(": {}", last.message) };
        Some(LastError {
            source: format!("container {} of pod {}", container.name, pod.name),
            at: last.at.parse().ok(),
            message: format!("ended with {} (exit code {}){words}", last.reason, last.exit_code),
        })
    });
    failed.collect()
}

/// Whether an Event is about the actor or something of it.
fn concerns(event: &Value, actor: &Actor, pods: &[Pod]) -> bool {
    let name = event["regarding"]["name"].as_str().unwrap_or_default();
    match event["regarding"]["kind"].as_str().unwrap_or_default() {
        "AsyncActor" | "Deployment" | "StatefulSet" | "ScaledObject" | "ScaledJob" => name == actor.name,
        "HorizontalPodAutoscaler" => name == format!("keda-hpa-{}", actor.name),
        "Pod" => pods.iter().any(|pod| pod.name == name),
        // Of a Deployment: its name and a hash. An actor whose name begins like this one has one more hyphen.
        "ReplicaSet" | "Job" => name
            .strip_prefix(actor.name.as_str())
            .and_then(|rest| rest.strip_prefix('-'))
            .is_some_and(|hash| !hash.contains('-')),
        _ => false,
    }
}

/// Whether it tells of something that works in another way than one would expect, which is no error.
fn is_warned(event: &Value, actor: &Actor) -> bool {
    let warning = actor.status.condition(asya_resources::conditions::WARNING);
    warning.is_some_and(|warning| event["reason"] == warning.reason.as_str())
}

fn event(event: &Value) -> Option<LastError> {
    if event["type"] != "Warning" {
        return None;
    }
    let times = [
        &event["series"]["lastObservedTime"],
        &event["deprecatedLastTimestamp"],
        &event["eventTime"],
        &event["metadata"]["creationTimestamp"],
    ];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Some(LastError {
        source: format!(
            "event {} of {} {}",
            text(&event["reason"]),
            text(&event["regarding"]["kind"]),
            text(&event["regarding"]["name"])
        ),
        at: times.into_iter().find_map(|time| time.as_str()?.parse().ok()),
        message: text(&event["note"]),
    })
}

/// The last warning or error of a log; of the log of a run that crashed, its last line.
async fn log(
    cluster: &Cluster,
    actor: &Actor,
    pod: &Pod,
    container: &str,
    previous: bool,
) -> Result<Option<LastError>, ClusterError> {
    let api: Api<CorePod> = Api::namespaced(cluster.client.clone(), &actor.namespace);
    let params = LogParams {
        container: Some(container.to_owned()),
        tail_lines: Some(LINES),
        timestamps: true,
        previous,
        ..LogParams::default()
    };
    let asked =
        Asked { verb: "get", resource: PODS, subresource: Some("log"), namespace: Some(&actor.namespace) };
    let text = cluster.ask(asked, api.logs(&pod.name, &params)).await?;
    let mut lines = text.lines().rev().map(split).filter(|(_, line)| !line.trim().is_empty());
    let found = if previous { lines.next() } else { lines.find(|(_, line)| is_error(line)) };
    Ok(found.map(|(at, line)| LastError {
        source: format!("log of {}/{container}", pod.name),
        at: at.or_else(|| own_time(line)),
        message: words(line),
    }))
}

fn split(raw: &str) -> (Option<Timestamp>, &str) {
    match raw.split_once(' ') {
        Some((first, rest)) if first.parse::<Timestamp>().is_ok() => (first.parse().ok(), rest),
        _ => (None, raw),
    }
}

fn json(line: &str) -> Option<Value> {
    line.starts_with('{').then(|| serde_json::from_str(line).ok())?
}

fn own_time(line: &str) -> Option<Timestamp> {
    let value = json(line)?;
    ["timestamp", "time"].iter().find_map(|key| value[*key].as_str()?.parse().ok())
}

fn is_error(line: &str) -> bool {
    match json(line) {
        Some(value) => {
            let level = value["level"].as_str().unwrap_or_default().to_ascii_lowercase();
            ["warn", "warning", "error", "critical"].contains(&level.as_str())
        }
        None => line.contains(" WARN ") || line.contains(" ERROR "),
    }
}

/// A JSON line as a sentence: its message, and what else it says.
fn words(line: &str) -> String {
    let Some(Value::Object(members)) = json(line) else { return line.trim().to_owned() };
    let told = ["timestamp", "time", "level", "target", "message", "stream", "worker"];
    let message = members.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    let more = members.iter().filter(|(name, _)| !told.contains(&name.as_str()));
    more.fold(message, |text, (name, value)| match value.as_str() {
        Some(value) => format!("{text} {name}={value}"),
        None => format!("{text} {name}={value}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_newest_error_is_the_last() {
        let at = |minute: u8| Some(format!("2026-11-21T09:{minute:02}:00Z").parse().unwrap());
        let error = |source: &str, at| LastError { source: source.to_owned(), at, message: String::new() };
        let errors = vec![error("a", at(3)), error("b", None), error("c", at(7)), error("d", at(7))];
        assert_eq!(newest(errors).unwrap().source, "c");
    }

    #[test]
    fn a_json_line_is_told_as_a_sentence() {
        let line = r#"{"timestamp":"2026-11-21T09:00:00Z","level":"WARN","message":"run failed","id":"e1","attempt":2}"#;
        assert!(is_error(line));
        assert_eq!(words(line), "run failed attempt=2 id=e1");
        assert!(!is_error(r#"{"level":"INFO","message":"WARN ERROR"}"#));
    }

    #[test]
    fn events_of_another_actor_do_not_count() {
        let actor = Actor::of(json!({"metadata": {"name": "ocr", "namespace": "a"}}));
        let event = |kind: &str, name: &str| json!({"regarding": {"kind": kind, "name": name}});
        assert!(concerns(&event("ReplicaSet", "ocr-5d4f"), &actor, &[]));
        assert!(!concerns(&event("ReplicaSet", "ocr-fast-5d4f"), &actor, &[]));
        assert!(!concerns(&event("Pod", "ocr-5d4f-x"), &actor, &[]));
        assert!(!concerns(&event("AsyncActor", "ocr2"), &actor, &[]));
    }
}
