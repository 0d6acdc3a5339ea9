//! Rules about everything but the pod.

use serde_json::Value;

use super::{Change, Rule, has, list, pod::NO_RUNTIME_MESSAGE, text, this};

/// What makes the pods, in CEL over an actor's spec.
pub(super) const KIND_CEL: &str = "(!has(self.workload) ? 'Deployment' : has(self.workload.kind) ? \
                                   self.workload.kind : has(self.workload.type) ? self.workload.type : 'Deployment')";

pub(super) const SPEC: &str = "spec";

/// What a workload that runs by itself says already, or that would have no effect on it.
const NOT_BOUND: [&str; 5] = ["workload", "handler", "handlerFrom", "env", "workers"];

pub(super) const RULES: &[Rule] = &[
    Rule {
        at: SPEC,
        cel: "has(self.workloadRef) || has(self.handler) || has(self.handlerFrom) || \
              (has(self.workload) && has(self.workload.template) && has(self.workload.template.spec))",
        field: "",
        message: "nothing says what runs: set workload.template.spec, or handler (with handlerFrom for your own code), \
                  or workloadRef",
        find: |spec| {
            let template = spec.pointer("/workload/template/spec").is_some_and(|spec| !spec.is_null());
            this(!template && !["workloadRef", "handler", "handlerFrom"].iter().any(|key| has(spec, key)))
        },
    },
    Rule {
        at: SPEC,
        cel: "!has(self.workload) || !has(self.workload.template) || !has(self.workload.template.spec) || \
              has(self.workload.template.spec.containers)",
        field: ".workload.template.spec",
        message: NO_RUNTIME_MESSAGE,
        find: |spec| {
            let bare = spec
                .pointer("/workload/template/spec")
                .is_some_and(|pod| pod.is_object() && !has(pod, "containers"));
            if bare { vec!["workload.template.spec".to_owned()] } else { Vec::new() }
        },
    },
    Rule {
        at: SPEC,
        cel: "!has(self.workloadRef) || !(has(self.workload) || has(self.handler) || has(self.handlerFrom) || \
              has(self.env) || has(self.workers))",
        field: ".workloadRef",
        message: "attaches to a workload that runs by itself: remove workload, handler, handlerFrom, env and workers",
        find: |spec| {
            let besides = NOT_BOUND.into_iter().filter(|key| has(spec, "workloadRef") && has(spec, key));
            besides.map(str::to_owned).collect()
        },
    },
    Rule {
        at: "spec.workloadRef.http",
        cel: "self.path.matches('^/[A-Za-z0-9._~!$&()*+,;=:@/%?-]*$')",
        field: ".path",
        message: "must begin with / and go on as addresses do: write other characters as %20",
        find: |http| {
            let wrong = has(http, "path") && !is_path(text(http, "path"));
            if wrong { vec!["path".to_owned()] } else { Vec::new() }
        },
    },
    Rule {
        at: SPEC,
        cel: "!has(self.handlerFrom) || has(self.handler) || \
              (has(self.env) && self.env.exists(e, e.name == 'ASYA_HANDLER')) || \
              (has(self.workload) && has(self.workload.template) && has(self.workload.template.spec))",
        field: ".handlerFrom",
        message: "says where the code is, but not what to call: set handler to module.function",
        find: |spec| {
            let template = spec.pointer("/workload/template/spec").is_some_and(|spec| !spec.is_null());
            let named = has(spec, "handler")
                || list(&spec["env"]).any(|(_, var)| text(var, "name") == "ASYA_HANDLER");
            this(has(spec, "handlerFrom") && !named && !template)
        },
    },
    Rule {
        at: SPEC,
        cel: "!has(self.embedded) || !self.embedded || (has(self.workload) && has(self.workload.template) && \
              has(self.workload.template.spec)) || (has(self.handlerFrom) && has(self.handlerFrom.image))",
        field: ".embedded",
        message: "the stock Python image has no sidecar in it: name an image built on asya-sidecar-py in handlerFrom.image \
                  or in a container asya-runtime of workload.template",
        find: |spec| {
            let template = spec.pointer("/workload/template/spec").is_some_and(|spec| !spec.is_null());
            let bare = is_embedded(spec) && !template && !has(&spec["handlerFrom"], "image");
            if bare { vec!["embedded".to_owned()] } else { Vec::new() }
        },
    },
    Rule {
        at: SPEC,
        cel: "!has(self.embedded) || !self.embedded || !(has(self.workloadRef) || has(self.workers) || \
              (has(self.sidecar) && has(self.sidecar.image)) || $KIND == 'Job')",
        field: ".embedded",
        message: "the handler's process is the sidecar's, with one worker: remove workloadRef, workers, sidecar.image and \
                  kind Job, or embedded",
        find: |spec| {
            let has_image = has(&spec["sidecar"], "image");
            let besides = [
                ("workloadRef", has(spec, "workloadRef")),
                ("workers", has(spec, "workers")),
                ("sidecar.image", has_image),
                ("workload.kind", is_job(spec)),
            ];
            let found = besides.into_iter().filter(|(_, is)| is_embedded(spec) && *is);
            found.map(|(path, _)| path.to_owned()).collect()
        },
    },
    Rule {
        at: SPEC,
        cel: "$KIND != 'Job' || (has(self.scaling) && self.scaling.enabled)",
        field: ".scaling",
        message: "a Job is started by its queue: set scaling.enabled to true",
        find: |spec| this(is_job(spec) && !scales(spec)),
    },
    Rule {
        at: SPEC,
        cel: "$KIND != 'Job' || !has(self.scaling) || !(has(self.scaling.advanced) || has(self.scaling.behavior) || \
              has(self.scaling.fallback) || (has(self.scaling.push) && self.scaling.push))",
        field: ".scaling",
        message: "a Job has no HorizontalPodAutoscaler and cannot be pushed: remove advanced, behavior, fallback and push",
        find: |spec| {
            let keys = ["advanced", "behavior", "fallback", "push"].into_iter().filter(|key| {
                let value = &spec["scaling"][key];
                is_job(spec) && !value.is_null() && *value != Value::Bool(false)
            });
            keys.map(|key| format!("scaling.{key}")).collect()
        },
    },
    Rule {
        at: "spec.scaling",
        cel: "self.minReplicas <= self.maxReplicas",
        field: ".minReplicas",
        message: "is above maxReplicas: lower it or raise maxReplicas",
        find: |scaling| {
            let number = |key: &str, default: u32| scaling[key].as_i64().unwrap_or(default.into());
            let (min, max) =
                (number("minReplicas", 0), number("maxReplicas", crate::scaling::DEFAULT_MAX_REPLICAS));
            if min > max { vec!["minReplicas".to_owned()] } else { Vec::new() }
        },
    },
    Rule {
        at: "spec.timeout",
        cel: "self.processing > 0",
        field: ".processing",
        message: "must be positive: say how many seconds a run may take",
        find: |timeout| not_positive(timeout, "processing"),
    },
    Rule {
        at: "spec.timeout",
        cel: "self.gracefulShutdown > 0",
        field: ".gracefulShutdown",
        message: "must be positive: say how many seconds running work gets when a pod stops",
        find: |timeout| not_positive(timeout, "gracefulShutdown"),
    },
    Rule {
        at: "spec.timeout",
        cel: "!has(self.startup) || self.startup > 0",
        field: ".startup",
        message: "must be positive: say how many seconds the handler may take to load",
        find: |timeout| not_positive(timeout, "startup"),
    },
    Rule {
        at: SPEC,
        cel: "!has(self.workload) || !has(self.workload.type) || !has(self.workload.kind) || \
              self.workload.type == self.workload.kind",
        field: ".workload.type",
        message: "must agree with kind, of which it is an older spelling: write only kind",
        find: |spec| {
            let workload = &spec["workload"];
            let both = has(workload, "type") && has(workload, "kind");
            if both && workload["type"] != workload["kind"] {
                vec!["workload.type".to_owned()]
            } else {
                Vec::new()
            }
        },
    },
    Rule {
        at: SPEC,
        cel: "$KIND == 'StatefulSet' || !has(self.workload) || !(has(self.workload.volumeClaimTemplates) || \
              has(self.workload.serviceName) || has(self.workload.persistentVolumeClaimRetentionPolicy))",
        field: ".workload",
        message: "only a StatefulSet has volumeClaimTemplates, serviceName and persistentVolumeClaimRetentionPolicy: set \
                  kind: StatefulSet or remove them",
        find: |spec| {
            ["volumeClaimTemplates", "serviceName", "persistentVolumeClaimRetentionPolicy"]
                .into_iter()
                .filter(|key| kind(spec) != "StatefulSet" && has(&spec["workload"], key))
                .map(|key| format!("workload.{key}"))
                .collect()
        },
    },
    Rule {
        at: SPEC,
        cel: "$KIND == 'Job' || !has(self.workload) || !has(self.workload.job)",
        field: ".workload",
        message: "only a Job ends by itself: set kind: Job or remove job",
        find: |spec| {
            let stray = !is_job(spec) && has(&spec["workload"], "job");
            if stray { vec!["workload.job".to_owned()] } else { Vec::new() }
        },
    },
];

