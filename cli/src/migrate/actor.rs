//! AsyncActors.

use asya_resources::{RUNTIME_CONTAINER, Severity, check, check::path_text, policy};
use serde_json::Value;

use super::{Advice, Verdict, World, namespace, text, value};

/// Longest queue name on SQS, its dead-letter queue's suffix left free.
const SQS_NAME: usize = 76;
/// Grace of the Go operator's pods when nothing is said.
const GO_GRACE: i64 = 30;
/// Variables with credentials that the Go system's pods had.
const CREDENTIALS: [&str; 5] = [
    "ASYA_RABBITMQ_PASSWORD",
    "ASYA_RABBITMQ_USERNAME",
    "ASYA_RABBITMQ_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
];

/// What is to be known about an actor.
pub(super) fn advise(actor: &Value, world: &World) -> Vec<Advice> {
    let mut all: Vec<Advice> = check(actor)
        .into_iter()
        .filter(|problem| !is_type(&problem.path, actor))
        .map(|problem| {
            let path = path_text(&problem.path).to_string();
            let level = if problem.severity == Severity::Error { Verdict::Change } else { Verdict::Note };
            let edit = edit(&path, &problem.message, value(actor, &problem.path));
            Advice { level, path: problem.path, message: problem.message, edit }
        })
        .collect();
    all.extend(kind(&actor["spec"]["workload"]));
    all.extend(names(actor, world));
    all.extend(sidecar(&actor["spec"]["sidecar"]));
    all.extend(pod(actor, world));
    let scaling = &actor["spec"]["scaling"];
    if scaling["enabled"] == true && actor["spec"]["workload"]["replicas"].as_i64().is_some_and(|it| it != 1)
    {
        let message = "has no effect while scaling is on, as before; a change of it is refused from now on";
        all.push(Advice::note(
            "spec.workload.replicas",
            message,
            "delete it, or say spec.scaling.minReplicas",
        ));
    }
    all
}

/// `type` without `kind`: what is said about it depends on the word, see [`kind`].
fn is_type(path: &[asya_resources::Step], actor: &Value) -> bool {
    let here = path_text(path).to_string();
    here == "spec.workload.type" && actor["spec"]["workload"]["kind"].is_null()
}

/// The line to write for what [`check`] found.
fn edit(path: &str, message: &str, value: &Value) -> Option<String> {
    let leaf = path.rsplit('.').next().unwrap_or(path);
    let parent = path.strip_suffix(leaf).unwrap_or_default();
    if let Some((_, known)) = message.split_once("did you mean \"") {
        return Some(format!("rename it: {parent}{}", known.trim_end_matches(['"', '?'])));
    }
    if message.starts_with("unknown field") || message.contains("remove") || leaf == "command" {
        return Some(format!("delete {path}"));
    }
    if message.contains("must be positive") {
        let timeout = policy::Timeout::default();
        let seconds = if leaf == "processing" { timeout.processing } else { timeout.graceful_shutdown };
        return Some(format!("{path}: {seconds}"));
    }
    if message.contains("above maxReplicas") {
        return Some(format!("{parent}maxReplicas: {value}"));
    }
    if message.contains("put it in quotes") {
        return Some(format!("{path}: \"{value}\""));
    }
    if message.contains("number")
        && let Some(number) = value.as_str().and_then(|text| text.parse::<i64>().ok())
    {
        return Some(format!("{path}: {number}"));
    }
    if let Some(rest) = value.as_str().and_then(|name| name.strip_prefix("asya-"))
        && path == "metadata.name"
    {
        return Some(format!("metadata.name: {rest}"));
    }
    if leaf == "name" && !path.starts_with("metadata") {
        let name = value.as_str().unwrap_or("it");
        return Some(format!("{path}: own-{name}, and the same wherever the manifest refers to {name}"));
    }
    None
}

fn kind(workload: &Value) -> Option<Advice> {
    if let (true, Some(older)) = (workload["kind"].is_null(), workload["type"].as_str()) {
        let edit = |kind: &str| format!("delete it; spec.workload.kind: {kind}");
        return Some(if older == "Deployment" {
            Advice::note("spec.workload.type", "is an older spelling: write kind", edit("Deployment"))
        } else {
            let message =
                format!("was ignored, so a Deployment ran; here it means kind, and makes a {older}");
            Advice::change("spec.workload.type", message, edit("Deployment"))
        });
    }
    match workload["kind"].as_str() {
        Some("StatefulSet") => Some(Advice::note(
            "spec.workload.kind",
            "the Go operator always failed at a StatefulSet; here it makes one, with a headless Service",
            "",
        )),
        _ => None,
    }
}

