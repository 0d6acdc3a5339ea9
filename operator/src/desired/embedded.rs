//! The container whose process is sidecar and handler in one.

use asya_resources::{EnvVar, Kind};
use serde_json::{Map, Value, json};

use super::{
    Context, environment, handler,
    lists::{env_json, list, unique},
    sidecar,
};
use crate::actor::Actor;

/// The program, on the path of every image that is built on asya-sidecar-py; an entry point of the user's would hide it.
const PROGRAM: &str = "asya-sidecar-py";
/// The program of the shipped actors, which need no Python.
const CREW: &str = "asya-crew";
/// What their handlers begin with.
const CREW_HANDLERS: &str = "asya_crew.";

/// Makes the user's container run the sidecar with the handler inside. Being told to stop, it drains by itself: no hook.
pub fn inject(actor: &Actor, context: &Context<'_>, container: &mut Map<String, Value>, grace: u64) {
    debug_assert!(actor.spec.kind() != Kind::Job, "a rule refuses it");
    // What the user says comes last and wins, as it does where each of the two has an environment of its own.
    let mut env = vec![EnvVar::plain("ASYA_RUNTIME", "embedded")];
    if let Some(python) = &actor.spec.workload.python_executable {
        env.push(EnvVar::plain("ASYA_PYTHON", python));
    }
    env.extend(environment::sidecar(actor, context, grace));
    env.extend(handler::environment(actor, container));
    env.extend(actor.spec.sidecar.iter().flat_map(|sidecar| sidecar.env.iter().cloned()));
    let env = unique(env);
    let handler = env.iter().find(|variable| variable.name == "ASYA_HANDLER");
    let shipped = handler.and_then(|handler| handler.value.as_deref()?.strip_prefix(CREW_HANDLERS)).is_some();
    container.insert("command".to_owned(), json!([if shipped { CREW } else { PROGRAM }]));
    container.insert("env".to_owned(), env_json(&env));
    handler::mount(actor, container);
    list(container, "volumeMounts").extend(sidecar::secret_mounts(actor, context));
    let resources = actor.spec.sidecar.as_ref().and_then(|sidecar| sidecar.resources.clone());
    if let Some(resources) = resources {
        container.entry("resources").or_insert(resources);
    }
    // No startup probe: the sidecar is not ready either while its broker is away, and must not be restarted for that.
    let Some(port) = environment::port(actor) else { return };
    list(container, "ports").push(sidecar::port_json(port));
    for (name, probe) in sidecar::probes() {
        if container.get(name).is_none_or(Value::is_null) {
            container.insert(name.to_owned(), probe);
        }
    }
}
