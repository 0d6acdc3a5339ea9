//! The queues of a broker that is connected to while the gateway serves already, and what is dead on them.

use std::sync::{Arc, OnceLock};

use asya_envelope::Queue;
use asya_transport::{DeadLetter, DeadLetters, Depth, Queues, Selection, TransportError};
use futures::future::{BoxFuture, ready};

/// Queues that are there once the broker is.
#[derive(Clone, Default)]
pub(super) struct Late(Arc<OnceLock<Found>>);

/// What a broker has.
struct Found {
    queues: Arc<dyn Queues>,
    dead: Arc<dyn DeadLetters>,
}

impl Late {
    /// The broker is there. Only the first one counts.
    pub(super) fn found(&self, queues: Arc<dyn Queues>, dead: Arc<dyn DeadLetters>) {
        let _ = self.0.set(Found { queues, dead });
    }

    fn with<'a, T: Send + 'a>(
        &'a self,
        ask: impl FnOnce(&'a Found) -> BoxFuture<'a, Result<T, TransportError>>,
    ) -> BoxFuture<'a, Result<T, TransportError>> {
        match self.0.get() {
            Some(found) => ask(found),
            None => Box::pin(ready(Err(TransportError::Unavailable("not connected yet".to_owned())))),
        }
    }
}

impl Queues for Late {
    fn ensure<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        self.with(|found| found.queues.ensure(queue))
    }

    fn delete<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        self.with(|found| found.queues.delete(queue))
    }

    fn depth<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<Depth, TransportError>> {
        self.with(|found| found.queues.depth(queue))
    }
}

impl DeadLetters for Late {
    fn list<'a>(
        &'a self,
        queue: &'a Queue,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, TransportError>> {
        self.with(|found| found.dead.list(queue, limit))
    }

    fn show<'a>(
        &'a self,
        queue: &'a Queue,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeadLetter>, TransportError>> {
        self.with(|found| found.dead.show(queue, id))
    }

    fn replay<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>> {
        self.with(|found| found.dead.replay(queue, selection))
    }

    fn discard<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>> {
        self.with(|found| found.dead.discard(queue, selection))
    }
}
