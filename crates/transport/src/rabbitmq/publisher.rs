//! Publishing in windows on several channels of one connection.
//!
//! A channel (a lane) takes a window of waiting publishes, sends all of it, and takes nothing new until every
//! confirmation has resolved; only then is the window judged (see [`window`](super::window)). Several lanes keep the
//! pipe full meanwhile. Everything happens in one task, so a burst of publishes costs one wake-up.

use std::{collections::VecDeque, sync::Arc};

use asya_envelope::Queue;
use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, future::join_all, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ExchangeKind,
    options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions},
    types::{FieldTable, ShortString},
};
use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    board::Board,
    config::RabbitmqConfig,
    connection::{self, Wire, backoff},
    fault::{Fault, short},
    window::{Confirmed, MessageIds, Verdict, judge},
};
use crate::{Health, TransportError};

/// Publishes that may wait for a lane; whoever sends more waits before that.
const WAITING: usize = 1_024;
/// Name on the board of health.
const PART: &str = "publisher";

/// One message to publish.
pub(super) struct Publish {
    pub(super) exchange: ShortString,
    pub(super) key: ShortString,
    /// The queue it is for, for errors.
    pub(super) queue: Queue,
    pub(super) body: Bytes,
    pub(super) properties: BasicProperties,
}

/// The way to the publishing task.
#[derive(Clone)]
pub(super) struct Publisher {
    jobs: mpsc::Sender<Job>,
    wire: Wire,
}

struct Job {
    publish: Publish,
    /// A window was refused as a whole because of one of its messages; this job was in it and is tried by itself.
    alone: bool,
    reply: oneshot::Sender<Result<(), TransportError>>,
}

impl Job {
    fn answer(self, result: Result<(), TransportError>) {
        // Whoever asked may have stopped waiting.
        let _ = self.reply.send(result);
    }
}

impl Publisher {
    /// Ends when the last handle is dropped.
    pub(super) fn start(wire: Wire, board: Arc<Board>, config: &RabbitmqConfig) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let exchange = config.exchange.clone();
        let (lanes, window) = (config.lanes.max(2), config.window.max(1));
        let task = Task { wire: wire.clone(), board, exchange, lanes, window };
        tokio::spawn(task.run(waiting));
        Self { jobs, wire }
    }

    /// Publishes one message; done when it is confirmed to be on a queue.
    pub(super) async fn send(&self, publish: Publish) -> Result<(), TransportError> {
        self.enqueue(publish).await?.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Publishes several messages at once. All of them have been tried when it returns the first error.
    pub(super) async fn send_all(&self, publishes: Vec<Publish>) -> Result<(), TransportError> {
        let mut answers = Vec::with_capacity(publishes.len());
        for publish in publishes {
            answers.push(self.enqueue(publish).await?);
        }
        let mut result = Ok(());
        for answer in answers {
            let answer = answer.await.unwrap_or_else(|_| Err(closed()));
            result = result.and(answer);
        }
        result
    }

    async fn enqueue(
        &self,
        publish: Publish,
    ) -> Result<oneshot::Receiver<Result<(), TransportError>>, TransportError> {
        self.wire.soon().await.map_err(|fault| fault.into_error(None))?;
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job { publish, alone: false, reply }).await.map_err(|_| closed())?;
        Ok(answer)
    }
}

fn closed() -> TransportError {
    TransportError::Unavailable("transport is closed".to_owned())
}

struct Task {
    wire: Wire,
    board: Arc<Board>,
    exchange: String,
    lanes: usize,
    window: usize,
}

/// A window on its way; resolves to its channel and its end.
type Flight = BoxFuture<'static, (Channel, Vec<Job>, u64, Vec<Result<Confirmation, lapin::Error>>)>;