pub(super) const CHANGES: &[Change] = &[
    Change {
        at: SPEC,
        cel: "$KIND == $OLDKIND",
        field: ".workload",
        message: "kind cannot change: delete and recreate the actor",
        breaks: |old, new| kind(old) != kind(new),
    },
    Change {
        at: "spec.workload",
        cel: "has(self.volumeClaimTemplates) == has(oldSelf.volumeClaimTemplates) && \
              (!has(self.volumeClaimTemplates) || self.volumeClaimTemplates == oldSelf.volumeClaimTemplates)",
        field: ".volumeClaimTemplates",
        message: "cannot change: delete and recreate the actor",
        breaks: |old, new| old.get("volumeClaimTemplates") != new.get("volumeClaimTemplates"),
    },
    Change {
        at: "spec.workload",
        cel: "has(self.serviceName) == has(oldSelf.serviceName) && \
              (!has(self.serviceName) || self.serviceName == oldSelf.serviceName)",
        field: ".serviceName",
        message: "cannot change: delete and recreate the actor",
        breaks: |old, new| old.get("serviceName") != new.get("serviceName"),
    },
    Change {
        at: SPEC,
        cel: "has(self.workloadRef) == has(oldSelf.workloadRef) && (!has(self.workloadRef) || \
              (self.workloadRef.apiVersion == oldSelf.workloadRef.apiVersion && \
              self.workloadRef.kind == oldSelf.workloadRef.kind && \
              self.workloadRef.name == oldSelf.workloadRef.name))",
        field: ".workloadRef",
        message: "cannot come, go or name another workload: delete and recreate the actor",
        breaks: |old, new| {
            let named = |spec: &Value| {
                let target = spec.get("workloadRef")?;
                Some(["apiVersion", "kind", "name"].map(|key| text(target, key).to_owned()))
            };
            named(old) != named(new)
        },
    },
    Change {
        at: SPEC,
        cel: "!(has(self.scaling) && self.scaling.enabled && has(oldSelf.scaling) && oldSelf.scaling.enabled) || \
              !has(self.workload) || !has(oldSelf.workload) || self.workload.replicas == oldSelf.workload.replicas",
        field: ".workload.replicas",
        message: "is not what runs while scaling is on: edit scaling.minReplicas",
        breaks: |old, new| {
            let replicas = |spec: &Value| {
                spec.get("workload").map(|workload| {
                    workload["replicas"].as_i64().unwrap_or(crate::workload::DEFAULT_REPLICAS.into())
                })
            };
            scales(old)
                && scales(new)
                && matches!((replicas(old), replicas(new)), (Some(old), Some(new)) if old != new)
        },
    },
];

fn kind(spec: &Value) -> &str {
    let workload = &spec["workload"];
    [text(workload, "kind"), text(workload, "type"), "Deployment"]
        .into_iter()
        .find(|kind| !kind.is_empty())
        .unwrap_or_default()
}

fn is_job(spec: &Value) -> bool {
    kind(spec) == "Job"
}

fn is_embedded(spec: &Value) -> bool {
    spec["embedded"] == true
}

fn scales(spec: &Value) -> bool {
    spec.pointer("/scaling/enabled").and_then(Value::as_bool).unwrap_or_default()
}

/// What the pattern of the rule says, without a library for patterns.
fn is_path(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._~!$&()*+,;=:@/%?-".contains(&byte);
    path.starts_with('/') && path.bytes().all(plain)
}

fn not_positive(timeout: &Value, key: &str) -> Vec<String> {
    if timeout[key].as_i64().is_some_and(|seconds| seconds <= 0) { vec![key.to_owned()] } else { Vec::new() }
}
