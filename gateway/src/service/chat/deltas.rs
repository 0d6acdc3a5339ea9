//! Pieces of answers on their way to who watches.
//!
//! Lossy by design, and of one process: a piece reaches those who watch at the replica that it was sent to, if they are
//! fast enough. Each says where it belongs, and what is stored in the end is whole for everybody.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use asya_session::desk::Delta;
use tokio::sync::broadcast;

/// Pieces that somebody may lag behind before some are lost to them.
const BEHIND: usize = 256;

type Senders = HashMap<Arc<str>, broadcast::Sender<Arc<Delta>>>;

/// Who watches which session.
#[derive(Debug, Default)]
pub struct Deltas(Mutex<Senders>);

/// The pieces of one session. Dropped with its last watcher, the session is forgotten here.
#[derive(Debug)]
pub struct Pieces {
    all: Arc<Deltas>,
    session: Arc<str>,
    receiver: Option<broadcast::Receiver<Arc<Delta>>>,
}

impl Deltas {
    /// Tells a piece to whoever watches.
    pub fn tell(&self, session: &str, delta: Delta) {
        if let Some(sender) = self.senders().get(session) {
            // Nobody watching any more is no error.
            let _ = sender.send(Arc::new(delta));
        }
    }

    /// Watches a session from now on.
    pub fn watch(self: &Arc<Self>, session: &str) -> Pieces {
        let session: Arc<str> = session.into();
        let mut senders = self.senders();
        let sender = senders.entry(session.clone()).or_insert_with(|| broadcast::Sender::new(BEHIND));
        Pieces { receiver: Some(sender.subscribe()), all: Arc::clone(self), session }
    }

    /// The map is whole whatever panicked: each change of it is one call.
    fn senders(&self) -> MutexGuard<'_, Senders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pieces {
    /// The next piece; whoever was too slow for some goes on behind them. Cancel safe.
    pub async fn next(&mut self) -> Arc<Delta> {
        while let Some(receiver) = &mut self.receiver {
            match receiver.recv().await {
                Ok(delta) => return delta,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            }
        }
        std::future::pending().await
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let mut senders = self.all.senders();
        // Ours first, under the lock: whoever is last then finds none.
        self.receiver = None;
        if senders.get(&self.session).is_some_and(|sender| sender.receiver_count() == 0) {
            senders.remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(offset: u64) -> Delta {
        Delta { n: 1, offset, text: "x".to_owned() }
    }

    #[tokio::test]
    async fn who_watches_hears_of_one_session_and_who_lags_goes_on_behind_what_was_lost() {
        let deltas = Arc::new(Deltas::default());
        deltas.tell("a", piece(0));
        let mut pieces = deltas.watch("a");
        deltas.tell("b", piece(1));
        deltas.tell("a", piece(2));
        assert_eq!(pieces.next().await.offset, 2);
        for offset in 0..2 * BEHIND as u64 {
            deltas.tell("a", piece(offset));
        }
        assert_eq!(pieces.next().await.offset, BEHIND as u64, "the oldest are lost");
        drop(pieces);
        assert!(deltas.senders().is_empty());
    }
}
