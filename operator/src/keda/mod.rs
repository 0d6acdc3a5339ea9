//! Pure: the KEDA objects of an actor.
//!
//! | module | holds |
//! |---|---|
//! | [`trigger`] | what counts the queue, and the credentials that it needs |
//! | [`object`] | the ScaledObject of a Deployment or StatefulSet |
//! | [`job`] | the ScaledJob of a Job |

mod job;
mod object;
pub mod trigger;

use asya_resources::Kind;
use serde_json::Value;

use crate::{
    actor::{ACTOR_LABEL, Actor},
    desired::Context,
};

/// API group and version of KEDA's resources.
pub const API_VERSION: &str = "keda.sh/v1alpha1";
/// Name of the queue's own trigger: what formulas call it.
pub const QUEUE_TRIGGER: &str = "queue";
/// Name of the push scaler's trigger.
pub const PUSH_TRIGGER: &str = "push";

/// KEDA's objects of one actor, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scaling {
    /// What triggers authenticate with first, then ScaledObject or ScaledJob.
    pub objects: Vec<Value>,
    /// What does not scale as one would expect, each a reason word and a sentence; the objects are applied all the
    /// same.
    pub warnings: Vec<(&'static str, String)>,
    /// What cannot be done, each a reason word and a sentence: nothing is applied.
    pub refused: Vec<(&'static str, String)>,
}

/// The KEDA objects of an actor whose scaling is on. `template` is the injected pod template, for a ScaledJob.
pub fn scaling(actor: &Actor, context: &Context<'_>, template: &Value) -> Scaling {
    let mut scaling = Scaling::default();
    if !context.cluster.keda.installed() {
        scaling.refused.push((
            "KedaNotInstalled",
            "KEDA's resources do not exist on this cluster: install KEDA 2.18 or newer, or set \
             scaling.enabled: false; the operator notices by itself"
                .to_owned(),
        ));
        return scaling;
    }
    let Some(triggers) = trigger::all(actor, context, &mut scaling) else { return scaling };
    let object = match actor.spec.kind() {
        Kind::Job => job::scaled_job(actor, context, &triggers, template),
        Kind::Deployment | Kind::StatefulSet => object::scaled_object(actor, &triggers),
    };
    scaling.objects.push(object);
    scaling
}

/// Name, labels and owner of every object here.
fn metadata(actor: &Actor, name: &str) -> Value {
    serde_json::json!({
        "name": name,
        "namespace": actor.namespace,
        "labels": {ACTOR_LABEL: actor.name, "app.kubernetes.io/managed-by": "asya-operator"},
        "ownerReferences": [actor.owner_reference()],
    })
}
