//! Managing queues: the operator's and the command line's side.

use asya_envelope::Queue;
use futures::future::BoxFuture;
use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::{AMQPValue, FieldTable},
};

use super::{
    Rabbitmq,
    config::QueueType,
    fault::{self, Fault, short},
};
use crate::{Depth, Queues, TransportError};

impl Rabbitmq {
    async fn ensure_queue(&self, queue: &Queue) -> Result<(), Fault> {
        self.ensure_exchange().await?;
        let dead = queue.dead_letter();
        if self.passive(&dead).await?.is_none() {
            self.declare_dead(&dead).await?;
        }
        if self.passive(queue).await?.is_none() {
            let mut arguments = self.kind();
            arguments.insert("x-dead-letter-exchange".into(), AMQPValue::LongString("".into()));
            arguments.insert("x-dead-letter-routing-key".into(), AMQPValue::LongString(dead.as_str().into()));
            if self.config.queue_type == QueueType::Quorum {
                let limit = AMQPValue::LongLongInt(self.config.delivery_limit.into());
                arguments.insert("x-delivery-limit".into(), limit);
            }
            self.declare(queue, arguments).await?;
        }
        // Old publishers use the bare name, the Go operator bound with the queue's: both reach it.
        let channel = self.admin().channel().await?;
        for key in [queue.routing_key(), queue.as_str()] {
            let options = QueueBindOptions::default();
            let exchange = short(&self.config.exchange)?;
            channel
                .queue_bind(short(queue.as_str())?, exchange, short(key)?, options, FieldTable::default())
                .await?;
        }
        fault::close(&channel).await;
        Ok(())
    }

    /// An existing exchange is used as it is, whoever made it.
    async fn ensure_exchange(&self) -> Result<(), Fault> {
        for passive in [true, false] {
            let channel = self.admin().channel().await?;
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

    fn kind(&self) -> FieldTable {
        let mut arguments = FieldTable::default();
        if self.config.queue_type == QueueType::Quorum {
            arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        }
        arguments
    }

    /// Looking at dead letters counts as delivering them, so their queue must have no limit. Quorum queues of RabbitMQ 4
    /// have one unless told otherwise; those of 3.x have none and refuse to be told.
    async fn declare_dead(&self, dead: &Queue) -> Result<(), Fault> {
        if self.config.queue_type == QueueType::Quorum {
            let mut unlimited = self.kind();
            unlimited.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(-1));
            match self.declare(dead, unlimited).await {
                Err(Fault::Refused(_)) => {}
                result => return result,
            }
        }
        self.declare(dead, self.kind()).await
    }

    async fn declare(&self, queue: &Queue, arguments: FieldTable) -> Result<(), Fault> {
        let channel = self.admin().channel().await?;
        let options = QueueDeclareOptions { durable: true, ..Default::default() };
        channel.queue_declare(short(queue.as_str())?, options, arguments).await?;
        fault::close(&channel).await;
        Ok(())
    }

    /// How many messages are ready on a queue; `None` if there is no such queue.
    pub(super) async fn passive(&self, queue: &Queue) -> Result<Option<u64>, Fault> {
        // A channel of its own: the broker closes it if the queue is missing.
        let channel = self.admin().channel().await?;
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        match channel.queue_declare(short(queue.as_str())?, options, FieldTable::default()).await {
            Ok(found) => {
                fault::close(&channel).await;
                Ok(Some(found.message_count().into()))
            }
            Err(error) => match Fault::from(error) {
                Fault::Missing(_) => Ok(None),
                fault => Err(fault),
            },
        }
    }
}

impl Queues for Rabbitmq {
    fn ensure<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            self.ensure_queue(queue).await.map_err(|fault| fault.into_error(Some(queue)))?;
            self.outlet.ladder.ensure(self.admin()).await
        })
    }

    fn delete<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        Box::pin(async move {
            for queue in [queue, &queue.dead_letter()] {
                let delete = async {
                    let channel = self.admin().channel().await?;
                    channel.queue_delete(short(queue.as_str())?, QueueDeleteOptions::default()).await?;
                    fault::close(&channel).await;
                    Ok::<_, Fault>(())
                };
                match delete.await {
                    Ok(()) | Err(Fault::Missing(_)) => {}
                    Err(fault) => return Err(fault.into_error(Some(queue))),
                }
            }
            Ok(())
        })
    }

    fn depth<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<Depth, TransportError>> {
        Box::pin(async move {
            let dead = queue.dead_letter();
            let ready = self.passive(queue).await.map_err(|fault| fault.into_error(Some(queue)))?;
            let Some(ready) = ready else { return Err(TransportError::Unroutable { queue: queue.clone() }) };
            let dead = self.passive(&dead).await.map_err(|fault| fault.into_error(Some(&dead)))?.unwrap_or(0);
            // What is in hand or waits in the ladder cannot be asked over AMQP.
            Ok(Depth { ready, in_flight: 0, delayed: 0, dead })
        })
    }
}
