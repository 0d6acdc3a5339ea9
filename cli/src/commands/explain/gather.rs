//! Reading everything about an actor.

use asya_resources::{Kind, Word};
use serde_json::Value;

use super::{
    Image, QueueReport, Report, ScalerReport, ScalingReport, WorkloadReport, credentials, next, pods::Pod,
    trouble,
};
use crate::cluster::{
    Actor, Cluster, ClusterError, Resource,
    resource::{
        AUTOSCALERS, DEPLOYMENTS, PODS, SCALED_JOBS, SCALED_OBJECTS, STATEFUL_SETS, TRIGGER_AUTHENTICATIONS,
    },
};

/// Label of every pod of an actor.
const ACTOR_LABEL: &str = "asya.sh/asya";

/// Everything that may be read of an actor.
///
/// # Errors
/// When the API server does not answer; a missing right is no error.
pub(super) async fn gather(cluster: &Cluster, actor: &Actor) -> anyhow::Result<Report> {
    let mut not_read = Vec::new();
    let (kind, workload) = workload(cluster, actor, &mut not_read).await?;
    let template = template(&kind, workload.as_ref());
    let mut pods: Vec<Pod> = Vec::new();
    let labels = format!("{ACTOR_LABEL}={}", actor.name);
    match cluster.list(PODS, Some(&actor.namespace), &labels).await {
        Ok(found) => pods.extend(found.iter().map(Pod::of)),
        Err(ClusterError::Forbidden(words)) => not_read.push(words),
        Err(error) => return Err(error.into()),
    }
    let scaling = scaling(cluster, actor, &mut not_read).await?;
    let last_error = trouble::last(cluster, actor, &pods, &mut not_read).await?;
    not_read.dedup();
    let status = &actor.status;
    let word = actor.word().map(str::to_owned);
    let meaning = match (&word, word.as_deref().and_then(Word::read)) {
        (_, Some(word)) => word.meaning().to_owned(),
        (Some(_), None) => "a word that this version does not know; the conditions say more".to_owned(),
        (None, None) => "the operator has said nothing about it yet".to_owned(),
    };
    let spec = actor.spec.as_ref();
    let bound = spec.and_then(|spec| spec.workload_ref.as_ref());
    let images = template.map(|pod| images(&pod["spec"])).unwrap_or_default();
    Ok(Report {
        actor: actor.name.clone(),
        namespace: actor.namespace.clone(),
        word,
        meaning,
        current: actor.is_current(),
        queue: status.queue.as_ref().map(|queue| QueueReport {
            transport: queue.transport.clone(),
            name: queue.name.clone(),
            dead_letter: queue.dead_letter.clone(),
            waiting: status.queued_messages,
            in_work: status.processing_messages,
            counted: queue.counted_time.clone(),
        }),
        workload: WorkloadReport {
            name: bound.map_or_else(|| actor.name.clone(), |bound| bound.name.clone()),
            kind,
            exists: workload.is_some(),
            bound: bound.is_some(),
            paused: spec.is_some_and(|spec| spec.paused),
            wanted: status.desired_replicas.unwrap_or(0),
            total: status.total_replicas.unwrap_or(0),
            ready: status.ready_replicas.unwrap_or(0),
            images,
        },
        credentials: template.map(|pod| credentials::describe(&pod["spec"])),
        scaling,
        conditions: status.conditions.clone(),
        last_error,
        not_read,
        next_step: next::step(actor, &pods),
        pods,
    })
}

