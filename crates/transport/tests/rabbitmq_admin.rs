//! Managing queues on a real broker over one connection.

#![allow(clippy::unwrap_used, reason = "tests")]

mod rabbitmq;

use asya_transport::{
    Queues, TransportError,
    rabbitmq::{Admin, RabbitmqConfig, Removal, Seen},
};
use futures::{StreamExt, stream};
use rabbitmq::{connect, consume, eventually, fresh_queue, message, server};

/// More than a connection has numbers for channels.
const MANY: usize = 2_500;

fn admins() -> Vec<(String, Admin)> {
    ["ASYA_TEST_RABBITMQ_URL", "ASYA_TEST_RABBITMQ4_URL"]
        .into_iter()
        .filter_map(server)
        .map(|url| {
            let admin = Admin::connect(RabbitmqConfig::new(&url)).unwrap();
            (url, admin)
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn more_missing_queues_than_there_are_channels_spoil_nothing() {
    for (_, admin) in admins() {
        let (there, missing) = (fresh_queue(), fresh_queue());
        admin.ensure_queue(&there).await.unwrap();
        let seen = Seen { ready: 0, consumers: 0 };
        for half in 0..2 {
            stream::iter(0..MANY / 2)
                .for_each_concurrent(10, |_| async {
                    assert_eq!(admin.look(&missing).await.unwrap(), None);
                })
                .await;
            eventually(rabbitmq::SOON, "the other queue is seen", async || {
                // Once the connection is used up it is replaced, which one call may notice.
                matches!(admin.look(&there).await, Ok(Some(found)) if found == seen)
            })
            .await;
            assert_eq!(
                admin.look_at(&[missing.clone(), there.clone()]).await.unwrap(),
                [None, Some(seen)],
                "{half}"
            );
        }
        admin.delete(&there).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_removed_only_when_nothing_is_on_it() {
    for (url, admin) in admins() {
        let queue = fresh_queue();
        admin.ensure(&queue).await.unwrap();
        assert_eq!(admin.difference(&queue).await.unwrap(), None, "it is as we make it");
        let client = connect(&url).await;
        asya_transport::Transport::publish(&*client, message(&queue, "work"), None).await.unwrap();
        assert!(
            matches!(admin.remove_if_empty(&queue).await.unwrap(), Removal::Kept(why) if why.contains('1'))
        );
        let mut consumer = consume(&client, &queue, 1).await;
        let delivery = rabbitmq::next(&mut consumer).await;
        assert!(matches!(admin.remove_if_empty(&queue).await.unwrap(), Removal::Kept(_)), "in hand");
        rabbitmq::done(delivery).await;
        drop(consumer);
        eventually(rabbitmq::SOON, "the consumer has left", async || {
            admin.remove_if_empty(&queue).await.unwrap() == Removal::Gone
        })
        .await;
        assert_eq!(admin.look(&queue).await.unwrap(), None);
        assert!(admin.look(&queue.dead_letter()).await.unwrap().is_some(), "only this one queue");
        assert_eq!(admin.remove_if_empty(&queue).await.unwrap(), Removal::Gone, "a second time as well");
        admin.remove(&queue.dead_letter()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dead_letters_a_queue_has_no_second_one() {
    for (url, _) in admins() {
        let config = RabbitmqConfig { dead_letters: false, ..RabbitmqConfig::new(&url) };
        let admin = Admin::connect(config).unwrap();
        let queue = fresh_queue();
        admin.ensure_queue(&queue).await.unwrap();
        assert_eq!(admin.look(&queue.dead_letter()).await.unwrap(), None);
        assert_eq!(admin.difference(&queue).await.unwrap(), None);
        admin.remove(&queue).await.unwrap();
    }
}

#[tokio::test]
async fn a_broker_that_is_away_is_said_to_be() {
    let config = RabbitmqConfig {
        patience: std::time::Duration::from_millis(200),
        ..RabbitmqConfig::new("amqp://127.0.0.1:1/")
    };
    let admin = Admin::connect(config).unwrap();
    let error = admin.look(&fresh_queue()).await.unwrap_err();
    assert!(matches!(&error, TransportError::Unavailable(why) if why.contains("127.0.0.1:1")), "{error}");
}
