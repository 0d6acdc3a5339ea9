//! Two actors that resolve to the same queue: the older one has it.

use asya_envelope::Queue;

use super::{context::Context, work::Key};
use crate::actor::Stored;

/// A sentence when another actor owns the queue; `None` when this one does.
pub fn rival(context: &Context, key: &Key, stored: &Stored, queue: &Queue) -> Option<String> {
    let template = context.settings.template;
    let transport = &stored.spec["transport"];
    let age = |actor: &Stored| {
        let created = actor.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (created, actor.metadata.uid.clone())
    };
    let mine = age(stored);
    let other = context.cache.find_actor(|other_key, other| {
        other_key != key
            && &other.spec["transport"] == transport
            && age(other) < mine
            // The cheap question first: queues of different actors rarely end alike.
            && queue.as_str().ends_with(&other_key.1)
            && template.queue(&other_key.0, &other_key.1).as_str() == queue.as_str()
    })?;
    Some(format!(
        "queue {} belongs to actor {} in namespace {}, which is older: rename this actor, or use the queue template \
         asya-{{namespace}}-{{actor}}",
        queue.as_str(),
        other.1,
        other.0,
    ))
}
