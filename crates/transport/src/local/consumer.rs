//! Taking messages ahead, within credit.

use std::{
    num::NonZeroU16,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_envelope::Queue;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{Core, hold::Fetched, micros, now, rows, writer::Fault};
use crate::{Consumer, Delivery, TransportError};

/// A consumer looks at its queue at least this often, should a wake-up be lost.
pub(super) const SAFETY_POLL: Duration = Duration::from_secs(5);
/// How often a consumer looks for a queue that does not exist, beside being woken when one is made.
const MISSING_POLL: Duration = Duration::from_secs(1);
/// Pause after a transaction failed.
const BROKEN_PAUSE: Duration = Duration::from_millis(500);
/// Messages of one take; bounds a transaction.
const TAKE: usize = 256;

/// Deliveries of one queue, taken ahead by a task within credit.
pub(super) struct LocalConsumer {
    core: Arc<Core>,
    credit: Arc<Credit>,
    /// Unbounded as a type; holds at most the credit.
    fetched: mpsc::UnboundedReceiver<Fetched>,
    stop: CancellationToken,
}

/// How many messages may be unsettled, and how many are.
pub(super) struct Credit {
    state: Mutex<(usize, usize)>,
    changed: Notify,
}

/// One unsettled message; gives its credit back when dropped.
pub(super) struct Debit(Arc<Credit>);

impl Credit {
    fn new(limit: NonZeroU16) -> Self {
        Self { state: Mutex::new((limit.get().into(), 0)), changed: Notify::new() }
    }

    fn change<T>(&self, change: impl FnOnce(&mut usize, &mut usize) -> T) -> T {
        let mut state = self.state.lock().expect("no panic while credit is locked");
        let (limit, used) = &mut *state;
        change(limit, used)
    }

    /// Waits until there is room, and says how much. Cancel safe.
    async fn free(&self) -> usize {
        loop {
            let free = self.change(|limit, used| limit.saturating_sub(*used));
            if free > 0 {
                return free;
            }
            self.changed.notified().await;
        }
    }

    fn debit(self: &Arc<Self>) -> Debit {
        self.change(|_, used| *used += 1);
        Debit(Arc::clone(self))
    }
}

impl Drop for Debit {
    fn drop(&mut self) {
        self.0.change(|_, used| *used -= 1);
        self.0.changed.notify_one();
    }
}

impl LocalConsumer {
    pub(super) fn start(core: &Arc<Core>, queue: Queue, credit: NonZeroU16) -> Self {
        let credit = Arc::new(Credit::new(credit));
        let stop = core.closed.child_token();
        let (sender, fetched) = mpsc::unbounded_channel();
        let feed = Feed {
            core: Arc::clone(core),
            woken: core.wakes.register(&queue),
            queue,
            credit: Arc::clone(&credit),
            sender,
            missing: false,
        };
        let stopped = stop.clone();
        tokio::spawn(async move { feed.run(stopped).await });
        Self { core: Arc::clone(core), credit, fetched, stop }
    }
}

impl Consumer for LocalConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>> {
        Box::pin(async {
            let fetched = self.fetched.recv().await.ok_or(Fault::Stopped)?;
            Ok(fetched.hand_out())
        })
    }

    fn set_credit(&mut self, credit: NonZeroU16) {
        self.credit.change(|limit, _| *limit = credit.get().into());
        self.credit.changed.notify_one();
    }
}

impl Drop for LocalConsumer {
    fn drop(&mut self) {
        self.stop.cancel();
        self.fetched.close();
        let mut rest = Vec::new();
        while let Ok(fetched) = self.fetched.try_recv() {
            rest.push(fetched);
        }
        Fetched::put_back(&self.core, rest);
    }
}

/// The task that takes messages ahead.
struct Feed {
    core: Arc<Core>,
    queue: Queue,
    credit: Arc<Credit>,
    woken: Arc<Notify>,
    sender: mpsc::UnboundedSender<Fetched>,
    missing: bool,
}

impl Feed {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let free = tokio::select! {
                () = stop.cancelled() => return,
                free = self.credit.free() => free,
            };
            // Not in the select: what is taken must reach the channel or be put back.
            let pause = match self.take(free.min(TAKE)).await {
                Ok(pause) => pause,
                Err(Fault::Stopped) => return,
                Err(Fault::Transport(TransportError::Unroutable { .. })) => {
                    self.set_missing(true);
                    MISSING_POLL
                }
                Err(fault) => {
                    tracing::warn!(queue = %self.queue, ?fault, "taking messages failed; trying again");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(BROKEN_PAUSE) => continue,
                    }
                }
            };
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.woken.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Takes up to `limit` messages and says how long to wait before looking again.
    async fn take(&mut self, limit: usize) -> Result<Duration, Fault> {
        let token = self.core.tokens(limit);
        let (queue, lease) = (self.queue.clone(), micros(self.core.options.lease));
        let take = self.core.writer.run(move |connection, _| {
            let now = now();
            rows::take(connection, &queue, limit, token, now, now + lease)
        });
        let take = take.await?;
        self.set_missing(false);
        let mut unwanted = Vec::new();
        for taken in take.messages {
            let fetched = Fetched::new(&self.core, &self.queue, taken, self.credit.debit());
            if let Err(closed) = self.sender.send(fetched) {
                unwanted.push(closed.0);
            }
        }
        Fetched::put_back(&self.core, unwanted);
        Ok(take.next_at.map_or(SAFETY_POLL, |next_at| {
            let wait = next_at.saturating_sub(now()).max(0).cast_unsigned();
            Duration::from_micros(wait).min(SAFETY_POLL)
        }))
    }

    fn set_missing(&mut self, missing: bool) {
        if missing != self.missing {
            self.missing = missing;
            if missing {
                self.core.status.missing(&self.queue);
            } else {
                self.core.status.found(&self.queue);
            }
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.set_missing(false);
    }
}
