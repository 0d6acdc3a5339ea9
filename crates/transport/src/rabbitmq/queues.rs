//! Managing queues: the operator's and the command line's side.

use std::{slice, sync::Arc};

use asya_envelope::Queue;
use futures::future::{BoxFuture, join_all};
use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    Rabbitmq,
    board::Board,
    config::{QueueType, RabbitmqConfig},
    connection::{Dialer, Wire},
    fault::{self, Fault, short},
    ladder::Ladder,
};
use crate::{Depth, Queues, TransportError};

const MANAGING: &str = "manage";
/// Questions that are on their way together on one channel: the broker answers them in order, so that its distance counts
/// once for all of them.
const LOOKS_AT_ONCE: usize = 16;

/// Manages queues over one connection that is opened in the background and kept up. Dropping the last clone closes it.
#[derive(Clone)]
pub struct Admin {
    wire: Wire,
    dialer: Dialer,
    config: Arc<RabbitmqConfig>,
    ladder: Arc<Ladder>,
    looking: Arc<Mutex<Option<Channel>>>,
    _running: Option<Arc<DropGuard>>,
}

/// What a passive declaration says of a queue. Both counts are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Messages that could be delivered now.
    pub ready: u64,
    /// Consumers that are attached. Without one, and without anybody who fetches single messages, none is in hand.
    pub consumers: u64,
}

/// What became of a queue that was to be deleted if nothing is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone, or was not there.
    Gone,
    /// It stays: a sentence of the broker.
    Kept(String),
}

impl Admin {
    /// Begins to connect. A broker that cannot be reached, or refuses, is tried again with back-off; calls wait for it
    /// as long as [`RabbitmqConfig::patience`] says.
    ///
    /// # Errors
    /// [`TransportError::Misconfigured`] if the address or the certificate file cannot be used.
    pub fn connect(config: RabbitmqConfig) -> Result<Self, TransportError> {
        let dialer = Dialer::new(&config)?;
        short(&config.exchange).map_err(|fault| fault.into_error(None))?;
        let stop = CancellationToken::new();
        let board = Arc::new(Board::new());
        let wire = Wire::keep(dialer.clone(), MANAGING, None, board, config.patience, stop.clone());
        let ladder = Arc::new(Ladder::new(&config.exchange));
        let running = Some(Arc::new(stop.drop_guard()));
        let looking = Arc::default();
        Ok(Self { wire, dialer, config: Arc::new(config), ladder, looking, _running: running })
    }

    /// The same over a connection that somebody else keeps.
    pub(super) fn on(wire: Wire, dialer: Dialer, config: &RabbitmqConfig, ladder: Arc<Ladder>) -> Self {
        let looking = Arc::default();
        Self { wire, dialer, config: Arc::new(config.clone()), ladder, looking, _running: None }
    }

    /// What is on a queue; `None` if there is no such queue.
    ///
    /// # Errors
    /// The broker is away, or does not permit it.
    pub async fn look(&self, queue: &Queue) -> Result<Option<Seen>, TransportError> {
        self.passive(queue).await.map_err(|fault| fault.into_error(Some(queue)))
    }

    /// What is on many queues, over one channel that stays open: for who looks often.
    ///
    /// Up to [`LOOKS_AT_ONCE`] questions are on their way at a time, whoever asks. A queue that is missing closes the
    /// channel; those that were asked for together with it are then asked for again, one by one.
    ///
    /// # Errors
    /// As [`look`](Self::look), for the first queue that it fails for.
    pub async fn look_at(&self, queues: &[Queue]) -> Result<Vec<Option<Seen>>, TransportError> {
        let mut seen = Vec::with_capacity(queues.len());
        for some in queues.chunks(LOOKS_AT_ONCE) {
            if let Some(all) = self.look_together(some).await? {
                seen.extend(all.into_iter().map(Some));
                continue;
            }
            for queue in some {
                seen.push(match self.look_together(slice::from_ref(queue)).await? {
                    Some(one) => one.first().copied(),
                    None => self.look(queue).await?,
                });
            }
        }
        Ok(seen)
    }

    /// Asks for all at once; `None` if that failed for one of them.
    async fn look_together(&self, queues: &[Queue]) -> Result<Option<Vec<Seen>>, TransportError> {
        let channel = self.looking().await.map_err(|fault| fault.into_error(queues.first()))?;
        let looks = queues.iter().map(|queue| declare_passive(&channel, queue));
        // Not `try_join_all`: one failure closes the channel, and so answers all the others.
        let looks = join_all(looks).await;
        Ok(looks.into_iter().map(|look| look.ok().flatten()).collect())
    }

    /// The channel for looks; a new one if the last was closed.
    async fn looking(&self) -> Result<Channel, Fault> {
        let mut looking = self.looking.lock().await;
        if let Some(channel) = looking.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        // Held while one is opened, so that all who wait for it share it.
        let channel = self.wire.channel().await?;
        *looking = Some(channel.clone());
        Ok(channel)
    }

