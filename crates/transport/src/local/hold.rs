//! A message in hand: settling it, and keeping its lease.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use asya_envelope::Queue;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Core, consumer::Debit, micros, now, rows, system_time, writer::Fault};
use crate::{Delivery, Meta, Outcome, Settled, Settlement, Unsettled};

/// A dropped delivery is ready again after this, so that a panic on each delivery is not a hot loop.
const ABANDONED_FOR: Duration = Duration::from_secs(1);
/// Leases are renewed this many times while they last.
const RENEWALS_PER_LEASE: u32 = 3;

/// What the renewing task knows of a message in hand; its map is keyed by token.
pub(super) struct Held {
    id: i64,
}

/// A message in hand. As long as this lives, its lease is renewed.
pub(super) struct Hold {
    core: Arc<Core>,
    queue: Queue,
    id: i64,
    token: i64,
    ready_at: i64,
    _debit: Debit,
}

/// A message that was taken and is not handed out yet.
pub(super) struct Fetched {
    hold: Hold,
    body: Bytes,
    meta: Meta,
}

impl Fetched {
    pub(super) fn new(core: &Arc<Core>, queue: &Queue, taken: rows::Taken, debit: Debit) -> Self {
        core.held().insert(taken.token, Held { id: taken.id });
        let meta = Meta {
            deliveries: taken.deliveries,
            attempts: taken.attempts,
            last_chance: false,
            sent_at: Some(system_time(taken.sent_at)),
        };
        let hold = Hold {
            core: Arc::clone(core),
            queue: queue.clone(),
            id: taken.id,
            token: taken.token,
            ready_at: taken.ready_at,
            _debit: debit,
        };
        Self { hold, body: taken.body, meta }
    }

    pub(super) fn hand_out(self) -> Delivery {
        Delivery::new(self.body, self.meta, Box::new(self.hold))
    }

    /// Puts messages that nobody will be handed back in their places. Does not block; if too much waits already, they
    /// come back when their leases end.
    pub(super) fn put_back(core: &Core, fetched: Vec<Self>) {
        let Some(queue) = fetched.first().map(|first| first.hold.queue.clone()) else { return };
        let rows: Vec<_> =
            fetched.iter().map(|one| (one.hold.id, one.hold.token, one.hold.ready_at)).collect();
        // From here on nothing renews them.
        drop(fetched);
        core.writer.try_run(move |connection, touched| {
            for (id, token, ready_at) in rows {
                rows::untake(connection, id, token, ready_at)?;
            }
            touched.push(queue);
            Ok(())
        });
    }
}

impl Hold {
    async fn carry_out(&self, outcome: Outcome) -> Result<(), Fault> {
        if let Outcome::Forward { messages, .. } = &outcome {
            messages.iter().try_for_each(|message| self.core.check_size(message))?;
        }
        let (id, token, ready_at, queue) = (self.id, self.token, self.ready_at, self.queue.clone());
        let work = self.core.writer.run(move |connection, touched| {
            match outcome {
                Outcome::Forward { messages, writes } => {
                    rows::forward(connection, id, token, &messages, &writes, now())?;
                    touched.extend(messages.into_iter().map(|message| message.queue));
                }
                Outcome::Retry { after, attempts } => {
                    rows::give_back(connection, id, token, now() + micros(after), Some(attempts))?;
                    touched.push(queue);
                }
                Outcome::DeadLetter { reason } => rows::bury(connection, id, token, &reason, now())?,
                Outcome::Release => {
                    rows::give_back(connection, id, token, ready_at, None)?;
                    touched.push(queue);
                }
            }
            Ok(())
        });
        work.await
    }
}

impl Settlement for Hold {
    fn settle(self: Box<Self>, outcome: Outcome) -> BoxFuture<'static, Settled> {
        Box::pin(async move {
            match self.carry_out(outcome).await {
                Ok(()) => Ok(()),
                Err(fault) => match Unsettled::from(fault) {
                    lost @ Unsettled::Lost(_) => Err((lost, None)),
                    still_held => Err((still_held, Some(self as Box<dyn Settlement>))),
                },
            }
        })
    }

    fn abandon(self: Box<Self>) {
        let (id, token, queue) = (self.id, self.token, self.queue.clone());
        // If too much waits already the message comes back when its lease ends: `self` is dropped here and nothing
        // renews it any more.
        self.core.writer.try_run(move |connection, touched| {
            rows::give_back(connection, id, token, now() + micros(ABANDONED_FOR), None)?;
            touched.push(queue);
            Ok(())
        });
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.core.held().remove(&self.token);
    }
}

/// Renews the leases of everything in hand, until the client is closed or gone.
pub(super) async fn renew(core: Weak<Core>, closed: CancellationToken) {
    let Some(lease) = core.upgrade().map(|core| core.options.lease) else { return };
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            () = tokio::time::sleep(lease / RENEWALS_PER_LEASE) => {}
        }
        let Some(core) = core.upgrade() else { return };
        let held: Vec<_> = core.held().iter().map(|(token, held)| (held.id, *token)).collect();
        if held.is_empty() {
            continue;
        }
        let renewed = core.writer.run(move |connection, _| {
            let until = now() + micros(lease);
            let mut lost = Vec::new();
            for (id, token) in held {
                if !rows::renew(connection, id, token, until)? {
                    lost.push(token);
                }
            }
            Ok(lost)
        });
        match renewed.await {
            // Those settled meanwhile are among them; the rest will be told when they settle.
            Ok(lost) => {
                let mut held = core.held();
                for token in lost {
                    held.remove(&token);
                }
            }
            Err(Fault::Stopped) => return,
            Err(fault) => tracing::warn!(?fault, "leases were not renewed"),
        }
    }
}
