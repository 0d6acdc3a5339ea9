//! The transports' credentials in the namespaces that are listed: a Secret per transport, one reconciler per namespace.
//!
//! The Secret is owned by all actors of the namespace that use it, those that are being deleted included, whose pods may
//! still work. It goes with the last of them: the garbage collector takes it, or we do where the last one turned to other
//! credentials. Secrets are not watched, which would need more rights: what is written is remembered, and compared
//! with the server as often as queues are looked for.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{DeleteParams, Preconditions},
};
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::info;

use super::{
    actor::{Outcome, Stop},
    apply::{reference, timely},
    context::Context,
    live::Kind,
    refusal::Refusal,
    work::{Key, Work},
};
use crate::{
    actor::{Actor, FIELD_MANAGER, SECRET_ANNOTATION, Stored},
    queues::{Problem, projection::NOT_PROJECTED},
    settings::{Settings, Transport},
};

/// How soon other credentials of the operator are passed on: a kubelet itself takes a minute to show them.
const SOURCE_EVERY: Duration = Duration::from_secs(10);

/// How the Secrets stand, by namespace and transport. Bounded by what is listed.
#[derive(Debug, Default)]
pub struct Projections {
    known: Mutex<HashMap<Key, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    /// Why the Secret is not as it should be.
    problem: Option<String>,
    /// When the Secret on the server was last compared.
    compared: Instant,
}

impl Projections {
    fn with<T>(&self, change: impl FnOnce(&mut HashMap<Key, Known>) -> T) -> T {
        change(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, namespace: &str, transport: &Transport) -> Option<Known> {
        self.with(|known| known.get(&(namespace.to_owned(), transport.name.clone())).cloned())
    }

    /// Forgets everything: another replica may have acted since.
    pub fn clear(&self) {
        self.with(HashMap::clear);
    }
}

/// The namespaces that get credentials of some transport, of those that are looked after.
pub fn namespaces(settings: &Settings) -> BTreeSet<String> {
    let listed = settings.transports.values().filter(|transport| transport.enabled);
    let listed = listed.flat_map(|transport| transport.project_to.iter().cloned());
    listed.filter(|name| settings.namespaces.is_empty() || settings.namespaces.contains(name)).collect()
}

/// Whether an actor has to wait until it is known how its Secret stands; it is looked at again then.
pub fn pending(context: &Context, actor: &Actor) -> bool {
    let pending = projected(context, actor)
        .is_some_and(|transport| context.projections.get(&actor.namespace, transport).is_none());
    if pending {
        context.queue.now(Work::Projection(actor.namespace.clone()));
    }
    pending
}

/// Why the Secret that an actor uses is not as it should be.
pub fn problem(context: &Context, actor: &Actor) -> Option<String> {
    context.projections.get(&actor.namespace, projected(context, actor)?)?.problem
}

/// The transport whose Secret we write for an actor.
fn projected<'a>(context: &'a Context, actor: &Actor) -> Option<&'a Transport> {
    let transport = context.settings.transports.get(&actor.spec.transport)?;
    let annotation = actor.annotations.get(SECRET_ANNOTATION);
    let written = transport.enabled && transport.projects_to(&actor.namespace);
    (written && annotation.is_none_or(String::is_empty)).then_some(transport)
}

/// Looks at one namespace.
///
/// # Errors
/// None; what fails is told to the actors.
pub async fn reconcile(context: &Context, namespace: &str) -> Result<Outcome, Stop> {
    let settings = &context.settings;
    let mut outcome = Outcome::Done(None);
    if !namespaces(settings).contains(namespace) {
        return Ok(outcome);
    }
    for transport in settings.transports.values().filter(|it| it.enabled && it.projects_to(namespace)) {
        let owners = owners(&context.cache.actors(), transport, namespace);
        if owners.is_empty() {
            retire(context, namespace, transport).await;
            continue;
        }
        match write(context, namespace, transport, &owners).await {
            Ok(compared) => {
                note(context, namespace, transport, Known { problem: None, compared });
                let source = (!transport.per_namespace_users()).then_some(SOURCE_EVERY);
                let every = settings.queue_check.into_iter().chain(source).min();
                if let Outcome::Done(again) = &mut outcome {
                    *again = again.iter().copied().chain(every).min();
                }
            }
            Err(Failure { sentence, passes }) => {
                // A Secret that was well is still well while a server is away for a moment.
                if !passes || context.projections.get(namespace, transport).is_none() {
                    let known = Known { problem: Some(sentence), compared: Instant::now() };
                    note(context, namespace, transport, known);
                }
                outcome = Outcome::Failed(NOT_PROJECTED.to_owned(), None);
            }
        }
    }
    Ok(outcome)
}