    /// Deletes this one queue, not its dead-letter queue, unless messages or consumers are on it. Whether messages are
    /// in hand of somebody who fetches single ones only the management API can tell.
    ///
    /// # Errors
    /// The broker is away, or does not permit it.
    pub async fn remove_if_empty(&self, queue: &Queue) -> Result<Removal, TransportError> {
        let said = |fault: Fault| fault.into_error(Some(queue));
        match self.passive(queue).await.map_err(said)? {
            None => return Ok(Removal::Gone),
            Some(Seen { ready: 0, consumers: 0 }) => {}
            Some(Seen { ready, consumers }) => {
                return Ok(Removal::Kept(format!("{ready} messages and {consumers} consumers are on it")));
            }
        }
        // Quorum queues know no conditions, and the answer to one ends the connection: so it is one of its own.
        let conditional = async {
            let own = self.dialer.dial(MANAGING).await?;
            let options = QueueDeleteOptions { if_empty: true, if_unused: true, ..Default::default() };
            let deleted = delete(&own.create_channel().await?, queue, options).await;
            if own.status().connected() {
                let _ = own.close(200, "OK".into()).await;
            }
            deleted
        };
        match conditional.await {
            Ok(()) | Err(Fault::Missing(_)) => Ok(Removal::Gone),
            Err(Fault::Unsupported(_)) => self.remove(queue).await.map(|()| Removal::Gone),
            Err(Fault::Refused(why)) => Ok(Removal::Kept(why)),
            Err(fault) => Err(said(fault)),
        }
    }

    /// Deletes this one queue, not its dead-letter queue, with all that is on it. A missing queue is not an error.
    ///
    /// # Errors
    /// The broker is away, or does not permit it.
    pub async fn remove(&self, queue: &Queue) -> Result<(), TransportError> {
        let removed = async {
            let channel = self.wire.channel().await?;
            delete(&channel, queue, QueueDeleteOptions::default()).await?;
            fault::close(&channel).await;
            Ok::<_, Fault>(())
        };
        match removed.await {
            Ok(()) | Err(Fault::Missing(_)) => Ok(()),
            Err(fault) => Err(fault.into_error(Some(queue))),
        }
    }

    /// Makes the queue with its dead-letter queue and binds it; what [`Queues::ensure`] does but for the retry ladder,
    /// which all queues share. An existing queue is used as it is; how it differs is returned in the broker's words.
    ///
    /// # Errors
    /// The broker is away, or does not permit it.
    pub async fn ensure_queue(&self, queue: &Queue) -> Result<Option<String>, TransportError> {
        let made = async {
            match self.make(queue).await {
                // It exists with other arguments, or the exchange does not, or we may not declare what is there.
                Err(Fault::Refused(_) | Fault::Missing(_) | Fault::Denied(_)) => self.complete(queue).await,
                made => made.map(|()| None),
            }
        };
        made.await.map_err(|fault| fault.into_error(Some(queue)))
    }

    /// Makes the retry ladder, unless it exists.
    ///
    /// # Errors
    /// The broker is away, or does not permit it.
    pub async fn ensure_ladder(&self) -> Result<(), TransportError> {
        self.ladder.ensure(&self.wire).await
    }

    /// All at once on one channel, which the first surprise closes.
    async fn make(&self, queue: &Queue) -> Result<(), Fault> {
        let channel = self.wire.channel().await?;
        if self.config.dead_letters {
            declare(&channel, &queue.dead_letter(), self.arguments_of_dead()).await?;
        }
        declare(&channel, queue, self.arguments(queue)).await?;
        self.bind(&channel, queue).await?;
        fault::close(&channel).await;
        Ok(())
    }

    /// Makes only what is missing, and says how the queue differs.
    async fn complete(&self, queue: &Queue) -> Result<Option<String>, Fault> {
        self.ensure_exchange().await?;
        let dead = queue.dead_letter();
        if self.config.dead_letters && self.passive(&dead).await?.is_none() {
            self.declare(&dead, self.arguments_of_dead()).await?;
        }
        let difference = match self.passive(queue).await? {
            None => {
                self.declare(queue, self.arguments(queue)).await?;
                None
            }
            Some(_) => match self.declare(queue, self.arguments(queue)).await {
                Err(Fault::Refused(difference)) => Some(difference),
                // Without the right to declare it cannot be told.
                Ok(()) | Err(Fault::Denied(_)) => None,
                Err(fault) => return Err(fault),
            },
        };
        let channel = self.wire.channel().await?;
        self.bind(&channel, queue).await?;
        fault::close(&channel).await;
        Ok(difference)
    }

