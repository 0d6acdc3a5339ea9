//! Names that sidecar, runtime and the objects around them agree on.

/// Directory of the runtime's sockets.
pub const SOCKET_DIR: &str = "/var/run/asya";
/// Volume of [`SOCKET_DIR`], mounted by exactly two containers.
pub const SOCKET_VOLUME: &str = "socket-dir";
/// Volume of the runtime container's `/tmp`.
pub const TMP_VOLUME: &str = "tmp";
/// Where it is mounted, unless a mount of the user's is there.
pub const TMP_DIR: &str = "/tmp";
/// Volume with the runtime.
pub const RUNTIME_VOLUME: &str = "asya-runtime";
/// The runtime in its container, and its key in the ConfigMap.
pub const RUNTIME_PATH: &str = "/opt/asya/asya_runtime.py";
/// Key of the runtime in its ConfigMap.
pub const RUNTIME_KEY: &str = "asya_runtime.py";
/// Volume with the transport's credentials.
pub const TRANSPORT_VOLUME: &str = "asya-transport";
/// Where the sidecar, and nobody else, finds them.
pub const TRANSPORT_DIR: &str = "/var/run/secrets/asya.sh/transport";
/// Volume with the token for the gateway.
pub const GATEWAY_VOLUME: &str = "asya-gateway-token";
/// Where the sidecar, and nobody else, finds it.
pub const GATEWAY_DIR: &str = "/var/run/secrets/asya.sh/gateway";
/// Volume with a handler from a ConfigMap.
pub const HANDLER_VOLUME: &str = "asya-handler";
/// Where it is importable from.
pub const HANDLER_DIR: &str = "/opt/asya/handler";
/// Name of the sidecar's port.
pub const METRICS_PORT: &str = "asya-metrics";
/// Header that a call of `/drain` must carry.
pub const DRAIN_HEADER: &str = "X-Asya-Drain-Token";
/// Label with the kind of workload.
pub const WORKLOAD_LABEL: &str = "asya.sh/workload";
/// Label of everything that the operator makes.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Its value.
pub const MANAGER: &str = "asya-operator";
/// The end actors: what they are sent is not routed on.
pub const END_ACTORS: [&str; 2] = ["happy-end", "error-end"];
/// User and group of containers that are ours where the pod would make them root.
pub const NOBODY: u32 = 65532;
