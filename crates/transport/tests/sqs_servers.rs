//! What is true of SQS alone, against SQS-compatible servers.

#![cfg(feature = "sqs")]

mod sqs;

use std::{
    collections::BTreeMap,
    num::NonZeroU16,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, ensure};
use asya_envelope::Queue;
use asya_transport::{
    Consumer, DeadLetters, Delivery, Outcome, Outgoing, Queues, Transport, TransportError,
    conformance::Harness,
    sqs::{Sqs, SqsConfig},
};
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName as Attribute};
use bytes::Bytes;
use futures::future::join_all;
use sqs::{Server, VISIBILITY};

const SOON: Duration = Duration::from_secs(20);

async fn on_each<F: AsyncFn(&Server) -> anyhow::Result<()>>(test: F) -> anyhow::Result<()> {
    for server in sqs::servers() {
        test(&server).await.with_context(|| format!("on {}", server.name))?;
    }
    Ok(())
}

async fn consume(sqs: &Sqs, queue: &Queue, credit: u16) -> anyhow::Result<Box<dyn Consumer>> {
    Ok(sqs.consume(queue, NonZeroU16::new(credit).context("no credit")?).await?)
}

async fn publish(sqs: &Sqs, queue: &Queue, body: impl Into<Bytes>) -> Result<(), TransportError> {
    sqs.publish(Outgoing { queue: queue.clone(), body: body.into() }, None).await
}

async fn next(consumer: &mut dyn Consumer) -> anyhow::Result<Delivery> {
    Ok(tokio::time::timeout(SOON, consumer.next()).await.context("no delivery")??)
}

async fn settle(delivery: Delivery, outcome: Outcome) -> anyhow::Result<()> {
    Ok(delivery.settle(outcome).await.map_err(|(error, _)| error)?)
}

async fn done(delivery: Delivery) -> anyhow::Result<()> {
    settle(delivery, Outcome::forward(Vec::new())).await
}

