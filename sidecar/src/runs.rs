//! Runs that a redelivered copy may join: those that still go on, and those whose delivery was lost with the
//! connection before it could be settled.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, Weak},
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::watch;

use crate::settle::Resolution;

/// How long the result of a lost delivery is kept: longer than a broker takes to deliver again after a reconnect.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A message is the same one when its envelope and its place in the route are.
pub(crate) type Key = (String, usize);

/// How a run ended, for copies that joined it.
#[derive(Clone, Debug)]
pub(crate) enum Ended {
    /// Its successors are confirmed: a copy has nothing left to do.
    Confirmed,
    /// It went back to its queue: a copy goes back too.
    Returned,
    /// Its delivery was lost: a copy settles in its place.
    Lost(Arc<Resolution>),
}

/// All runs of one engine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runs(Arc<Mutex<HashMap<Key, Entry>>>);

#[derive(Debug)]
struct Entry {
    body: Bytes,
    state: watch::Sender<Option<Ended>>,
}

/// What a delivery finds.
pub(crate) enum Found {
    /// Nothing: it runs, and others may join it.
    Mine(Run),
    /// Another message under the same key, not a copy: it runs by itself.
    Alone,
    /// An earlier run of the same message.
    Earlier(watch::Receiver<Option<Ended>>),
}

/// A run that others may join. Dropped without an end, it leaves as if it had never been.
pub(crate) struct Run {
    runs: Weak<Mutex<HashMap<Key, Entry>>>,
    key: Option<Key>,
}

impl Runs {
    /// Registers a run, or finds the earlier one of the same message. Only a redelivered copy with the same bytes
    /// joins: two clients may use one id.
    pub(crate) fn enter(&self, key: Key, body: &Bytes, redelivered: bool) -> Found {
        let mut runs = lock(&self.0);
        if let Some(entry) = runs.get(&key) {
            if redelivered && entry.body == *body {
                return Found::Earlier(entry.state.subscribe());
            }
            if entry.state.borrow().is_none() {
                return Found::Alone;
            }
        }
        runs.insert(key.clone(), Entry { body: body.clone(), state: watch::Sender::new(None) });
        Found::Mine(Run { runs: Arc::downgrade(&self.0), key: Some(key) })
    }

    /// Takes over a run whose delivery was lost; false when another copy was faster.
    pub(crate) fn take_over(&self, key: &Key, body: &Bytes) -> Option<Run> {
        let mut runs = lock(&self.0);
        let entry = runs.get_mut(key)?;
        if entry.body != *body || !matches!(*entry.state.borrow(), Some(Ended::Lost(_))) {
            return None;
        }
        entry.state = watch::Sender::new(None);
        Some(Run { runs: Arc::downgrade(&self.0), key: Some(key.clone()) })
    }

    /// How many are running or kept.
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl Run {
    /// Tells those who joined. A lost result is kept for a copy that comes within [`KEPT_FOR`], unless `keep` says
    /// that there is no room for it.
    pub(crate) fn end(mut self, ended: Ended, keep: bool) {
        let (Some(key), Some(runs)) = (self.key.take(), self.runs.upgrade()) else { return };
        let lost = matches!(ended, Ended::Lost(_));
        let mut map = lock(&runs);
        let Some(entry) = map.get(&key) else { return };
        entry.state.send_replace(Some(ended));
        if !lost || !keep {
            map.remove(&key);
            return;
        }
        let state = entry.state.clone();
        let runs = self.runs.clone();
        tokio::spawn(async move {
            tokio::time::sleep(KEPT_FOR).await;
            let Some(runs) = runs.upgrade() else { return };
            let mut map = lock(&runs);
            if map.get(&key).is_some_and(|entry| entry.state.same_channel(&state)) {
                map.remove(&key);
            }
        });
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let (Some(key), Some(runs)) = (self.key.take(), self.runs.upgrade()) {
            lock(&runs).remove(&key);
        }
    }
}

fn lock(map: &Mutex<HashMap<Key, Entry>>) -> MutexGuard<'_, HashMap<Key, Entry>> {
    map.lock().expect("no code panics while it holds the table of runs")
}
