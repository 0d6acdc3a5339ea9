//! The container that runs the handler.

use asya_resources::{
    AsyncActorSpec, EnvVar, HandlerFrom, RUNTIME_CONTAINER,
    platform::{DEFAULT_HANDLER_KEY, DEFAULT_PYTHON_IMAGE},
};
use serde_json::{Map, Value, json};

use super::{
    features::Features,
    lists::{env_json, items, list, object, unique},
    names::{
        END_ACTORS, HANDLER_DIR, HANDLER_VOLUME, RUNTIME_KEY, RUNTIME_PATH, RUNTIME_VOLUME, SOCKET_DIR,
        SOCKET_VOLUME, TMP_DIR, TMP_VOLUME,
    },
};
use crate::actor::Actor;

/// Seconds between the checks whether the runtime has started: the contract's.
const STARTUP_PERIOD: u64 = 2;
/// Checks before a runtime that has not started is given up: the contract's five minutes.
const STARTUP_FAILURES: u64 = 150;
/// The contract's check of a runtime that cannot be asked, without the shell that the contract's own needs: its socket and
/// the file that it writes once its handler is loaded.
const LOOK: &str = "import os, sys; d = os.environ['ASYA_SOCKET_DIR']; \
    s = os.environ.get('ASYA_SOCKET_NAME') or 'asya-runtime.sock'; \
    sys.exit(not all(os.path.exists(os.path.join(d, f)) for f in (s, 'runtime-ready')))";
/// The name that a `PYTHONPATH` from elsewhere gets, so that ours can refer to it.
const USERS_PATH: &str = "ASYA_USER_PYTHONPATH";

/// A workload that says nothing about pods: the handler's container on a stock image.
pub fn stock(spec: &AsyncActorSpec) -> Value {
    let image = spec.handler_from.as_ref().and_then(|from| from.image.clone());
    json!({"name": RUNTIME_CONTAINER, "image": image.unwrap_or_else(|| DEFAULT_PYTHON_IMAGE.to_owned())})
}

/// Makes the user's container run the runtime, which has these `features`. `drain` = the hook before its end, used
/// unless it has one. True if it was used.
pub fn inject(
    actor: &Actor,
    features: Features,
    container: &mut Map<String, Value>,
    drain: Option<&Value>,
) -> bool {
    let python = actor.spec.workload.python();
    container.insert("command".to_owned(), json!([python, RUNTIME_PATH]));
    container.insert("env".to_owned(), env_json(&environment(actor, container)));
    mount(actor, container);
    probes(actor, features, container, python);
    let Some(hook) = drain else { return false };
    let lifecycle = object(container, "lifecycle");
    if lifecycle.get("preStop").is_some_and(|own| !own.is_null()) {
        return false;
    }
    lifecycle.insert("preStop".to_owned(), hook.clone());
    true
}

/// The volumes that the container mounts.
pub fn volumes(actor: &Actor, container: &Map<String, Value>, runtime: &str) -> Vec<Value> {
    let mut volumes = Vec::new();
    if items(&Value::Object(container.clone()), "volumeMounts").any(|mount| mount["name"] == TMP_VOLUME) {
        volumes.push(json!({"name": TMP_VOLUME, "emptyDir": {}}));
    }
    if !actor.spec.embedded {
        volumes.push(json!({
            "name": RUNTIME_VOLUME,
            "configMap": {"name": runtime, "defaultMode": 0o755},
        }));
    }
    if let Some(from) = &actor.spec.handler_from {
        let key = key(from);
        volumes.push(json!({
            "name": HANDLER_VOLUME,
            "configMap": {"name": from.config_map, "items": [{"key": key, "path": key}]},
        }));
    }
    volumes
}

fn key(from: &HandlerFrom) -> &str {
    from.key.as_deref().unwrap_or(DEFAULT_HANDLER_KEY)
}

/// Short forms, `spec.env`, the container's own, what the platform needs: the later wins, but a validation that the
/// user chose stays.
pub(super) fn environment(actor: &Actor, container: &Map<String, Value>) -> Vec<EnvVar> {
    let own: Vec<EnvVar> =
        container.get("env").and_then(|env| serde_json::from_value(env.clone()).ok()).unwrap_or_default();
    let mut env = short_forms(&actor.spec);
    if END_ACTORS.contains(&actor.name.as_str()) {
        env.push(EnvVar::plain("ASYA_ENABLE_VALIDATION", "false"));
    }
    env.extend(actor.spec.env.iter().cloned());
    env.extend(own);
    let mut env = unique(env);
    if actor.spec.handler_from.is_some() {
        import_path(&mut env);
    }
    if !actor.spec.embedded {
        env.push(EnvVar::plain("ASYA_SOCKET_DIR", SOCKET_DIR));
    }
    unique(env)
}

