//! Queues that an actor left behind when its transport or the queue template changed: counted, told of, and deleted once
//! they are empty and nobody can still mean them.

use std::time::Duration;

use asya_envelope::Queue;
use asya_resources::{DeletionPolicy, FormerQueue};
use asya_transport::Depth;
use jiff::{SignedDuration, Timestamp};
use kube::runtime::events::EventType;
use tokio::time::Instant;
use tracing::info;

use super::{
    conflict::{self, Heir},
    context::Context,
    report::tell,
    work::Key,
};
use crate::{
    actor::{Actor, Stored},
    queues::{Queued, Retired, Retirement},
    settings::{Kind, Settings, Transport},
    status::{Observed, former::LEFT_BEHIND},
};

/// How often such a queue is looked for: nobody waits for the answer.
const EVERY: Duration = Duration::from_secs(60);

/// What is remembered of a queue that was left behind.
#[derive(Clone, Debug)]
pub struct Behind {
    queued: Queued,
    at: Instant,
    retirement: Option<Retirement>,
}

/// Looks for the queues that the actor left behind and says what is on them. One that is empty is deleted unless
/// something is against it, and one that is gone or another actor's by now is forgotten.
pub async fn tend(context: &Context, key: &Key, stored: &Stored, actor: &Actor, observed: &mut Observed<'_>) {
    let settled = observed.transport.is_good() && observed.workload.is_good() && observed.update.is_none();
    for mut former in std::mem::take(&mut observed.former) {
        let FormerQueue { transport, name, left_time } = &former.queue;
        let place = (transport.clone(), name.clone());
        let queue = Queue::named(name.clone());
        let heir = conflict::heir(context, stored, transport, &queue);
        if let Some(Heir { actor: (namespace, heir), certain: true }) = heir {
            info!(queue = name, namespace, heir, "a queue that was left behind is another actor's now");
            context.remember(key, |memory| memory.behind.remove(&place));
            continue;
        }
        let (mut behind, fresh) = look(context, key, &place, &queue).await;
        let may = may_delete(&context.settings, transport, actor.spec.deletion_policy());
        // One name on two transports may be one queue, which is in use.
        let twin = heir.is_some()
            || observed.queue.as_ref().is_some_and(|owned| {
                owned.name == *name && may_be_same(&context.settings, transport, &owned.transport)
            });
        let due =
            settled && fresh && !twin && is_old(left_time, observed.now, context.settings.deletion_timeout);
        if may && due && behind.queued.depth().is_some_and(is_empty) {
            retire(context, key, stored, (transport, &queue), &mut behind).await;
        }
        if behind.queued == Queued::Missing {
            context.remember(key, |memory| memory.behind.remove(&place));
            continue;
        }
        let (found, sentence) = words(&behind.queued, may && !twin);
        let sentence = format!("queue {name} on transport {transport} was left behind {sentence}");
        context.remember(key, |memory| memory.behind.insert(place, behind));
        observed.warnings.push((LEFT_BEHIND, sentence));
        former.found = found;
        observed.former.push(former);
    }
}

/// What is on it, and whether that was asked just now.
async fn look(context: &Context, key: &Key, place: &(String, String), queue: &Queue) -> (Behind, bool) {
    let known = context.remember(key, |memory| memory.behind.get(place).cloned());
    match known {
        Some(known) if known.at.elapsed() < EVERY => (known, false),
        known => {
            let queued = context.brokers.look(&place.0, queue).await;
            context.metrics.called(&place.0, "depth", !matches!(queued, Queued::Unreachable(_)));
            let retirement = known.and_then(|known| known.retirement);
            (Behind { queued, at: Instant::now(), retirement }, true)
        }
    }
}

/// One step of the deletion of an empty queue; whatever the policy, messages are not deleted while the actor lives.
async fn retire(
    context: &Context,
    key: &Key,
    stored: &Stored,
    (transport, queue): (&str, &Queue),
    behind: &mut Behind,
) {
    let policy = DeletionPolicy::DeleteIfEmpty;
    let begin = || context.brokers.retirement(transport, policy, context.settings.deletion_timeout);
    let mut retirement = behind.retirement.take().unwrap_or_else(begin);
    match context.brokers.retire(transport, queue, &mut retirement).await {
        Retired::Gone { dead_letters } => {
            let sentence =
                format!("queue {queue} on transport {transport}, which was left behind, is deleted");
            tell(context, key, stored, EventType::Normal, "FormerQueueDeleted", &sentence).await;
            if let Some(sentence) = dead_letters {
                tell(context, key, stored, EventType::Normal, "QueueRetained", &sentence).await;
            }
            behind.queued = Queued::Missing;
        }
        // Somebody reads it, or a message came meanwhile: from the beginning at the next look.
        Retired::Kept(why) => {
            info!(queue = queue.as_str(), why, "a queue that was left behind stays for now");
        }
        Retired::Again { .. } => behind.retirement = Some(retirement),
    }
}

