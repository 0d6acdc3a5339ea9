//! What the management API adds, on real RabbitMQ brokers.

#![allow(clippy::unwrap_used, reason = "tests")]

mod queues;

use std::{collections::BTreeMap, num::NonZeroU16, time::Instant};

use asya_envelope::Queue;
use asya_operator::queues::{Brokers, Problem, Queued, Whose};
use asya_transport::{
    Depth, Outcome, Outgoing, Transport as _,
    rabbitmq::{Rabbitmq, RabbitmqConfig, management::Management},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use queues::{Rabbit, SOON, eventually, fresh_queue, rabbitmqs, settings};
use serde_json::{Value, json};

const OCR: Whose<'static> = Whose { namespace: "team", actor: "ocr" };
/// More than one page of the API.
const MANY: usize = 600;

fn config(rabbit: &Rabbit, management: &str) -> Value {
    json!({"host": rabbit.host(), "port": rabbit.port(), "managementURL": management,
           "projectTo": ["team"], "perNamespaceUsers": true})
}

fn brokers(rabbit: &Rabbit, management: &str) -> Brokers {
    let transports = json!({"rabbitmq": {"enabled": true, "config": config(rabbit, management)}});
    Brokers::new(&settings(&transports, std::path::Path::new("/nowhere")))
}

fn message(queue: &Queue, body: &'static str) -> Outgoing {
    Outgoing { queue: queue.clone(), body: Bytes::from_static(body.as_bytes()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_in_hand_are_counted_and_so_are_dead_letters() {
    for rabbit in rabbitmqs() {
        let brokers = brokers(&rabbit, &rabbit.management_url());
        let queue = fresh_queue();
        brokers.ensure("rabbitmq", &queue, OCR).await.unwrap();
        for _ in 0..2 {
            rabbit.publish(&queue, "work");
        }
        rabbit.publish(&queue.dead_letter(), "dead");
        let sidecar = Rabbitmq::connect(RabbitmqConfig::new(&rabbit.amqp)).await.unwrap();
        let mut consumer = sidecar.consume(&queue, NonZeroU16::MIN).await.unwrap();
        let delivery = tokio::time::timeout(SOON, consumer.next()).await.unwrap().unwrap();
        let expected = Queued::There(Depth { ready: 1, in_flight: 1, delayed: 0, dead: 1 });
        eventually("one waits, one is in hand, one is dead", async || {
            brokers.look("rabbitmq", &queue).await == expected
        })
        .await;
        drop(delivery);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_of_the_api_ready_messages_are_counted_over_amqp() {
    for rabbit in rabbitmqs() {
        let brokers = brokers(&rabbit, "http://127.0.0.1:1");
        let queue = fresh_queue();
        brokers.ensure("rabbitmq", &queue, OCR).await.unwrap();
        rabbit.publish(&queue, "work");
        let expected = Queued::There(Depth { ready: 1, ..Depth::default() });
        eventually("the message is counted", async || brokers.look("rabbitmq", &queue).await == expected)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_queues_are_listed_whatever_their_number() {
    for rabbit in rabbitmqs() {
        let brokers = brokers(&rabbit, &rabbit.management_url());
        let queues: Vec<_> = (0..MANY).map(|_| fresh_queue()).collect();
        let began = Instant::now();
        stream::iter(&queues)
            .for_each_concurrent(10, |queue| async {
                brokers.ensure("rabbitmq", queue, OCR).await.unwrap();
            })
            .await;
        eprintln!("{MANY} queues were made in {:?}", began.elapsed());
        let management = Management::new(&rabbit.management_url(), "/", "guest", "guest").unwrap();
        let began = Instant::now();
        let listed: BTreeMap<_, _> = management
            .queues("asya-test-")
            .await
            .unwrap()
            .into_iter()
            .map(|one| (one.name.clone(), one))
            .collect();
        eprintln!("{} queues were listed in {:?}", listed.len(), began.elapsed());
        for queue in &queues {
            assert_eq!(
                listed[queue].arguments["x-dead-letter-routing-key"],
                queue.dead_letter().as_str(),
                "{queue}"
            );
            assert!(listed.contains_key(&queue.dead_letter()));
        }
        let began = Instant::now();
        assert_eq!(brokers.missing("rabbitmq", &queues).await.unwrap(), []);
        eprintln!("{MANY} queues were looked for in {:?}", began.elapsed());
        for queue in queues.iter().flat_map(|queue| [queue.clone(), queue.dead_letter()]) {
            rabbit.api("DELETE", &format!("queues/%2F/{queue}"), "");
        }
    }
}

fn decoded(secret: &Value, key: &str) -> String {
    String::from_utf8(STANDARD.decode(secret["data"][key].as_str().unwrap()).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_user_of_a_namespace_works_on_its_queues_and_reads_no_others() {
    for rabbit in rabbitmqs() {
        let brokers = brokers(&rabbit, &rabbit.management_url());
        // A namespace of its own per run: users outlive it.
        let own = fresh_queue();
        let namespace = own.routing_key();
        let queue = Queue::named(format!("{own}-ocr"));
        let foreign = fresh_queue();
        for queue in [&queue, &foreign] {
            brokers.ensure("rabbitmq", queue, OCR).await.unwrap();
        }
        let secret = brokers.projection("rabbitmq", namespace, None).await.unwrap();
        assert_eq!(decoded(&secret, "username"), own.as_str());

        let user = Rabbitmq::connect(RabbitmqConfig::new(decoded(&secret, "url"))).await.unwrap();
        user.publish(message(&queue, "work"), None).await.unwrap();
        let mut consumer = user.consume(&queue, NonZeroU16::MIN).await.unwrap();
        let delivery = tokio::time::timeout(SOON, consumer.next()).await.unwrap().unwrap();
        let dead = Outcome::DeadLetter { reason: "tried".to_owned() };
        delivery.settle(dead).await.map_err(|(error, _)| error).unwrap();
        let mut health = user.health();
        let _refused = user.consume(&foreign, NonZeroU16::MIN).await;
        let refused = health.wait_for(|health| {
            health.reason().is_some_and(|reason| reason.to_lowercase().contains("access"))
        });
        tokio::time::timeout(SOON, refused).await.expect("the foreign queue is refused").unwrap();

        // KEDA asks with the same user.
        let keda = decoded(&secret, "management-url");
        assert!(keda.ends_with("/%2F"), "{keda}");
        let management =
            Management::new(&rabbit.management_url(), "/", own.as_str(), &decoded(&secret, "password"))
                .unwrap();
        assert!(management.queue(&queue).await.unwrap().is_some());

        let there: Secret = serde_json::from_value(secret.clone()).unwrap();
        let again = brokers.projection("rabbitmq", namespace, Some(&there)).await.unwrap();
        assert_eq!(again, secret, "the password is kept");
        Management::new(&rabbit.management_url(), "/", "guest", "guest")
            .unwrap()
            .delete_user(own.as_str())
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_cannot_be_made_by_somebody_who_is_no_administrator() {
    for rabbit in rabbitmqs() {
        let nobody = fresh_queue();
        rabbit.api("PUT", &format!("users/{nobody}"), r#"{"password":"p","tags":"management"}"#);
        let rights = r#"{"configure":".*","write":".*","read":".*"}"#;
        rabbit.api("PUT", &format!("permissions/%2F/{nobody}"), rights);
        let secrets = tempfile::tempdir().unwrap();
        std::fs::create_dir(secrets.path().join("rabbitmq")).unwrap();
        std::fs::write(secrets.path().join("rabbitmq/password"), "p").unwrap();
        let mut config = config(&rabbit, &rabbit.management_url());
        config["username"] = json!(nobody.as_str());
        config["passwordSecretRef"] = json!({"name": "s", "key": "password"});
        let transports = json!({"rabbitmq": {"enabled": true, "config": config}});
        let brokers = Brokers::new(&settings(&transports, secrets.path()));
        let problem = brokers.projection("rabbitmq", "team", None).await.unwrap_err();
        assert!(matches!(&problem, Problem::Refused(why) if why.contains("refuses the user")), "{problem:?}");
        rabbit.api("DELETE", &format!("users/{nobody}"), "");
    }
}