/// Why a Secret is not as it should be.
struct Failure {
    sentence: String,
    /// Whether it may be over at the next look without anybody's doing.
    passes: bool,
}

impl Failure {
    fn of(transport: &Transport, refusal: &Refusal) -> Self {
        let passes = match refusal {
            Refusal::Leaving(_) => true,
            Refusal::Server { code, .. } => matches!(code, 0 | 409 | 429 | 500..),
            Refusal::Foreign(_) | Refusal::Missing(_) | Refusal::Contested(_) => false,
        };
        Self { sentence: refused(transport, refusal), passes }
    }
}

/// Writes the Secret if anything of it changed; when it was last compared with the server.
async fn write(
    context: &Context,
    namespace: &str,
    transport: &Transport,
    owners: &[Value],
) -> Result<Instant, Failure> {
    let name = transport.projected_secret();
    let key = (namespace.to_owned(), name.clone());
    let every = context.settings.queue_check.unwrap_or(Duration::MAX);
    let known = context.projections.get(namespace, transport).filter(|known| known.problem.is_none());
    // The password of a namespace's own user is kept nowhere but in the Secret.
    let fresh = known.filter(|known| known.compared.elapsed() < every && !transport.per_namespace_users());
    let there = match fresh {
        Some(_) => None,
        None => look(context, &key).await.map_err(|refusal| Failure::of(transport, &refusal))?,
    };
    let desired = context.brokers.projection(&transport.name, namespace, there.as_ref()).await;
    let mut desired = desired.map_err(|problem| Failure {
        sentence: unreadable(transport, &problem),
        passes: transport.per_namespace_users() && matches!(problem, Problem::Unreachable(_)),
    })?;
    desired["metadata"]["ownerReferences"] = json!(owners);
    if fresh.is_none() {
        if let Some(owner) = there.as_ref().and_then(controller) {
            let foreign = format!("Secret {name} exists and belongs to {owner}: delete one of the two");
            return Err(Failure::of(transport, &Refusal::Foreign(foreign)));
        }
        if !there.as_ref().is_some_and(|there| holds(there, &desired)) {
            context.applier.expire(Kind::Secret, &key);
        }
    }
    context.applier.apply(&desired, None).await.map_err(|refusal| Failure::of(transport, &refusal))?;
    Ok(fresh.map_or_else(Instant::now, |known| known.compared))
}

/// Deletes a Secret of ours that nobody uses any more.
async fn retire(context: &Context, namespace: &str, transport: &Transport) {
    context.projections.with(|known| known.remove(&(namespace.to_owned(), transport.name.clone())));
    let key = (namespace.to_owned(), transport.projected_secret());
    context.applier.expire(Kind::Secret, &key);
    if !context.cache.knows_actors() {
        return;
    }
    // Nobody waits for this. What cannot be read or deleted now belongs to actors that are gone or going.
    let Ok(Some(there)) = look(context, &key).await else { return };
    let labels = there.metadata.labels.as_ref();
    if labels.and_then(|labels| labels.get(MANAGED_BY)).map(String::as_str) != Some(FIELD_MANAGER)
        || there.metadata.deletion_timestamp.is_some()
    {
        return;
    }
    let only = Preconditions {
        uid: there.metadata.uid.clone(),
        resource_version: there.metadata.resource_version.clone(),
    };
    context.applier.wrote(Kind::Secret, "delete");
    let parameters = DeleteParams::default().preconditions(only);
    if timely(api(context, namespace).delete(&key.1, &parameters)).await.is_ok() {
        info!(namespace, secret = key.1, "deleted credentials that no actor uses any more");
    }
}

/// Label by which our objects are known.
const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

fn api(context: &Context, namespace: &str) -> Api<Secret> {
    Api::namespaced(context.client.clone(), namespace)
}

