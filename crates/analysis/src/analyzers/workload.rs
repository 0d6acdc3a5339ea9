//! What Deployments, StatefulSets and DaemonSets have in common: a rollout takes its time, and that is not a failure.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec, Secret};

use super::words::names;
use crate::failure::{Failure, Severity};
use crate::object::{Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, Unverified, View};

/// How long a pod may take to become ready: the `progressDeadlineSeconds` that a Deployment has by default, for the kinds
/// that have no such field.
pub(crate) const STARTING: SignedDuration = SignedDuration::from_mins(10);

/// How long after its grace period a pod may be gone late.
const LATE: SignedDuration = SignedDuration::from_mins(1);

/// Whether the controller has yet to look at the object's last change: what its status says is about the one before.
pub(crate) fn behind(object: &Object, observed: Option<i64>) -> bool {
    let generation = object.value().pointer("/metadata/generation").and_then(serde_json::Value::as_i64);
    matches!((generation, observed), (Some(generation), Some(observed)) if observed < generation)
}

/// How far a pod of a workload has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It serves.
    Ready,
    /// It is new, or on its way out: a step of a rollout, which takes its time.
    Passing,
    /// It should have become ready, or gone, by now.
    Stuck,
}

/// How far `pod` has come.
pub(crate) fn stage(pod: &Pod, view: &dyn View) -> Stage {
    if let Some(deleted) = &pod.metadata.deletion_timestamp {
        // The time of deletion already contains the grace period.
        return if view.is_past(deleted.0, LATE) { Stage::Stuck } else { Stage::Passing };
    }
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = conditions.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    if ready.is_some_and(|condition| condition.status == "True") {
        return Stage::Ready;
    }
    let created = pod.metadata.creation_timestamp.as_ref();
    let young = created.is_some_and(|created| !view.is_past(created.0, STARTING));
    if young { Stage::Passing } else { Stage::Stuck }
}

/// Whether a pod has ended, as one that was evicted: it stays until somebody takes it away, and its controller has made
/// another.
pub(crate) fn has_ended(pod: &Pod) -> bool {
    matches!(pod.status.as_ref().and_then(|status| status.phase.as_deref()), Some("Succeeded" | "Failed"))
}

/// Whether `wanted` pods are on their way, if not ready: what is to be seen while a workload scales up, also from zero.
pub(crate) fn on_the_way(pods: &[Pod], wanted: i32, view: &dyn View) -> bool {
    let stages: Vec<Stage> = pods.iter().filter(|pod| !has_ended(pod)).map(|pod| stage(pod, view)).collect();
    !stages.contains(&Stage::Stuck) && i32::try_from(stages.len()).unwrap_or(i32::MAX) >= wanted
}

/// Leaves `code` in doubt while a container of the pods that `selector` matches runs again after it ended, and not for
/// long enough to say that it is well: what crashes again and again looks healed in between.
pub(crate) fn settles(
    code: &str,
    object: &Object,
    selector: &Selector,
    view: &dyn View,
    report: &mut Report,
) {
    let settle = view.settle();
    if settle.is_zero() {
        return;
    }
    let about = format!("pods of {}", object.reference());
    let Some(pods) = report.listed(code, &about, view.all::<Pod>(object.namespace(), selector)) else {
        return;
    };
    let stays = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none() && !has_ended(pod);
    let statuses = pods.iter().filter(stays).filter_map(|pod| pod.status.as_ref());
    let mut containers = statuses
        .flat_map(|status| status.container_statuses.iter().chain(&status.init_container_statuses).flatten());
    if containers.any(|container| {
        let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let running = container.state.as_ref().and_then(|state| state.running.as_ref());
        let since = running.and_then(|running| running.started_at.as_ref());
        last.zip(since).is_some_and(|(_, since)| !view.is_past(since.0, settle))
    }) {
        report.doubt(code, about, Unverified::Settling);
    }
}

/// Looks whether the pull secrets of the template exist. One that does not is passed over by the kubelet: an image that
/// needs it cannot be pulled, another can.
pub(crate) fn pull_secrets(
    object: &Object,
    template: &PodTemplateSpec,
    view: &dyn View,
    report: &mut Report,
) {
    const CODE: &str = "PullSecretMissing";
    let secrets = template.spec.as_ref().and_then(|spec| spec.image_pull_secrets.as_ref());
    for (n, secret) in secrets.into_iter().flatten().enumerate().filter(|(_, secret)| !secret.name.is_empty())
    {
        let about = ObjectRef::of::<Secret>(object.namespace(), &secret.name);
        let lookup = view.get::<Secret>(object.namespace(), &secret.name);
        if let Some(None) = report.known(CODE, &about, lookup) {
            let text = format!(
                "{} {} names the pull secret {}, which does not exist",
                object.kind().kind,
                object.reference().path(),
                about.path()
            );
            report.fail(
                Failure::new(CODE, Severity::Warning, text)
                    .seen(
                        &object.reference(),
                        format!(".spec.template.spec.imagePullSecrets[{n}].name"),
                        secret.name.clone(),
                    )
                    .hides(names(object).chain([secret.name.as_str()]))
                    .explained_by("pod.spec.imagePullSecrets"),
            );
        }
    }
}

/// How bad it is that only some replicas are there: none is worse than one too few.
pub(crate) fn missing(available: i32) -> Severity {
    if available == 0 { Severity::Error } else { Severity::Warning }
}

/// The failure of a workload with the pod that shows it. Its phase, which a crash changes back and forth, is evidence and
/// not part of the text.
pub(crate) fn shown_by(failure: Failure, of: &Object, pod: &Pod) -> Failure {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let at = ObjectRef::of::<Pod>(of.namespace(), name);
    let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
    failure.seen(&at, ".status.phase", phase).hides([name])
}