/// A queue that the service buries messages of, in a dead-letter queue that is not the queue's own.
async fn redriven(server: &Server, max_receives: u32) -> anyhow::Result<(Queue, Queue)> {
    let (queue, target) = (server.fresh_queue(), server.fresh_queue());
    let raw = server.raw().await;
    let made = raw.create_queue().queue_name(target.as_str()).send().await?;
    let read = raw
        .get_queue_attributes()
        .queue_url(made.queue_url().context("no address")?)
        .attribute_names(Attribute::QueueArn)
        .send()
        .await?;
    let arn = read.attributes().and_then(|all| all.get(&Attribute::QueueArn)).context("no arn")?;
    let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"{max_receives}"}}"#);
    raw.create_queue().queue_name(queue.as_str()).attributes(Attribute::RedrivePolicy, policy).send().await?;
    Ok((queue, target))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_waits_in_the_buffer_is_renewed_too() -> anyhow::Result<()> {
    on_each(async |server| {
        let sqs = server.connect(server.config()).await?;
        let queue = server.fresh_queue();
        sqs.ensure(&queue).await?;
        for body in ["first", "second"] {
            publish(&sqs, &queue, body).await?;
        }
        let mut holder = consume(&sqs, &queue, 2).await?;
        let in_hand = next(&mut *holder).await?;
        let rival = server.connect(server.config()).await?;
        let mut rival = consume(&rival, &queue, 10).await?;
        let stolen = tokio::time::timeout(VISIBILITY * 5 / 2, rival.next()).await;
        ensure!(stolen.is_err(), "another consumer got {stolen:?}");
        let buffered = next(&mut *holder).await?;
        ensure!((in_hand.meta.deliveries, buffered.meta.deliveries) == (1, 1), "delivered again");
        done(in_hand).await?;
        done(buffered).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_handed_out_is_given_back_at_once() -> anyhow::Result<()> {
    on_each(async |server| {
        let sqs = server.connect(server.config()).await?;
        let queue = server.fresh_queue();
        sqs.ensure(&queue).await?;
        for n in 0..8 {
            publish(&sqs, &queue, format!("message {n}")).await?;
        }
        let mut consumer = consume(&sqs, &queue, 10).await?;
        let first = next(&mut *consumer).await?;
        let dropped = Instant::now();
        drop(consumer);
        let other = server.connect(server.config()).await?;
        let mut other_consumer = consume(&other, &queue, 10).await?;
        for _ in 0..7 {
            done(next(&mut *other_consumer).await?).await?;
        }
        ensure!(dropped.elapsed() < VISIBILITY, "only after {} ms", dropped.elapsed().as_millis());
        done(first).await?;
        drop(other_consumer);
        ensure!(sqs.close(SOON).await && other.close(SOON).await, "something was left when closing");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_chance_is_known_and_giving_back_does_not_bury() -> anyhow::Result<()> {
    on_each(async |server| {
        let sqs = server.connect(server.config()).await?;
        let (queue, target) = redriven(server, 2).await?;
        publish(&sqs, &queue, "precious").await?;
        let mut consumer = consume(&sqs, &queue, 1).await?;
        let first = next(&mut *consumer).await?;
        ensure!(!first.meta.last_chance, "the first of two receives is not the last");
        settle(first, Outcome::Retry { after: Duration::ZERO, attempts: 1 }).await?;
        let outcomes = [Outcome::Release, Outcome::Retry { after: Duration::from_secs(1), attempts: 2 }];
        for (deliveries, outcome) in (2..).step_by(2).zip(outcomes) {
            let last = next(&mut *consumer).await?;
            ensure!(last.meta.last_chance && last.meta.deliveries == deliveries, "{:?}", last.meta);
            settle(last, outcome).await?;
            let anew = next(&mut *consumer).await?;
            ensure!(!anew.meta.last_chance && anew.meta.deliveries == deliveries + 1, "{:?}", anew.meta);
            settle(anew, Outcome::Release).await?;
        }
        drop(next(&mut *consumer).await?);
        let again = next(&mut *consumer).await?;
        ensure!(again.body == "precious" && again.meta.deliveries == 7, "{again:?}");
        settle(again, Outcome::DeadLetter { reason: "enough".to_owned() }).await?;
        let letters = sqs.list(&queue, 10).await?;
        ensure!(letters.len() == 1 && letters[0].reason == "enough", "{letters:?}");
        ensure!(letters[0].source.as_ref() == Some(&queue) && letters[0].attempts == 6, "{letters:?}");
        ensure!(sqs.depth(&target).await?.ready == 1, "it is not on the queue that the policy names");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unsettled_last_chance_is_buried_by_the_service() -> anyhow::Result<()> {
    on_each(async |server| {
        let cut_off = server.client().await?;
        let sqs = server.connect(server.config()).await?;
        let (queue, target) = redriven(server, 1).await?;
        publish(&sqs, &queue, "killer").await?;
        let credit = NonZeroU16::MIN;
        let mut consumer = cut_off.transport.consume(&queue, credit).await?;
        let killer = next(&mut *consumer).await?;
        ensure!(killer.meta.last_chance, "one receive is permitted, and this is it");
        (cut_off.sever)().await;
        drop((killer, consumer));
        let mut others = consume(&sqs, &queue, 1).await?;
        let came = tokio::time::timeout(VISIBILITY * 2, others.next()).await;
        ensure!(came.is_err(), "it was delivered again: {came:?}");
        ensure!(sqs.depth(&target).await?.ready == 1, "it was not moved");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_too_long_together_travel_in_several_batches() -> anyhow::Result<()> {
    on_each(async |server| {
        let sqs = server.connect(server.config()).await?;
        let queue = server.fresh_queue();
        sqs.ensure(&queue).await?;
        let body = |n: usize| format!("{n:02}{}", "x".repeat(120 * 1024));
        let sent = join_all((0..12).map(|n| publish(&sqs, &queue, body(n)))).await;
        ensure!(sent.iter().all(Result::is_ok), "{sent:?}");
        let mut consumer = consume(&sqs, &queue, 20).await?;
        let mut seen = BTreeMap::new();
        while seen.len() < 12 {
            let delivery = next(&mut *consumer).await?;
            ensure!(delivery.body.len() == body(0).len(), "a body was cut");
            *seen.entry(delivery.body[..2].to_vec()).or_insert(0) += 1;
            done(delivery).await?;
        }
        ensure!(seen.values().all(|times| *times == 1), "{seen:?}");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_message_does_not_harm_those_beside_it() -> anyhow::Result<()> {
    on_each(async |server| {
        let sqs = server.connect(server.config()).await?;
        let queue = server.fresh_queue();
        sqs.ensure(&queue).await?;
        publish(&sqs, &queue, "known from now on").await?;
        let limit = sqs.max_message().context("no limit")?;
        let bodies = [
            Bytes::from("\"fine\""),
            Bytes::from("\"\u{FFFF}\""),
            Bytes::from("x".repeat(limit + 1)),
            Bytes::new(),
            Bytes::from_static(b"\"\xff\""),
            Bytes::from("\"fine too\""),
        ];
        let sent = join_all(bodies.map(|body| publish(&sqs, &queue, body))).await;
        ensure!(sent[0].is_ok() && sent[5].is_ok(), "{sent:?}");
        for refused in [1, 3, 4] {
            ensure!(matches!(sent[refused], Err(TransportError::Refused { .. })), "{sent:?}");
        }
        ensure!(matches!(sent[2], Err(TransportError::TooLarge { .. })), "{sent:?}");
        ensure!(sqs.depth(&queue).await?.ready == 3, "three were fine");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_is_made_anew_is_found_again() -> anyhow::Result<()> {
    on_each(async |server| {
        let sqs = server.connect(server.config()).await?;
        let queue = server.fresh_queue();
        sqs.ensure(&queue).await?;
        let mut consumer = consume(&sqs, &queue, 1).await?;
        publish(&sqs, &queue, "before").await?;
        done(next(&mut *consumer).await?).await?;
        // By somebody else, so that nothing is known here.
        let other = server.connect(server.config()).await?;
        other.delete(&queue).await?;
        let gone = publish(&sqs, &queue, "meanwhile").await;
        ensure!(matches!(gone, Err(TransportError::Unroutable { .. })), "{gone:?}");
        other.ensure(&queue).await?;
        publish(&sqs, &queue, "after").await?;
        let delivery = next(&mut *consumer).await?;
        ensure!(delivery.body == "after", "{delivery:?}");
        done(delivery).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_not_handed_out_before_the_time_written_beside_it() -> anyhow::Result<()> {
    on_each(async |server| {
        let sqs = server.connect(server.config()).await?;
        let queue = server.fresh_queue();
        sqs.ensure(&queue).await?;
        let mut consumer = consume(&sqs, &queue, 1).await?;
        // As the service delivers a message with a longer delay than it knows, after its 900 s.
        let time = SystemTime::now() + Duration::from_secs(3);
        let millis = time.duration_since(UNIX_EPOCH)?.as_millis().to_string();
        let value = MessageAttributeValue::builder().data_type("String").string_value(millis).build()?;
        let raw = server.raw().await;
        let found = raw.get_queue_url().queue_name(queue.as_str()).send().await?;
        raw.send_message()
            .set_queue_url(found.queue_url)
            .message_body("later")
            .message_attributes("asya.not-before", value)
            .send()
            .await?;
        let delivery = next(&mut *consumer).await?;
        ensure!(SystemTime::now() >= time, "it came too early");
        ensure!((delivery.meta.deliveries, delivery.meta.attempts) == (1, 0), "{:?}", delivery.meta);
        settle(delivery, Outcome::Release).await?;
        let again = next(&mut *consumer).await?;
        ensure!(again.meta.deliveries == 2, "{:?}", again.meta);
        done(again).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifo_queues_are_refused_with_a_sentence() -> anyhow::Result<()> {
    on_each(async |server| {
        let sqs = server.connect(server.config()).await?;
        let queue = Queue::named("asya-orders.fifo");
        let refusals = [
            sqs.consume(&queue, NonZeroU16::MIN).await.map(|_| ()),
            sqs.ensure(&queue).await,
            publish(&sqs, &queue, "{}").await,
        ];
        for refusal in refusals {
            let sentence = refusal.err().context("it was taken")?.to_string();
            ensure!(sentence.contains("FIFO") && sentence.contains("asya-orders.fifo"), "{sentence}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queues_can_have_a_prefix_that_nobody_sees() -> anyhow::Result<()> {
    on_each(async |server| {
        let queue_prefix = "team-".to_owned();
        let sqs = server.connect(SqsConfig { queue_prefix, ..server.config() }).await?;
        let plain = server.connect(server.config()).await?;
        let queue = server.fresh_queue();
        sqs.ensure(&queue).await?;
        publish(&sqs, &queue, "x").await?;
        ensure!(plain.depth(&Queue::named(format!("team-{queue}"))).await?.ready == 1, "not there");
        let missing = Queue::named("nowhere");
        match publish(&sqs, &missing, "x").await {
            Err(TransportError::Unroutable { queue }) => ensure!(queue == missing, "{queue}"),
            other => anyhow::bail!("{other:?}"),
        }
        let mut consumer = consume(&sqs, &queue, 1).await?;
        settle(next(&mut *consumer).await?, Outcome::DeadLetter { reason: "no".to_owned() }).await?;
        ensure!(sqs.list(&queue, 1).await?[0].source.as_ref() == Some(&queue), "the source is another");
        sqs.delete(&queue).await?;
        Ok(())
    })
    .await
}
