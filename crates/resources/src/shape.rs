//! Which fields a manifest may have, and of which type.

/// What a field holds.
#[derive(Debug)]
pub enum Shape {
    /// Anything; Kubernetes knows better.
    Any,
    /// Text that is not empty.
    Text,
    /// True or false.
    Bool,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// A number from the first to the second.
    Number(f64, f64),
    /// Seconds as a whole number, or a duration with its unit.
    Delay,
    /// A number of processes, or `auto`.
    Workers,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Text values under any key.
    Labels,
    /// A list of such.
    List(&'static Shape),
    /// These fields and no others.
    Object(&'static [Field]),
    /// These fields are looked at, any other is Kubernetes' own.
    Open(&'static [Field]),
}

/// One field.
#[derive(Debug)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
}

const fn field(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: false }
}

const fn required(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, required: true }
}

const I32: u64 = i32::MAX as u64;

const KEY: Shape = Shape::Object(&[
    field("name", Shape::Text),
    required("key", Shape::Text),
    field("optional", Shape::Bool),
]);

const ENV: Shape = Shape::List(&Shape::Object(&[
    required("name", Shape::Text),
    field("value", Shape::Any),
    field(
        "valueFrom",
        Shape::Object(&[
            field("secretKeyRef", KEY),
            field("configMapKeyRef", KEY),
            field("fieldRef", Shape::Open(&[required("fieldPath", Shape::Text)])),
            field("resourceFieldRef", Shape::Open(&[required("resource", Shape::Text)])),
            field("fileKeyRef", Shape::Any),
        ]),
    ),
]));

const CONTAINERS: Shape = Shape::List(&Shape::Open(&[required("name", Shape::Text), field("env", ENV)]));

const SCALING: Shape = Shape::Object(&[
    field("enabled", Shape::Bool),
    field("minReplicas", Shape::Whole(0, I32)),
    field("maxReplicas", Shape::Whole(1, I32)),
    field("pollingInterval", Shape::Whole(1, I32)),
    field("cooldownPeriod", Shape::Whole(0, I32)),
    field("queueLength", Shape::Whole(1, I32)),
    field("push", Shape::Bool),
    field(
        "advanced",
        Shape::Object(&[
            field("formula", Shape::Text),
            field("target", Shape::Text),
            field("activationTarget", Shape::Text),
            field("metricType", Shape::Word(&["AverageValue", "Value", "Utilization"])),
            field("restoreToOriginalReplicaCount", Shape::Bool),
        ]),
    ),
    field("triggers", Shape::List(&Shape::Open(&[required("type", Shape::Text)]))),
    field("behavior", Shape::Any),
    field("fallback", Shape::Any),
]);

const WORKLOAD: Shape = Shape::Object(&[
    field("kind", Shape::Word(&["Deployment", "StatefulSet", "Job"])),
    field("type", Shape::Word(&["Deployment", "StatefulSet", "Job"])),
    field("replicas", Shape::Whole(0, I32)),
    field("pythonExecutable", Shape::Text),
    field("volumeClaimTemplates", Shape::Any),
    field("serviceName", Shape::Text),
    field("persistentVolumeClaimRetentionPolicy", Shape::Any),
    field(
        "job",
        Shape::Object(&[
            field("messages", Shape::Whole(1, I32)),
            field("idleTimeout", Shape::Whole(1, I32)),
            field("ttlSecondsAfterFinished", Shape::Whole(0, I32)),
        ]),
    ),
    field("shareCloudIdentity", Shape::Bool),
    required(
        "template",
        Shape::Object(&[
            field("metadata", Shape::Any),
            field(
                "spec",
                Shape::Open(&[field("containers", CONTAINERS), field("initContainers", CONTAINERS)]),
            ),
        ]),
    ),
]);

const RETRY: Shape = Shape::Object(&[
    field("attempts", Shape::Whole(1, I32)),
    field("initialDelay", Shape::Delay),
    field("maxDelay", Shape::Delay),
    field("multiplier", Shape::Number(1.0, 1000.0)),
    field("jitter", Shape::Number(0.0, 1.0)),
    field("nonRetryable", Shape::List(&Shape::Text)),
]);

const SPEC: Shape = Shape::Object(&[
    required("transport", Shape::Text),
    field("handler", Shape::Text),
    field("env", ENV),
    field("workers", Shape::Workers),
    field("concurrency", Shape::Whole(1, I32)),
    field(
        "batch",
        Shape::Object(&[required("max", Shape::Whole(1, I32)), field("waitMs", Shape::Whole(0, I32))]),
    ),
    field("retry", RETRY),
    field(
        "timeout",
        Shape::Object(&[
            field("processing", Shape::Whole(1, I32)),
            field("gracefulShutdown", Shape::Whole(0, I32)),
            field("startup", Shape::Whole(1, I32)),
        ]),
    ),
    field("routes", Shape::Object(&[field("allow", Shape::List(&Shape::Text))])),
    field("scaling", SCALING),
    field("workload", WORKLOAD),
    field(
        "workloadRef",
        Shape::Object(&[
            required("apiVersion", Shape::Text),
            required("kind", Shape::Word(&["Deployment", "StatefulSet"])),
            required("name", Shape::Text),
            field("container", Shape::Text),
            field(
                "http",
                Shape::Object(&[required("port", Shape::Whole(1, 65535)), field("path", Shape::Text)]),
            ),
        ]),
    ),
    field(
        "handlerFrom",
        Shape::Object(&[
            required("configMap", Shape::Text),
            field("key", Shape::Text),
            field("image", Shape::Text),
        ]),
    ),
    field(
        "sidecar",
        Shape::Object(&[
            field("image", Shape::Any),
            field("imagePullPolicy", Shape::Word(&["Always", "IfNotPresent", "Never"])),
            field("imagePullSecrets", Shape::List(&Shape::Text)),
            field("resources", Shape::Any),
            field("env", ENV),
        ]),
    ),
    field("paused", Shape::Bool),
    field("deletionPolicy", Shape::Word(&["Retain", "DeleteIfEmpty", "Delete"])),
    field("rollout", Shape::Object(&[required("policy", Shape::Word(&["OnRestart", "Rolling"]))])),
    field("securityContext", Shape::Object(&[required("preset", Shape::Word(&["restricted", "none"]))])),
]);

/// The shape of an `AsyncActor`.
pub const ASYNC_ACTOR: Shape = Shape::Object(&[
    required("apiVersion", Shape::Text),
    required("kind", Shape::Text),
    required(
        "metadata",
        Shape::Open(&[
            required("name", Shape::Text),
            field("namespace", Shape::Text),
            field("labels", Shape::Labels),
            field("annotations", Shape::Labels),
        ]),
    ),
    required("spec", SPEC),
    field("status", Shape::Any),
]);
