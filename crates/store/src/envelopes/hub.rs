//! Who watches which envelope, or session of a conversation, in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, broadcast, watch};

/// Changes that a watcher of everything may lag behind before it is told that it missed some.
const BEHIND: usize = 4096;

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This envelope: read it, or its updates since the last one seen. Or the session of a conversation with this id.
    Envelope(Arc<str>),
    /// Anything may have: notifications were lost.
    Missed,
}

/// Changes of all envelopes.
#[derive(Debug)]
pub struct Changes(broadcast::Receiver<Change>);

impl Changes {
    /// The next change. Changes of one envelope in quick succession may be told once. Cancel safe.
    pub async fn next(&mut self) -> Change {
        match self.0.recv().await {
            Ok(change) => change,
            Err(broadcast::error::RecvError::Lagged(_)) => Change::Missed,
            // The store is closed: nothing changes any more.
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Tells watchers that an envelope changed.
#[derive(Debug)]
pub(crate) struct Hub {
    all: broadcast::Sender<Change>,
    one: Mutex<HashMap<Arc<str>, watch::Sender<()>>>,
    sendable: Notify,
}

/// Watches one envelope, or one session of a conversation. Dropped with its last clone, the envelope is forgotten here.
#[derive(Debug)]
pub(crate) struct Watch {
    hub: Arc<Hub>,
    id: Arc<str>,
    receiver: Option<watch::Receiver<()>>,
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { all: broadcast::Sender::new(BEHIND), one: Mutex::default(), sendable: Notify::new() })
    }

    /// Tells that these envelopes changed.
    pub(crate) fn changed<'a>(&self, ids: impl IntoIterator<Item = &'a str>) {
        let one = self.one();
        for id in ids {
            if let Some(sender) = one.get(id) {
                sender.send_replace(());
            }
            if self.all.receiver_count() > 0 {
                // Nobody listening any more is no error.
                let _ = self.all.send(Change::Envelope(id.into()));
            }
        }
    }

    /// Tells that any envelope may have changed.
    #[cfg(feature = "postgres")]
    pub(crate) fn missed(&self) {
        for sender in self.one().values() {
            sender.send_replace(());
        }
        let _ = self.all.send(Change::Missed);
    }

    /// Tells that the outbox has a new entry.
    pub(crate) fn sendable(&self) {
        self.sendable.notify_one();
    }

    pub(crate) async fn wait_sendable(&self) {
        self.sendable.notified().await;
    }

    pub(crate) fn watch_all(&self) -> Changes {
        Changes(self.all.subscribe())
    }

    pub(crate) fn watch(self: &Arc<Self>, id: &str) -> Watch {
        let id: Arc<str> = id.into();
        let receiver = self.one().entry(id.clone()).or_insert_with(|| watch::Sender::new(())).subscribe();
        Watch { hub: self.clone(), id, receiver: Some(receiver) }
    }

    /// The map is whole whatever panicked: each change of it is one call.
    fn one(&self) -> MutexGuard<'_, HashMap<Arc<str>, watch::Sender<()>>> {
        self.one.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watch {
    /// Returns when it changed since the last call, or since the watch began. Cancel safe.
    pub(crate) async fn changed(&mut self) {
        if let Some(receiver) = &mut self.receiver
            && receiver.changed().await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut one = self.hub.one();
        // Ours first, under the lock: whoever is last then finds none.
        self.receiver = None;
        if one.get(&self.id).is_some_and(|sender| sender.receiver_count() == 0) {
            one.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_watches_one_envelope_hears_of_it_alone_and_is_forgotten_at_the_end() {
        let hub = Hub::new();
        let (mut first, second) = (hub.watch("a"), hub.watch("a"));
        hub.changed(["b"]);
        assert!(first.changed().now_or_never().is_none());
        hub.changed(["a", "a"]);
        first.changed().await;
        assert!(first.changed().now_or_never().is_none());
        drop(first);
        assert_eq!(hub.one().len(), 1);
        drop(second);
        assert_eq!(hub.one().len(), 0);
    }

    #[tokio::test]
    async fn who_watches_all_is_told_that_something_was_missed() {
        let hub = Hub::new();
        let mut changes = hub.watch_all();
        hub.changed(["a"]);
        assert_eq!(changes.next().await, Change::Envelope("a".into()));
        for _ in 0..=BEHIND {
            hub.changed(["a"]);
        }
        assert_eq!(changes.next().await, Change::Missed);
    }
}