async fn look(context: &Context, (namespace, name): &Key) -> Result<Option<Secret>, Refusal> {
    let found = timely(api(context, namespace).get_opt(name)).await;
    found.map_err(|error| Refusal::of(Kind::Secret, &(namespace.clone(), name.clone()), &error))
}

/// Remembers how a Secret stands; the actors of the namespace are looked at when that changed.
fn note(context: &Context, namespace: &str, transport: &Transport, now: Known) {
    let problem = now.problem.clone();
    let key = (namespace.to_owned(), transport.name.clone());
    let before = context.projections.with(|known| known.insert(key, now));
    if before.is_some_and(|before| before.problem == problem) {
        return;
    }
    for key in context.cache.actor_keys().into_iter().filter(|key| key.0 == namespace) {
        context.queue.now(Work::Actor(key));
    }
}

/// Owner references of all actors of a namespace that use a transport's Secret, in an order that stays.
fn owners(actors: &[Arc<Stored>], transport: &Transport, namespace: &str) -> Vec<Value> {
    let uses = |actor: &&Arc<Stored>| {
        let metadata = &actor.metadata;
        let annotation = metadata.annotations.as_ref().and_then(|all| all.get(SECRET_ANNOTATION));
        metadata.namespace.as_deref() == Some(namespace)
            && actor.spec["transport"] == transport.name
            && annotation.is_none_or(String::is_empty)
    };
    let name = |actor: &Arc<Stored>| actor.metadata.name.clone().unwrap_or_default();
    let uid = |actor: &Arc<Stored>| actor.metadata.uid.clone().unwrap_or_default();
    let mut owners: Vec<_> = actors.iter().filter(uses).map(|actor| (name(actor), uid(actor))).collect();
    owners.sort();
    owners.iter().map(|(name, uid)| reference(name, uid)).collect()
}

/// Whoever made a Secret and keeps it as it is.
fn controller(there: &Secret) -> Option<String> {
    let mut owners = there.metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    Some(format!("{} {}", owner.kind, owner.name))
}

