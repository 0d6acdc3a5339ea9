//! Transitions that a person cares about.

use asya_resources::AsyncActorStatus;

use super::{Observed, conditions, former::LEFT_BEHIND};

/// One Kubernetes Event to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Whether something is wrong.
    pub warning: bool,
    /// One word in upper camel case.
    pub reason: String,
    /// A sentence.
    pub message: String,
}

/// What happened between two statuses. Nothing is told twice: equal statuses give no event.
pub(super) fn between(old: &AsyncActorStatus, new: &AsyncActorStatus, observed: &Observed<'_>) -> Vec<Event> {
    let mut events = Vec::new();
    for (name, _) in conditions::ALL {
        let bad_when = conditions::bad_when(name);
        let before = old.condition(name);
        let after = new.condition(name);
        let was_bad = before.is_some_and(|condition| condition.status == bad_when);
        match after {
            Some(now) if now.status == bad_when => {
                let same = was_bad && before.is_some_and(|before| before.reason == now.reason);
                // Told below, with numbers.
                let told = same || now.reason == LEFT_BEHIND;
                let calm = [conditions::UPDATE, conditions::DELETING].contains(&name);
                events.extend((!told).then(|| event(!calm, &now.reason, &now.message)));
            }
            _ if was_bad && observed.deleting.is_none() => {
                let message = after.map_or_else(
                    || format!("{name} no longer holds"),
                    |now| {
                        if now.message.is_empty() {
                            format!("{name} holds again")
                        } else {
                            now.message.clone()
                        }
                    },
                );
                events.push(event(false, &format!("{name}Recovered"), &message));
            }
            _ => {}
        }
    }
    let left = observed.former.iter().filter(|former| !old.former_queues.contains(&former.queue));
    events.extend(left.map(|former| event(true, LEFT_BEHIND, &former.told())));
    let desired = |status: &AsyncActorStatus| status.desired_replicas;
    if let (Some(before), Some(after)) = (desired(old), desired(new))
        && before != after
        && observed.replicas.is_some()
    {
        let reason = match (before, after) {
            (0, _) => "WokeUp",
            (_, 0) => "ScaledToZero",
            (before, after) if after > before => "ScaledUp",
            _ => "ScaledDown",
        };
        events.push(event(false, reason, &format!("from {before} to {after} replicas")));
    }
    events
}

fn event(warning: bool, reason: &str, message: &str) -> Event {
    Event { warning, reason: reason.to_owned(), message: message.to_owned() }
}
