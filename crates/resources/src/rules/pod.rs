//! Rules about the pod template and about environments.

use serde_json::Value;

use super::{Rule, has, list, text, this};
use crate::{RUNTIME_CONTAINER, SIDECAR_CONTAINER};

/// Volumes that the operator adds to a pod.
pub const RESERVED_VOLUMES: &[&str] = &["socket-dir", "tmp", "asya-runtime", "asya-transport"];
/// Directory of the runtime's socket, in the two containers that share it.
pub const SOCKET_DIRECTORY: &str = "/var/run/asya";
/// Paths at which the operator mounts into the runtime container.
pub const RESERVED_PATHS: &[&str] = &[SOCKET_DIRECTORY, "/opt/asya/asya_runtime.py"];
/// Variables that sidecar and runtime must agree on.
pub const RESERVED_ENV: &[&str] = &["ASYA_SOCKET_DIR", "ASYA_SOCKET_NAME"];

const POD: &str = "spec.workload.template.spec";
const CONTAINERS: &str = "spec.workload.template.spec.containers";
const INIT_CONTAINERS: &str = "spec.workload.template.spec.initContainers";
const VOLUMES: &str = "spec.workload.template.spec.volumes";

pub(super) const RULES: &[Rule] = &[
    Rule {
        at: CONTAINERS,
        cel: "self.exists(c, c.name == 'asya-runtime')",
        field: "",
        message: NO_RUNTIME_MESSAGE,
        find: |containers| this(runtimes(containers).next().is_none()),
    },
    Rule {
        at: CONTAINERS,
        cel: "self.filter(c, c.name == 'asya-runtime').size() <= 1",
        field: "",
        message: "only one container may be named asya-runtime: name the others otherwise",
        find: |containers| runtimes(containers).skip(1).map(|(index, _)| format!("[{index}].name")).collect(),
    },
    Rule {
        at: CONTAINERS,
        cel: "self.all(c, c.name != 'asya-runtime' || !has(c.command) || c.command.size() == 0)",
        field: "",
        message: "the runtime's container must not set command: it is set to the runtime. Name the function in \
                  handler, and another interpreter in workload.pythonExecutable",
        find: |containers| {
            runtimes(containers)
                .filter(|(_, container)| {
                    has(container, "command")
                        && container["command"].as_array().is_none_or(|it| !it.is_empty())
                })
                .map(|(index, _)| format!("[{index}].command"))
                .collect()
        },
    },
    Rule {
        at: CONTAINERS,
        cel: "self.all(c, c.name != 'asya-runtime' || !has(c.volumeMounts) || \
              c.volumeMounts.all(m, !has(m.mountPath) || \
              !(m.mountPath in $PATHS || m.mountPath.startsWith($SOCKETS))))",
        field: "",
        message: "/var/run/asya and /opt/asya/asya_runtime.py are mounted by the operator: choose another path",
        find: |containers| {
            mounts(containers)
                .filter(|(_, container, mount)| {
                    is_runtime(container) && is_reserved_path(text(mount, "mountPath"))
                })
                .map(|(path, ..)| format!("{path}.mountPath"))
                .collect()
        },
    },
    Rule {
        at: CONTAINERS,
        cel: "self.all(c, c.name != 'asya-runtime' || !has(c.env) || c.env.all(e, !(e.name in $ENV)))",
        field: "",
        message: RESERVED_ENV_MESSAGE,
        find: |containers| {
            runtimes(containers)
                .flat_map(|(at, container)| {
                    reserved_env(&container["env"]).into_iter().map(move |path| format!("[{at}].env{path}"))
                })
                .collect()
        },
    },
    no_sidecar(CONTAINERS),
    no_sidecar(INIT_CONTAINERS),
    no_reserved_mount(CONTAINERS),
    no_reserved_mount(INIT_CONTAINERS),
    Rule {
        at: VOLUMES,
        cel: "self.all(v, !(v.name in $VOLUMES))",
        field: "",
        message: "the volumes socket-dir, tmp, asya-runtime and asya-transport are added: choose another name (a mount \
                  of your own at /tmp is respected)",
        find: |volumes| {
            list(volumes)
                .filter(|(_, volume)| RESERVED_VOLUMES.contains(&text(volume, "name")))
                .map(|(index, _)| format!("[{index}].name"))
                .collect()
        },
    },
    Rule {
        at: POD,
        cel: "",
        field: ".shareProcessNamespace",
        message: "would show the sidecar's files and environment to the other containers: remove it",
        find: |pod| {
            let shared = pod.get("shareProcessNamespace").and_then(Value::as_bool).unwrap_or_default();
            if shared { vec!["shareProcessNamespace".to_owned()] } else { Vec::new() }
        },
    },
    Rule {
        at: "spec.env",
        cel: "self.all(e, !(e.name in $ENV))",
        field: "",
        message: RESERVED_ENV_MESSAGE,
        find: reserved_env,
    },
    Rule {
        at: "spec.env",
        cel: "self.all(e, !(has(e.value) && has(e.valueFrom)))",
        field: "",
        message: TWO_VALUES_MESSAGE,
        find: two_values,
    },
    Rule {
        at: "spec.sidecar.env",
        cel: "self.all(e, !(e.name in $ENV))",
        field: "",
        message: RESERVED_ENV_MESSAGE,
        find: reserved_env,
    },
    Rule {
        at: "spec.sidecar.env",
        cel: "self.all(e, !(has(e.value) && has(e.valueFrom)))",
        field: "",
        message: TWO_VALUES_MESSAGE,
        find: two_values,
    },
];

