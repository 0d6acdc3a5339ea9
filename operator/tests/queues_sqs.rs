//! Queues on servers that speak SQS.

#![allow(clippy::unwrap_used, reason = "tests")]

mod queues;

use std::{collections::HashMap, time::Duration};

use asya_envelope::Queue;
use asya_operator::queues::{
    Brokers, Queued, Whose,
    deletion::Trust,
    retirement::{Retired, Retirement},
};
use asya_resources::DeletionPolicy::{self, Delete, DeleteIfEmpty};
use asya_transport::{
    Outgoing, Transport as _,
    sqs::{Sqs, SqsConfig},
};
use bytes::Bytes;
use queues::{eventually, fresh_queue, server, settings};
use serde_json::{Value, json};
use tempfile::TempDir;

const OCR: Whose<'static> = Whose { namespace: "team", actor: "ocr" };
/// The readings of SQS, faster: these servers count exactly.
const FAST: Trust = Trust { readings: 3, pause: Duration::from_millis(100) };
const LIMIT: Duration = Duration::from_secs(600);

fn endpoints() -> Vec<String> {
    ["ASYA_TEST_SQS_ENDPOINT", "ASYA_TEST_SQS_ENDPOINT_2"].into_iter().filter_map(server).collect()
}

fn brokers(endpoint: &str, more: &Value) -> (Brokers, TempDir) {
    let secrets = tempfile::tempdir().unwrap();
    std::fs::create_dir(secrets.path().join("sqs")).unwrap();
    for key in ["id", "secret"] {
        std::fs::write(secrets.path().join("sqs").join(key), "test\n").unwrap();
    }
    let mut config = json!({"region": "us-east-1", "endpoint": endpoint, "credentials": {
        "accessKeyIdSecretRef": {"name": "aws", "key": "id"},
        "secretAccessKeySecretRef": {"name": "aws", "key": "secret"}}});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let transports = json!({"sqs": {"enabled": true, "config": config}});
    (Brokers::new(&settings(&transports, secrets.path())), secrets)
}

/// The service's own client, and a queue's address.
async fn raw(endpoint: &str, queue: &Queue) -> (aws_sdk_sqs::Client, String) {
    use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
    use aws_smithy_http_client::{Builder, tls};
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let config = aws_sdk_sqs::Config::builder()
        .http_client(Builder::new().tls_provider(ring).build_https())
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(endpoint)
        .build();
    let client = aws_sdk_sqs::Client::from_conf(config);
    let url = client.get_queue_url().queue_name(queue.as_str()).send().await;
    (client, url.map(|found| found.queue_url.unwrap()).unwrap_or_default())
}

async fn attributes(endpoint: &str, queue: &Queue) -> HashMap<String, String> {
    let (client, url) = raw(endpoint, queue).await;
    let read =
        client.get_queue_attributes().queue_url(url).attribute_names("All".into()).send().await.unwrap();
    read.attributes.unwrap().into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect()
}

async fn tags(endpoint: &str, queue: &Queue) -> HashMap<String, String> {
    let (client, url) = raw(endpoint, queue).await;
    client.list_queue_tags().queue_url(url).send().await.unwrap().tags.unwrap_or_default()
}

async fn publish(endpoint: &str, queue: &Queue, body: &'static str) {
    let config = SqsConfig { endpoint: Some(endpoint.to_owned()), ..SqsConfig::default() };
    let sqs = Sqs::connect(config).await.unwrap();
    let message = Outgoing { queue: queue.clone(), body: Bytes::from_static(body.as_bytes()) };
    sqs.publish(message, None).await.unwrap();
}

