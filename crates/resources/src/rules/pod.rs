//! Rules about the pod template and about environments.

use serde_json::Value;

use super::{Rule, has, items, text, this};
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

pub(super) const RULES: &[Rule] = &[
    Rule {
        at: POD,
        cel: "has(self.containers) && self.containers.exists(c, c.name == 'asya-runtime')",
        field: ".containers",
        message: "no container is named asya-runtime: the one that runs the handler must be",
        find: |pod| this(!items(pod, "containers").any(|(_, container)| is_runtime(container))),
    },
    Rule {
        at: POD,
        cel: "!has(self.containers) || self.containers.filter(c, c.name == 'asya-runtime').size() <= 1",
        field: ".containers",
        message: "only one container may be named asya-runtime: name the others otherwise",
        find: |pod| runtimes(pod).skip(1).map(|(index, _)| format!("containers[{index}].name")).collect(),
    },
    Rule {
        at: POD,
        cel: "(!has(self.containers) || self.containers.all(c, c.name != 'asya-sidecar')) && \
              (!has(self.initContainers) || self.initContainers.all(c, c.name != 'asya-sidecar'))",
        field: "",
        message: "asya-sidecar is the name of the container that is added: choose another",
        find: |pod| {
            containers(pod)
                .filter(|(_, container)| text(container, "name") == SIDECAR_CONTAINER)
                .map(|(path, _)| format!("{path}.name"))
                .collect()
        },
    },
    Rule {
        at: POD,
        cel: "!has(self.containers) || self.containers.all(c, c.name != 'asya-runtime' || !has(c.command) || \
              c.command.size() == 0)",
        field: ".containers",
        message: "the runtime's container must not set command: it is set to the runtime. Name the function in \
                  handler, and another interpreter in workload.pythonExecutable",
        find: |pod| {
            runtimes(pod)
                .filter(|(_, container)| {
                    has(container, "command")
                        && container["command"].as_array().is_none_or(|it| !it.is_empty())
                })
                .map(|(index, _)| format!("containers[{index}].command"))
                .collect()
        },
    },
    Rule {
        at: POD,
        cel: "!has(self.volumes) || self.volumes.all(v, !(v.name in $VOLUMES))",
        field: ".volumes",
        message: "the volumes socket-dir, tmp, asya-runtime and asya-transport are added: choose another name (a mount \
                  of your own at /tmp is respected)",
        find: |pod| {
            items(pod, "volumes")
                .filter(|(_, volume)| RESERVED_VOLUMES.contains(&text(volume, "name")))
                .map(|(index, _)| format!("volumes[{index}].name"))
                .collect()
        },
    },
    Rule {
        at: POD,
        cel: "(!has(self.containers) || self.containers.all(c, !has(c.volumeMounts) || \
              c.volumeMounts.all(m, !(m.name in $VOLUMES)))) && \
              (!has(self.initContainers) || self.initContainers.all(c, !has(c.volumeMounts) || \
              c.volumeMounts.all(m, !(m.name in $VOLUMES))))",
        field: "",
        message: "the volumes socket-dir, tmp, asya-runtime and asya-transport are mounted by the operator: mount a \
                  volume of your own",
        find: |pod| {
            mounts(pod)
                .filter(|(_, _, mount)| RESERVED_VOLUMES.contains(&text(mount, "name")))
                .map(|(path, ..)| format!("{path}.name"))
                .collect()
        },
    },
    Rule {
        at: POD,
        cel: "!has(self.containers) || self.containers.all(c, c.name != 'asya-runtime' || !has(c.volumeMounts) || \
              c.volumeMounts.all(m, !has(m.mountPath) || \
              !(m.mountPath in $PATHS || m.mountPath.startsWith($SOCKETS))))",
        field: ".containers",
        message: "/var/run/asya and /opt/asya/asya_runtime.py are mounted by the operator: choose another path",
        find: |pod| {
            mounts(pod)
                .filter(|(_, container, mount)| {
                    is_runtime(container) && is_reserved_path(text(mount, "mountPath"))
                })
                .filter(|(path, ..)| path.starts_with("containers"))
                .map(|(path, ..)| format!("{path}.mountPath"))
                .collect()
        },
    },
    Rule {
        at: POD,
        cel: "!has(self.containers) || self.containers.all(c, c.name != 'asya-runtime' || !has(c.env) || \
              c.env.all(e, !(e.name in $ENV)))",
        field: ".containers",
        message: RESERVED_ENV_MESSAGE,
        find: |pod| {
            runtimes(pod)
                .flat_map(|(at, container)| {
                    reserved_env(&container["env"])
                        .into_iter()
                        .map(move |path| format!("containers[{at}].env{path}"))
                })
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

const RESERVED_ENV_MESSAGE: &str =
    "ASYA_SOCKET_DIR and ASYA_SOCKET_NAME are set by the platform: remove them";
const TWO_VALUES_MESSAGE: &str = "has both value and valueFrom: keep one";

fn reserved_env(env: &Value) -> Vec<String> {
    let env = env.as_array().into_iter().flatten().enumerate();
    env.filter(|(_, var)| RESERVED_ENV.contains(&text(var, "name")))
        .map(|(index, _)| format!("[{index}].name"))
        .collect()
}

fn two_values(env: &Value) -> Vec<String> {
    let env = env.as_array().into_iter().flatten().enumerate();
    env.filter(|(_, var)| has(var, "value") && has(var, "valueFrom"))
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

fn runtimes(pod: &Value) -> impl Iterator<Item = (usize, &Value)> {
    items(pod, "containers").filter(|(_, container)| is_runtime(container))
}

/// Containers and init containers, with their paths.
fn containers(pod: &Value) -> impl Iterator<Item = (String, &Value)> {
    ["containers", "initContainers"].into_iter().flat_map(move |list| {
        items(pod, list).map(move |(index, container)| (format!("{list}[{index}]"), container))
    })
}

/// Mounts of all of them, with their paths and containers.
fn mounts(pod: &Value) -> impl Iterator<Item = (String, &Value, &Value)> {
    containers(pod).flat_map(|(path, container)| {
        items(container, "volumeMounts")
            .map(move |(index, mount)| (format!("{path}.volumeMounts[{index}]"), container, mount))
    })
}
