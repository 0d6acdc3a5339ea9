//! How fast messages go from queue to queue through the transport, beside a bare lapin relay of the same credit and size
//! (consume, publish with confirm, acknowledge each). Both settle in the task that receives.
//!
//! `cargo run --release -p asya-transport --example rabbitmq_relay`, with `ASYA_TEST_RABBITMQ_URL`; `MESSAGES` (20000),
//! `ROUNDS` (5), `CREDIT` (256), `SIZE` (256), `LANES` and `WINDOW` (the transport's own).

use std::{
    num::NonZeroU16,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use asya_envelope::Queue;
use asya_transport::{
    Outcome, Outgoing, Queues, Transport,
    rabbitmq::{Rabbitmq, RabbitmqConfig},
};
use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{
        BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
        QueuePurgeOptions,
    },
    types::FieldTable,
};

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() -> Result<()> {
    let url = std::env::var("ASYA_TEST_RABBITMQ_URL").context("ASYA_TEST_RABBITMQ_URL is not set")?;
    let (messages, rounds) = (setting("MESSAGES", 20_000), setting("ROUNDS", 5));
    let (credit, size) = (u16::try_from(setting("CREDIT", 256))?, setting("SIZE", 256));
    let (from, to) = (Queue::named("asya-relay-from"), Queue::named("asya-relay-to"));
    let mut config = RabbitmqConfig::new(&url);
    config.lanes = setting("LANES", config.lanes);
    config.window = setting("WINDOW", config.window);
    let (lanes, window) = (config.lanes, config.window);
    let client = Rabbitmq::connect(config).await?;
    client.ensure(&from).await?;
    client.ensure(&to).await?;
    let bare = Connection::connect(url.trim_end_matches('/'), ConnectionProperties::default()).await?;
    let (mut of_bare, mut of_ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        for ours in [false, true] {
            let channel = bare.create_channel().await?;
            for queue in [&from, &to] {
                channel.queue_purge(queue.as_str().into(), QueuePurgeOptions::default()).await?;
            }
            let body = Bytes::from(vec![b'x'; size]);
            let publish = |_| client.publish(Outgoing { queue: from.clone(), body: body.clone() }, None);
            let mut filled = futures::stream::iter(0..messages).map(publish).buffer_unordered(1_000);
            while filled.next().await.transpose()?.is_some() {}
            tokio::time::sleep(Duration::from_millis(300)).await;
            let began = Instant::now();
            match ours {
                false => relay_bare(&bare, &from, &to, credit, messages).await?,
                true => relay_ours(&*client, &from, &to, credit, messages).await?,
            }
            let rate = messages as f64 / began.elapsed().as_secs_f64();
            if ours { of_ours.push(rate) } else { of_bare.push(rate) }
        }
    }
    let ratios = of_ours.iter().zip(&of_bare).map(|(ours, bare)| ours / bare).collect();
    println!(
        "{messages} x {size} B, credit {credit}, lanes {lanes}, window {window}: bare {:.0}/s, transport {:.0}/s, ratio {:.2}",
        median(of_bare),
        median(of_ours),
        median(ratios)
    );
    client.delete(&from).await?;
    client.delete(&to).await?;
    Ok(())
}

async fn relay_ours(
    client: &dyn Transport,
    from: &Queue,
    to: &Queue,
    credit: u16,
    count: usize,
) -> Result<()> {
    let mut consumer = client.consume(from, NonZeroU16::new(credit).context("credit of 0")?).await?;
    let mut settling = FuturesUnordered::new();
    let (mut received, mut settled) = (0, 0);
    while settled < count {
        tokio::select! {
            delivery = consumer.next(), if received < count => {
                let delivery = delivery?;
                received += 1;
                let successor = Outgoing { queue: to.clone(), body: delivery.body.clone() };
                settling.push(delivery.settle(Outcome::forward(vec![successor])));
            }
            Some(result) = settling.next() => {
                result.map_err(|(error, _)| error)?;
                settled += 1;
            }
        }
    }
    Ok(())
}

async fn relay_bare(
    connection: &Connection,
    from: &Queue,
    to: &Queue,
    credit: u16,
    count: usize,
) -> Result<()> {
    let (input, output) = (connection.create_channel().await?, connection.create_channel().await?);
    output.confirm_select(ConfirmSelectOptions::default()).await?;
    input.basic_qos(credit, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries =
        input.basic_consume(from.as_str().into(), "".into(), options, FieldTable::default()).await?;
    let mut confirms = FuturesUnordered::new();
    let (mut received, mut settled) = (0, 0);
    while settled < count {
        tokio::select! {
            delivery = deliveries.next(), if received < count => {
                let delivery = delivery.context("the consumer ended")??;
                received += 1;
                let properties =
                    BasicProperties::default().with_delivery_mode(2).with_content_type("application/json".into());
                let options = BasicPublishOptions::default();
                let key = to.routing_key().into();
                let confirm =
                    output.basic_publish("asya".into(), key, options, &delivery.data, properties).await?;
                confirms.push(async move { confirm.await.map(|_| delivery.acker) });
            }
            Some(confirmed) = confirms.next() => {
                confirmed?.ack(BasicAckOptions::default()).await?;
                settled += 1;
            }
        }
    }
    Ok(())
}