/// Whether a Secret has everything that is desired of it.
fn holds(there: &Secret, desired: &Value) -> bool {
    let there = serde_json::to_value(there).unwrap_or_default();
    let has = |path: &str| {
        let mut wanted = desired.pointer(path).and_then(Value::as_object).into_iter().flatten();
        wanted.all(|(key, value)| there.pointer(path).and_then(|there| there.get(key)) == Some(value))
    };
    let owned_by = |owner: &Value| {
        let mut owners = there["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.any(|there| there["uid"] == owner["uid"])
    };
    let owners = desired["metadata"]["ownerReferences"].as_array();
    has("/data") && has("/metadata/labels") && owners.into_iter().flatten().all(owned_by)
}

/// What to say when the API server does not take the Secret, and what to do about it.
fn refused(transport: &Transport, refusal: &Refusal) -> String {
    let (secret, name) = (transport.projected_secret(), &transport.name);
    let step = match refusal {
        _ if refusal.forbidden() => format!(
            "; give the operator the Role that the chart renders for transports.{name}.projectTo in this namespace, or \
             take the namespace off that list and put credentials there yourself"
        ),
        Refusal::Foreign(_) => format!(
            ", or take the namespace off transports.{name}.projectTo and name that Secret in the annotation \
             {SECRET_ANNOTATION}"
        ),
        _ => "; it is being tried again".to_owned(),
    };
    format!("the Secret {secret} with the credentials cannot be written into this namespace: {refusal}{step}")
}

/// What to say when there is nothing to write.
fn unreadable(transport: &Transport, problem: &Problem) -> String {
    let (secret, name) = (transport.projected_secret(), &transport.name);
    let step = if transport.per_namespace_users() {
        format!("transports.{name}.config.perNamespaceUsers needs an administrator as the operator's user")
    } else {
        format!(
            "transports.{name}.config has to name the Secret with the credentials, and the operator to mount it"
        )
    };
    format!("the Secret {secret} with the credentials cannot be made: {problem}; {step}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::transports::parse;

    fn transport() -> Transport {
        let json = json!({"transports": {"rabbitmq": {"enabled": true,
            "config": {"host": "broker", "projectTo": ["team", "other"]}}}});
        parse(&json.to_string(), Path::new("/")).unwrap().transports["rabbitmq"].clone()
    }

    fn actor(namespace: &str, name: &str, transport: &str, annotation: &str) -> Arc<Stored> {
        let metadata = json!({"name": name, "namespace": namespace, "uid": format!("uid-{name}"),
            "annotations": {SECRET_ANNOTATION: annotation}});
        let actor = json!({"apiVersion": asya_resources::API_VERSION, "kind": asya_resources::KIND,
            "metadata": metadata, "spec": {"transport": transport}});
        Arc::new(serde_json::from_value(actor).unwrap())
    }

    #[test]
    fn a_secret_is_owned_by_the_actors_that_use_it() {
        let actors = [
            actor("team", "ocr", "rabbitmq", ""),
            actor("team", "llm", "rabbitmq", ""),
            actor("team", "own", "rabbitmq", "mine"),
            actor("team", "sqs", "sqs", ""),
            actor("other", "far", "rabbitmq", ""),
        ];
        let owners = owners(&actors, &transport(), "team");
        let names: Vec<_> = owners.iter().map(|owner| owner["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["llm", "ocr"]);
        assert!(owners.iter().all(|owner| owner.get("controller").is_none()), "nobody is the only owner");
    }

    #[test]
    fn what_somebody_changed_in_a_secret_is_seen() {
        let desired = json!({"metadata": {"labels": {MANAGED_BY: "asya-operator"},
            "ownerReferences": [reference("ocr", "1")]}, "data": {"password": "Z3Vlc3Q="}});
        let owners = |uids: [&str; 2]| {
            uids.map(|uid| {
                json!({"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "name": "ocr", "uid": uid})
            })
        };
        let holds = |labels: Value, uids: [&str; 2], data: Value| {
            let there =
                json!({"metadata": {"labels": labels, "ownerReferences": owners(uids)}, "data": data});
            holds(&serde_json::from_value(there).unwrap(), &desired)
        };
        let (labels, data) =
            (json!({MANAGED_BY: "asya-operator"}), json!({"password": "Z3Vlc3Q=", "more": ""}));
        assert!(holds(labels.clone(), ["1", "2"], data.clone()), "what is more is not ours");
        assert!(!holds(json!({}), ["1", "2"], data.clone()));
        assert!(!holds(labels.clone(), ["2", "3"], data));
        assert!(!holds(labels, ["1", "2"], json!({"password": "b3RoZXI="})));
    }

    #[test]
    fn every_refusal_says_what_to_do() {
        let server = |code| Refusal::Server { words: "no".to_owned(), code };
        let passes = |refusal| Failure::of(&transport(), &refusal).passes;
        assert!(passes(server(0)) && passes(server(503)), "a server is away for a moment");
        assert!(!passes(server(403)) && !passes(server(422)), "somebody has to act");
        let said = |refusal| refused(&transport(), &refusal);
        assert!(said(server(403)).contains("no; give the operator the Role"));
        assert!(said(server(500)).contains("no; it is being tried again"));
        assert!(said(Refusal::Foreign("no".to_owned())).contains(SECRET_ANNOTATION));
        let problem = Problem::Unreachable("no such file".to_owned());
        let words = unreadable(&transport(), &problem);
        assert!(words.contains("no such file") && words.contains("name the Secret"), "{words}");
    }

    #[test]
    fn only_namespaces_that_are_looked_after_get_credentials() {
        let raw = |watched: Option<&str>| {
            crate::settings::Raw {
            transport_config: Some(
                json!({"transports": {
                    "rabbitmq": {"enabled": true, "config": {"host": "broker", "projectTo": ["team", "other"]}},
                    "off": {"type": "rabbitmq", "enabled": false, "config": {"host": "b", "projectTo": ["third"]}},
                }})
                .to_string(),
            ),
            watch_namespaces: watched.map(str::to_owned),
            ..crate::settings::Raw::default()
        }
        };
        let listed =
            |watched| namespaces(&Settings::read(raw(watched)).unwrap()).into_iter().collect::<Vec<_>>();
        assert_eq!(listed(None), ["other", "team"]);
        assert_eq!(listed(Some("team,elsewhere")), ["team"]);
    }
}