impl Task {
    async fn run(self, mut waiting: mpsc::Receiver<Job>) {
        let mut ids = MessageIds::new();
        let mut pauses = backoff();
        loop {
            let connection = tokio::select! {
                biased;
                connection = self.wire.up() => match connection {
                    Some(connection) => connection,
                    None => return,
                },
                // Enqueued in the moment of the loss.
                job = waiting.recv() => match job {
                    Some(job) => {
                        job.answer(Err(TransportError::Unavailable("not connected".to_owned())));
                        continue;
                    }
                    None => return,
                },
            };
            let Err(fault) = self.serve(&connection, &mut waiting, &mut ids).await else { return };
            if !connection.status().connected() {
                // The connection's keeper says so and mends it.
                pauses = backoff();
                continue;
            }
            let reason = format!("cannot publish: {fault}");
            tracing::warn!("{reason}");
            self.board.set(PART, Health::Down(reason.clone()));
            let mut pause = std::pin::pin!(sleep(pauses.next().expect("the back-off has no end")));
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    job = waiting.recv() => match job {
                        Some(job) => job.answer(Err(TransportError::Unavailable(reason.clone()))),
                        None => return,
                    },
                }
            }
        }
    }

    /// Publishes what waits until nobody is left who could send (`Ok`) or the connection is lost.
    async fn serve(
        &self,
        connection: &Arc<Connection>,
        waiting: &mut mpsc::Receiver<Job>,
        ids: &mut MessageIds,
    ) -> Result<(), Fault> {
        self.ensure_exchange(connection).await?;
        let mut idle = Vec::new();
        for _ in 0..self.lanes {
            idle.push(open(connection).await?);
        }
        self.board.set(PART, Health::Up);
        let mut flights = FuturesUnordered::<Flight>::new();
        let mut again = VecDeque::<Job>::new();
        let mut lost = std::pin::pin!(self.wire.lost(connection));
        let mut open_for_more = true;
        let mut broken = None;
        loop {
            if flights.is_empty()
                && let Some(fault) = broken
            {
                for job in again {
                    job.answer(Err(TransportError::Unavailable(format!("{fault}"))));
                }
                return Err(fault);
            }
            while broken.is_none()
                && !again.is_empty()
                && let Some(lane) = idle.pop()
            {
                let job = again.pop_front().expect("checked in the loop's condition");
                flights.push(fly(lane, vec![job], ids));
            }
            if !open_for_more && flights.is_empty() {
                return Ok(());
            }
            let mut window = Vec::new();
            tokio::select! {
                biased;
                Some((lane, jobs, first, ends)) = flights.next(), if !flights.is_empty() => {
                    again.extend(answer(jobs, first, ends, ids));
                    let lane = if lane.status().connected() { Ok(lane) } else { open(connection).await };
                    match lane {
                        Ok(lane) => idle.push(lane),
                        Err(fault) => broken = Some(fault),
                    }
                }
                count = waiting.recv_many(&mut window, self.window),
                    if open_for_more && broken.is_none() && !idle.is_empty() =>
                {
                    open_for_more = count > 0;
                    if count > 0 {
                        let lane = idle.pop().expect("checked in the branch's condition");
                        flights.push(fly(lane, window, ids));
                    }
                }
                // Windows on their way end by themselves with the connection.
                reason = &mut lost, if broken.is_none() && flights.is_empty() => broken = Some(Fault::Away(reason)),
            }
        }
    }

    /// Checks that the exchange is there, and makes it if not; a sidecar may have the right to use it only.
    async fn ensure_exchange(&self, connection: &Connection) -> Result<(), Fault> {
        let declare = async |passive: bool| -> Result<(), Fault> {
            let channel = connection::open(connection).await?;
            let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
            let name = short(&self.exchange)?;
            channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default()).await?;
            super::fault::close(&channel).await;
            Ok(())
        };
        match declare(true).await {
            Err(Fault::Missing(_)) => declare(false).await,
            found => found,
        }
    }
}

async fn open(connection: &Connection) -> Result<Channel, Fault> {
    let channel = connection::open(connection).await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

fn fly(lane: Channel, jobs: Vec<Job>, ids: &mut MessageIds) -> Flight {
    let first = ids.take(jobs.len());
    let names: Vec<String> = (first..).take(jobs.len()).map(|number| ids.id(number)).collect();
    Box::pin(async move {
        let confirmations = jobs.iter().zip(names).map(|(job, name)| {
            let Publish { exchange, key, body, properties, .. } = &job.publish;
            let (exchange, key) = (exchange.clone(), key.clone());
            let properties = properties.clone().with_message_id(name.into());
            let options = BasicPublishOptions { mandatory: true, ..Default::default() };
            let lane = &lane;
            async move { lane.basic_publish(exchange, key, options, body, properties).await?.await }
        });
        let ends = join_all(confirmations).await;
        (lane, jobs, first, ends)
    })
}

/// Answers the jobs of a window; returns those that must be tried by themselves.
fn answer(
    jobs: Vec<Job>,
    first: u64,
    ends: Vec<Result<Confirmation, lapin::Error>>,
    ids: &MessageIds,
) -> Vec<Job> {
    let mut returned = Vec::new();
    let mut closed_by_broker = None;
    let confirmed = ends
        .into_iter()
        .map(|end| match end {
            Ok(Confirmation::Ack(message)) => {
                returned.extend(message.map(|message| number_of(&message.properties, ids)));
                Confirmed::Ack
            }
            Ok(Confirmation::Nack(message)) => {
                returned.extend(message.map(|message| number_of(&message.properties, ids)));
                Confirmed::Nack
            }
            Ok(Confirmation::NotRequested) => Confirmed::Failed("channel is not in confirm mode".to_owned()),
            Err(error) => {
                let soft = error.is_amqp_soft_error();
                let fault = Fault::from(error);
                let text = fault.to_string();
                if soft {
                    closed_by_broker = Some(fault);
                }
                Confirmed::Failed(text)
            }
        })
        .collect();
    let several = jobs.len() > 1;
    let mut again = Vec::new();
    for (mut job, verdict) in jobs.into_iter().zip(judge(first, confirmed, &returned)) {
        let queue = job.publish.queue.clone();
        match (verdict, &closed_by_broker) {
            (Verdict::Stored, _) => job.answer(Ok(())),
            (Verdict::Unroutable, _) => job.answer(Err(TransportError::Unroutable { queue })),
            (Verdict::Refused, _) => job.answer(Err(TransportError::Unavailable(format!(
                "queue {queue:?} takes no messages now (over its length limit, or failing)"
            )))),
            // The broker closed the channel because of one message: which one shows when each is tried by itself.
            (Verdict::Unknown(_), Some(_)) if several && !job.alone => {
                job.alone = true;
                again.push(job);
            }
            (Verdict::Unknown(_), Some(fault)) => job.answer(Err(fault.clone().into_error(Some(&queue)))),
            (Verdict::Unknown(why), None) => job.answer(Err(TransportError::Unavailable(why))),
        }
    }
    again
}

fn number_of(properties: &BasicProperties, ids: &MessageIds) -> Option<u64> {
    ids.number(properties.message_id().as_ref()?.as_str())
}
