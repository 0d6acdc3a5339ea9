//! What the Go operator made for its actors, and what stands beside them.

use serde_json::Value;

use super::{Advice, World, namespace, text};

/// What is to be known about an object; nothing about kinds that have no part in it.
pub(super) fn advise(object: &Value, world: &World) -> Option<Vec<Advice>> {
    let name = text(&object["metadata"]["name"]);
    let owned = || {
        object["metadata"]["ownerReferences"]
            .as_array()
            .is_some_and(|owners| owners.iter().any(|owner| owner["kind"] == "AsyncActor"))
    };
    let is_actor = |name: &str| {
        world.actors.get(name).is_some_and(|places| places.iter().any(|place| place == namespace(object)))
    };
    match object["kind"].as_str()? {
        "ScaledObject" => {
            let target = text(&object["spec"]["scaleTargetRef"]["name"]);
            (owned() || is_actor(name) || is_actor(target)).then(|| scaled(object, owned(), target))
        }
        "HorizontalPodAutoscaler" => {
            let target = text(&object["spec"]["scaleTargetRef"]["name"]);
            let theirs = name.starts_with("keda-hpa-");
            (is_actor(target) && !theirs).then(|| {
                let message = format!("two autoscalers would pull at {target}: KEDA refuses to scale it");
                vec![Advice::change("", message, delete(object))]
            })
        }
        kind @ ("Deployment" | "StatefulSet") => (owned() || is_actor(name)).then(|| {
            if owned() {
                return Vec::new();
            }
            let message =
                format!("the actor {name} makes a workload of that name; this one belongs to somebody else and is left alone");
            let bind = format!(
                "{}, or attach the actor to it: spec.workloadRef: {{apiVersion: apps/v1, kind: {kind}, name: {name}}} without \
                 workload",
                delete(object)
            );
            vec![Advice::change("", message, bind)]
        }),
        "TriggerAuthentication" => {
            let actor = name.strip_suffix("-trigger-auth")?;
            (owned() || is_actor(actor)).then(|| trigger(object))
        }
        "ConfigMap" if name == "asya-runtime" => Some(vec![Advice::note(
            "",
            "is taken over as the other name of the immutable asya-runtime-<hash>; what somebody edited in it is overwritten",
            "for a runtime of your own: runtime.local.path in the operator's values",
        )]),
        _ => None,
    }
}

fn scaled(object: &Value, owned: bool, target: &str) -> Vec<Advice> {
    let mut all = Vec::new();
    if !owned {
        let message = format!(
            "is nobody's: the operator makes the ScaledObject of {target} itself, and leaves this one alone"
        );
        all.push(Advice::change(
            "",
            message,
            format!("{}; spec.scaling of {target} says the same", delete(object)),
        ));
    }
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    for (name, _) in annotations.filter(|(name, _)| name.starts_with("autoscaling.keda.sh/paused")) {
        all.push(Advice {
            path: vec![
                asya_resources::Step::Key("metadata".into()),
                asya_resources::Step::Key("annotations".into()),
                asya_resources::Step::Key(name.clone()),
            ],
            ..Advice::note(
                "",
                "is kept: the actor stays paused until it is taken away",
                "spec.paused: true says it in the actor",
            )
        });
    }
    all
}

fn trigger(object: &Value) -> Vec<Advice> {
    let refs = object["spec"]["secretTargetRef"].as_array().into_iter().flatten().enumerate();
    refs.filter(|(_, target)| target["parameter"] == "username")
        .map(|(index, target)| {
            let secret = text(&target["name"]);
            let message = format!("the key username of Secret {secret} is no longer needed, in no namespace");
            Advice::note(&format!("spec.secretTargetRef[{index}]"), message, "")
        })
        .collect()
}

fn delete(object: &Value) -> String {
    let (kind, name) = (text(&object["kind"]).to_lowercase(), text(&object["metadata"]["name"]));
    match namespace(object) {
        "" => format!("kubectl delete {kind} {name}"),
        namespace => format!("kubectl -n {namespace} delete {kind} {name}"),
    }
}
