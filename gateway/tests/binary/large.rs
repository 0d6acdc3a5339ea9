//! Bodies that are larger than a message may be, over HTTP, with a payload store in a directory.

use std::num::NonZeroU16;

use asya_envelope::{Envelope, Naming, Raw};
use asya_payload::{Claims, Options, Reference, store::directory};
use asya_transport::{
    Outcome, Queues, Transport,
    local::{Local, LocalOptions},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{LIMIT, body, free, get, in_folder, post, serving};

#[tokio::test]
async fn large_bodies_of_sends_and_calls_go_by_the_payload_store_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let payloads = folder.path().join("payloads");
    let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
    local.ensure(&Naming::bare().queue("greet")).await.unwrap();
    let address = free().await;
    let mut command = in_folder(folder.path(), address);
    command
        .env("ASYA_PAYLOAD_STORE", format!("file://{}", payloads.display()))
        .env("ASYA_PAYLOAD_MAX", "2Mi");
    let _gateway = serving(&mut command, address).await;
    let claims = Claims::new(directory(&payloads).unwrap(), Options::default());
    let mut consumer = local.consume(&Naming::bare().queue("greet"), NonZeroU16::MIN).await.unwrap();

    let text = "x".repeat(3 << 19);
    let arguments = json!({"who": text});
    let calls: [(&str, Value, &str, Value); 3] = [
        ("/api/v1/envelopes", json!({"route": ["greet"], "payload": text}), "202", json!(text)),
        ("/api/v1/tools/hello?wait=0", json!({"arguments": arguments}), "202", arguments.clone()),
        ("/tools/call", json!({"name": "hello", "arguments": arguments}), "200", arguments.clone()),
    ];
    let mut bytes = 0;
    let mut sent = Vec::new();
    for (path, request, status, payload) in calls {
        let answer = post(address, path, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        let delivery = timeout(LIMIT, consumer.next()).await.unwrap().unwrap();
        let envelope = Envelope::parse(delivery.body.clone()).unwrap();
        assert!(delivery.body.len() < 4000, "{path}");
        delivery.settle(Outcome::forward(Vec::new())).await.unwrap();
        let reference = Reference::of(&envelope).unwrap();
        assert_eq!(claims.redeem(&envelope.id, &reference).await.unwrap(), Raw::of(&payload), "{path}");
        bytes += reference.size;
        sent.push(envelope.id);
    }

    // Another try reads the payload, and stores it again for its own id.
    let again = post(address, &format!("/api/v1/envelopes/{}/resubmit", sent[0]), &json!({})).await;
    assert!(again.starts_with("HTTP/1.1 202"), "{again}");
    let huge = json!({"route": ["greet"], "payload": "x".repeat((2 << 20) + 1)});
    let refused = post(address, "/api/v1/envelopes", &huge).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    assert_eq!(body(&refused)["code"], "too_large");
    let metrics = get(address, "/metrics").await;
    let first = (text.len() + 2) as u64;
    for line in [
        "payloads_total{direction=\"checked_in\"} 4".to_owned(),
        "payloads_total{direction=\"fetched\"} 1".to_owned(),
        format!("payload_bytes_total{{direction=\"checked_in\"}} {}", bytes + first),
        format!("payload_bytes_total{{direction=\"fetched\"}} {first}"),
        "payload_failures_total{direction=\"checked_in\",reason=\"too_large\"} 1".to_owned(),
    ] {
        assert!(metrics.contains(&format!("asya_gateway_{line}\n")), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn without_a_payload_store_a_large_body_is_refused_with_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let address = free().await;
    let _gateway = serving(&mut in_folder(folder.path(), address), address).await;
    let large = json!({"route": ["greet"], "payload": "x".repeat((1 << 20) + 1)});
    let refused = post(address, "/api/v1/envelopes", &large).await;
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
    assert_eq!(body(&refused)["code"], "too_large", "{refused}");
}