/// The names of the actor, its transport and its queue.
fn names(actor: &Value, world: &World) -> Vec<Advice> {
    let mut all = Vec::new();
    let name = text(&actor["metadata"]["name"]);
    let transport = text(&actor["spec"]["transport"]);
    let places = world.actors.get(name).map_or(&[][..], Vec::as_slice);
    if places.len() > 1 && !world.namespaced {
        let others: Vec<_> = places.iter().map(String::as_str).collect();
        all.push(Advice::change(
            "metadata.name",
            format!(
                "actors called {name} in namespaces {} share the queue asya-{name} and eat each other's messages; here the \
                 younger one gets QueueConflict and does not run",
                others.join(", ")
            ),
            "another metadata.name in one of them, or queues.template: asya-{namespace}-{actor} and empty queues",
        ));
    }
    if let Some(known) = &world.transports
        && !transport.is_empty()
        && !known.contains_key(transport)
    {
        let known: Vec<_> = known.keys().map(String::as_str).collect();
        let message = format!("no enabled transport is called {transport}");
        let edit = match known[..] {
            [] => format!("transports.{transport}.enabled: true in the operator's values"),
            _ => format!("spec.transport: {}", known.join(" or ")),
        };
        all.push(Advice::change("spec.transport", message, edit));
    }
    let on_sqs =
        world.transports.as_ref().and_then(|known| known.get(transport)).map_or(transport, String::as_str);
    let queue = format!("asya-{}-{name}", namespace(actor));
    if world.namespaced && on_sqs == "sqs" && queue.len() > SQS_NAME {
        let message = format!("its queue {queue} has {} letters, and SQS takes {SQS_NAME}", queue.len());
        all.push(Advice::change("metadata.name", message, "a shorter metadata.name"));
    }
    if ["happy-end", "error-end"].contains(&name) {
        let message = "is an end actor by its name, as before; charts/asya-crew makes both";
        all.push(Advice::note("metadata.name", message, ""));
    }
    all
}

fn sidecar(sidecar: &Value) -> Vec<Advice> {
    let mut all = Vec::new();
    if sidecar["image"].as_str().is_some_and(|image| !image.is_empty()) {
        all.push(Advice::note(
            "spec.sidecar.image",
            "must be a sidecar of asya-rs: one of the Go system does not read the credentials, which are files now, nor drain",
            "delete spec.sidecar.image, or name your build of asya-sidecar",
        ));
    }
    for (index, var) in sidecar["env"].as_array().into_iter().flatten().enumerate() {
        if CREDENTIALS.contains(&text(&var["name"])) {
            let path = format!("spec.sidecar.env[{index}]");
            let message = "the sidecar reads credentials from files, again at each connect; a variable stays as it was until \
                           the pod restarts";
            all.push(Advice::note(&path, message, format!("delete {path}")));
        }
    }
    all
}

fn pod(actor: &Value, world: &World) -> Vec<Advice> {
    let mut all = Vec::new();
    let at = "spec.workload.template.spec";
    let pod = &actor["spec"]["workload"]["template"]["spec"];
    let shown = |path: &str| {
        let message = "shows the broker's credentials to user code: such a template is refused";
        Advice::change(path, message, format!("delete {path}"))
    };
    let secret = |value: &Value| world.secrets.iter().any(|secret| secret == text(value));
    for (index, volume) in pod["volumes"].as_array().into_iter().flatten().enumerate() {
        let projected = volume["projected"]["sources"].as_array().into_iter().flatten();
        if secret(&volume["secret"]["secretName"])
            || projected.into_iter().any(|it| secret(&it["secret"]["name"]))
        {
            all.push(shown(&format!("{at}.volumes[{index}]")));
        }
    }
    for list in ["containers", "initContainers"] {
        for (index, container) in pod[list].as_array().into_iter().flatten().enumerate() {
            let here = format!("{at}.{list}[{index}]");
            for (index, var) in container["env"].as_array().into_iter().flatten().enumerate() {
                if secret(&var["valueFrom"]["secretKeyRef"]["name"]) {
                    all.push(shown(&format!("{here}.env[{index}]")));
                }
            }
            for (index, from) in container["envFrom"].as_array().into_iter().flatten().enumerate() {
                if secret(&from["secretRef"]["name"]) {
                    all.push(shown(&format!("{here}.envFrom[{index}]")));
                }
            }
            let mounts = container["volumeMounts"].as_array().into_iter().flatten().enumerate();
            for (index, mount) in mounts.filter(|_| container["name"] == RUNTIME_CONTAINER) {
                if text(&mount["mountPath"]).trim_end_matches('/') == "/tmp" && mount["name"] != "tmp" {
                    let message = "made the Go operator's Deployment invalid; here your mount at /tmp is the one that is used";
                    all.push(Advice::note(&format!("{here}.volumeMounts[{index}]"), message, ""));
                }
            }
        }
    }
    let grace = actor["spec"]["timeout"]["gracefulShutdown"].as_i64().unwrap_or(GO_GRACE);
    if let Some(own) = pod["terminationGracePeriodSeconds"].as_i64().filter(|own| *own > grace) {
        let message = format!(
            "was replaced by {grace} (timeout.gracefulShutdown); here pods get the longer of both, {own} s"
        );
        all.push(Advice::note(&format!("{at}.terminationGracePeriodSeconds"), message, ""));
    }
    all
}
