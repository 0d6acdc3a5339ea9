//! Two actors that resolve to the same queue: the older one has it.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
};

use super::{context::Context, work::Key};
use crate::{
    actor::Stored,
    queues::{Claim, conflicts},
};

/// By uid, the owner of the queue that an actor resolves to as well; computed anew when actors came or went.
#[derive(Debug, Default)]
pub struct Losers {
    version: Option<u64>,
    owners: Arc<HashMap<String, Key>>,
}

/// A sentence when another actor owns the queue; `None` when this one does.
pub fn rival(context: &Context, stored: &Stored) -> Option<String> {
    let uid = stored.metadata.uid.as_deref()?;
    let (namespace, name) = losers(context).get(uid)?.clone();
    Some(format!(
        "its queue belongs to actor {name} in namespace {namespace}, which is older: rename this actor, or use the \
         queue template asya-{{namespace}}-{{actor}}"
    ))
}

fn losers(context: &Context) -> Arc<HashMap<String, Key>> {
    let version = context.cache.actors_version();
    let mut known = context.losers.lock().unwrap_or_else(PoisonError::into_inner);
    if known.version != Some(version) {
        let claims: Vec<Claim> = context.cache.actors().iter().map(|actor| claim(actor)).collect();
        let lost = conflicts(&claims, context.settings.template);
        let owners = lost
            .into_iter()
            .map(|(uid, owner)| (uid.to_owned(), (owner.namespace.clone(), owner.name.clone())));
        *known = Losers { version: Some(version), owners: Arc::new(owners.collect()) };
    }
    known.owners.clone()
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
