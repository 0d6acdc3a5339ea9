//! How many more messages may be received: credit less what is buffered, in hand, or asked for.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// The account of one consumer. It lives as long as the last delivery.
#[derive(Debug)]
pub(super) struct Credit {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    used: usize,
}

/// One message's worth of credit, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Credit>);

impl Credit {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { limit, used: 0 }), freed: Notify::new() })
    }

    /// Takes up to `most` permits; none when fewer than `least`, or than half of the credit, are free.
    pub(super) fn take(self: &Arc<Self>, least: usize, most: usize) -> Vec<Permit> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let free = state.limit.saturating_sub(state.used);
        let count = if free < least.min(state.limit.div_ceil(2)) { 0 } else { free.min(most) };
        state.used += count;
        (0..count).map(|_| Permit(Arc::clone(self))).collect()
    }

    /// Changes the limit; what is over it drains by itself.
    pub(super) fn set_limit(&self, limit: usize) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).limit = limit;
        self.freed.notify_one();
    }

    /// Done when credit may have become free since the last call. Cancel safe.
    pub(super) async fn freed(&self) {
        self.freed.notified().await;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner).used -= 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_given_than_the_limit_even_when_it_shrinks() {
        let credit = Credit::new(12);
        let mut held = credit.take(1, 10);
        assert_eq!(held.len(), 10);
        held.extend(credit.take(1, 10));
        assert_eq!(held.len(), 12);
        credit.set_limit(5);
        held.truncate(6);
        assert!(credit.take(1, 1).is_empty());
        held.truncate(4);
        assert_eq!(credit.take(1, 10).len(), 1);
    }

    #[test]
    fn few_free_permits_are_left_for_those_who_want_more() {
        let credit = Credit::new(40);
        let held = [credit.take(10, 10), credit.take(10, 10), credit.take(10, 10), credit.take(1, 1)];
        assert!(credit.take(10, 10).is_empty());
        assert_eq!(credit.take(1, 10).len(), 9);
        drop(held);
        // Half of a small credit is enough.
        let credit = Credit::new(4);
        let _held = credit.take(1, 2);
        assert_eq!(credit.take(10, 10).len(), 2);
    }
}