/// Calls until the deletion has ended, waiting as it says.
async fn retire(brokers: &Brokers, queue: &Queue, policy: DeletionPolicy) -> Retired {
    let mut retirement = Retirement::new(policy, FAST, LIMIT);
    loop {
        match brokers.retire("sqs", queue, &mut retirement).await {
            Retired::Again { after, .. } => tokio::time::sleep(after).await,
            ended => return ended,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_queues_have_the_configured_attributes_and_tags() {
    for endpoint in endpoints() {
        let (brokers, _secrets) = brokers(
            &endpoint,
            &json!({"visibilityTimeout": 120, "tags": {"team": "ml", "asya.sh/actor": "mine"},
                    "queues": {"autoCreate": true, "dlq": {"enabled": true, "maxRetryCount": 7, "retentionDays": 2}}}),
        );
        let queue = fresh_queue();
        assert_eq!(brokers.look("sqs", &queue).await, Queued::Missing);
        for _ in 0..2 {
            brokers.ensure("sqs", &queue, OCR).await.unwrap();
        }
        assert!(matches!(brokers.look("sqs", &queue).await, Queued::There(_)));
        let found = attributes(&endpoint, &queue).await;
        assert_eq!(found["VisibilityTimeout"], "120");
        let redrive: Value = serde_json::from_str(&found["RedrivePolicy"]).unwrap();
        assert!(redrive["deadLetterTargetArn"].as_str().unwrap().ends_with(queue.dead_letter().as_str()));
        assert_eq!(redrive["maxReceiveCount"].to_string().trim_matches('"'), "7");
        let found = tags(&endpoint, &queue).await;
        let expected = [("asya.sh/actor", "mine"), ("asya.sh/namespace", "team"), ("team", "ml")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
        let dead = tags(&endpoint, &queue.dead_letter()).await;
        assert_eq!(dead["asya.sh/type"], "dlq");
        // ElasticMQ keeps no retention period.
        if let Some(retention) =
            attributes(&endpoint, &queue.dead_letter()).await.get("MessageRetentionPeriod")
        {
            assert_eq!(retention, "172800");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dead_letters_a_queue_has_no_redrive_policy() {
    for endpoint in endpoints() {
        let off = json!({"queues": {"autoCreate": true, "dlq": {"enabled": false}}});
        let (brokers, _secrets) = brokers(&endpoint, &off);
        let queue = fresh_queue();
        brokers.ensure("sqs", &queue, OCR).await.unwrap();
        assert!(!attributes(&endpoint, &queue).await.contains_key("RedrivePolicy"));
        assert_eq!(brokers.look("sqs", &queue.dead_letter()).await, Queued::Missing);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_of_the_go_operator_is_used_as_it_is_and_said_to_differ() {
    for endpoint in endpoints() {
        let (brokers, _secrets) = brokers(&endpoint, &json!({}));
        let queue = fresh_queue();
        let (client, _) = raw(&endpoint, &queue).await;
        let visibility = aws_sdk_sqs::types::QueueAttributeName::VisibilityTimeout;
        client.create_queue().queue_name(queue.as_str()).attributes(visibility, "77").send().await.unwrap();
        brokers.ensure("sqs", &queue, OCR).await.unwrap();
        let Queued::Differs { how, .. } = brokers.look("sqs", &queue).await else { panic!("it differs") };
        assert!(how.contains("77 s instead of 300 s") && how.contains("no dead-letter queue"), "{how}");
        assert_eq!(attributes(&endpoint, &queue).await["VisibilityTimeout"], "77");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_queue_goes_after_three_readings_and_a_full_one_stays() {
    for endpoint in endpoints() {
        let (brokers, _secrets) = brokers(&endpoint, &json!({}));
        let queue = fresh_queue();
        brokers.ensure("sqs", &queue, OCR).await.unwrap();
        let mut retirement = Retirement::new(DeleteIfEmpty, FAST, LIMIT);
        for reading in 1..3 {
            let again = brokers.retire("sqs", &queue, &mut retirement).await;
            let words = format!("reading {reading} of 3");
            let Retired::Again { after, why } = again else { panic!("{again:?}") };
            assert!(why.starts_with(&words), "{why}");
            assert!(matches!(brokers.look("sqs", &queue).await, Queued::There(_)));
            tokio::time::sleep(after).await;
        }
        let gone = brokers.retire("sqs", &queue, &mut retirement).await;
        assert_eq!(gone, Retired::Gone { dead_letters: None });
        let both = [queue.clone(), queue.dead_letter()];
        assert_eq!(brokers.missing("sqs", &both).await.unwrap(), both);

        let full = fresh_queue();
        brokers.ensure("sqs", &full, OCR).await.unwrap();
        publish(&endpoint, &full, "work").await;
        let kept = retire(&brokers, &full, DeleteIfEmpty).await;
        assert!(matches!(&kept, Retired::Kept(why) if why.contains("1 waiting")), "{kept:?}");
        publish(&endpoint, &full.dead_letter(), "dead").await;
        let gone = retire(&brokers, &full, Delete).await;
        assert!(matches!(&gone, Retired::Gone { dead_letters: Some(_) }), "{gone:?}");
        assert!(!matches!(brokers.look("sqs", &full.dead_letter()).await, Queued::Missing));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_keys_are_a_refusal_until_their_files_are_there() {
    for endpoint in endpoints() {
        let (brokers, secrets) = brokers(&endpoint, &json!({}));
        let (file, aside) = (secrets.path().join("sqs/secret"), secrets.path().join("aside"));
        std::fs::rename(&file, &aside).unwrap();
        let queue = fresh_queue();
        let problem = brokers.ensure("sqs", &queue, OCR).await.unwrap_err();
        assert_eq!(problem.reason(), "BrokerRefused");
        assert!(problem.to_string().contains("sqs/secret"), "{problem}");
        std::fs::rename(&aside, &file).unwrap();
        eventually("the keys are taken", async || brokers.ensure("sqs", &queue, OCR).await.is_ok()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_the_service_cannot_have_is_refused_with_the_rule() {
    for endpoint in endpoints() {
        let (brokers, _secrets) = brokers(&endpoint, &json!({}));
        for length in [77, 81] {
            let problem = brokers.ensure("sqs", &Queue::named("a".repeat(length)), OCR).await.unwrap_err();
            assert_eq!(problem.reason(), "BrokerRefused");
            assert!(problem.to_string().contains("1 to 80"), "{problem}");
        }
    }
}
