//! What is true of RabbitMQ beyond the conformance suite, against a real broker.
//!
//! `ASYA_TEST_RABBITMQ_URL`: the broker. `ASYA_TEST_RABBITMQS_URL` and `ASYA_TEST_RABBITMQ_CA`: the same broker by TLS; it
//! has the vhosts `/` and `asya/test`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod rabbitmq;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use asya_envelope::Queue;
use asya_transport::{
    DeadLetters, Outcome, Queues, Selection, Transport, TransportError, Unsettled,
    rabbitmq::{QueueType, Rabbitmq, RabbitmqConfig},
};
use futures::future::join_all;
use lapin::{
    BasicProperties, Channel, Connection, ConnectionProperties,
    options::{BasicPublishOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};

use self::rabbitmq::{Cable, SOON, connect, consume, done, eventually, fresh_queue, message, next, server};

/// A bare client, as other programs use.
async fn stranger(url: &str) -> (Connection, Channel) {
    let connection =
        Connection::connect(url.trim_end_matches('/'), ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

/// Removes an exchange that was made for one test, and its ladder.
async fn tear_down(channel: &Channel, exchange: &str) {
    for rung in ["1s", "2s", "5s", "10s", "30s", "1m", "2m", "5m", "10m", "30m", "1h", "2h", "6h", "12h"] {
        let rung = format!("{exchange}-retry-{rung}");
        channel.queue_delete(rung.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        channel.exchange_delete(rung.into(), ExchangeDeleteOptions::default()).await.unwrap();
    }
    channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
}

fn name(queue: &Queue) -> lapin::types::ShortString {
    queue.as_str().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn returns_are_matched_exactly_however_full_the_pipe() {
    const ROUNDS: usize = 50;
    const AT_ONCE: usize = 200;
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let client = connect(&url).await;
    let (queue, missing) = (fresh_queue(), fresh_queue());
    client.ensure(&queue).await.unwrap();
    for round in 0..ROUNDS {
        let lost = |n: usize| (n + round).is_multiple_of(10);
        let publishes = (0..AT_ONCE).map(|n| {
            let target = if lost(n) { &missing } else { &queue };
            client.publish(message(target, vec![b'x'; 256]), None)
        });
        for (n, result) in join_all(publishes).await.into_iter().enumerate() {
            match result {
                Ok(()) => assert!(!lost(n), "round {round}: {n} is unroutable and was confirmed"),
                Err(TransportError::Unroutable { queue }) => {
                    assert!(lost(n), "round {round}: {n} is routable and was returned");
                    assert_eq!(queue, missing);
                }
                Err(error) => panic!("round {round}, {n}: {error}"),
            }
        }
    }
    let routed = (ROUNDS * AT_ONCE * 9 / 10) as u64;
    assert_eq!(client.depth(&queue).await.unwrap().ready, routed, "confirmed and stored differ");
    client.delete(&queue).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_queue_without_arguments_is_used_as_it_is() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let (client, (_connection, channel)) = (connect(&url).await, stranger(&url).await);
    let queue = fresh_queue();
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name(&queue), durable, FieldTable::default()).await.unwrap();
    let options = BasicPublishOptions::default();
    channel
        .basic_publish("".into(), name(&queue), options, b"old", BasicProperties::default())
        .await
        .unwrap();
    client.ensure(&queue).await.unwrap();
    // Declaring it again as it was is refused unless it still has no arguments.
    channel.queue_declare(name(&queue), durable, FieldTable::default()).await.unwrap();

    let mut consumer = consume(&client, &queue, 1).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.body, "old");
    // A reject would destroy it here; a dead letter is published instead.
    delivery.settle(Outcome::DeadLetter { reason: "for the test".into() }).await.unwrap();
    let letters = client.list(&queue, 10).await.unwrap();
    assert_eq!((letters.len(), letters[0].body.as_ref()), (1, b"old".as_ref()));
    assert_eq!(letters[0].reason, "for the test");

    // Old publishers and new ones both reach it, once each.
    for key in [queue.routing_key(), queue.as_str()] {
        channel
            .basic_publish("asya".into(), key.into(), options, key.as_bytes(), BasicProperties::default())
            .await
            .unwrap();
        let delivery = next(&mut consumer).await;
        assert_eq!(delivery.body, key.as_bytes());
        done(delivery).await;
    }
    assert!(tokio::time::timeout(Duration::from_millis(300), consumer.next()).await.is_err(), "came twice");
    client.delete(&queue).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_dead_letter_queue_leaves_the_delivery_in_hand() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let (client, (_connection, channel)) = (connect(&url).await, stranger(&url).await);
    let queue = fresh_queue();
    client.ensure(&queue).await.unwrap();
    channel.queue_delete(name(&queue.dead_letter()), QueueDeleteOptions::default()).await.unwrap();
    client.publish(message(&queue, "unwanted"), None).await.unwrap();
    let mut consumer = consume(&client, &queue, 1).await;
    let delivery = next(&mut consumer).await;
    match delivery.settle(Outcome::DeadLetter { reason: "no".into() }).await {
        Err((Unsettled::Publish(TransportError::Unroutable { queue: missing }), Some(delivery))) => {
            assert_eq!(missing, queue.dead_letter());
            done(delivery).await;
        }
        other => panic!("expected the delivery back, got {other:?}"),
    }
    client.delete(&queue).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_resumes_when_its_queue_is_deleted_and_made_again() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let client = connect(&url).await;
    let queue = fresh_queue();
    client.ensure(&queue).await.unwrap();
    let mut consumer = consume(&client, &queue, 5).await;
    client.publish(message(&queue, "before"), None).await.unwrap();
    let in_hand = next(&mut consumer).await;
    client.delete(&queue).await.unwrap();
    let health = client.health();
    eventually(SOON, "health names the queue", async || {
        health.borrow().reason().is_some_and(|reason| reason.contains(queue.as_str()))
    })
    .await;
    // What is in hand is done: there is no queue that could deliver it again.
    done(in_hand).await;
    client.ensure(&queue).await.unwrap();
    client.publish(message(&queue, "after"), None).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.body, "after");
    done(delivery).await;
    eventually(SOON, "health is up", async || health.borrow().is_up()).await;
    client.delete(&queue).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_without_a_ladder_is_held_and_keeps_its_attempts() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let (_connection, channel) = stranger(&url).await;
    let mut config = RabbitmqConfig::new(&url);
    // An exchange of its own, so that nobody has made its ladder.
    config.exchange = fresh_queue().as_str().replace("asya-", "other-");
    let exchange = config.exchange.clone();
    let client = Rabbitmq::connect(config).await.unwrap();
    let queue = fresh_queue();
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(name(&queue), durable, FieldTable::default()).await.unwrap();
    let options = BasicPublishOptions::default();
    channel.basic_publish("".into(), name(&queue), options, b"x", BasicProperties::default()).await.unwrap();
    let mut consumer = consume(&client, &queue, 1).await;
    let delivery = next(&mut consumer).await;
    let began = Instant::now();
    delivery.settle(Outcome::Retry { after: Duration::from_millis(700), attempts: 3 }).await.unwrap();
    let delivery = next(&mut consumer).await;
    assert!(began.elapsed() >= Duration::from_millis(700));
    assert_eq!((delivery.meta.attempts, delivery.meta.deliveries), (3, 2));
    done(delivery).await;
    client.delete(&queue).await.unwrap();
    tear_down(&channel, &exchange).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rung_expires_to_the_queue_it_came_for() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    for queue_type in [QueueType::Classic, QueueType::Quorum] {
        let mut config = RabbitmqConfig::new(&url);
        config.queue_type = queue_type;
        let client = Rabbitmq::connect(config).await.unwrap();
        let (queue, other) = (fresh_queue(), fresh_queue());
        client.ensure(&queue).await.unwrap();
        client.ensure(&other).await.unwrap();
        client.publish(message(&queue, "x"), None).await.unwrap();
        let mut consumer = consume(&client, &queue, 1).await;
        let delivery = next(&mut consumer).await;
        let began = Instant::now();
        delivery.settle(Outcome::Retry { after: Duration::from_millis(1_200), attempts: 1 }).await.unwrap();
        let delivery = next(&mut consumer).await;
        assert!(
            began.elapsed() >= Duration::from_secs(2),
            "rounded up to the rung of 2 s, not {:?}",
            began.elapsed()
        );
        assert_eq!((delivery.meta.attempts, delivery.meta.deliveries), (1, 2));
        done(delivery).await;
        assert_eq!(client.depth(&other).await.unwrap().ready, 0, "and to no other");
        client.delete(&queue).await.unwrap();
        client.delete(&other).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_is_mended_and_nothing_is_settled_on_the_dead_one() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let stable = connect(&url).await;
    let queue = fresh_queue();
    stable.ensure(&queue).await.unwrap();
    stable.publish(message(&queue, "once more"), None).await.unwrap();
    let cable = Cable::lay(&url).await;
    let client = connect(&cable.url).await;
    let mut consumer = consume(&client, &queue, 1).await;
    let delivery = next(&mut consumer).await;
    cable.cut_connections().await;
    // The old channel is dead, the new one delivers the message again.
    let again = next(&mut consumer).await;
    assert_eq!(again.body, "once more");
    assert_eq!(again.meta.deliveries, 2);
    match delivery.settle(Outcome::forward(vec![message(&queue, "successor")])).await {
        Err((Unsettled::Lost(_), None)) => {}
        other => panic!("expected a lost delivery, got {other:?}"),
    }
    done(again).await;
    assert_eq!(client.depth(&queue).await.unwrap().ready, 0, "a lost delivery publishes nothing");
    client.publish(message(&queue, "still publishing"), None).await.unwrap();
    done(next(&mut consumer).await).await;
    stable.delete(&queue).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_and_a_vhost_work_with_the_certificate_authority_given() {
    let Some(url) = server("ASYA_TEST_RABBITMQS_URL") else { return };
    let Some(ca) = server("ASYA_TEST_RABBITMQ_CA") else { return };
    let mut config = RabbitmqConfig::new(format!("{}/asya%2Ftest", url.trim_end_matches('/')));
    config.ca_file = Some(ca.into());
    let client = Rabbitmq::connect(config.clone()).await.unwrap();
    let queue = fresh_queue();
    client.ensure(&queue).await.unwrap();
    client.publish(message(&queue, "secret"), None).await.unwrap();
    let mut consumer = consume(&client, &queue, 1).await;
    let delivery = next(&mut consumer).await;
    assert_eq!(delivery.body, "secret");
    done(delivery).await;
    if let Some(plain) = server("ASYA_TEST_RABBITMQ_URL") {
        let other = connect(&plain).await;
        assert!(
            matches!(other.depth(&queue).await, Err(TransportError::Unroutable { .. })),
            "vhosts are apart"
        );
    }
    client.delete(&queue).await.unwrap();

    // Without the authority the broker is not trusted, and the reason is told.
    config.ca_file = None;
    let distrusting = Rabbitmq::connect(config).await.unwrap();
    let reason = distrusting.health().borrow().reason().unwrap_or_default().to_owned();
    eventually(SOON, &format!("health speaks of the certificate, not {reason:?}"), async || {
        distrusting
            .health()
            .borrow()
            .reason()
            .is_some_and(|reason| reason.to_lowercase().contains("certificate"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_vhost_and_certificate_file_are_errors_at_start() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let bad_password = url.replacen("guest:guest@", "guest:wrong@", 1);
    assert_ne!(bad_password, url);
    let no_vhost = format!("{}/no-such-vhost", url.trim_end_matches('/'));
    for url in [&bad_password, &no_vhost] {
        match Rabbitmq::connect(RabbitmqConfig::new(url)).await.map(drop) {
            Err(TransportError::Misconfigured(words)) => assert!(!words.contains("wrong"), "{words}"),
            other => panic!("{url}: expected a misconfiguration, got {other:?}"),
        }
    }
    let mut config = RabbitmqConfig::new(&url);
    config.ca_file = Some("/no/such/file.pem".into());
    assert!(matches!(Rabbitmq::connect(config).await.map(drop), Err(TransportError::Misconfigured(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_at_start_is_waited_for() {
    let client = connect("amqp://guest:guest@127.0.0.1:1/").await;
    let health = client.health();
    eventually(SOON, "health names the address", async || {
        health.borrow().reason().is_some_and(|reason| reason.contains("127.0.0.1:1"))
    })
    .await;
    let publish = client.publish(message(&fresh_queue(), "x"), None);
    let error =
        tokio::time::timeout(SOON, publish).await.expect("a publish does not wait for ever").unwrap_err();
    assert!(matches!(error, TransportError::Unavailable(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_message_that_the_broker_refuses_does_not_fail_the_others_of_its_window() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let (_connection, channel) = stranger(&url).await;
    let mut config = RabbitmqConfig::new(&url);
    // A ladder of its own, as a rung is taken away.
    config.exchange = fresh_queue().as_str().replace("asya-", "other-");
    let exchange = config.exchange.clone();
    let client = Rabbitmq::connect(config).await.unwrap();
    let queue = fresh_queue();
    client.ensure(&queue).await.unwrap();
    let publishes = (0..100).map(|n| {
        let delay = (n == 50).then_some(Duration::from_secs(6 * 60 * 60));
        client.publish(message(&queue, n.to_string()), delay)
    });
    let before = join_all(publishes).await;
    assert!(before.iter().all(Result::is_ok));
    // To publish to an exchange that is gone closes the channel, with everything that is on its way on it.
    let gone = format!("{exchange}-retry-6h");
    channel.exchange_delete(gone.into(), ExchangeDeleteOptions::default()).await.unwrap();
    let delayed = client.publish(message(&queue, "late"), Some(Duration::from_secs(6 * 60 * 60)));
    let others = join_all((0..100).map(|n| client.publish(message(&queue, n.to_string()), None)));
    let (delayed, others) = tokio::join!(tokio::time::timeout(Duration::from_secs(1), delayed), others);
    assert!(delayed.is_err(), "held, as the ladder is gone: {delayed:?}");
    assert!(others.iter().all(Result::is_ok), "{others:?}");
    client.delete(&queue).await.unwrap();
    tear_down(&channel, &exchange).await;
}

#[tokio::test]
async fn what_is_given_back_between_acknowledged_deliveries_is_not_acknowledged_with_them() {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let client = connect(&url).await;
    let queue = fresh_queue();
    client.ensure(&queue).await.unwrap();
    for body in ["first", "returned", "last"] {
        client.publish(message(&queue, body), None).await.unwrap();
    }
    let mut consumer = consume(&client, &queue, 3).await;
    let (first, returned, last) =
        (next(&mut consumer).await, next(&mut consumer).await, next(&mut consumer).await);
    // On one thread all three are marked before the channel's task sends anything.
    let settled = tokio::join!(
        first.settle(Outcome::forward(vec![])),
        returned.settle(Outcome::Release),
        last.settle(Outcome::forward(vec![])),
    );
    assert!(settled.0.is_ok() && settled.1.is_ok() && settled.2.is_ok(), "{settled:?}");
    let again = next(&mut consumer).await;
    assert_eq!(again.body.as_ref(), b"returned");
    done(again).await;
    client.delete(&queue).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_or_a_replay_of_dead_letters_that_is_cut_off_loses_none() {
    const COUNT: u64 = 2_000;
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return };
    let client = connect(&url).await;
    let queue = fresh_queue();
    client.ensure(&queue).await.unwrap();
    let dead = queue.dead_letter();
    let (_connection, channel) = stranger(&url).await;
    for n in 0..COUNT {
        let (options, body) = (BasicPublishOptions::default(), n.to_string());
        let properties = BasicProperties::default();
        channel
            .basic_publish("".into(), dead.as_str().into(), options, body.as_bytes(), properties)
            .await
            .unwrap();
    }
    eventually(SOON, "all are dead", async || client.depth(&queue).await.unwrap().dead == COUNT).await;
    for replay in [false, true] {
        let cable = Cable::lay(&url).await;
        let cut_off = connect(&cable.url).await;
        let worked = tokio::spawn({
            let queue = queue.clone();
            async move {
                if replay {
                    cut_off.replay(&queue, Selection::All).await.map(drop)
                } else {
                    cut_off.list(&queue, COUNT as usize).await.map(drop)
                }
            }
        });
        eventually(SOON, "it is under way", async || client.depth(&queue).await.unwrap().dead < COUNT).await;
        cable.cut().await;
        drop(tokio::time::timeout(SOON, worked).await);
        eventually(SOON, "what was in hand is back", async || {
            let depth = client.depth(&queue).await.unwrap();
            depth.ready + depth.dead >= COUNT
        })
        .await;
    }
    let depth = client.depth(&queue).await.unwrap();
    // Between the publisher's confirmation and the removal there is one at a time.
    assert!(depth.ready + depth.dead <= COUNT + 1, "{depth:?}");
    let left = client.list(&queue, 2 * COUNT as usize).await.unwrap();
    let mut bodies: BTreeSet<_> = left.into_iter().map(|letter| letter.body).collect();
    let mut consumer = consume(&client, &queue, 100).await;
    for _ in 0..depth.ready {
        let delivery = next(&mut consumer).await;
        bodies.insert(delivery.body.clone());
        done(delivery).await;
    }
    assert_eq!(bodies.len() as u64, COUNT);
    client.delete(&queue).await.unwrap();
}
