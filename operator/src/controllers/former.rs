//! Taking over a workload of the previous operator without replacing its pods.
//!
//! It carries none of our notes, so nothing says what was applied. Where that operator had seen the spec as it is now,
//! the template that runs is what was applied, and moving to this operator is a change of the platform's: from here on
//! the rollout policy decides, as over any other.

use std::collections::BTreeMap;

use kube::{Api, api::DynamicObject};

use super::{
    apply::timely,
    context::Context,
    live::{Kind, Live},
    refusal::Refusal,
    work::Key,
};
use crate::{
    actor::Actor,
    desired::{
        Desired,
        names::{MANAGED_BY_LABEL, MANAGER},
        rollout,
    },
};

/// Puts the template that runs in place of the newest one, and notes it. False, and nothing changed, where the workload
/// is not the previous operator's, has no pods, or the actor's spec is another than it last saw (`observed`).
///
/// # Errors
/// What the API server said when it was asked for the template.
pub async fn keep(
    context: &Context,
    target: (Kind, &Key),
    actor: &Actor,
    desired: &mut Desired,
    live: &Live,
    observed: Option<i64>,
) -> Result<bool, Refusal> {
    let annotations = live.metadata.annotations.as_ref();
    let is_noted = annotations.is_some_and(|all| all.contains_key(rollout::SPEC_HASH))
        || live.label(MANAGED_BY_LABEL) == Some(MANAGER);
    let is_whole = observed == Some(actor.generation) && live.controller() == Some(&actor.uid);
    let has_pods = live.spec.replicas.unwrap_or(1) > 0;
    if is_noted || !is_whole || !has_pods || actor.spec.workload_ref.is_some() {
        return Ok(false);
    }
    let (kind, key) = target;
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &key.0, &kind.resource());
    let found = timely(api.get_opt(&key.1)).await.map_err(|error| Refusal::of(kind, key, &error))?;
    let Some(found) = found else { return Ok(false) };
    let text = found.data["spec"]["template"].to_string();
    if text.len() > rollout::MAX_TEMPLATE {
        return Ok(false);
    }
    // A restart of long ago is not a wish to be answered now.
    let restarted = live.spec.restarted_at();
    let noted: BTreeMap<_, _> =
        restarted.map(|at| (rollout::RESTARTED.to_owned(), at.to_owned())).into_iter().collect();
    let there = rollout::Live { annotations: &noted, has_pods, restarted };
    Ok(rollout::wait(desired, &there, &text))
}
