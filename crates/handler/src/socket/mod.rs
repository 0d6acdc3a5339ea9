//! The sidecar's end of the socket protocol.
//!
//! | module | holds |
//! |---|---|
//! | `config` | [`SocketConfig`] |
//! | `dispatch` | which worker gets which request |
//! | `control` | handshake and control connection |
//! | `worker` | one persistent connection to one worker |
//! | `flight` | requests that a worker has not answered, and their clocks |
//! | `oneshot` | runtimes that take one connection per message |
//! | `connect` | connecting, and reading frames one at a time |
//!
//! What happens to requests when things break:
//!
//! - A request that was not sent yet waits for the next worker or the next runtime; its clock does not run.
//! - When a worker is killed because another request of it timed out, or retires, what it has not answered runs again
//!   elsewhere, uncharged. When it dies by itself, everything that it had is charged one death and runs again alone;
//!   the third death ends a request as [`Code::WorkerDied`].
//! - When the whole runtime goes away, what was sent and not answered ends as an infrastructure failure: its handler
//!   may have run, and only the sidecar can count that. What was not sent waits.
//! - A generator that has yielded is never run again from here: its items have numbers that only the sidecar knows.

mod config;
mod connect;
mod control;
mod dispatch;
mod flight;
mod oneshot;
mod worker;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::{CancellationToken, DropGuard};

#[cfg(doc)]
use crate::Code;
use crate::{Capacity, Handler, Readiness, Replies, Request};
pub use config::{DEFAULT_DIRECTORY, READY_NAME, SOCKET_NAME, SocketConfig};
use control::{HandshakeError, Spoken};
use dispatch::Dispatcher;

/// First pause between two looks for a runtime: a local one starts within tens of milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause: what a runtime waits for its first request at most, and no measurable work.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A [`Handler`] in another process, behind a Unix socket.
///
/// It connects by itself, with back-off, and finds out by a handshake whether the runtime speaks the streaming
/// protocol. Until then, and while the runtime is gone, requests wait and their clock does not run.
#[derive(Debug)]
pub struct SocketHandler {
    dispatcher: Arc<Dispatcher>,
    stop: DropGuard,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl SocketHandler {
    /// Starts connecting. Must be called within a tokio runtime; dropping the handler stops it.
    pub fn new(config: SocketConfig) -> Arc<Self> {
        let dispatcher = Arc::new(Dispatcher::new(waiting_for(&config)));
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (dispatcher, stop) = (Arc::clone(&dispatcher), stop.clone());
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = run(&config, &dispatcher) => {}
                }
            }
        });
        Arc::new(Self { dispatcher, stop: stop.drop_guard(), task: Mutex::new(Some(task)) })
    }
}

impl Handler for SocketHandler {
    fn handle(&self, request: Request) -> Replies {
        let (sender, replies) = Replies::watched(&self.dispatcher.cancels);
        self.dispatcher.submit(request, sender);
        replies
    }

    fn capacity(&self) -> watch::Receiver<Capacity> {
        self.dispatcher.capacity()
    }

    fn readiness(&self) -> watch::Receiver<Readiness> {
        self.dispatcher.readiness()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.dispatcher.close().await;
            // Connections are closed when this returns: a runtime that was asked to stop may count on it.
            let task = self.task.lock().expect("nothing panics while it holds the task").take();
            self.stop_now();
            if let Some(task) = task {
                let _ = task.await;
            }
        })
    }
}

impl SocketHandler {
    fn stop_now(&self) {
        self.stop.token().cancel();
    }
}

/// Connects, again and again.
async fn run(config: &SocketConfig, dispatcher: &Arc<Dispatcher>) {
    loop {
        match greet(config).await {
            Spoken::Streaming(found) => {
                let (line, hello) = *found;
                control::run(config, dispatcher, line, hello).await;
            }
            Spoken::OneShot => oneshot::run(config, dispatcher).await,
        }
        dispatcher.set_readiness(Readiness::NotReady(waiting_for(config)));
    }
}

/// Waits for a runtime and shakes hands with it.
async fn greet(config: &SocketConfig) -> Spoken {
    let ready = config.directory.join(READY_NAME);
    let mut pause = FIRST_PAUSE;
    let mut told = String::new();
    loop {
        if std::fs::exists(&ready).unwrap_or(false) {
            match control::handshake(config).await {
                Ok(spoken) => return spoken,
                Err(error) => tell_once(config, &error, &mut told),
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Logs an error when it is another than the last one.
fn tell_once(config: &SocketConfig, error: &HandshakeError, told: &mut String) {
    let text = error.to_string();
    if *told != text {
        tracing::warn!(actor = config.actor, error = text, "runtime is not usable yet");
        *told = text;
    }
}

fn waiting_for(config: &SocketConfig) -> String {
    format!("waiting for a runtime in {}", config.directory.display())
}
