//! Where a handler's words go: into the write queue of a connection, or into a list for a one-shot answer.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{sync::Notify, task::AbortHandle};

use crate::{
    frame::WriteQueue,
    message::{ErrorBody, Message, Part, ProgressBody},
};

/// While more than this waits to be written, generators wait and no request is read.
pub(super) const HIGH_WATER: usize = 1024 * 1024;

/// The outgoing side of one connection, shared by all its handlers.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<WriteQueue>,
    /// Something was put into an empty queue, or a handler has ended.
    pub(super) wake: Notify,
    /// The queue has been written.
    pub(super) room: Notify,
    running: Mutex<HashMap<u64, AbortHandle>>,
    active: AtomicUsize,
}

impl Outbox {
    pub(super) fn queue(&self) -> MutexGuard<'_, WriteQueue> {
        self.queue.lock().expect("nothing panics while it holds the queue")
    }

    pub(super) fn running(&self) -> MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.running.lock().expect("nothing panics while it holds the table")
    }

    pub(super) fn put(&self, message: &Message) {
        message.write(&mut self.queue());
        self.wake.notify_one();
    }

    /// Requests that run.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    pub(super) fn begin(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// One request has ended with this frame.
    pub(super) fn end(&self, message: &Message) {
        self.active.fetch_sub(1, Ordering::Relaxed);
        self.put(message);
    }

    /// Ends a request as cancelled, if it runs.
    pub(super) fn cancel(&self, id: u64) {
        let Some(task) = self.running().remove(&id) else { return };
        task.abort();
        let message = "cancelled".to_owned();
        self.end(&Message::Error(
            id,
            ErrorBody { code: "timeout".to_owned(), message, ..ErrorBody::default() },
        ));
    }

    /// Stops everything that runs, without an answer.
    pub(super) fn abort_all(&self) {
        for (_, task) in self.running().drain() {
            task.abort();
        }
    }
}

/// One request's way to the sidecar.
#[derive(Debug)]
pub(super) enum Outlet {
    /// Frames of a streaming connection.
    Frames { outbox: Arc<Outbox>, id: u64 },
    /// Items of a one-shot answer.
    List(Arc<Mutex<Vec<Part>>>),
}

impl Outlet {
    pub(super) async fn send(&self, part: Part) {
        match self {
            Self::List(list) => list.lock().expect("nothing panics while it holds the list").push(part),
            Self::Frames { outbox, id } => {
                loop {
                    let room = outbox.room.notified();
                    if outbox.queue().len() < HIGH_WATER {
                        break;
                    }
                    room.await;
                }
                outbox.put(&Message::Item(*id, part));
            }
        }
    }

    pub(super) fn progress(&self, fraction: f64, message: String) {
        if let Self::Frames { outbox, id } = self {
            outbox.put(&Message::Progress(*id, ProgressBody { fraction, message }));
        }
    }
}
