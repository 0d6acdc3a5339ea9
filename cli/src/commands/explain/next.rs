//! The one next step.

use asya_resources::{Word, conditions};

use super::Pod;
use crate::cluster::Actor;

/// What a person does next, in one sentence.
pub(super) fn step(actor: &Actor, pods: &[Pod]) -> String {
    let (name, namespace) = (&actor.name, &actor.namespace);
    if !actor.is_current() {
        return "wait a moment: the operator has not seen this spec yet; if it lasts, run `asya doctor --cluster`".to_owned();
    }
    let status = &actor.status;
    let message = |r#type: &str| {
        let bad = status.condition(r#type).filter(|condition| condition.is_bad());
        bad.map(|condition| format!("{}: {}", condition.reason, condition.message))
    };
    let word = actor.word().and_then(Word::read);
    let stalled = || {
        message(conditions::STALLED)
            .map(|_| format!("messages wait and nothing moves: `asya logs {name} -n {namespace} -f`"))
    };
    let news = || {
        message(conditions::WARNING)
            .or_else(|| message(conditions::UPDATE))
            .map(|words| format!("nothing urgent. {words}"))
    };
    let told = match word {
        Some(Word::Terminating) => message(conditions::DELETING).map(|words| format!("wait: {words}")),
        Some(Word::TransportError) => message(conditions::TRANSPORT),
        Some(Word::WorkloadError | Word::ConfigError) => message(conditions::WORKLOAD),
        Some(Word::ScalingError) => message(conditions::SCALING),
        Some(Word::Paused) => Some(format!("nothing; `asya resume {name} -n {namespace}` lets it run again")),
        Some(Word::Running | Word::Napping | Word::ScalingUp | Word::ScalingDown) => stalled().or_else(news),
        _ => None,
    };
    told.unwrap_or_else(|| match word {
        Some(word) => filled(word.advice(), actor, pods),
        None => "run `asya doctor --cluster`: this word is not one of this version's".to_owned(),
    })
}

/// The advice with the names filled in.
fn filled(advice: &str, actor: &Actor, pods: &[Pod]) -> String {
    let pod = pods.iter().find(|pod| pod.is_in_trouble()).or_else(|| pods.first());
    let pod = pod.map_or("POD", |pod| pod.name.as_str());
    let namespace = format!("-n {}", actor.namespace);
    advice
        .replace("kubectl ", &format!("kubectl {namespace} "))
        .replace("describe pod`", &format!("describe pod {pod}`"))
        .replace("POD", pod)
        .replace("NAME", &actor.name)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn actor(status: Value) -> Actor {
        Actor::of(
            json!({"metadata": {"name": "ocr", "namespace": "prod", "generation": 1}, "spec": {}, "status": status}),
        )
    }

    fn pod(name: &str, waiting: Option<&str>) -> Pod {
        let state =
            waiting.map_or_else(|| json!({"running": {}}), |reason| json!({"waiting": {"reason": reason}}));
        let status =
            json!({"phase": "Running", "containerStatuses": [{"name": "asya-runtime", "state": state}]});
        Pod::of(&json!({"metadata": {"name": name}, "status": status}))
    }

    #[test]
    fn the_step_names_the_pod_that_is_in_trouble() {
        let actor = actor(json!({"observedGeneration": 1, "status": "RuntimeError"}));
        let step = step(&actor, &[pod("ocr-a", None), pod("ocr-b", Some("CrashLoopBackOff"))]);
        assert_eq!(step, "`kubectl -n prod logs ocr-b -c asya-runtime --previous`");
    }

    #[test]
    fn the_condition_that_says_what_to_do_is_the_step() {
        let conditions = json!([{"type": "TransportReady", "status": "False", "reason": "BrokerUnreachable",
            "message": "no connection to rabbitmq:5672", "lastTransitionTime": "2026-11-21T09:00:00Z"}]);
        let told = step(
            &actor(json!({"observedGeneration": 1, "status": "TransportError", "conditions": conditions})),
            &[],
        );
        assert_eq!(told, "BrokerUnreachable: no connection to rabbitmq:5672");
        let paused = actor(json!({"observedGeneration": 1, "status": "Paused"}));
        assert!(step(&paused, &[]).contains("asya resume ocr -n prod"));
        assert!(step(&actor(json!({})), &[]).contains("asya doctor --cluster"));
    }

    #[test]
    fn every_word_has_a_step() {
        for (word, _) in Word::ALL {
            let actor = actor(json!({"observedGeneration": 1, "status": word.as_str()}));
            assert!(!step(&actor, &[]).is_empty(), "{word:?}");
        }
    }
}
