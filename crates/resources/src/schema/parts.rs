//! Schemas of what the types keep as it came, and of values with two forms.
//!
//! Of a pod template just what the rules read is declared; everything else is kept as it came, at each level, and no
//! list has keys: Kubernetes' own checks come when the workload is applied.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    Delay, Workers,
    bounds::{MAX_CLAIMS, MAX_CONTAINERS, MAX_ENV, MAX_MOUNTS, MAX_VOLUMES},
    policy::{DELAY_LENGTH, DELAY_PATTERN, MAX_WORKERS, WORKERS_PATTERN},
    quantity::QUANTITY_PATTERN,
};

/// Most characters of a container's, volume's or mount's name: what Kubernetes allows.
const NAME_LENGTH: u32 = 63;
/// Most characters of a variable's name: far above any, and few enough for the rules' estimated cost.
const ENV_NAME_LENGTH: u32 = 1024;
/// Most characters of a mount's path: what file systems allow.
const PATH_LENGTH: u32 = 4096;

impl JsonSchema for Delay {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Delay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 0,
            "maximum": i32::MAX,
            "pattern": DELAY_PATTERN,
            "maxLength": DELAY_LENGTH,
            "errorMessage": "must be seconds or a duration such as \"500ms\", \"2s\", \"5m\" or \"1h\"",
        })
    }
}

impl JsonSchema for Workers {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Workers".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "x-kubernetes-int-or-string": true,
            "minimum": 1,
            "maximum": MAX_WORKERS,
            "pattern": WORKERS_PATTERN,
            "errorMessage": "must be a number of processes from 1 to 1024, or auto",
        })
    }
}

/// An object of Kubernetes or KEDA, kept as it came.
pub(crate) fn open(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of objects of Kubernetes, each kept as it came.
pub(crate) fn open_list(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": open(generator) })
}

/// A positive number whose lower bound is a rule, because a rule can say what to do.
pub(crate) fn checked_by_rule(schema: &mut Schema) {
    schema.remove("minimum");
}

/// A quantity such as 500m or 1Gi.
pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "pattern": QUANTITY_PATTERN,
        "errorMessage": "must be a quantity such as 500m, 2 or 1Gi",
    })
}

/// A JSON schema of an object: what a model is told of a tool's arguments.
pub(crate) fn arguments(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "required": ["type"],
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "type": { "type": "string", "enum": ["object"], "description": "Always object: arguments have names." },
        },
    })
}

/// Requests and limits of a container.
pub(crate) fn resources(generator: &mut SchemaGenerator) -> Schema {
    let quantity = quantity(generator);
    let of = |what: &str| json_schema!({ "type": "object", "description": what, "additionalProperties": &quantity });
    json_schema!({
        "type": "object",
        "properties": {
            "requests": of("What is set aside for the container, for example cpu: 100m."),
            "limits": of("What the container may use at most, for example memory: 256Mi."),
            "claims": {
                "type": "array",
                "description": "Resource claims of the pod that the container uses.",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": { "type": "string", "description": "Name of the pod's claim." },
                        "request": { "type": "string", "description": "Name of the request within the claim." },
                    },
                },
            },
        },
    })
}

/// Further triggers of KEDA.
pub(crate) fn triggers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["type"],
            "x-kubernetes-preserve-unknown-fields": true,
            "properties": { "type": { "type": "string", "description": "Type of the trigger, for example cron." } },
        },
    })
}

/// Claims of a StatefulSet.
pub(crate) fn claims(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "maxItems": MAX_CLAIMS, "items": open(generator) })
}

/// What becomes of a StatefulSet's claims.
pub(crate) fn retention(_: &mut SchemaGenerator) -> Schema {
    let of =
        |what: &str| json_schema!({ "type": "string", "enum": ["Retain", "Delete"], "description": what });
    json_schema!({
        "type": "object",
        "properties": {
            "whenDeleted": of("When the actor is deleted. Absent means Retain."),
            "whenScaled": of("When a replica goes. Absent means Retain."),
        },
    })
}

/// How a formula's result is compared.
pub(crate) fn metric_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["AverageValue", "Value", "Utilization"] })
}

/// What an actor can be bound to.
pub(crate) fn bound_kind(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Deployment", "StatefulSet"] })
}

/// When an image is pulled; the contract's default.
pub(crate) fn image_pull_policy(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["Always", "IfNotPresent", "Never"], "default": "IfNotPresent" })
}

/// A pod template.
pub(crate) fn template(_: &mut SchemaGenerator) -> Schema {
    let name = |what: &str| json_schema!({ "type": "string", "maxLength": NAME_LENGTH, "description": what });
    let container = json_schema!({
        "type": "object",
        "required": ["name"],
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "name": name("Name of the container."),
            "command": {
                "type": "array",
                "description": "What the container runs. The container asya-runtime must not set it.",
                "items": { "type": "string" },
            },
            "env": {
                "type": "array",
                "description": "Environment of the container.",
                "maxItems": MAX_ENV,
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {
                        "name": {
                            "type": "string",
                            "maxLength": ENV_NAME_LENGTH,
                            "description": "Name of the variable.",
                        },
                    },
                },
            },
            "volumeMounts": {
                "type": "array",
                "description": "Volumes that the container sees, and where.",
                "maxItems": MAX_MOUNTS,
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {
                        "name": name("Name of the volume."),
                        "mountPath": {
                            "type": "string",
                            "maxLength": PATH_LENGTH,
                            "description": "Path within the container.",
                        },
                    },
                },
            },
        },
    });
    let containers = |what: &str| json_schema!({ "type": "array", "description": what, "maxItems": MAX_CONTAINERS, "items": &container });
    json_schema!({
        "type": "object",
        "properties": {
            "metadata": {
                "type": "object",
                "description": "Labels and annotations of the pods.",
                "x-kubernetes-preserve-unknown-fields": true,
            },
            "spec": {
                "type": "object",
                "description": "The pod: everything that Kubernetes knows of a pod may stand here.",
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": {
                    "containers": containers("The containers. One must be named asya-runtime."),
                    "initContainers": containers("Containers that run before the others."),
                    "volumes": {
                        "type": "array",
                        "description": "Volumes that containers can mount.",
                        "maxItems": MAX_VOLUMES,
                        "items": {
                            "type": "object",
                            "required": ["name"],
                            "x-kubernetes-preserve-unknown-fields": true,
                            "properties": { "name": name("Name of the volume.") },
                        },
                    },
                },
            },
        },
    })
}
