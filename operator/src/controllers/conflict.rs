//! Two actors that resolve to the same queue: the older one has it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use asya_envelope::Queue;

use super::{cache::Cache, context::Context, work::Key};
use crate::{
    actor::Stored,
    queues::{Claim, conflicts},
    settings::Template,
};

/// Actors whose queue is another's. Every replica computes the same from its own cache, whether it leads or not.
#[derive(Debug, Default)]
pub struct Losers {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    version: Option<u64>,
    /// By uid, the owner of the queue that an actor resolves to as well.
    owners: Arc<HashMap<String, Key>>,
}

impl Losers {
    /// The actor that owns the queue of this one; `None` when it is its own. Computed anew when actors came or went.
    pub fn owner(&self, cache: &Cache, template: Template, actor: &Stored) -> Option<Key> {
        let owners = self.owners(cache, template);
        owners.get(actor.metadata.uid.as_deref()?).cloned()
    }

    fn owners(&self, cache: &Cache, template: Template) -> Arc<HashMap<String, Key>> {
        let version = cache.actors_version();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.version != Some(version) {
            let claims: Vec<Claim> = cache.actors().iter().map(|actor| claim(actor)).collect();
            let owners = conflicts(&claims, template)
                .into_iter()
                .map(|(uid, owner)| (uid.to_owned(), (owner.namespace.clone(), owner.name.clone())));
            *known = Known { version: Some(version), owners: Arc::new(owners.collect()) };
        }
        known.owners.clone()
    }
}

/// A sentence when another actor owns the queue; `None` when this one does.
pub fn rival(context: &Context, stored: &Stored) -> Option<String> {
    let (namespace, name) = context.losers.owner(&context.cache, context.settings.template, stored)?;
    Some(format!(
        "its queue belongs to actor {name} in namespace {namespace}, which is older: rename this actor, or use the \
         queue template asya-{{namespace}}-{{actor}}"
    ))
}

/// Another actor that resolves to a queue which this one left behind, or to its dead-letter queue.
pub struct Heir {
    /// The actor.
    pub actor: Key,
    /// False: on another transport of the kind, which may be the same broker under another name.
    pub certain: bool,
}

/// Who may be using a queue that this actor left behind; who certainly does goes before who may.
pub fn heir(context: &Context, stored: &Stored, transport: &str, queue: &Queue) -> Option<Heir> {
    let settings = &context.settings;
    let kind = |name: &str| settings.transports.get(name).map(|transport| transport.kind.word());
    let names = [queue.dead_letter(), queue.clone()];
    let others = context.cache.actors();
    let heirs = others.iter().filter(|other| other.metadata.uid != stored.metadata.uid).filter_map(|other| {
        let claim = claim(other);
        let certain = claim.transport == transport;
        let theirs = settings.template.queue(&claim.namespace, &claim.name);
        let meets = (certain || kind(&claim.transport) == kind(transport))
            && [theirs.dead_letter(), theirs].iter().any(|queue| names.contains(queue));
        meets.then_some(Heir { actor: (claim.namespace, claim.name), certain })
    });
    heirs.max_by_key(|heir| heir.certain)
}

fn claim(actor: &Stored) -> Claim {
    let metadata = &actor.metadata;
    Claim {
        created: metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
        uid: metadata.uid.clone().unwrap_or_default(),
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
        transport: actor.spec["transport"].as_str().unwrap_or_default().to_owned(),
    }
}
