//! Pure: what objects an actor needs, as JSON for server-side apply.
//!
//! | module | holds |
//! |---|---|
//! | [`pod`] | the user's pod with sidecar and runtime injected |
//! | [`handler`] | the container that runs the handler |
//! | [`sidecar`], [`environment`] | the container that moves envelopes, and what it is told |
//! | [`embedded`] | the container that is both |
//! | [`credentials`], [`accounts`] | who may speak to the broker: Secrets as files, cloud identity |
//! | [`security`], [`drain`] | security contexts; how a pod ends |
//! | [`workload`], [`binding`] | what the template becomes a part of |
//! | [`rollout`] | when pods follow a change that is not the actor's own |
//! | [`features`] | what a runtime can do beside running handlers |
//! | [`names`], [`lists`] | names of volumes, paths, labels; lists of named things |
//!
//! The invariant: **what the user wrote stays as it is, and credentials reach the sidecar alone.**

pub mod accounts;
pub mod binding;
pub mod credentials;
pub mod drain;
pub mod embedded;
pub mod environment;
pub mod features;
pub mod handler;
pub mod lists;
pub mod names;
pub mod pod;
pub mod rollout;
pub mod security;
pub mod sidecar;
pub mod workload;

use asya_envelope::Queue;
use serde_json::Value;

use crate::{
    actor::Actor,
    cluster::Cluster,
    settings::{Settings, Transport},
};

/// All that the objects of one actor depend on.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The operator's configuration.
    pub settings: &'a Settings,
    /// The actor's transport.
    pub transport: &'a Transport,
    /// The actor's queue.
    pub queue: &'a Queue,
    /// What the server can do.
    pub cluster: &'a Cluster,
    /// Name of the ConfigMap with the runtime for this actor's pods.
    pub runtime: &'a str,
    /// What that runtime can do.
    pub features: features::Features,
}

/// The objects of one actor, KEDA's excepted, in the order in which they are applied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// Accounts and services, which the workload needs.
    pub before: Vec<Value>,
    /// The account that has to be there: one of an agent, where agents are not looked after any more.
    pub expected: Option<Value>,
    /// The Deployment or StatefulSet without `spec.replicas` while scaling is on; in binding mode the part of the
    /// bound object that is ours; `None` for a Job, whose template lives in the ScaledJob.
    pub workload: Option<Value>,
    /// The injected pod template, for a ScaledJob.
    pub template: Value,
    /// What cannot be done, each a reason word and a sentence: the workload is not applied.
    pub refused: Vec<(&'static str, String)>,
    /// What works differently than one would expect, each a reason word and a sentence: applied all the same.
    pub warnings: Vec<(&'static str, String)>,
}

/// The objects of an actor, as if nothing of it ran; [`rollout::wait`] then holds back what would end running pods.
pub fn objects(actor: &Actor, context: &Context<'_>) -> Desired {
    let mut desired = match &actor.spec.workload_ref {
        Some(binding) => binding::part(actor, context, binding),
        None => owned(actor, context),
    };
    rollout::record(actor, &mut desired);
    desired
}

fn owned(actor: &Actor, context: &Context<'_>) -> Desired {
    let pod::Pod { template, warnings, refused } = pod::pod(actor, context);
    let account = accounts::account(actor, context)
        .filter(|account| template["spec"]["serviceAccountName"] == account["metadata"]["name"]);
    let (account, expected) = match accounts::are_made(context) {
        true => (account, None),
        false => (None, account),
    };
    Desired {
        expected,
        before: account.into_iter().chain(workload::service(actor)).collect(),
        workload: workload::workload(actor, &template),
        template,
        refused,
        warnings,
    }
}
