//! Queues of a real broker: filling, waiting, and the bare relay that everything is compared with.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
    },
    types::FieldTable,
};

/// The exchange through which publishers reach queues.
const EXCHANGE: &str = "asya";
/// How long one variant may take before the benchmark gives up.
const LIMIT: Duration = Duration::from_secs(120);

/// A connection of the benchmark's own.
pub struct Broker {
    connection: Connection,
    channel: Channel,
}

impl Broker {
    /// Connects to the broker of `ASYA_TEST_RABBITMQ_URL`.
    ///
    /// # Errors
    /// Without that variable, or when nothing answers there.
    pub async fn connect() -> Result<Self> {
        let url =
            std::env::var("ASYA_TEST_RABBITMQ_URL").context("ASYA_TEST_RABBITMQ_URL: see tests/servers")?;
        // lapin reads a slash without a name as the vhost with the empty name.
        let connection = Connection::connect(url.trim_end_matches('/'), ConnectionProperties::default())
            .await
            .context("connecting")?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
        channel
            .exchange_declare(EXCHANGE.into(), lapin::ExchangeKind::Topic, durable, FieldTable::default())
            .await?;
        Ok(Self { connection, channel })
    }

    /// Makes the queue of an actor, empty, as the contract has it.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn queue(&self, actor: &str) -> Result<()> {
        let name = format!("asya-{actor}");
        let durable = QueueDeclareOptions { durable: true, ..Default::default() };
        self.channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
        self.channel.queue_declare(name.as_str().into(), durable, FieldTable::default()).await?;
        self.channel
            .queue_bind(
                name.as_str().into(),
                EXCHANGE.into(),
                actor.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        Ok(())
    }

    /// Empties the queue of an actor.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn purge(&self, actor: &str) -> Result<()> {
        self.channel
            .queue_purge(format!("asya-{actor}").as_str().into(), QueuePurgeOptions::default())
            .await?;
        Ok(())
    }

    /// Publishes the bodies to an actor, persistent, and waits for every confirmation.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn publish(&self, actor: &str, bodies: impl IntoIterator<Item = Vec<u8>>) -> Result<()> {
        let mut confirms = FuturesUnordered::new();
        for body in bodies {
            confirms.push(publish(&self.channel, actor, &body).await?);
            if confirms.len() >= 512 {
                confirms.next().await.transpose()?;
            }
        }
        while confirms.next().await.transpose()?.is_some() {}
        Ok(())
    }

    /// Messages ready in the queue of an actor.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn depth(&self, actor: &str) -> Result<u32> {
        let passive = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
        let name = format!("asya-{actor}");
        Ok(self
            .channel
            .queue_declare(name.as_str().into(), passive, FieldTable::default())
            .await?
            .message_count())
    }

    /// Messages per second between the first and the last arrival of `count` messages in the queue of an actor.
    ///
    /// # Errors
    /// When they do not arrive in time.
    pub async fn rate_of_arrival(&self, actor: &str, count: usize) -> Result<f64> {
        let limit = Instant::now() + LIMIT;
        let mut first = None;
        loop {
            let depth = usize::try_from(self.depth(actor).await?)?;
            if depth > 0 && first.is_none() {
                first = Some((Instant::now(), depth));
            }
            if let Some((start, already)) = first.filter(|_| depth >= count) {
                return Ok((count - already) as f64 / start.elapsed().as_secs_f64());
            }
            ensure!(Instant::now() < limit, "{depth} of {count} messages after {LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The bare relay: consume, publish with confirm, acknowledge; `credit` messages in hand at a time. Runs until the
    /// future is dropped.
    ///
    /// # Errors
    /// What the broker says.
    pub async fn relay(&self, from: &str, to: &str, credit: u16) -> Result<()> {
        let input = self.connection.create_channel().await?;
        let output = self.connection.create_channel().await?;
        output.confirm_select(ConfirmSelectOptions::default()).await?;
        input.basic_qos(credit, BasicQosOptions::default()).await?;
        let queue = format!("asya-{from}");
        let mut deliveries = input
            .basic_consume(
                queue.as_str().into(),
                "".into(),
                BasicConsumeOptions::default(),
                FieldTable::default(),
            )
            .await?;
        let mut confirms = FuturesUnordered::new();
        loop {
            tokio::select! {
                delivery = deliveries.next() => {
                    let delivery = delivery.context("the consumer ended")??;
                    let confirm = publish(&output, to, &delivery.data).await?;
                    confirms.push(async move { confirm.await.map(|_| delivery.acker) });
                }
                Some(confirmed) = confirms.next() => {
                    confirmed?.ack(BasicAckOptions::default()).await?;
                }
            }
        }
    }
}

async fn publish(channel: &Channel, actor: &str, body: &[u8]) -> Result<lapin::PublisherConfirm> {
    let persistent =
        BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
    Ok(channel
        .basic_publish(EXCHANGE.into(), actor.into(), BasicPublishOptions::default(), body, persistent)
        .await?)
}
