//! Dead letters: where they go, and what is written beside them.

use asya_envelope::Queue;

use super::{
    Core,
    failure::Failure,
    requests::{Letter, permitted},
    settlement::Held,
};
use crate::TransportError;

/// The dead-letter queue that all queues of the Go system share.
const SHARED: &str = "asya-dlq";
/// Attribute: why the message is dead.
pub(super) const REASON: &str = "asya.reason";
/// Attribute: handler runs of the message that failed.
pub(super) const ATTEMPTS: &str = "asya.attempts";
/// Attribute: the full name of the queue that it comes from.
pub(super) const SOURCE: &str = "asya.source";
/// Longest reason that is written down, in bytes; attributes count towards the size of the message.
const MAX_REASON: usize = 1024;

/// The dead-letter queues that belong to a queue: its own, and the one its redrive policy names. Full names; either may
/// be missing.
pub(super) async fn sinks(core: &Core, queue: &Queue) -> Vec<Queue> {
    let mut sinks = vec![queue.dead_letter()];
    let known = core.service.directory.lookup(queue).await;
    sinks.extend(known.ok().and_then(|known| Some(known.redrive.as_ref()?.target.clone())));
    sinks.dedup();
    sinks
}

/// The dead-letter queue of those that have no other.
pub(super) fn shared_sink(core: &Core) -> Queue {
    core.physical(&Queue::named(SHARED))
}

/// Sends the untouched body of a message to the first of its sinks that exists, at last to the shared one.
pub(super) async fn bury(held: &Held, reason: &str) -> Result<(), TransportError> {
    let attributes = vec![
        (REASON, written(reason)),
        (ATTEMPTS, held.deliveries.saturating_sub(1).to_string()),
        (SOURCE, held.queue.as_str().to_owned()),
    ];
    let mut targets = sinks(&held.core, &held.queue).await;
    targets.push(shared_sink(&held.core));
    for target in targets {
        let letter = super::letter(held.body.clone(), std::time::Duration::ZERO, attributes.clone());
        let sent = match held.core.send(&target, letter.clone()).await {
            // The body fits, what is written beside it does not: the message matters more.
            Err(Failure::Over { limit, .. }) if letter.body.len() <= limit => {
                held.core.send(&target, Letter { attributes: Vec::new(), ..letter }).await
            }
            sent => sent,
        };
        match sent {
            Err(Failure::Missing) => {}
            sent => return sent.map_err(|failure| failure.publishing(&target)),
        }
    }
    Err(TransportError::Unroutable { queue: held.queue.dead_letter() })
}

/// A text that an attribute can carry: not empty, no characters that the service refuses, not too long.
fn written(text: &str) -> String {
    let mut written = String::new();
    for c in text.chars().map(|c| if permitted(c) { c } else { char::REPLACEMENT_CHARACTER }) {
        if written.len() + c.len_utf8() > MAX_REASON {
            break;
        }
        written.push(c);
    }
    if written.is_empty() { "not said".to_owned() } else { written }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_reason_can_be_written_down() {
        assert_eq!(written(""), "not said");
        assert_eq!(written("a\u{0}b\u{FFFF}"), "a\u{FFFD}b\u{FFFD}");
        assert_eq!(written(&"ä".repeat(2000)).len(), MAX_REASON);
    }
}
