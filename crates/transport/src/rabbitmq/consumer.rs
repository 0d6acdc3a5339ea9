//! Deliveries of one queue, across any number of connections.

use std::{num::NonZeroU16, sync::Arc};

use asya_envelope::Queue;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    board::Board,
    connection::{Wire, backoff},
    fault::Fault,
    session::{End, Session},
    settlement::{Arrived, Outlet},
};
use crate::{Consumer, Delivery, Health, TransportError};

/// The consumer's end that is handed to the engine.
pub(super) struct Deliveries {
    arrivals: mpsc::UnboundedReceiver<Arrived>,
    /// Taken from `arrivals` and not handed out because the credit was used up.
    next: Option<Arrived>,
    credit: watch::Sender<NonZeroU16>,
    _running: DropGuard,
}

impl Deliveries {
    /// Begins to consume; the task ends with the returned value or with `stop`.
    pub(super) fn start(
        wire: Wire,
        queue: Queue,
        credit: NonZeroU16,
        outlet: Arc<Outlet>,
        board: Arc<Board>,
        stop: &CancellationToken,
    ) -> Self {
        let (sender, arrivals) = mpsc::unbounded_channel();
        let (credit, wanted) = watch::channel(credit);
        let stop = stop.child_token();
        let part = format!("consumer of {queue}");
        board.set(&part, Health::Down(format!("not consuming {queue} yet")));
        let task = Task { wire, queue, outlet, board, part, stop: stop.clone() };
        tokio::spawn(task.run(wanted, sender));
        Self { arrivals, next: None, credit, _running: stop.drop_guard() }
    }

    async fn take(&mut self) -> Result<Delivery, TransportError> {
        loop {
            if self.next.is_none() {
                self.next = self.arrivals.recv().await;
            }
            let Some(arrived) = &self.next else {
                return Err(TransportError::Unavailable("transport is closed".to_owned()));
            };
            // While the credit is being lowered or raised the broker may send more than it; that waits here.
            let link = arrived.link().clone();
            let mut freed = std::pin::pin!(link.freed.notified());
            freed.as_mut().enable();
            if link.is_cut() {
                self.next = None;
            } else if link.handed() < usize::from(self.credit.borrow().get()) {
                let arrived = self.next.take().expect("just looked at");
                return Ok(arrived.into_delivery());
            } else {
                freed.await;
            }
        }
    }
}

impl Consumer for Deliveries {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>> {
        Box::pin(self.take())
    }

    fn set_credit(&mut self, credit: NonZeroU16) {
        self.credit.send_if_modified(|current| std::mem::replace(current, credit) != credit);
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.arrivals.close();
        let buffered = std::iter::from_fn(|| self.arrivals.try_recv().ok());
        for mut arrived in self.next.take().into_iter().chain(buffered) {
            arrived.give_back_soon();
        }
    }
}

struct Task {
    wire: Wire,
    queue: Queue,
    outlet: Arc<Outlet>,
    board: Arc<Board>,
    part: String,
    stop: CancellationToken,
}

impl Task {
    async fn run(self, mut credit: watch::Receiver<NonZeroU16>, arrivals: mpsc::UnboundedSender<Arrived>) {
        self.stop.run_until_cancelled(self.connect_and_consume(&mut credit, &arrivals)).await;
        self.board.remove(&self.part);
    }

    async fn connect_and_consume(
        &self,
        credit: &mut watch::Receiver<NonZeroU16>,
        arrivals: &mpsc::UnboundedSender<Arrived>,
    ) {
        let mut pauses = backoff();
        while let Some(connection) = self.wire.up().await {
            let wanted = *credit.borrow_and_update();
            let (outlet, arrivals) = (self.outlet.clone(), arrivals.clone());
            let reason = match Session::open(&connection, &self.queue, wanted, outlet, arrivals).await {
                Ok(session) => {
                    pauses = backoff();
                    self.board.set(&self.part, Health::Up);
                    tracing::info!(queue = %self.queue, credit = wanted, "consuming");
                    match self.consume(session, credit.clone()).await {
                        End::Stopped => return,
                        End::Cancelled => {
                            format!("the broker cancelled the consumer of queue {:?}", self.queue)
                        }
                        End::Lost(fault) => format!("consumer of queue {:?} was lost: {fault}", self.queue),
                    }
                }
                Err(Fault::Missing(_)) => format!("queue {:?} not found", self.queue),
                Err(fault) => format!("cannot consume queue {:?}: {fault}", self.queue),
            };
            tracing::warn!("{reason}");
            self.board.set(&self.part, Health::Down(reason));
            tokio::time::sleep(pauses.next().expect("the back-off has no end")).await;
        }
    }

    /// Runs a session in a task of its own: what is in hand when it ends is settled there, while this one goes on.
    async fn consume(&self, mut session: Session, mut credit: watch::Receiver<NonZeroU16>) -> End {
        let (sender, ended) = tokio::sync::oneshot::channel();
        let stop = self.stop.clone();
        tokio::spawn(async move {
            let end = session.run(&mut credit, &stop).await;
            let rest = matches!(end, End::Stopped | End::Cancelled);
            let _ = sender.send(end);
            if rest {
                session.settle_rest().await;
            }
        });
        ended.await.unwrap_or_else(|_| End::Lost(Fault::Away("its task has ended".to_owned())))
    }
}
