//! Which deliveries of one channel may be acknowledged, and how: pure bookkeeping, no I/O.

use std::collections::{BTreeMap, BTreeSet};

/// Deliveries of one channel by tag: what is held, and what is done and not acknowledged. Nothing is kept of the rest, so
/// its size is that of the credit, however long the oldest delivery runs.
///
/// The invariant: **an acknowledgement never covers a tag that is not done.** `multiple` covers every lower tag that is
/// outstanding, so it is used only below the low-water mark; what is done above the mark is acknowledged singly.
///
/// `W` is whoever waits for the acknowledgement to be sent.
#[derive(Debug)]
pub(super) struct Ledger<W> {
    /// Tags of a channel count up from 1 without gaps.
    next: u64,
    /// With the consumer, or on its way to it.
    held: BTreeSet<u64>,
    /// To be acknowledged.
    done: BTreeMap<u64, W>,
}

/// One acknowledgement to send.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ack<W> {
    pub(super) tag: u64,
    pub(super) multiple: bool,
    /// Those to tell when it is sent.
    pub(super) waiters: Vec<W>,
}

impl<W> Ledger<W> {
    pub(super) fn new() -> Self {
        Self { next: 1, held: BTreeSet::new(), done: BTreeMap::new() }
    }

    /// Notes a delivery. False if the tag is not the next one: then nothing about this channel can be trusted.
    #[must_use]
    pub(super) fn delivered(&mut self, tag: u64) -> bool {
        if tag != self.next {
            return false;
        }
        self.next += 1;
        self.held.insert(tag)
    }

    /// Marks a delivery to be acknowledged. `waiter` comes back if the tag is not held.
    pub(super) fn done(&mut self, tag: u64, waiter: W) -> Result<(), W> {
        if !self.held.remove(&tag) {
            return Err(waiter);
        }
        self.done.insert(tag, waiter);
        Ok(())
    }

    /// Marks a delivery as given back. False if the tag is not held.
    pub(super) fn gone(&mut self, tag: u64) -> bool {
        self.held.remove(&tag)
    }

    /// Deliveries that nobody has settled.
    pub(super) fn held(&self) -> usize {
        self.held.len()
    }

    /// Deliveries that are done and not acknowledged.
    pub(super) fn waiting(&self) -> usize {
        self.done.len()
    }

    /// One acknowledgement for everything that is done below the lowest held tag.
    pub(super) fn below_low_water(&mut self) -> Option<Ack<W>> {
        let above = self.held.first().map_or_else(BTreeMap::new, |lowest| self.done.split_off(lowest));
        let below = std::mem::replace(&mut self.done, above);
        let tag = *below.last_key_value()?.0;
        Some(Ack { tag, multiple: below.len() > 1, waiters: below.into_values().collect() })
    }