/// The workload's kind, and the object if it exists and may be read.
async fn workload(
    cluster: &Cluster,
    actor: &Actor,
    not_read: &mut Vec<String>,
) -> anyhow::Result<(String, Option<Value>)> {
    let spec = actor.spec.as_ref();
    let bound = spec.and_then(|spec| spec.workload_ref.as_ref());
    let (kind, name) = match (&actor.status.workload_ref, bound) {
        (Some(found), _) => (found.kind.clone(), found.name.clone()),
        (None, Some(bound)) => (bound.kind.clone(), bound.name.clone()),
        (None, None) => {
            let kind = match spec.map(asya_resources::AsyncActorSpec::kind) {
                Some(Kind::StatefulSet) => "StatefulSet",
                Some(Kind::Job) => "ScaledJob",
                Some(Kind::Deployment) | None => "Deployment",
            };
            (kind.to_owned(), actor.name.clone())
        }
    };
    let resource = match kind.as_str() {
        "StatefulSet" => STATEFUL_SETS,
        "ScaledJob" | "Job" => SCALED_JOBS,
        _ => DEPLOYMENTS,
    };
    let object = optional(cluster, resource, actor, &name, not_read).await?;
    Ok((kind, object))
}

/// An object; `None` when it does not exist, may not be read, or its kind is not installed.
async fn optional(
    cluster: &Cluster,
    resource: Resource,
    actor: &Actor,
    name: &str,
    not_read: &mut Vec<String>,
) -> anyhow::Result<Option<Value>> {
    match cluster.get(resource, Some(&actor.namespace), name).await {
        Ok(object) => Ok(object),
        Err(ClusterError::Forbidden(words) | ClusterError::Uninstalled(words)) => {
            not_read.push(words);
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// The pod template of a workload.
fn template<'a>(kind: &str, workload: Option<&'a Value>) -> Option<&'a Value> {
    let workload = workload?;
    Some(if kind == "ScaledJob" || kind == "Job" {
        &workload["spec"]["jobTargetRef"]["template"]
    } else {
        &workload["spec"]["template"]
    })
}

fn images(pod: &Value) -> Vec<Image> {
    let lists = ["initContainers", "containers"].into_iter().filter_map(|list| pod[list].as_array());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    lists
        .flatten()
        .map(|container| Image { container: text(&container["name"]), image: text(&container["image"]) })
        .collect()
}

async fn scaling(
    cluster: &Cluster,
    actor: &Actor,
    not_read: &mut Vec<String>,
) -> anyhow::Result<ScalingReport> {
    let spec = actor.spec.as_ref();
    let mut report = ScalingReport {
        on: spec.is_some_and(asya_resources::AsyncActorSpec::scaling_on),
        min: spec.map_or(0, asya_resources::AsyncActorSpec::min_replicas),
        max: spec.map_or(0, asya_resources::AsyncActorSpec::max_replicas),
        object: None,
        autoscaler: None,
        authentication: None,
    };
    if !report.on {
        return Ok(report);
    }
    let job = spec.is_some_and(|spec| spec.kind() == Kind::Job);
    let resource = if job { SCALED_JOBS } else { SCALED_OBJECTS };
    let Some(object) = optional(cluster, resource, actor, &actor.name, not_read).await? else {
        return Ok(report);
    };
    let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let triggers = items(&object["spec"]["triggers"]);
    let conditions = items(&object["status"]["conditions"]);
    report.object = Some(ScalerReport {
        kind: resource.kind.to_owned(),
        name: actor.name.clone(),
        triggers: triggers.iter().map(|trigger| text(&trigger["type"])).collect(),
        conditions: conditions
            .iter()
            .map(|condition| {
                (text(&condition["type"]), text(&condition["status"]), text(&condition["message"]))
            })
            .collect(),
    });
    let reference = triggers.iter().find_map(|trigger| trigger["authenticationRef"]["name"].as_str());
    if let Some(name) = reference {
        let found = optional(cluster, TRIGGER_AUTHENTICATIONS, actor, name, not_read).await?;
        let state = if found.is_some() { "" } else { " (not found)" };
        report.authentication = Some(format!("TriggerAuthentication {name}{state}"));
    }
    if let Some(name) = object["status"]["hpaName"].as_str()
        && let Some(found) = optional(cluster, AUTOSCALERS, actor, name, not_read).await?
    {
        let number = |value: &Value| value.as_i64().unwrap_or(0);
        report.autoscaler = Some(format!(
            "{name}, {} of {} wanted",
            number(&found["status"]["currentReplicas"]),
            number(&found["status"]["desiredReplicas"])
        ));
    }
    Ok(report)
}
