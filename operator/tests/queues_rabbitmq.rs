//! Queues on real RabbitMQ brokers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod queues;

use std::time::Duration;

use asya_envelope::Queue;

use asya_operator::queues::{Brokers, Problem, Queued, Whose};
use asya_resources::DeletionPolicy;
use queues::{Cable, Rabbit, eventually, fresh_queue, rabbitmqs, settings};
use serde_json::{Value, json};
use tempfile::TempDir;

const OCR: Whose<'static> = Whose { namespace: "team", actor: "ocr" };

fn brokers(rabbit: &Rabbit, more: &Value) -> (Brokers, TempDir) {
    let secrets = tempfile::tempdir().unwrap();
    let mut config = json!({"host": rabbit.host(), "port": rabbit.port()});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let transports = json!({"rabbitmq": {"enabled": true, "config": config}});
    (Brokers::new(&settings(&transports, secrets.path())), secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_made_once_with_its_dead_letters_and_both_bindings() {
    for rabbit in rabbitmqs() {
        let (brokers, _secrets) = brokers(&rabbit, &json!({}));
        let queue = fresh_queue();
        assert_eq!(brokers.look("rabbitmq", &queue).await, Queued::Missing);
        for _ in 0..2 {
            brokers.ensure("rabbitmq", &queue, OCR).await.unwrap();
        }
        assert!(matches!(brokers.look("rabbitmq", &queue).await, Queued::There(depth) if depth.ready == 0));
        let bindings: Value =
            serde_json::from_str(&rabbit.api("GET", &format!("queues/%2F/{queue}/bindings"), "")).unwrap();
        let keys: Vec<_> =
            bindings.as_array().unwrap().iter().map(|b| b["routing_key"].as_str().unwrap()).collect();
        assert!(keys.contains(&queue.routing_key()) && keys.contains(&queue.as_str()), "{keys:?}");
        let made: Value =
            serde_json::from_str(&rabbit.api("GET", &format!("queues/%2F/{queue}"), "")).unwrap();
        assert_eq!(made["arguments"]["x-dead-letter-routing-key"], queue.dead_letter().as_str());
        assert!(brokers.missing("rabbitmq", &[queue.clone(), queue.dead_letter()]).await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_the_go_operator_is_used_as_it_is_and_said_to_differ() {
    for rabbit in rabbitmqs() {
        let (brokers, _secrets) = brokers(&rabbit, &json!({}));
        let queue = fresh_queue();
        let path = format!("queues/%2F/{queue}");
        rabbit.api("PUT", &path, r#"{"durable":true,"arguments":{}}"#);
        rabbit.publish(&queue, "old");
        brokers.ensure("rabbitmq", &queue, OCR).await.unwrap();
        let Queued::Differs { depth, how } = brokers.look("rabbitmq", &queue).await else {
            panic!("other arguments are seen")
        };
        assert_eq!(depth.ready, 1, "its message is still there");
        assert!(how.contains("x-dead-letter"), "{how}");
        let bound = rabbit.api("GET", &format!("{path}/bindings"), "");
        assert!(bound.contains(&format!("\"routing_key\":\"{}\"", queue.routing_key())), "{bound}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_queues_are_not_ours_a_missing_one_is_a_sentence_that_says_what_to_do() {
    for rabbit in rabbitmqs() {
        let (brokers, _secrets) = brokers(&rabbit, &json!({"queues": {"autoCreate": false}}));
        let queue = fresh_queue();
        let problem = brokers.ensure("rabbitmq", &queue, OCR).await.unwrap_err();
        assert_eq!(problem.reason(), "QueueMissing");
        assert!(problem.to_string().contains("autoCreate is false"), "{problem}");
        assert_eq!(brokers.look("rabbitmq", &queue).await, Queued::Missing, "it was not made");
        rabbit.api("PUT", &format!("queues/%2F/{queue}"), r#"{"durable":true}"#);
        brokers.ensure("rabbitmq", &queue, OCR).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_queue_is_missed_and_made_again() {
    for rabbit in rabbitmqs() {
        let (brokers, _secrets) = brokers(&rabbit, &json!({}));
        let queues: Vec<_> = (0..3).map(|_| fresh_queue()).collect();
        for queue in &queues {
            brokers.ensure("rabbitmq", queue, OCR).await.unwrap();
        }
        rabbit.api("DELETE", &format!("queues/%2F/{}", queues[1]), "");
        assert_eq!(brokers.missing("rabbitmq", &queues).await.unwrap(), [queues[1].clone()]);
        brokers.ensure("rabbitmq", &queues[1], OCR).await.unwrap();
        assert!(brokers.missing("rabbitmq", &queues).await.unwrap().is_empty());
        let bound = rabbit.api("GET", &format!("queues/%2F/{}/bindings", queues[1]), "");
        assert!(bound.contains(queues[1].routing_key()), "it is bound again: {bound}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_is_unreachable_and_an_unknown_transport_is_named() {
    let nowhere = Rabbit { amqp: "amqp://guest:guest@127.0.0.1:1/".into(), management: String::new() };
    let (brokers, _secrets) = brokers(&nowhere, &json!({}));
    let problem = brokers.ensure("rabbitmq", &fresh_queue(), OCR).await.unwrap_err();
    assert!(matches!(problem, Problem::Unreachable(_)), "{problem:?}");
    assert!(matches!(brokers.look("rabbitmq", &fresh_queue()).await, Queued::Unreachable(_)));
    let problem = brokers.ensure("kafka", &fresh_queue(), OCR).await.unwrap_err();
    assert_eq!(
        problem.to_string(),
        "transport \"kafka\" is not configured or not enabled; the operator knows rabbitmq"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_a_refusal_until_the_file_is_right() {
    for rabbit in rabbitmqs() {
        let user = fresh_queue();
        rabbit.api("PUT", &format!("users/{user}"), r#"{"password":"right","tags":""}"#);
        let all = r#"{"configure":".*","write":".*","read":".*"}"#;
        rabbit.api("PUT", &format!("permissions/%2F/{user}"), all);
        let secret =
            json!({"username": user.as_str(), "passwordSecretRef": {"name": "s", "key": "password"}});
        let (brokers, secrets) = brokers(&rabbit, &secret);
        let queue = fresh_queue();
        let problem = brokers.ensure("rabbitmq", &queue, OCR).await.unwrap_err();
        assert!(matches!(problem, Problem::Unreachable(_)), "no file yet: {problem:?}");
        let file = secrets.path().join("rabbitmq/password");
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "wrong\n").unwrap();
        eventually("the wrong password is refused", async || {
            matches!(brokers.ensure("rabbitmq", &queue, OCR).await, Err(Problem::Refused(_)))
        })
        .await;
        std::fs::write(&file, "right\n").unwrap();
        eventually("the right password is taken", async || {
            brokers.ensure("rabbitmq", &queue, OCR).await.is_ok()
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_the_broker_needs_for_something_else_are_refused() {
    for rabbit in rabbitmqs() {
        let (brokers, _secrets) = brokers(&rabbit, &json!({}));
        for name in ["asya-retry-1s", "asya-retry-12h"] {
            let problem = brokers.ensure("rabbitmq", &Queue::named(name), OCR).await.unwrap_err();
            assert!(problem.to_string().contains("retry ladder"), "{problem}");
        }
        for name in ["asya-retry-later", "asya-retry-s"] {
            brokers.ensure("rabbitmq", &Queue::named(name), OCR).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ready_messages_of_many_queues_are_counted_in_their_order() {
    for rabbit in rabbitmqs() {
        let (brokers, _secrets) = brokers(&rabbit, &json!({}));
        let queues: Vec<_> = (0..9).map(|_| fresh_queue()).collect();
        for (queue, count) in queues.iter().zip(0..8) {
            brokers.ensure("rabbitmq", queue, OCR).await.unwrap();
            for _ in 0..count {
                rabbit.publish(queue, "work");
            }
        }
        let expected: Vec<_> = (0..8).map(Some).chain([None]).collect();
        eventually("all are counted", async || brokers.ready("rabbitmq", &queues).await.unwrap() == expected)
            .await;
        assert_eq!(brokers.ready("rabbitmq", &[]).await.unwrap(), []);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_said_and_mended() {
    for rabbit in rabbitmqs() {
        let mut cable = Cable::lay(format!("{}:{}", rabbit.host(), rabbit.port())).await;
        let (brokers, _secrets) = brokers(&rabbit, &json!({"host": "127.0.0.1", "port": cable.port}));
        let queue = fresh_queue();
        brokers.ensure("rabbitmq", &queue, OCR).await.unwrap();
        cable.cut().await;
        eventually("the broker is away", async || {
            matches!(brokers.look("rabbitmq", &queue).await, Queued::Unreachable(why) if why.contains("127.0.0.1"))
        })
        .await;
        cable.mend().await;
        eventually("the broker is back", async || {
            matches!(brokers.look("rabbitmq", &queue).await, Queued::There(_))
        })
        .await;
    }
}

/// Controllers run in tasks of their own, which not every future can.
#[tokio::test(flavor = "multi_thread")]
async fn every_call_can_be_spawned() {
    let nowhere = Rabbit { amqp: "amqp://guest:guest@127.0.0.1:1/".into(), management: String::new() };
    let (brokers, _secrets) = brokers(&nowhere, &json!({}));
    let calls = async move {
        let queue = fresh_queue();
        let queues = [queue.clone()];
        brokers.ensure("rabbitmq", &queue, OCR).await.unwrap_err();
        brokers.look("rabbitmq", &queue).await;
        brokers.missing("rabbitmq", &queues).await.unwrap_err();
        let mut retirement = brokers.retirement("rabbitmq", DeletionPolicy::Delete, Duration::ZERO);
        brokers.retire("rabbitmq", &queue, &mut retirement).await;
        // Credentials that all namespaces share are written without the broker.
        brokers.projection("rabbitmq", "team", None).await.unwrap();
        // Just after a failure nothing is tried.
        brokers.ready("rabbitmq", &queues).await.unwrap_err()
    };
    assert!(matches!(tokio::spawn(calls).await.unwrap(), Problem::Unreachable(_)));
}
