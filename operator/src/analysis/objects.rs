//! What a `K8sGPT` owns: applied when it is not as it should be, deleted when it is wanted no more.

use std::collections::BTreeSet;

use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Preconditions},
};
use serde_json::Value;
use tracing::info;

use super::{LABEL, NAMESPACE_LABEL, desired, reconcile::Context, subject::Subject};
use crate::controllers::{
    apply::{Owner, Written, identify, timely},
    live::{Kind, Live},
    refusal::Refusal,
    work::Key,
};

/// Applies everything that is wanted, and deletes what is not. What fails does not keep the rest from being tried.
///
/// # Errors
/// The first reason why something is not as it should be.
pub async fn apply(context: &Context, subject: &Subject, wanted: &[Value]) -> Result<(), Refusal> {
    let mut names = BTreeSet::new();
    let mut first = Ok(());
    for object in wanted {
        let outcome = one(context, subject, object, &mut names).await;
        first = first.and(outcome);
    }
    let pruned = prune(context, subject, &names).await;
    first.and(pruned)
}

async fn one(
    context: &Context,
    subject: &Subject,
    object: &Value,
    names: &mut BTreeSet<(Kind, Key)>,
) -> Result<(), Refusal> {
    let (kind, key) = identify(object)?;
    names.insert((kind, key.clone()));
    let abroad = object["metadata"]["ownerReferences"].is_null();
    let owner = (!abroad).then_some(Owner { name: &subject.name, uid: &subject.uid });
    // Nobody tells of Secrets: whether it is still there has to be asked.
    if kind == Kind::Secret && context.applier.look(kind, &key).await?.is_none() {
        context.applier.expire(kind, &key);
    }
    if context.applier.apply(object, owner).await? == Written::Applied {
        info!(%kind, namespace = key.0, name = key.1, k8sgpt = subject.name, "applied");
    }
    Ok(())
}

/// Deletes what this `K8sGPT` owns and does not want.
async fn prune(context: &Context, subject: &Subject, wanted: &BTreeSet<(Kind, Key)>) -> Result<(), Refusal> {
    let owner = Owner { name: &subject.name, uid: &subject.uid };
    let mut first = Ok(());
    for kind in Kind::OF_ANALYSIS {
        for object in context.known.cache.all(kind) {
            let key = object.key();
            if wanted.contains(&(kind, key.clone())) || object.deleting() {
                continue;
            }
            let outcome = if is_abroad(&object, &subject.namespace, &subject.label()) {
                delete_abroad(context, kind, &object).await
            } else if object.controller() == Some(subject.uid.as_str()) {
                context.applier.delete(kind, &key, owner).await.map(drop)
            } else {
                continue;
            };
            info!(%kind, namespace = key.0, name = key.1, k8sgpt = subject.name, "wanted no more");
            first = first.and(outcome);
        }
    }
    let secret = (subject.namespace.clone(), subject.object(desired::KUBECONFIG_SECRET));
    if !wanted.contains(&(Kind::Secret, secret.clone())) && context.first_look_at(subject) {
        first = first.and(context.applier.delete(Kind::Secret, &secret, owner).await.map(drop));
    }
    first
}

fn is_abroad(object: &Live, namespace: &str, label: &str) -> bool {
    object.label(NAMESPACE_LABEL) == Some(namespace) && object.label(LABEL) == Some(label)
}

async fn delete_abroad(context: &Context, kind: Kind, object: &Live) -> Result<(), Refusal> {
    let key = object.key();
    let api: Api<DynamicObject> = if key.0.is_empty() {
        Api::all_with(context.client.clone(), &kind.resource())
    } else {
        Api::namespaced_with(context.client.clone(), &key.0, &kind.resource())
    };
    context.metrics.wrote(kind.word(), "delete");
    let only = Preconditions { uid: object.metadata.uid.clone(), resource_version: None };
    match timely(api.delete(&key.1, &DeleteParams::background().preconditions(only))).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(Refusal::of(kind, &key, &error)),
    }
}

/// Deletes what no owner reference holds of `K8sGPT` objects that are gone. Of namespaces that are not watched nothing is
/// known, and nothing is deleted.
///
/// # Errors
/// The first reason why something is still there.
pub async fn sweep(context: &Context) -> Result<(), Refusal> {
    let mut first = Ok(());
    for kind in [Kind::RoleBinding, Kind::ClusterRoleBinding] {
        for object in context.known.cache.all(kind) {
            let (Some(namespace), Some(label)) = (object.label(NAMESPACE_LABEL), object.label(LABEL)) else {
                continue;
            };
            let gone = context.known.follows("k8sgpts", namespace)
                && context.known.of_label(namespace, label).is_none();
            if gone && !object.deleting() {
                info!(%kind, namespace = object.key().0, name = object.key().1, "its K8sGPT is gone");
                first = first.and(delete_abroad(context, kind, &object).await);
            }
        }
    }
    first
}