    /// Old publishers use the bare name, the Go operator bound with the queue's: both reach it.
    async fn bind(&self, channel: &Channel, queue: &Queue) -> Result<(), Fault> {
        for key in [queue.routing_key(), queue.as_str()] {
            let options = QueueBindOptions::default();
            let exchange = short(&self.config.exchange)?;
            channel
                .queue_bind(short(queue.as_str())?, exchange, short(key)?, options, FieldTable::default())
                .await?;
        }
        Ok(())
    }

    /// An existing exchange is used as it is, whoever made it.
    async fn ensure_exchange(&self) -> Result<(), Fault> {
        for passive in [true, false] {
            let channel = self.wire.channel().await?;
            let options = ExchangeDeclareOptions { passive, durable: true, ..Default::default() };
            let name = short(&self.config.exchange)?;
            match channel.exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default()).await {
                Ok(()) => {
                    fault::close(&channel).await;
                    return Ok(());
                }
                Err(error) => match Fault::from(error) {
                    Fault::Missing(_) if passive => {}
                    fault => return Err(fault),
                },
            }
        }
        Ok(())
    }

    /// The arguments of a new queue.
    fn arguments(&self, queue: &Queue) -> FieldTable {
        let mut arguments = self.kind();
        if self.config.dead_letters {
            let dead = queue.dead_letter();
            arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
            arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(dead.as_str().into()));
        }
        if self.config.queue_type == QueueType::Quorum {
            let limit = AMQPValue::LongLongInt(self.config.delivery_limit.into());
            arguments.insert("x-delivery-limit".into(), limit);
        }
        arguments
    }

    fn kind(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        if self.config.queue_type == QueueType::Quorum {
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        }
        arguments
    }

    /// Looking at dead letters counts as delivering them, so their queue must have no limit in practice. (Quorum queues
    /// of RabbitMQ 4 have one of 20 unless told otherwise; `-1` means none there, and on 3.10 that every letter that is
    /// looked at is thrown away.)
    fn arguments_of_dead(&self) -> FieldTable {
        let mut arguments = self.kind();
        if self.config.queue_type == QueueType::Quorum {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(i32::MAX.into()));
        }
        arguments
    }

    async fn declare(&self, queue: &Queue, arguments: FieldTable) -> Result<(), Fault> {
        let channel = self.wire.channel().await?;
        declare(&channel, queue, arguments).await?;
        fault::close(&channel).await;
        Ok(())
    }

    async fn passive(&self, queue: &Queue) -> Result<Option<Seen>, Fault> {
        // A channel of its own: the broker closes it if the queue is missing.
        let channel = self.wire.channel().await?;
        let found = declare_passive(&channel, queue).await?;
        if found.is_some() {
            fault::close(&channel).await;
        }
        Ok(found)
    }
}

async fn declare(channel: &Channel, queue: &Queue, arguments: FieldTable) -> Result<(), Fault> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(short(queue.as_str())?, options, arguments).await?;
    Ok(())
}

async fn declare_passive(channel: &Channel, queue: &Queue) -> Result<Option<Seen>, Fault> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    match channel.queue_declare(short(queue.as_str())?, options, FieldTable::default()).await {
        Ok(found) => {
            Ok(Some(Seen { ready: found.message_count().into(), consumers: found.consumer_count().into() }))
        }
        Err(error) => match Fault::from(error) {
            Fault::Missing(_) => Ok(None),
            fault => Err(fault),
        },
    }
}

async fn delete(channel: &Channel, queue: &Queue, options: QueueDeleteOptions) -> Result<(), Fault> {
    channel.queue_delete(short(queue.as_str())?, options).await?;
    Ok(())
}

impl Queues for Admin {
    fn ensure<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            self.ensure_queue(queue).await?;
            self.ensure_ladder().await
        })
    }

    fn delete<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            for queue in [queue, &queue.dead_letter()] {
                self.remove(queue).await?;
            }
            Ok(())
        })
    }

    fn depth<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<Depth, TransportError>> {
        Box::pin(async move {
            let Some(seen) = self.look(queue).await? else {
                return Err(TransportError::Unroutable { queue: queue.clone() });
            };
            let dead = self.look(&queue.dead_letter()).await?.map_or(0, |dead| dead.ready);
            // What is in hand or waits in the ladder cannot be asked over AMQP.
            Ok(Depth { ready: seen.ready, in_flight: 0, delayed: 0, dead })
        })
    }
}

impl Rabbitmq {
    /// How many messages are ready on a queue; `None` if there is no such queue.
    pub(super) async fn passive(&self, queue: &Queue) -> Result<Option<u64>, Fault> {
        Ok(self.admin.passive(queue).await?.map(|seen| seen.ready))
    }
}

impl Queues for Rabbitmq {
    fn ensure<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        self.admin.ensure(queue)
    }

    fn delete<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        self.admin.delete(queue)
    }

    fn depth<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<Depth, TransportError>> {
        self.admin.depth(queue)
    }
}
