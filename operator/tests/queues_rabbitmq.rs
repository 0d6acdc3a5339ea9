//! Queues on real RabbitMQ brokers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod queues;

use asya_operator::queues::{Brokers, Problem, Queued, Whose};
use queues::{Rabbit, eventually, fresh_queue, rabbitmqs, settings};
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
