//! A test's own eyes on a broker: queues as the contract has them, publishing, and collecting ids at the end.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context, Result};
use futures::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties, ExchangeKind,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, BasicQosOptions,
        ConfirmSelectOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
        QueueDeleteOptions,
    },
    types::FieldTable,
};

const EXCHANGE: &str = "asya";

/// Connects, with a channel that confirms.
///
/// # Errors
/// When nothing answers.
pub async fn connect(url: &str) -> Result<(Connection, Channel)> {
    // lapin reads a slash without a name as the vhost with the empty name.
    let connection = Connection::connect(url.trim_end_matches('/'), ConnectionProperties::default())
        .await
        .context("connecting")?;
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok((connection, channel))
}

/// Makes the queue of an actor as existing deployments have it: durable, no arguments, bound with the bare name.
///
/// # Errors
/// What the broker says.
pub async fn declare(channel: &Channel, actor: &str) -> Result<()> {
    let name = format!("asya-{actor}");
    let exchange = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare(EXCHANGE.into(), ExchangeKind::Topic, exchange, FieldTable::default()).await?;
    let queue = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name.as_str().into(), queue, FieldTable::default()).await?;
    let bind = QueueBindOptions::default();
    channel
        .queue_bind(name.as_str().into(), EXCHANGE.into(), actor.into(), bind, FieldTable::default())
        .await?;
    Ok(())
}

/// Publishes to an actor as any client does, and waits for every confirmation.
///
/// # Errors
/// What the broker says.
pub async fn publish(channel: &Channel, actor: &str, bodies: impl IntoIterator<Item = String>) -> Result<()> {
    let mut confirms = FuturesUnordered::new();
    for body in bodies {
        let persistent = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        confirms.push(
            channel
                .basic_publish(EXCHANGE.into(), actor.into(), options, body.as_bytes(), persistent)
                .await?,
        );
        if confirms.len() >= 256 {
            confirms.next().await.transpose()?;
        }
    }
    while confirms.next().await.transpose()?.is_some() {}
    Ok(())
}

async fn own_channel() -> Result<(Connection, Channel)> {
    connect(&crate::server("ASYA_TEST_RABBITMQ_URL").context("ASYA_TEST_RABBITMQ_URL is set")?).await
}

/// Messages that wait on a queue; `None` when there is no such queue.
///
/// # Errors
/// What the broker says.
pub async fn depth(queue: &str) -> Result<Option<u32>> {
    let (_connection, channel) = own_channel().await?;
    let passive = QueueDeclareOptions { passive: true, durable: true, ..Default::default() };
    match channel.queue_declare(queue.into(), passive, FieldTable::default()).await {
        Ok(queue) => Ok(Some(queue.message_count())),
        Err(error) if error.to_string().contains("NOT_FOUND") => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts so many messages on a queue.
///
/// # Errors
/// What the broker says.
pub async fn put(queue: &str, messages: u32) -> Result<()> {
    let (_connection, channel) = own_channel().await?;
    for number in 0..messages {
        let body = number.to_string();
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default();
        channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await?.await?;
    }
    Ok(())
}

/// Takes the first message of a queue; `None` when nothing waits.
///
/// # Errors
/// What the broker says, or that it is not JSON.
pub async fn take(queue: &str) -> Result<Option<serde_json::Value>> {
    let (_connection, channel) = own_channel().await?;
    let Some(message) = channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await? else {
        return Ok(None);
    };
    Ok(Some(serde_json::from_slice(&message.delivery.data)?))
}

/// Deletes a queue and its dead-letter queue with all that is on them.
///
/// # Errors
/// What the broker says.
pub async fn remove(queue: &str) -> Result<()> {
    let (_connection, channel) = own_channel().await?;
    for name in [queue.to_owned(), format!("{queue}-dlq")] {
        channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await?;
    }
    Ok(())
}

/// How often each id arrived at a queue.
pub type Arrivals = Arc<Mutex<HashMap<String, u32>>>;

/// Collects the ids that arrive at an actor's queue, across losses of the broker, until the task is aborted. A message
/// that comes again because the collector itself lost its connection is not counted twice.
pub async fn collect(url: String, actor: String, arrivals: Arrivals) {
    loop {
        if let Err(error) = collect_once(&url, &actor, &arrivals).await {
            eprintln!("collector of {actor}: {error:#}; connecting again");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn collect_once(url: &str, actor: &str, arrivals: &Arrivals) -> Result<()> {
    let (_connection, channel) = connect(url).await?;
    channel.basic_qos(200, BasicQosOptions::default()).await?;
    let queue = format!("asya-{actor}");
    let options = BasicConsumeOptions::default();
    let mut deliveries =
        channel.basic_consume(queue.as_str().into(), "".into(), options, FieldTable::default()).await?;
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let envelope: serde_json::Value = serde_json::from_slice(&delivery.data)?;
        let id = envelope["id"].as_str().context("an envelope without id")?.to_owned();
        {
            let mut arrivals = arrivals.lock().expect("no collector panics");
            let count = arrivals.entry(id).or_default();
            *count += u32::from(*count == 0 || !delivery.redelivered);
        }
        delivery.acker.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}