pub(super) const NO_RUNTIME_MESSAGE: &str =
    "no container is named asya-runtime: the one that runs the handler must be";
const RESERVED_ENV_MESSAGE: &str =
    "ASYA_SOCKET_DIR and ASYA_SOCKET_NAME are set by the platform: remove them";
const TWO_VALUES_MESSAGE: &str = "has both value and valueFrom: keep one";

const fn no_sidecar(at: &'static str) -> Rule {
    Rule {
        at,
        cel: "self.all(c, c.name != 'asya-sidecar')",
        field: "",
        message: "asya-sidecar is the name of the container that is added: choose another",
        find: |containers| {
            list(containers)
                .filter(|(_, container)| text(container, "name") == SIDECAR_CONTAINER)
                .map(|(index, _)| format!("[{index}].name"))
                .collect()
        },
    }
}

const fn no_reserved_mount(at: &'static str) -> Rule {
    Rule {
        at,
        cel: "self.all(c, !has(c.volumeMounts) || c.volumeMounts.all(m, !(m.name in $VOLUMES)))",
        field: "",
        message: "the volumes socket-dir, tmp, asya-runtime and asya-transport are mounted by the operator: mount a \
                  volume of your own",
        find: |containers| {
            mounts(containers)
                .filter(|(_, _, mount)| RESERVED_VOLUMES.contains(&text(mount, "name")))
                .map(|(path, ..)| format!("{path}.name"))
                .collect()
        },
    }
}

fn reserved_env(env: &Value) -> Vec<String> {
    list(env)
        .filter(|(_, var)| RESERVED_ENV.contains(&text(var, "name")))
        .map(|(index, _)| format!("[{index}].name"))
        .collect()
}

fn two_values(env: &Value) -> Vec<String> {
    list(env)
        .filter(|(_, var)| has(var, "value") && has(var, "valueFrom"))
        .map(|(index, _)| format!("[{index}]"))
        .collect()
}

fn is_runtime(container: &Value) -> bool {
    text(container, "name") == RUNTIME_CONTAINER
}

fn is_reserved_path(path: &str) -> bool {
    RESERVED_PATHS.contains(&path)
        || path.strip_prefix(SOCKET_DIRECTORY).is_some_and(|below| below.starts_with('/'))
}

fn runtimes(containers: &Value) -> impl Iterator<Item = (usize, &Value)> {
    list(containers).filter(|(_, container)| is_runtime(container))
}

/// Mounts of all containers, with their paths and containers.
fn mounts(containers: &Value) -> impl Iterator<Item = (String, &Value, &Value)> {
    list(containers).flat_map(|(at, container)| {
        list(&container["volumeMounts"])
            .map(move |(index, mount)| (format!("[{at}].volumeMounts[{index}]"), container, mount))
    })
}
