//! The ConfigMaps, Secrets and actors of tools that agents name, and what runs of an agent. Nobody tells of them, so they are
//! read at a look.

use asya_resources::agent::{Objection, REGISTRY, SecretKey};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod, Secret, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::registry::accounts;
use crate::{
    actor::ACTOR_LABEL,
    controllers::{apply::timely, live::Kind, work::Key},
    settings::read::boolean,
};

/// What makes a sidecar refuse what nobody approved.
const APPROVED_ONLY: &str = "ASYA_APPROVED_ONLY";

/// What is known of the Secrets that an agent needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Secrets {
    /// It needs none.
    #[default]
    Needless,
    /// All are there.
    There,
    /// The operator may not look at this one.
    Hidden(String),
    /// This is missing: one word, and a sentence.
    Missing(&'static str, String),
}

/// The text under a key of a ConfigMap.
///
/// # Errors
/// What the API server said; within, that it is not there.
pub async fn text(
    client: &Client,
    namespace: &str,
    (name, key): (&str, &str),
) -> kube::Result<Result<String, Objection>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let Some(map) = timely(api.get_opt(name)).await? else {
        return Ok(Err(Objection::ConfigMapMissing(name.to_owned())));
    };
    let text = map.data.and_then(|mut data| data.remove(key));
    Ok(text.ok_or_else(|| Objection::KeyMissing { name: name.to_owned(), key: key.to_owned() }))
}

/// Those of these actors that let in calls which nobody approved. One that is not there lets nobody in.
///
/// # Errors
/// What the API server said.
pub async fn unguarded(client: &Client, namespace: &str, actors: &[String]) -> kube::Result<Vec<String>> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &Kind::AsyncActor.resource());
    let mut open = Vec::new();
    for actor in actors {
        if let Some(live) = timely(api.get_opt(actor)).await?
            && !is_guarded(&live.data)
        {
            open.push(actor.clone());
        }
    }
    Ok(open)
}

/// Whether the sidecar of an actor refuses what nobody approved.
fn is_guarded(actor: &Value) -> bool {
    let env = actor["spec"]["sidecar"]["env"].as_array().map_or(&[][..], Vec::as_slice);
    // Of several the last one counts, as in a container.
    let last = env.iter().rfind(|variable| variable["name"] == APPROVED_ONLY);
    last.and_then(|variable| variable["value"].as_str()).is_some_and(|value| boolean(value) == Ok(true))
}

/// Whether these keys of Secrets are there. Of what they hold nothing is kept.
///
/// # Errors
/// What the API server said, but for a right that is not given.
pub async fn secrets(client: &Client, namespace: &str, keys: &[SecretKey]) -> kube::Result<Secrets> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let mut hidden = None;
    for SecretKey { name, key } in keys {
        match timely(api.get_opt(name)).await {
            Ok(None) => {
                let message = format!(
                    "the Secret {name:?} does not exist in this namespace: kubectl create secret generic {name} -n {namespace} \
                     --from-literal={key}=..."
                );
                return Ok(Secrets::Missing("SecretMissing", message));
            }
            Ok(Some(secret)) if secret.data.as_ref().is_none_or(|data| !data.contains_key(key)) => {
                let message = format!("the Secret {name:?} has no key {key:?}: add it, or name another");
                return Ok(Secrets::Missing("KeyMissing", message));
            }
            Ok(Some(_)) => {}
            Err(kube::Error::Api(status)) if status.is_forbidden() => hidden = Some(name.clone()),
            Err(error) => return Err(error),
        }
    }
    Ok(match hidden {
        Some(name) => Secrets::Hidden(name),
        None if keys.is_empty() => Secrets::Needless,
        None => Secrets::There,
    })
}

/// The actor of an agent, past the cache.
///
/// # Errors
/// What the API server said.
pub async fn actor(
    client: &Client,
    (namespace, name): &Key,
    agent: &str,
) -> kube::Result<Option<DynamicObject>> {
    let api: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &Kind::AsyncActor.resource());
    Ok(timely(api.get_opt(name)).await?.filter(|actor| belongs(actor, agent)))
}

/// The account that an actor's pods are to run as.
pub fn account(actor: &DynamicObject) -> Option<&str> {
    actor.data["spec"]["workload"]["template"]["spec"]["serviceAccountName"].as_str()
}

/// Whether an account is an actor's, or would be: it is not there.
///
/// # Errors
/// What the API server said.
pub async fn is_its(
    client: &Client,
    namespace: &str,
    account: &str,
    actor: Option<&DynamicObject>,
) -> kube::Result<bool> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let uid = actor.and_then(|actor| actor.metadata.uid.as_deref());
    let live = timely(api.get_opt(account)).await?;
    Ok(live.is_none_or(|live| uid.is_some_and(|uid| belongs(&live, uid))))
}

