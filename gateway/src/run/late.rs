//! The queues of a broker that is connected to while the gateway serves already.

use std::sync::{Arc, OnceLock};

use asya_envelope::Queue;
use asya_transport::{Depth, Queues, TransportError};
use futures::future::{BoxFuture, ready};

/// Queues that are there once the broker is.
#[derive(Clone, Default)]
pub(super) struct Late(Arc<OnceLock<Arc<dyn Queues>>>);

impl Late {
    /// The broker is there. Only the first one counts.
    pub(super) fn found(&self, queues: Arc<dyn Queues>) {
        let _ = self.0.set(queues);
    }

    fn with<'a, T: Send + 'a>(
        &'a self,
        ask: impl FnOnce(&'a dyn Queues) -> BoxFuture<'a, Result<T, TransportError>>,
    ) -> BoxFuture<'a, Result<T, TransportError>> {
        match self.0.get() {
            Some(queues) => ask(&**queues),
            None => Box::pin(ready(Err(TransportError::Unavailable("not connected yet".to_owned())))),
        }
    }
}

impl Queues for Late {
    fn ensure<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        self.with(|queues| queues.ensure(queue))
    }

    fn delete<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        self.with(|queues| queues.delete(queue))
    }

    fn depth<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<Depth, TransportError>> {
        self.with(|queues| queues.depth(queue))
    }
}
