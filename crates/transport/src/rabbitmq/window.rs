//! Judging a window of publishes once all of its confirmations have resolved: pure, no I/O.
//!
//! The client library hands a returned message to whichever confirmation it completes next, because `basic.return`
//! carries no tag. So the confirmation that carries a return says nothing about the message that was returned; its
//! `message_id` does. Within a window none is missing: the broker sends the return before the confirmation of the same
//! message, and nothing else is published on the channel meanwhile.

/// How the confirmation of one publish ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Confirmed {
    /// The broker has taken responsibility; for a returned message too.
    Ack,
    /// The broker refuses responsibility.
    Nack,
    /// The channel or connection ended first.
    Failed(String),
}

/// What became of one publish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// On its queue.
    Stored,
    /// No queue took it.
    Unroutable,
    /// Refused (a queue over its length limit, or a queue that failed).
    Refused,
    /// Nobody knows: it may be on its queue or not.
    Unknown(String),
}

/// Judges the publishes numbered `first..first + confirmed.len()`. `returned` are the numbers of the messages found on
/// any of the confirmations; `None` for one whose number could not be read.
pub(super) fn judge(first: u64, confirmed: Vec<Confirmed>, returned: &[Option<u64>]) -> Vec<Verdict> {
    let inside = first..first + confirmed.len() as u64;
    let foreign = returned.iter().any(|number| !number.is_some_and(|number| inside.contains(&number)));
    let mut verdicts: Vec<Verdict> = confirmed
        .into_iter()
        .map(|confirmed| match confirmed {
            // One of these was returned and it cannot be told which.
            Confirmed::Ack if foreign => Verdict::Unknown("a message was returned without a known id".into()),
            Confirmed::Ack => Verdict::Stored,
            Confirmed::Nack => Verdict::Refused,
            Confirmed::Failed(why) => Verdict::Unknown(why),
        })
        .collect();
    for number in returned.iter().flatten().filter(|number| inside.contains(number)) {
        verdicts[usize::try_from(number - first).expect("a window fits in memory")] = Verdict::Unroutable;
    }
    verdicts
}

/// Message ids of one process: unique by a random prefix and a number.
#[derive(Debug)]
pub(super) struct MessageIds {
    prefix: String,
    next: u64,
}

impl MessageIds {
    pub(super) fn new() -> Self {
        Self { prefix: format!("{:016x}-", rand::random::<u64>()), next: 0 }
    }

    /// Takes `count` consecutive numbers.
    pub(super) fn take(&mut self, count: usize) -> u64 {
        let first = self.next;
        self.next += count as u64;
        first
    }

    pub(super) fn id(&self, number: u64) -> String {
        format!("{}{number:x}", self.prefix)
    }

    /// The number in an id, if it is one of ours.
    pub(super) fn number(&self, id: &str) -> Option<u64> {
        u64::from_str_radix(id.strip_prefix(&self.prefix)?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn exactly_the_returned_messages_are_unroutable(
            first in 0..u64::MAX / 2,
            unroutable in prop::collection::vec(any::<bool>(), 1..200),
            order in any::<u64>(),
        ) {
            let mut returned: Vec<_> =
                (first..).zip(&unroutable).filter(|(_, gone)| **gone).map(|(number, _)| Some(number)).collect();
            // In any order: the confirmations that carry them are not theirs.
            let turn = usize::try_from(order % (returned.len() as u64 + 1)).unwrap();
            returned.rotate_left(turn);
            let verdicts = judge(first, vec![Confirmed::Ack; unroutable.len()], &returned);
            let expected: Vec<_> = unroutable
                .iter()
                .map(|gone| if *gone { Verdict::Unroutable } else { Verdict::Stored })
                .collect();
            prop_assert_eq!(verdicts, expected);
        }
    }

    #[test]
    fn a_failed_channel_leaves_only_the_unconfirmed_unknown() {
        let confirmed =
            vec![Confirmed::Ack, Confirmed::Failed("gone".into()), Confirmed::Nack, Confirmed::Ack];
        assert_eq!(
            judge(10, confirmed, &[Some(13)]),
            [Verdict::Stored, Verdict::Unknown("gone".into()), Verdict::Refused, Verdict::Unroutable]
        );
    }

    #[test]
    fn a_return_that_cannot_be_matched_leaves_no_message_stored() {
        for foreign in [None, Some(9), Some(12)] {
            let verdicts = judge(10, vec![Confirmed::Ack, Confirmed::Ack], &[foreign]);
            assert!(verdicts.iter().all(|verdict| matches!(verdict, Verdict::Unknown(_))), "{verdicts:?}");
        }
    }

    #[test]
    fn ids_are_read_back_and_those_of_others_are_not() {
        let mut ids = MessageIds::new();
        assert_eq!((ids.take(3), ids.take(1)), (0, 3));
        assert_eq!(ids.number(&ids.id(255)), Some(255));
        assert_eq!(ids.number("x"), None);
        assert_eq!(ids.number(&MessageIds::new().id(255)), None);
    }
}
