//! Who listens: the open streams, by actor.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use super::Counters;

/// Namespace and name.
pub(super) type Key = (String, String);

/// How often an actor that has messages and stays at zero is named again: KEDA drops what it hears before it has built
/// the ScaledObject's metrics. Two seconds, less what one look may come early.
const REPEAT: Duration = Duration::from_millis(1_900);

/// The open streams, bounded.
pub(super) struct Streams {
    limit: usize,
    next: AtomicU64,
    open: Mutex<HashMap<Key, Vec<Listener>>>,
    counters: Counters,
}

struct Listener {
    id: u64,
    /// Holds one word: who does not read gets the next one.
    wake: mpsc::Sender<()>,
    told: Option<Instant>,
}

/// One open stream; dropped, it is closed.
pub(super) struct Open {
    streams: Arc<Streams>,
    key: Key,
    id: u64,
    woken: mpsc::Receiver<()>,
}

impl Streams {
    pub(super) fn new(limit: usize, counters: Counters) -> Self {
        Self { limit, next: AtomicU64::default(), open: Mutex::default(), counters }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Key, Vec<Listener>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a stream; `None` when there are too many.
    pub(super) fn listen(self: &Arc<Self>, key: Key) -> Option<Open> {
        let (wake, woken) = mpsc::channel(1);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut open = self.open();
        // The gauge changes only under this lock, so it is the number of streams.
        if usize::try_from(self.counters.streams.get()).unwrap_or(0) >= self.limit {
            return None;
        }
        open.entry(key.clone()).or_default().push(Listener { id, wake, told: None });
        self.counters.streams.inc();
        Some(Open { streams: self.clone(), key, id, woken })
    }

    /// The actors that somebody listens for.
    pub(super) fn actors(&self) -> Vec<Key> {
        self.open().keys().cloned().collect()
    }

    /// Tells those who listen for an actor that it has messages, unless they were told within [`REPEAT`].
    pub(super) fn wake(&self, key: &Key) {
        for listener in self.open().get_mut(key).into_iter().flatten() {
            let due = listener.told.is_none_or(|told| told.elapsed() >= REPEAT);
            if due && listener.wake.try_send(()).is_ok() {
                listener.told = Some(Instant::now());
                self.counters.activations.inc();
            }
        }
    }

    /// The actor has replicas, or nothing waits: the next message is news.
    pub(super) fn rest(&self, key: &Key) {
        for listener in self.open().get_mut(key).into_iter().flatten() {
            listener.told = None;
        }
    }
}

impl Open {
    /// The next time that there is work.
    pub(super) async fn woken(&mut self) {
        // The sender lives in the table as long as this does.
        if self.woken.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut open = self.streams.open();
        if let Some(listeners) = open.get_mut(&self.key) {
            listeners.retain(|listener| listener.id != self.id);
            if listeners.is_empty() {
                open.remove(&self.key);
            }
        }
        self.streams.counters.streams.dec();
    }
}
