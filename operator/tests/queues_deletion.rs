//! What becomes of queues whose actors are deleted, on real brokers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod queues;

use std::{num::NonZeroU16, time::Duration};

use asya_envelope::Queue;
use asya_operator::queues::{
    Brokers, Queued, Whose,
    deletion::Trust,
    retirement::{Retired, Retirement},
};
use asya_resources::DeletionPolicy::{self, Delete, DeleteIfEmpty, Retain};
use asya_transport::{
    Transport as _,
    rabbitmq::{Rabbitmq, RabbitmqConfig},
};
use queues::{Rabbit, SOON, eventually, fresh_queue, rabbitmqs, settings};
use serde_json::json;

const OCR: Whose<'static> = Whose { namespace: "team", actor: "ocr" };
const LIMIT: Duration = Duration::from_secs(600);

/// Brokers with and without the management API.
fn both(rabbit: &Rabbit) -> [Brokers; 2] {
    let config = json!({"host": rabbit.host(), "port": rabbit.port()});
    let mut managed = config.clone();
    managed["managementURL"] = json!(rabbit.management_url());
    [config, managed].map(|config| {
        let transports = json!({"rabbitmq": {"enabled": true, "config": config}});
        Brokers::new(&settings(&transports, std::path::Path::new("/nowhere")))
    })
}

async fn made(brokers: &Brokers) -> Queue {
    let queue = fresh_queue();
    brokers.ensure("rabbitmq", &queue, OCR).await.unwrap();
    queue
}

async fn retire(brokers: &Brokers, queue: &Queue, policy: DeletionPolicy) -> Retired {
    let mut retirement = brokers.retirement("rabbitmq", policy, LIMIT);
    brokers.retire("rabbitmq", queue, &mut retirement).await
}

const GONE: Retired = Retired::Gone { dead_letters: None };

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_queue_goes_with_its_dead_letter_queue_in_one_step() {
    for rabbit in rabbitmqs() {
        for brokers in both(&rabbit) {
            for policy in [DeleteIfEmpty, Delete] {
                let queue = made(&brokers).await;
                assert_eq!(retire(&brokers, &queue, policy).await, GONE);
                let both = [queue.clone(), queue.dead_letter()];
                assert_eq!(brokers.missing("rabbitmq", &both).await.unwrap(), both);
                assert_eq!(retire(&brokers, &queue, policy).await, GONE, "a second time as well");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_holds_messages_is_kept_unless_the_policy_says_delete() {
    for rabbit in rabbitmqs() {
        for brokers in both(&rabbit) {
            let queue = made(&brokers).await;
            rabbit.publish(&queue, "work");
            eventually("the message is there", async || {
                brokers.look("rabbitmq", &queue).await.depth().is_some_and(|depth| depth.ready == 1)
            })
            .await;
            for policy in [DeleteIfEmpty, Retain] {
                let Retired::Kept(why) = retire(&brokers, &queue, policy).await else { panic!("{policy:?}") };
                assert!(why.contains(queue.as_str()), "{why}");
            }
            let both = [queue.clone(), queue.dead_letter()];
            assert!(brokers.missing("rabbitmq", &both).await.unwrap().is_empty());
            assert_eq!(retire(&brokers, &queue, Delete).await, GONE);
            assert_eq!(brokers.missing("rabbitmq", &both).await.unwrap(), both);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_kept_whatever_the_policy() {
    for rabbit in rabbitmqs() {
        for brokers in both(&rabbit) {
            let queue = made(&brokers).await;
            rabbit.publish(&queue.dead_letter(), "dead");
            let Retired::Gone { dead_letters: Some(why) } = retire(&brokers, &queue, Delete).await else {
                panic!("the queue goes, its dead letters stay")
            };
            assert!(why.contains(queue.dead_letter().as_str()) && why.contains("1 waiting"), "{why}");
            let both = [queue.clone(), queue.dead_letter()];
            assert_eq!(brokers.missing("rabbitmq", &both).await.unwrap(), [queue]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_in_hand_keeps_the_queue_with_and_without_the_management_api() {
    for rabbit in rabbitmqs() {
        for brokers in both(&rabbit) {
            let queue = made(&brokers).await;
            rabbit.publish(&queue, "work");
            let sidecar = Rabbitmq::connect(RabbitmqConfig::new(&rabbit.amqp)).await.unwrap();
            let mut consumer = sidecar.consume(&queue, NonZeroU16::MIN).await.unwrap();
            let delivery = tokio::time::timeout(SOON, consumer.next()).await.unwrap().unwrap();
            let kept = retire(&brokers, &queue, DeleteIfEmpty).await;
            assert!(matches!(&kept, Retired::Kept(_)), "{kept:?}");
            assert!(!matches!(brokers.look("rabbitmq", &queue).await, Queued::Missing));
            drop(delivery);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_quorum_queue_goes_though_it_knows_no_conditions() {
    for rabbit in rabbitmqs() {
        for brokers in both(&rabbit) {
            let queue = fresh_queue();
            let path = format!("queues/%2F/{queue}");
            rabbit.api("PUT", &path, r#"{"durable":true,"arguments":{"x-queue-type":"quorum"}}"#);
            brokers.ensure("rabbitmq", &queue, OCR).await.unwrap();
            let queued = brokers.look("rabbitmq", &queue).await;
            assert!(matches!(queued, Queued::Differs { .. }), "{queued:?}");
            assert_eq!(retire(&brokers, &queue, DeleteIfEmpty).await, GONE);
            assert_eq!(brokers.look("rabbitmq", &queue.dead_letter()).await, Queued::Missing);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_holds_up_a_deletion_for_its_limit() {
    let nowhere =
        Rabbit { amqp: "amqp://guest:guest@127.0.0.1:1/".into(), management: "http://g:g@x:1".into() };
    let [brokers, _] = both(&nowhere);
    let queue = fresh_queue();
    let mut patient = brokers.retirement("rabbitmq", DeleteIfEmpty, LIMIT);
    let again = brokers.retire("rabbitmq", &queue, &mut patient).await;
    assert!(matches!(&again, Retired::Again { why, .. } if why.contains("unavailable")), "{again:?}");
    let mut hasty = Retirement::new(DeleteIfEmpty, Trust::EXACT, Duration::ZERO);
    let kept = brokers.retire("rabbitmq", &queue, &mut hasty).await;
    assert!(matches!(&kept, Retired::Kept(why) if why.contains("could not be reached")), "{kept:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_that_are_not_ours_to_make_are_not_ours_to_delete() {
    for rabbit in rabbitmqs() {
        let config = json!({"host": rabbit.host(), "port": rabbit.port(), "queues": {"autoCreate": false}});
        let transports = json!({"rabbitmq": {"enabled": true, "config": config}});
        let brokers = Brokers::new(&settings(&transports, std::path::Path::new("/nowhere")));
        let queue = fresh_queue();
        rabbit.api("PUT", &format!("queues/%2F/{queue}"), r#"{"durable":true}"#);
        let kept = retire(&brokers, &queue, Delete).await;
        assert!(matches!(&kept, Retired::Kept(_)), "{kept:?}");
        let mut retirement = brokers.retirement("gone", Delete, LIMIT);
        let kept = brokers.retire("gone", &queue, &mut retirement).await;
        assert!(matches!(&kept, Retired::Kept(why) if why.contains("no longer configured")), "{kept:?}");
    }
}