/// Whether two names are one broker: then a queue of the same name was not left behind.
pub(super) fn is_same(settings: &Settings, former: &str, transport: &Transport) -> bool {
    let Some(former) = settings.transports.get(former) else { return false };
    match (&former.kind, &transport.kind) {
        (Kind::Rabbitmq(a), Kind::Rabbitmq(b)) => (&a.host, a.port, &a.vhost) == (&b.host, b.port, &b.vhost),
        (Kind::Sqs(a), Kind::Sqs(b)) => {
            (&a.region, &a.account, &a.endpoint) == (&b.region, &b.account, &b.endpoint)
        }
        (Kind::Rabbitmq(_) | Kind::Sqs(_), _) => false,
    }
}

/// Whether two transports may be one service in spite of [`is_same`]: an account or endpoint of SQS that only one of them
/// spells out.
fn may_be_same(settings: &Settings, a: &str, b: &str) -> bool {
    let region = |name: &str| match &settings.transports.get(name)?.kind {
        Kind::Sqs(sqs) => Some(sqs.region.clone()),
        Kind::Rabbitmq(_) => None,
    };
    region(a).is_some_and(|region_a| region(b) == Some(region_a))
}

fn may_delete(settings: &Settings, transport: &str, policy: DeletionPolicy) -> bool {
    let ours = settings.transports.get(transport).is_some_and(|found| found.enabled && found.auto_create);
    settings.manage_queues && ours && policy != DeletionPolicy::Retain
}

/// Whether it was left so long ago that pods, its own and those that send to it, know the new one.
fn is_old(left: &str, now: Timestamp, limit: Duration) -> bool {
    let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
    left.parse::<Timestamp>().is_ok_and(|left| now.duration_since(left) >= limit)
}

fn is_empty(depth: Depth) -> bool {
    depth.ready == 0 && depth.in_flight == 0 && depth.delayed == 0
}

/// What was found, with numbers for the Event; and for the condition, which must not change with each message.
fn words(queued: &Queued, goes: bool) -> (String, String) {
    let Some(depth) = queued.depth() else {
        let Queued::Unreachable(why) = queued else { return (String::new(), String::new()) };
        let found = format!("and its messages cannot be counted ({why})");
        return (found.clone(), format!("{found}: docs/queues.md says what to do"));
    };
    if is_empty(depth) {
        let next = if goes { "the operator deletes it once nothing uses it" } else { "delete it by hand" };
        return ("and is empty".to_owned(), format!("and is empty: {next}"));
    }
    let all = depth.ready.saturating_add(depth.in_flight).saturating_add(depth.delayed);
    let sentence = "with messages that nobody reads: docs/queues.md says what to do".to_owned();
    (format!("with messages on it: {all}"), sentence)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_condition_of_a_queue_with_messages_has_no_number_and_the_event_has() {
        let holds = |ready| words(&Queued::There(Depth { ready, ..Depth::default() }), true);
        assert_eq!(holds(3).1, holds(4).1, "else each message would be a write");
        assert_eq!(holds(3).0, "with messages on it: 3");
        assert!(holds(0).1.contains("the operator deletes it"));
    }

    #[test]
    fn two_names_of_one_broker_are_one_queue_and_two_brokers_are_two() {
        let rabbit =
            |port: u16| json!({"type": "rabbitmq", "enabled": true, "config": {"host": "mq", "port": port}});
        let sqs = |account: &str| json!({"type": "sqs", "enabled": true, "config": {"region": "r", "accountId": account}});
        let transports =
            json!({"a": rabbit(1), "b": rabbit(1), "c": rabbit(2), "s": sqs("1"), "t": sqs("2")});
        let config = json!({"transports": transports}).to_string();
        let raw = crate::settings::Raw { transport_config: Some(config), ..crate::settings::Raw::default() };
        let settings = Settings::read(raw).unwrap();
        let same = |former: &str, now: &str| is_same(&settings, former, &settings.transports[now]);
        assert!(same("a", "b") && same("s", "s"));
        assert!(!same("a", "c") && !same("a", "s") && !same("s", "t") && !same("gone", "a"));
        assert!(may_be_same(&settings, "s", "t"), "one region: better not delete what may be in use");
        assert!(!may_be_same(&settings, "a", "c") && !may_be_same(&settings, "gone", "away"));
        for (transport, policy, may) in [
            ("a", DeletionPolicy::Delete, true),
            ("a", DeletionPolicy::Retain, false),
            ("gone", DeletionPolicy::Delete, false),
        ] {
            assert_eq!(may_delete(&settings, transport, policy), may, "{transport} {policy:?}");
        }
    }

    #[test]
    fn a_queue_is_left_alone_for_the_limit() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let limit = Duration::from_secs(600);
        assert!(is_old("2026-01-01T11:50:00Z", now, limit));
        assert!(!is_old("2026-01-01T11:50:01Z", now, limit));
        assert!(!is_old("yesterday", now, limit), "what cannot be read is never too old");
    }
}