    /// Single acknowledgements for what is done above the lowest held tag.
    pub(super) fn stragglers(&mut self) -> Vec<Ack<W>> {
        let done = std::mem::take(&mut self.done);
        done.into_iter().map(|(tag, waiter)| Ack { tag, multiple: false, waiters: vec![waiter] }).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn delivered(count: u64) -> Ledger<u64> {
        let mut ledger = Ledger::new();
        assert!((1..=count).all(|tag| ledger.delivered(tag)));
        ledger
    }

    #[test]
    fn what_is_done_above_a_running_delivery_is_not_covered_by_multiple() {
        let mut ledger = delivered(4);
        ledger.done(3, 3).unwrap();
        ledger.done(4, 4).unwrap();
        assert_eq!(ledger.below_low_water(), None, "1 and 2 still run");
        let tags: Vec<_> = ledger.stragglers().iter().map(|ack| (ack.tag, ack.multiple)).collect();
        assert_eq!(tags, [(3, false), (4, false)]);
        ledger.done(1, 1).unwrap();
        ledger.done(2, 2).unwrap();
        let ack = ledger.below_low_water().unwrap();
        assert_eq!((ack.tag, ack.multiple, ack.waiters), (2, true, vec![1, 2]));
    }

    #[test]
    fn a_tag_is_settled_once() {
        let mut ledger = delivered(2);
        ledger.done(1, 1).unwrap();
        assert_eq!(ledger.done(1, 9), Err(9));
        assert!(!ledger.gone(1));
        assert!(ledger.gone(2));
        assert_eq!(ledger.done(2, 9), Err(9));
        assert_eq!(ledger.done(0, 9), Err(9), "tag 0 would mean all");
        assert_eq!(ledger.done(3, 9), Err(9));
    }

    #[test]
    fn a_gap_in_the_tags_is_noticed() {
        let mut ledger = delivered(1);
        assert!(!ledger.delivered(3));
        assert!(!ledger.delivered(1));
        assert!(ledger.delivered(2));
    }

    #[test]
    fn a_delivery_that_runs_for_long_does_not_make_the_ledger_grow() {
        let mut ledger = delivered(1);
        for tag in 2..10_000 {
            assert!(ledger.delivered(tag));
            ledger.done(tag, tag).unwrap();
            assert_eq!(ledger.below_low_water(), None);
            assert_eq!(ledger.stragglers().len(), 1);
            assert_eq!((ledger.held.len(), ledger.done.len()), (1, 0));
        }
    }

    /// A broker's view of one channel.
    #[derive(Default)]
    struct Broker {
        outstanding: BTreeSet<u64>,
    }

    impl Broker {
        fn ack(&mut self, ack: &Ack<u64>) -> Vec<u64> {
            assert!(self.outstanding.contains(&ack.tag), "ack of unknown tag {} closes the channel", ack.tag);
            let covered = match ack.multiple {
                true => self.outstanding.range(..=ack.tag).copied().collect(),
                false => vec![ack.tag],
            };
            for tag in &covered {
                self.outstanding.remove(tag);
            }
            covered
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Deliver,
        Done(usize),
        GiveBack(usize),
        LowWater,
        Stragglers,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Deliver),
            4 => (0..20usize).prop_map(Step::Done),
            1 => (0..20usize).prop_map(Step::GiveBack),
            2 => Just(Step::LowWater),
            1 => Just(Step::Stragglers),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn exactly_what_is_done_is_acknowledged_and_nothing_else(steps in steps()) {
            let mut ledger = Ledger::new();
            let mut broker = Broker::default();
            let mut next = 1;
            let mut held = BTreeSet::new();
            let mut done = BTreeSet::new();
            for step in steps.into_iter().chain([Step::LowWater, Step::Stragglers]) {
                let acks = match step {
                    Step::Deliver => {
                        prop_assert!(ledger.delivered(next));
                        broker.outstanding.insert(next);
                        held.insert(next);
                        next += 1;
                        continue;
                    }
                    Step::Done(nth) => {
                        if let Some(&tag) = held.iter().nth(nth) {
                            held.remove(&tag);
                            done.insert(tag);
                            prop_assert!(ledger.done(tag, tag).is_ok());
                        }
                        continue;
                    }
                    Step::GiveBack(nth) => {
                        if let Some(&tag) = held.iter().nth(nth) {
                            held.remove(&tag);
                            broker.outstanding.remove(&tag);
                            prop_assert!(ledger.gone(tag));
                        }
                        continue;
                    }
                    Step::LowWater => ledger.below_low_water().into_iter().collect(),
                    Step::Stragglers => ledger.stragglers(),
                };
                for ack in acks {
                    let covered = broker.ack(&ack);
                    prop_assert_eq!(&covered, &ack.waiters, "those told are those acknowledged");
                    for tag in covered {
                        prop_assert!(done.remove(&tag), "tag {} was acknowledged and is not done", tag);
                    }
                }
                prop_assert_eq!((ledger.held(), ledger.waiting()), (held.len(), done.len()));
            }
            prop_assert!(done.is_empty(), "done and never acknowledged: {:?}", done);
            prop_assert_eq!(broker.outstanding, held);
        }
    }
}
