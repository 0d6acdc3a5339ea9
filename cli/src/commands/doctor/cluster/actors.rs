//! Transports as the operator sees them, actors in trouble.

use std::collections::BTreeMap;

use asya_resources::{Condition, Word, conditions};

use super::Finding;
use crate::cluster::Actor;

/// Actors that are named; the rest is counted.
const NAMED: usize = 10;
/// Reasons that are about the broker rather than about one actor.
const BROKER: [&str; 3] = ["BrokerUnreachable", "BrokerRefused", "InvalidTransport"];
/// Reasons that mean that somebody else has the name.
const CONFLICTS: [&str; 3] = ["QueueConflict", "NameTaken", "Contested"];

pub(super) fn check(actors: &[Actor]) -> Vec<Finding> {
    let mut findings = transports(actors);
    findings.push(words(actors));
    let explain = |actor: &Actor| format!("asya explain actor {} -n {}", actor.name, actor.namespace);
    let mut trouble: Vec<Finding> = Vec::new();
    for actor in actors {
        let place = format!("{}/{}", actor.namespace, actor.name);
        let bad: Vec<&Condition> =
            actor.status.conditions.iter().filter(|condition| condition.is_bad()).collect();
        if let Some(conflict) = bad.iter().find(|condition| CONFLICTS.contains(&condition.reason.as_str())) {
            let found = format!("{place}: {}: {}", conflict.reason, conflict.message);
            trouble.push(Finding::fail("conflict", found, explain(actor)));
        } else if let Some(stalled) = bad.iter().find(|condition| condition.r#type == conditions::STALLED) {
            trouble.push(Finding::fail("stalled", format!("{place}: {}", stalled.message), explain(actor)));
        } else if bad.iter().any(|condition| BROKER.contains(&condition.reason.as_str())) {
            // Said once for the transport.
        } else if let Some(failed) = bad.iter().find(|condition| condition.status == "False") {
            let word = actor.word().unwrap_or("no status");
            let found = format!("{place}: {word}: {}: {}", failed.reason, failed.message);
            trouble.push(Finding::fail("actor", found, explain(actor)));
        } else if !actor.is_current() {
            let fix = "wait a moment; if it lasts, read the operator's log";
            trouble.push(Finding::warn(
                "actor",
                format!("{place}: the operator has not seen its newest spec"),
                fix,
            ));
        }
    }
    let more = trouble.len().saturating_sub(NAMED);
    trouble.truncate(NAMED);
    findings.extend(trouble);
    if more > 0 {
        findings.push(Finding::fail(
            "actors",
            format!("{more} more in trouble"),
            "kubectl get asyncactors -A",
        ));
    }
    let behind = actors
        .iter()
        .filter(|actor| actor.status.condition(conditions::UPDATE).is_some_and(Condition::is_true));
    match behind.count() {
        0 => {}
        count => findings.push(Finding::warn(
            "updates",
            format!("{count} actors run an older runtime or sidecar"),
            "kubectl rollout restart when it suits, or rollout.policy: Rolling (docs/upgrade.md)",
        )),
    }
    findings
}

/// Each transport that an actor names, by what the operator says of its actors.
fn transports(actors: &[Actor]) -> Vec<Finding> {
    const CHECK: &str = "transport";
    let mut by_name: BTreeMap<&str, Vec<&Actor>> = BTreeMap::new();
    for actor in actors {
        if let Some(name) = actor.object["spec"]["transport"].as_str() {
            by_name.entry(name).or_default().push(actor);
        }
    }
    let judge = |(name, actors): (&str, Vec<&Actor>)| {
        let conditions: Vec<_> =
            actors.iter().filter_map(|actor| actor.status.condition(conditions::TRANSPORT)).collect();
        let bad: Vec<_> =
            conditions.iter().filter(|c| c.is_bad() && BROKER.contains(&c.reason.as_str())).collect();
        let all = actors.len();
        match (bad.first(), conditions.iter().filter(|condition| condition.is_true()).count()) {
            (Some(first), _) => Finding::fail(
                CHECK,
                format!("{name}: {} of {all} actors: {}: {}", bad.len(), first.reason, first.message),
                "check address, credentials and network policy of the broker: docs/operate.md, TransportReady",
            ),
            (None, 0) => Finding::warn(
                CHECK,
                format!("{name}: the operator has said nothing of its {all} actors"),
                "wait a moment; if it lasts, read the operator's log",
            ),
            (None, ready) => Finding::ok(CHECK, format!("{name}: {ready} of {all} actors have their queue")),
        }
    };
    if by_name.is_empty() {
        return vec![Finding::ok(CHECK, "no actor uses one yet, so nothing is known of the brokers")];
    }
    by_name.into_iter().map(judge).collect()
}

/// How many actors have which word.
fn words(actors: &[Actor]) -> Finding {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for actor in actors {
        *counts.entry(actor.word().unwrap_or("no status")).or_default() += 1;
    }
    let text: Vec<_> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let found = if text.is_empty() { "none".to_owned() } else { text.join(", ") };
    match counts.get(Word::Unknown.as_str()) {
        Some(_) => Finding::warn(
            "actors",
            found,
            "please report what Unknown is about: kubectl get asyncactors -A -o yaml",
        ),
        None => Finding::ok("actors", found),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::State, *};

    fn actor(name: &str, word: &str, condition: Value) -> Actor {
        let mut condition = condition;
        condition["lastTransitionTime"] = json!("2026-11-21T09:00:00Z");
        Actor::of(json!({
            "metadata": {"name": name, "namespace": "a", "generation": 1}, "spec": {"transport": "rabbitmq"},
            "status": {"status": word, "observedGeneration": 1, "conditions": [condition]},
        }))
    }

    #[test]
    fn a_broker_that_is_away_is_said_once() {
        let away = json!({"type": "TransportReady", "status": "False", "reason": "BrokerUnreachable", "message": "no route"});
        let actors = [actor("x", "TransportError", away.clone()), actor("y", "TransportError", away)];
        let failed: Vec<_> =
            check(&actors).into_iter().filter(|f| f.state == State::Fail).map(|f| f.found).collect();
        assert_eq!(failed, ["rabbitmq: 2 of 2 actors: BrokerUnreachable: no route"]);
    }

    #[test]
    fn a_conflict_of_names_and_a_stalled_actor_are_failures() {
        let taken = json!({"type": "TransportReady", "status": "False", "reason": "QueueConflict", "message": "older"});
        let stalled = json!({"type": "Stalled", "status": "True", "reason": "NoProgress", "message": "4 messages wait"});
        let found = check(&[actor("x", "TransportError", taken), actor("y", "Running", stalled)]);
        let failed: Vec<_> = found.iter().filter(|f| f.state == State::Fail).map(|f| f.check).collect();
        assert_eq!(failed, ["conflict", "stalled"]);
        assert!(
            found.iter().filter(|f| f.state == State::Fail).all(|f| f
                .fix
                .as_ref()
                .unwrap()
                .contains("asya explain"))
        );
    }
}
