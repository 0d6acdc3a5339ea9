//! Envelopes that somebody has cancelled, as far as the gateway has said so in answers to reports.
//!
//! A hint, never a certainty: a gateway that is slow or away says nothing, and the envelope goes on.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Ids that are remembered; the oldest go first.
const REMEMBERED: usize = 4_096;

/// What is known of cancelled envelopes. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Cancelled(Arc<Mutex<Table>>);

/// The same, without keeping it.
pub(crate) struct Watched(Weak<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    ids: HashSet<String>,
    order: VecDeque<String>,
    in_hand: HashMap<String, Entry>,
}

/// An id that engines have in hand.
#[derive(Debug)]
struct Entry {
    token: CancellationToken,
    deliveries: usize,
    /// The gateway follows it.
    followed: bool,
    asked: Instant,
}

/// One delivery of an id, for as long as it is in hand.
pub(crate) struct InHand {
    table: Cancelled,
    id: String,
    token: CancellationToken,
}

impl Cancelled {
    /// Notes that an envelope is cancelled: what has it in hand stops.
    pub fn note(&self, id: &str) {
        let mut table = self.lock();
        if let Some(entry) = table.in_hand.get(id) {
            entry.token.cancel();
        }
        if !table.ids.insert(id.to_owned()) {
            return;
        }
        table.order.push_back(id.to_owned());
        if table.order.len() > REMEMBERED
            && let Some(oldest) = table.order.pop_front()
        {
            table.ids.remove(&oldest);
        }
    }

    /// Notes that the gateway follows an envelope, so that it can be asked about it.
    pub fn followed(&self, id: &str) {
        if let Some(entry) = self.lock().in_hand.get_mut(id) {
            entry.followed = true;
        }
    }

    /// A delivery of `id` that is in hand until this is dropped.
    pub(crate) fn enter(&self, id: &str) -> InHand {
        let mut table = self.lock();
        let noted = table.ids.contains(id);
        let entry = table.in_hand.entry(id.to_owned()).or_insert_with(|| Entry {
            token: CancellationToken::new(),
            deliveries: 0,
            followed: false,
            asked: Instant::now(),
        });
        entry.deliveries += 1;
        if noted {
            entry.token.cancel();
        }
        let token = entry.token.clone();
        drop(table);
        InHand { table: self.clone(), id: id.to_owned(), token }
    }

    pub(crate) fn watched(&self) -> Watched {
        Watched(Arc::downgrade(&self.0))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().expect("no code panics while it holds the table of cancelled envelopes")
    }
}

impl Watched {
    /// What it is, if anybody uses it still.
    pub(crate) fn upgrade(&self) -> Option<Cancelled> {
        self.0.upgrade().map(Cancelled)
    }
}

impl Cancelled {
    /// Up to `most` ids in hand that the gateway follows and was last heard of at least `pause` ago, the longest first;
    /// from now on they are heard of now.
    pub(crate) fn to_ask(&self, pause: Duration, most: usize) -> Vec<String> {
        let (now, mut table) = (Instant::now(), self.lock());
        let old = |entry: &Entry| entry.followed && !entry.token.is_cancelled() && now - entry.asked >= pause;
        let mut due: Vec<_> = table.in_hand.iter_mut().filter(|(_, entry)| old(entry)).collect();
        due.sort_by_key(|(_, entry)| entry.asked);
        due.truncate(most);
        due.into_iter()
            .map(|(id, entry)| {
                entry.asked = now;
                id.clone()
            })
            .collect()
    }
}

impl InHand {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until it is cancelled. Cancel safe.
    pub(crate) async fn cancelled(&self) {
        self.token.cancelled().await;
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        if let Some(entry) = table.in_hand.get_mut(&self.id) {
            entry.deliveries -= 1;
            if entry.deliveries == 0 {
                table.in_hand.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_deliveries_of_an_id_learn_of_it_and_later_ones_at_once() {
        let cancelled = Cancelled::default();
        let (one, two, other) = (cancelled.enter("a"), cancelled.enter("a"), cancelled.enter("b"));
        cancelled.note("a");
        one.cancelled().await;
        assert!(two.is_cancelled() && !other.is_cancelled());
        drop((one, two));
        assert!(cancelled.enter("a").is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_are_forgotten() {
        let cancelled = Cancelled::default();
        for number in 0..=REMEMBERED {
            cancelled.note(&number.to_string());
            cancelled.note(&number.to_string());
        }
        assert!(!cancelled.enter("0").is_cancelled());
        assert!(cancelled.enter("1").is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_is_in_hand_for_long_and_followed_is_asked_about() {
        const PAUSE: Duration = Duration::from_secs(5);
        let cancelled = Cancelled::default();
        let _a = cancelled.enter("a");
        let _b = cancelled.enter("b");
        cancelled.followed("a");
        cancelled.followed("unheard of");
        assert_eq!(cancelled.to_ask(PAUSE, 10), Vec::<String>::new());
        tokio::time::advance(PAUSE).await;
        let _c = cancelled.enter("c");
        cancelled.followed("c");
        assert_eq!(cancelled.to_ask(PAUSE, 10), ["a"]);
        assert_eq!(cancelled.to_ask(PAUSE, 10), Vec::<String>::new());
        tokio::time::advance(PAUSE).await;
        assert_eq!(cancelled.to_ask(PAUSE, 1).len(), 1, "a and c are due, one is wanted");
        cancelled.note("a");
        cancelled.note("c");
        assert_eq!(cancelled.to_ask(Duration::ZERO, 10), Vec::<String>::new());
    }
}