fn short_forms(spec: &AsyncActorSpec) -> Vec<EnvVar> {
    [
        ("ASYA_HANDLER", spec.handler.clone()),
        ("ASYA_WORKERS", spec.workers.as_ref().map(ToString::to_string)),
        ("ASYA_CONCURRENCY", spec.concurrency.map(|number| number.to_string())),
        ("ASYA_BATCH_MAX", spec.batch.as_ref().map(|batch| batch.max.to_string())),
        ("ASYA_BATCH_WAIT_MS", spec.batch.as_ref().map(|batch| batch.wait_ms.to_string())),
    ]
    .into_iter()
    .filter_map(|(name, value)| value.map(|value| EnvVar::plain(name, value)))
    .collect()
}

/// Puts the handler's directory before what the user's `PYTHONPATH` names.
fn import_path(env: &mut Vec<EnvVar>) {
    let Some(own) = env.iter_mut().find(|var| var.name == "PYTHONPATH") else {
        env.push(EnvVar::plain("PYTHONPATH", HANDLER_DIR));
        return;
    };
    match own.value.take() {
        Some(value) if !value.is_empty() => own.value = Some(format!("{HANDLER_DIR}:{value}")),
        None if own.value_from.is_some() => {
            USERS_PATH.clone_into(&mut own.name);
            env.push(EnvVar::plain("PYTHONPATH", format!("{HANDLER_DIR}:$({USERS_PATH})")));
        }
        _ => own.value = Some(HANDLER_DIR.to_owned()),
    }
}

pub(super) fn mount(actor: &Actor, container: &mut Map<String, Value>) {
    let mounts = list(container, "volumeMounts");
    let path =
        |mount: &Value| mount["mountPath"].as_str().unwrap_or_default().trim_end_matches('/').to_owned();
    let has_tmp = mounts.iter().any(|mount| path(mount) == TMP_DIR);
    if !actor.spec.embedded {
        mounts.push(json!({"name": SOCKET_VOLUME, "mountPath": SOCKET_DIR}));
    }
    if !has_tmp {
        mounts.push(json!({"name": TMP_VOLUME, "mountPath": TMP_DIR}));
    }
    if !actor.spec.embedded {
        mounts.push(json!({
            "name": RUNTIME_VOLUME,
            "mountPath": RUNTIME_PATH,
            "subPath": RUNTIME_KEY,
            "readOnly": true,
        }));
    }
    if actor.spec.handler_from.is_some() {
        mounts.push(json!({"name": HANDLER_VOLUME, "mountPath": HANDLER_DIR, "readOnly": true}));
    }
}

/// Fills in the probes that the user left out. They run the interpreter and not a shell, which an image may lack.
fn probes(actor: &Actor, features: Features, container: &mut Map<String, Value>, python: &str) {
    let failures =
        actor.spec.timeout().startup.map_or(STARTUP_FAILURES, |seconds| seconds.div_ceil(STARTUP_PERIOD));
    let (ask, ask_live) = if features.probe {
        (json!([python, RUNTIME_PATH, "--probe"]), json!([python, RUNTIME_PATH, "--probe", "live"]))
    } else {
        // Without the user's packages and site: as little as there is to start, every few seconds.
        let look = json!([python, "-I", "-S", "-c", LOOK]);
        (look.clone(), look)
    };
    let (ask, ask_live) = (json!({"command": ask}), json!({"command": ask_live}));
    let ours = [
        (
            "startupProbe",
            json!({"exec": ask, "initialDelaySeconds": 3, "periodSeconds": STARTUP_PERIOD,
            "timeoutSeconds": 3, "failureThreshold": failures}),
        ),
        (
            "livenessProbe",
            json!({"exec": ask_live, "periodSeconds": 30, "timeoutSeconds": 5,
            "failureThreshold": 3}),
        ),
        (
            "readinessProbe",
            json!({"exec": ask, "periodSeconds": 10, "timeoutSeconds": 3,
            "failureThreshold": 3}),
        ),
    ];
    for (name, probe) in ours {
        if container.get(name).is_none_or(Value::is_null) {
            container.insert(name.to_owned(), probe);
        }
    }
}
