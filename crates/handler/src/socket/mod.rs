//! The sidecar's end of the socket protocol.
//!
//! | module | holds |
//! |---|---|
//! | `config` | [`SocketConfig`] |
//! | `dispatch` | which worker gets which request |
//! | `control` | handshake and control connection |
//! | `ends` | telling the runtime that its work is done |
//! | `worker` | one persistent connection to one worker |
//! | `flight` | requests that a worker has not answered, and their clocks |
//! | `oneshot` | runtimes that take one connection per message |
//! | `connect` | connecting, and reading frames one at a time |
//!
//! What happens to requests when things break:
//!
//! - A request that was not sent yet waits for the next worker or the next runtime; its clock does not run. When none
//!   has come within [`MAX_ABSENCE`] it ends as an infrastructure failure, so that its message can go elsewhere.
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
mod ends;
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
use ends::Ends;

/// First pause between two looks for a runtime: a local one starts within tens of milliseconds.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// Longest pause: what a runtime waits for its first request at most, and no measurable work.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long requests that were not begun wait for a worker to come back: longer than a worker takes that only has to
/// be started again, shorter than people take to see that an envelope does not move.
pub const MAX_ABSENCE: Duration = Duration::from_secs(30);

/// A [`Handler`] in another process, behind a Unix socket.
///
/// It connects by itself, with back-off, and finds out by a handshake whether the runtime speaks the streaming
/// protocol. Until then, and while the runtime is gone, requests wait and their clock does not run.
#[derive(Debug)]
pub struct SocketHandler {
    dispatcher: Arc<Dispatcher>,
    ends: Ends,
    stop: DropGuard,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl SocketHandler {
    /// Starts connecting. Must be called within a tokio runtime; dropping the handler stops it.
    pub fn new(config: SocketConfig) -> Arc<Self> {
        let dispatcher = Arc::new(Dispatcher::new(waiting_for(&config)));
        let (stop, ends) = (CancellationToken::new(), Ends::default());
        let task = tokio::spawn({
            let (dispatcher, stop, ends) = (Arc::clone(&dispatcher), stop.clone(), ends.clone());
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = run(&config, &dispatcher, &ends) => {}
                    () = give_back_what_waits_in_vain(&dispatcher) => {}
                }
            }
        });
        Arc::new(Self { dispatcher, ends, stop: stop.drop_guard(), task: Mutex::new(Some(task)) })
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

    fn shutdown(&self) -> BoxFuture<'_, bool> {
        Box::pin(async {
            self.ends.tell().await;
            true
        })
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
async fn run(config: &SocketConfig, dispatcher: &Arc<Dispatcher>, ends: &Ends) {
    loop {
        match greet(config).await {
            Spoken::Streaming(found) => {
                let (line, hello) = *found;
                control::run(config, dispatcher, ends, line, hello).await;
            }
            Spoken::OneShot => oneshot::run(config, dispatcher).await,
        }
        dispatcher.set_readiness(Readiness::NotReady(waiting_for(config)));
    }
}

/// Requests that wait while no worker is there are given back after [`MAX_ABSENCE`]: somebody else may have a runtime.
/// Before the first one was there, nobody gives requests to a handler that has never been ready.
async fn give_back_what_waits_in_vain(dispatcher: &Dispatcher) {
    let mut readiness = dispatcher.readiness();
    loop {
        drop(readiness.wait_for(|now| *now == Readiness::Ready).await);
        drop(readiness.wait_for(|now| *now != Readiness::Ready).await);
        let back = readiness.wait_for(|now| *now == Readiness::Ready);
        if tokio::time::timeout(MAX_ABSENCE, back).await.is_err() {
            dispatcher.give_up(MAX_ABSENCE);
        }
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

#[cfg(test)]
mod tests {
    use asya_envelope::{Envelope, Raw, Route};
    use bytes::Bytes;

    use super::*;
    use crate::{Code, End, Fault, Reply};

    fn request() -> Request {
        Request {
            envelope: Envelope::new("1", Route::new(["a"]), Raw::null()),
            body: Bytes::new(),
            actor: "a".to_owned(),
            attempt: 1,
            timeout: Duration::from_secs(1),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_worker_that_stays_away_is_given_back_and_a_new_worker_gets_work_again() {
        let dispatcher = Arc::new(Dispatcher::new(String::new()));
        let watched = Arc::clone(&dispatcher);
        let task = tokio::spawn(async move { give_back_what_waits_in_vain(&watched).await });
        dispatcher.add_worker(1, 1);
        tokio::task::yield_now().await;
        dispatcher.remove_worker(1);
        let (sender, mut waiting) = Replies::watched(&dispatcher.cancels);
        dispatcher.submit(request(), sender);
        let early = tokio::time::timeout(MAX_ABSENCE - Duration::from_secs(1), waiting.recv()).await;
        assert!(early.is_err(), "a worker may still come back");
        let late = tokio::time::timeout(Duration::from_secs(2), waiting.recv()).await.unwrap();
        assert!(
            matches!(&late, Some(Reply::End(End::Failed(f)))
                if f.fault == Fault::Infrastructure && f.code == Code::Connection),
            "{late:?}"
        );
        let (sender, mut next) = Replies::watched(&dispatcher.cancels);
        dispatcher.submit(request(), sender);
        let at_once = tokio::time::timeout(Duration::from_millis(1), next.recv()).await.unwrap();
        assert!(matches!(at_once, Some(Reply::End(End::Failed(_)))), "{at_once:?}");

        dispatcher.add_worker(2, 1);
        let (sender, _kept) = Replies::watched(&dispatcher.cancels);
        dispatcher.submit(request(), sender);
        let mut inbox = Vec::new();
        dispatcher.take_inbox(2, &mut inbox);
        assert_eq!(inbox.len(), 1);
        task.abort();
    }
}
