//! What a manifest says that means something on a cluster only. It is named: who reads a rule in a manifest believes that it
//! holds.

use asya_resources::{Kind, RUNTIME_CONTAINER};
use serde_json::Value;

use super::sidecar;
use crate::manifest::Manifest;

/// One sentence for an actor of which something is not heard here.
pub(super) fn of(manifest: &Manifest) -> Option<String> {
    let mut all = Vec::new();
    let variables = sidecar::unheard(manifest);
    if !variables.is_empty() {
        all.push(format!("spec.sidecar.env {}", variables.join(", ")));
    }
    let fields = fields(manifest);
    all.extend((!fields.is_empty()).then(|| fields.join(", ")));
    let (name, file) = (manifest.name(), manifest.file.display());
    (!all.is_empty())
        .then(|| format!("warning: actor {name} ({file}): of no effect here: {}", all.join("; ")))
}

/// The fields that would change what the handler sees, or when it runs.
fn fields(manifest: &Manifest) -> Vec<String> {
    let spec = &manifest.actor.spec;
    let pod = &spec.workload.template.spec;
    let is_filled =
        |list: Option<&Value>| list.and_then(Value::as_array).is_some_and(|list| !list.is_empty());
    let mut fields = Vec::new();
    let mut note = |is_said: bool, field: &str| fields.extend(is_said.then(|| field.to_owned()));
    note(spec.handler_from.is_some(), "spec.handlerFrom");
    note(spec.timeout.as_ref().is_some_and(|timeout| timeout.startup.is_some()), "spec.timeout.startup");
    if let Some(scaling) = spec.scaling.as_ref().filter(|scaling| scaling.enabled) {
        note(!scaling.triggers.is_empty(), "spec.scaling.triggers");
        note(scaling.advanced.is_some(), "spec.scaling.advanced");
    }
    note(spec.kind() == Kind::Job, "spec.workload.kind Job");
    note(is_filled(pod.rest.get("initContainers")), "initContainers");
    for container in pod.containers.iter().filter(|container| container.name != RUNTIME_CONTAINER) {
        note(true, &format!("container {}", container.name));
    }
    if let Some(runtime) = spec.workload.runtime() {
        for field in ["envFrom", "volumeMounts"] {
            note(is_filled(runtime.rest.get(field)), &format!("{field} of {RUNTIME_CONTAINER}"));
        }
    }
    fields
}