/// The accounts that gateways are told of an agent; `None` where they are told nothing.
///
/// # Errors
/// What the API server said.
pub async fn told(client: &Client, (namespace, name): &Key) -> kube::Result<Option<Vec<String>>> {
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let entries = timely(api.get_opt(REGISTRY)).await?.and_then(|map| map.data).unwrap_or_default();
    Ok(entries.get(&format!("{name}.json")).map(|entry| accounts(entry)))
}

/// How far an actor has moved to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Everything that runs runs as it, and what is started next will.
    Wholly,
    /// Its Deployment is not there, or not through with a change.
    Starting,
    /// This pod runs as another.
    Behind(String),
}

/// How far an actor has moved to this account: a pod of another that is being stopped may still be at work.
///
/// # Errors
/// What the API server said.
pub async fn moved(
    client: &Client,
    (namespace, name): &Key,
    actor: Option<&DynamicObject>,
    account: &str,
) -> kube::Result<Moved> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    // Before the pods: one of another account is not started after that.
    let deployment = timely(deployments.get_opt(name)).await?;
    let uid = actor.and_then(|actor| actor.metadata.uid.as_deref());
    let starts = deployment.is_some_and(|deployment| {
        uid.is_some_and(|uid| belongs(&deployment, uid)) && starts_as(&deployment, account)
    });
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pods = timely(pods.list(&ListParams::default().labels(&format!("{ACTOR_LABEL}={name}")))).await?;
    let behind = pods.items.iter().find(|pod| !has_ended(pod) && !is_of(pod, account));
    Ok(match behind {
        Some(pod) => Moved::Behind(pod.name_any()),
        None if starts => Moved::Wholly,
        None => Moved::Starting,
    })
}

/// Whether an object's controller is this one.
fn belongs(object: &impl ResourceExt, uid: &str) -> bool {
    object.owner_references().iter().any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// Whether a Deployment starts pods as this account alone: its controller knows that, and wants none of those before any
/// more.
fn starts_as(deployment: &Deployment, account: &str) -> bool {
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let status = deployment.status.as_ref();
    let seen = status.and_then(|status| status.observed_generation);
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let through = conditions
        .iter()
        .any(|it| it.type_ == "Progressing" && it.reason.as_deref() == Some("NewReplicaSetAvailable"));
    pod.and_then(|pod| pod.service_account_name.as_deref()) == Some(account)
        && seen >= deployment.metadata.generation
        && through
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn is_of(pod: &Pod, account: &str) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_deref()) == Some(account)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_actor_is_guarded_by_its_sidecars_variable() {
        let actor = |env: Value| json!({"spec": {"sidecar": {"env": env}}});
        let set = |value: &str| json!({"name": "ASYA_APPROVED_ONLY", "value": value});
        // As the sidecar reads it.
        for word in ["true", "True", "1", "yes", "on"] {
            assert!(is_guarded(&actor(json!([{"name": "X", "value": "1"}, set(word)]))), "{word}");
        }
        assert!(!is_guarded(&actor(json!([set("true"), set("false")]))));
        for open in
            [json!({"spec": {}}), actor(json!([])), actor(json!([set("")])), actor(json!([set("si")]))]
        {
            assert!(!is_guarded(&open), "{open}");
        }
    }

    #[test]
    fn an_object_belongs_to_its_controller() {
        let owned = |controller: bool| -> Deployment {
            let owner =
                json!({"apiVersion": "v1", "kind": "X", "name": "x", "uid": "u", "controller": controller});
            serde_json::from_value(json!({"metadata": {"ownerReferences": [owner]}})).unwrap()
        };
        assert!(belongs(&owned(true), "u"));
        assert!(!belongs(&owned(true), "v") && !belongs(&owned(false), "u"));
        assert!(!belongs(&Deployment::default(), "u"));
    }

    #[test]
    fn pods_are_started_as_an_account_once_the_controller_knows() {
        let rolled = |account: Value, seen: i64, reason: &str| -> Deployment {
            let pod = json!({"serviceAccountName": account, "containers": []});
            let spec = json!({"selector": {}, "template": {"spec": pod}});
            let progressing = json!({"type": "Progressing", "status": "True", "reason": reason});
            let status = json!({"observedGeneration": seen, "conditions": [progressing]});
            serde_json::from_value(json!({"metadata": {"generation": 2}, "spec": spec, "status": status}))
                .unwrap()
        };
        let deployment = |account, seen| rolled(account, seen, "NewReplicaSetAvailable");
        assert!(starts_as(&deployment(json!("asya-ops"), 2), "asya-ops"));
        let rolling = rolled(json!("asya-ops"), 2, "ReplicaSetUpdated");
        assert!(!starts_as(&rolling, "asya-ops"), "the ReplicaSet before may replace its pods");
        assert!(!starts_as(&deployment(json!("asya-ops"), 1), "asya-ops"), "pods of the one before may come");
        assert!(!starts_as(&deployment(json!("default"), 2), "asya-ops"));
        assert!(!starts_as(&deployment(Value::Null, 2), "asya-ops"));
    }
}
