//! A handler that is an HTTP server in the same pod, such as a model server: one POST per envelope.
//!
//! | module | holds |
//! |---|---|
//! | [`address`] | [`WebAddress`]: where it listens, and what it may not be |
//! | `probe` | whether its port answers |
//! | `call` | one run: the request, its clock, and what becomes of a broken connection |
//! | `answer` | from status and headers to the end of a run; pure |
//! | `body` | the answer's body, within `max_reply` and the memory budget |
//!
//! The server is not told of retries, fan-in or routes: it sees a payload (or the whole envelope) and a few headers,
//! and needs nothing of ours.

mod address;
mod answer;
mod body;
mod call;
mod probe;

use std::{num::NonZeroUsize, sync::Arc};

use asya_handler::{
    Budget, Capacity, Code, End, Failure, Fault, Handler, Readiness, Replies, Reply, ReplySender, Request,
    message::Mode,
};
use futures::future::BoxFuture;
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

pub use address::WebAddress;
pub use answer::retry_after;
use call::Client;

/// Settings of a [`WebHandler`].
#[derive(Clone, Debug)]
pub struct WebConfig {
    /// Where envelopes are posted to.
    pub address: WebAddress,
    /// What is posted: the payload, or the whole envelope.
    pub mode: Mode,
    /// Requests that the server gets at the same time.
    pub concurrency: NonZeroUsize,
    /// Largest answer to one request in bytes, all lines of a stream together.
    pub max_reply: usize,
    /// Memory for answers; a large one is left in the connection until it fits. `None` = only `max_reply` bounds it.
    pub budget: Option<Budget>,
}

/// A [`Handler`] in another process, behind HTTP.
///
/// It is ready while the server's port takes connections. A server that goes away while it works ends the requests it
/// had as infrastructure failures: they run again elsewhere, or here when it is back, uncharged.
#[derive(Debug)]
pub struct WebHandler {
    inner: Arc<Inner>,
    calls: TaskTracker,
    stop: DropGuard,
}

/// What calls and the probe share.
#[derive(Debug)]
struct Inner {
    config: WebConfig,
    client: Client,
    slots: Arc<Semaphore>,
    capacity: watch::Sender<Capacity>,
    readiness: watch::Sender<Readiness>,
    /// Somebody found the port closed: look now.
    doubt: Notify,
    closed: CancellationToken,
}

impl WebHandler {
    /// Starts looking for the server. Must be called within a tokio runtime; dropping the handler stops it.
    pub fn new(config: WebConfig) -> Arc<Self> {
        let running = config.concurrency.get().min(Semaphore::MAX_PERMITS);
        let waiting = format!("waiting for {} to take connections", config.address);
        let inner = Arc::new(Inner {
            client: Client::new(running),
            slots: Arc::new(Semaphore::new(running)),
            capacity: watch::Sender::new(Capacity { running, look_ahead: 0 }),
            readiness: watch::Sender::new(Readiness::NotReady(waiting)),
            doubt: Notify::new(),
            closed: CancellationToken::new(),
            config,
        });
        let stop = CancellationToken::new();
        tokio::spawn({
            let (inner, stop) = (Arc::clone(&inner), stop.clone());
            async move {
                let look = probe::run(&inner.config.address, &inner.readiness, &inner.doubt);
                tokio::select! { () = stop.cancelled() => {} () = look => {} }
            }
        });
        Arc::new(Self { inner, calls: TaskTracker::new(), stop: stop.drop_guard() })
    }
}

impl Handler for WebHandler {
    fn handle(&self, request: Request) -> Replies {
        let (sender, replies) = Replies::channel();
        let inner = Arc::clone(&self.inner);
        self.calls.spawn(async move { inner.serve(request, sender).await });
        replies
    }

    fn capacity(&self) -> watch::Receiver<Capacity> {
        self.inner.capacity.subscribe()
    }

    fn readiness(&self) -> watch::Receiver<Readiness> {
        self.inner.readiness.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.inner.closed.cancel();
            self.calls.close();
            self.calls.wait().await;
            self.stop.token().cancel();
        })
    }
}

impl Inner {
    /// One request, from its slot to its end. A request that nobody waits for any more loses its connection.
    async fn serve(&self, request: Request, sender: ReplySender) {
        let slot = tokio::select! {
            biased;
            () = sender.cancelled() => return,
            () = self.closed.cancelled() => {
                let failure = Failure::new(Code::Connection, Fault::Infrastructure, "the handler is closed");
                sender.send(Reply::End(End::Failed(failure))).await;
                return;
            }
            slot = self.slots.acquire() => slot.expect("the slots are never closed"),
        };
        tokio::select! {
            biased;
            () = sender.cancelled() => {}
            () = self.client.call(&self.config, &request, &sender, &self.doubt) => {}
        }
        drop(slot);
    }
}
