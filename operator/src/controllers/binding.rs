//! Binding mode: the sidecar joins a workload that somebody else made.

use asya_resources::Binding;
use serde_json::{Value, json};

use super::{apply::Refusal, context::Context, live::Kind, work::Key};

/// The kind of the bound workload.
pub fn kind(binding: &Binding) -> Kind {
    if binding.kind == Kind::StatefulSet.word() { Kind::StatefulSet } else { Kind::Deployment }
}

/// Applies our part to the bound workload, which must exist.
///
/// # Errors
/// Why our part is not there now.
pub async fn apply(context: &Context, key: &Key, binding: &Binding, part: &Value) -> Result<(), Refusal> {
    if context.applier.settled(part) {
        return Ok(());
    }
    let kind = kind(binding);
    let target = (key.0.clone(), binding.name.clone());
    let Some(live) = context.applier.look(kind, &target).await? else {
        return Err(Refusal::Foreign(format!(
            "{kind} {} does not exist: make it, or name another one",
            binding.name
        )));
    };
    if context.applier.contested(kind, &target) {
        return Err(Refusal::Contested(format!(
            "somebody else takes our part of {kind} {} away again: tell that tool to leave the sidecar alone \
             (docs/operate.md, binding)",
            binding.name
        )));
    }
    // With its uid the object cannot come into being by this apply.
    let mut part = part.clone();
    part["metadata"]["uid"] = json!(live.uid());
    context.applier.apply(&part, None).await.map(drop)
}

/// Takes our part of the bound workload away.
///
/// # Errors
/// What the API server said.
pub async fn remove(context: &Context, key: &Key, binding: &Binding) -> Result<(), Refusal> {
    let kind = kind(binding);
    let target = (key.0.clone(), binding.name.clone());
    if context.applier.look(kind, &target).await?.is_none() {
        return Ok(());
    }
    let resource = kind.resource();
    let nothing = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": target.1, "namespace": target.0},
    });
    context.applier.apply(&nothing, None).await.map(drop)
}
