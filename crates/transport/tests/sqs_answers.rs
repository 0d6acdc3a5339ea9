//! What SQS may answer and no compatible server answers on demand, from a scripted server. Needs nothing installed.

#![cfg(feature = "sqs")]

mod sqs;

use std::{
    num::NonZeroU16,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_envelope::Queue;
use asya_transport::{
    Outgoing, Transport, TransportError,
    sqs::{Sqs, SqsConfig},
};
use futures::future::join_all;
use serde_json::{Value, json};
use sqs::scripted::{error, failed, sent, serve};

/// A transport whose queues all exist and take 1 MiB, and whose other requests the script answers.
async fn scripted(
    script: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> anyhow::Result<Arc<Sqs>> {
    let endpoint = serve(Arc::new(move |action, input| match action {
        "GetQueueUrl" => (200, json!({ "QueueUrl": "http://elsewhere/1/q" })),
        "GetQueueAttributes" => (200, json!({ "Attributes": { "MaximumMessageSize": "1048576" } })),
        _ => script(action, input),
    }))
    .await?;
    let region = Some("us-east-1".to_owned());
    Ok(Sqs::connect(SqsConfig { region, endpoint: Some(endpoint), ..SqsConfig::default() }).await?)
}

fn message(body: impl Into<bytes::Bytes>) -> Outgoing {
    Outgoing { queue: Queue::named("asya-q"), body: body.into() }
}

fn credentials() -> bool {
    let given = std::env::var_os("AWS_ACCESS_KEY_ID").is_some();
    if !given {
        eprintln!(
            "\n=== SQS: not run, as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set (any values do) ===\n"
        );
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must set them");
    }
    given
}

#[tokio::test]
async fn each_entry_of_a_batch_succeeds_or_fails_alone_and_is_tried_again_alone() -> anyhow::Result<()> {
    if !credentials() {
        return Ok(());
    }
    let bodies = Arc::new(Mutex::new(Vec::<String>::new()));
    let seen = Arc::clone(&bodies);
    let sqs = scripted(move |_, input| {
        let mut seen = seen.lock().unwrap();
        let (mut ok, mut not) = (Vec::new(), Vec::new());
        for entry in input["Entries"].as_array().unwrap() {
            let body = entry["MessageBody"].as_str().unwrap().to_owned();
            match (body.as_str(), seen.contains(&body)) {
                ("refused", _) => not.push(failed(entry, "InvalidMessageContents", true)),
                ("flaky", false) => not.push(failed(entry, "InternalError", false)),
                ("throttled", _) => not.push(failed(entry, "RequestThrottled", true)),
                _ => ok.push(sent(entry)),
            }
            seen.push(body);
        }
        (200, json!({ "Successful": ok, "Failed": not }))
    })
    .await?;
    let all = ["fine", "refused", "flaky", "fine too", "throttled"];
    let answers = join_all(all.map(|body| sqs.publish(message(body), None))).await;
    assert!(answers[0].is_ok() && answers[2].is_ok() && answers[3].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(TransportError::Refused { .. })), "{:?}", answers[1]);
    assert!(matches!(answers[4], Err(TransportError::Unavailable(_))), "{:?}", answers[4]);
    let times = |body| bodies.lock().unwrap().iter().filter(|seen| *seen == body).count();
    assert_eq!([times("fine"), times("refused"), times("flaky"), times("throttled")], [1, 1, 2, 5]);
    assert!(sqs.health().borrow().reason().is_some(), "what is throttled does not work");
    Ok(())
}

#[tokio::test]
async fn batches_are_packed_by_bytes_and_split_when_they_are_too_long_all_the_same() -> anyhow::Result<()> {
    if !credentials() {
        return Ok(());
    }
    let batches = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&batches);
    let sqs = scripted(move |_, input| {
        let entries = input["Entries"].as_array().unwrap();
        let bytes: usize = entries.iter().map(|entry| entry["MessageBody"].as_str().unwrap().len()).sum();
        seen.lock().unwrap().push((entries.len(), bytes));
        // An older server: 256 KiB for all entries together.
        if entries.len() > 1 && bytes > 256 * 1024 {
            return error("BatchRequestTooLong");
        }
        (200, json!({ "Successful": entries.iter().map(sent).collect::<Vec<_>>(), "Failed": [] }))
    })
    .await?;
    let body = bytes::Bytes::from("x".repeat(200 * 1024));
    let answers = join_all((0..10).map(|_| sqs.publish(message(body.clone()), None))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let batches = batches.lock().unwrap();
    assert!(batches.iter().all(|(_, bytes)| *bytes <= 1024 * 1024), "over 1 MiB: {batches:?}");
    assert_eq!(batches.iter().filter(|(count, _)| *count == 1).count(), 10, "{batches:?}");
    Ok(())
}

#[tokio::test]
async fn wrong_credentials_are_named_and_show_in_health() -> anyhow::Result<()> {
    if !credentials() {
        return Ok(());
    }
    for code in ["InvalidClientTokenId", "AccessDenied", "SignatureDoesNotMatch"] {
        let endpoint = serve(Arc::new(move |_, _| error(code))).await?;
        let region = Some("us-east-1".to_owned());
        let config = SqsConfig { region, endpoint: Some(endpoint), ..SqsConfig::default() };
        let sqs = Sqs::connect(config).await?;
        let started = sqs.consume(&Queue::named("asya-q"), NonZeroU16::MIN).await.map(|_| ());
        let Err(TransportError::Misconfigured(reason)) = started else { panic!("{started:?}") };
        assert!(reason.contains("credentials") && reason.contains(code), "{reason}");
        assert!(sqs.health().borrow().reason().is_some_and(|shown| shown.contains(code)));
        let sent = sqs.publish(message("x"), None).await;
        assert!(matches!(sent, Err(TransportError::Misconfigured(_))), "{sent:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_consumer_outlives_refusals_and_heals() -> anyhow::Result<()> {
    if !credentials() {
        return Ok(());
    }
    let polls = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&polls);
    let sqs = scripted(move |action, _| {
        if action != "ReceiveMessage" {
            return (200, json!({}));
        }
        let mut polls = seen.lock().unwrap();
        *polls += 1;
        match *polls {
            1 => error("AccessDenied"),
            2 => error("OverLimit"),
            3 => {
                (200, json!({ "Messages": [{ "MessageId": "m", "ReceiptHandle": "r", "Body": "at last" }] }))
            }
            _ => error("RequestThrottled"),
        }
    })
    .await?;
    let mut consumer = sqs.consume(&Queue::named("asya-q"), NonZeroU16::MIN).await?;
    let delivery = tokio::time::timeout(Duration::from_secs(20), consumer.next()).await??;
    assert_eq!(delivery.body, "at last");
    assert!(sqs.health().borrow().is_up());
    assert_eq!(*polls.lock().unwrap(), 3, "credit of one is in hand: nothing more is asked for");
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_behind_https_is_unavailable() -> anyhow::Result<()> {
    if !credentials() {
        return Ok(());
    }
    let endpoint = serve(Arc::new(|_, _| (200, json!({})))).await?.replace("http://", "https://");
    let region = Some("us-east-1".to_owned());
    let sqs = Sqs::connect(SqsConfig { region, endpoint: Some(endpoint), ..SqsConfig::default() }).await?;
    let sent = tokio::time::timeout(Duration::from_secs(20), sqs.publish(message("x"), None)).await?;
    assert!(matches!(sent, Err(TransportError::Unavailable(_))), "{sent:?}");
    Ok(())
}

/// Run by the next test in a process of its own, without credentials.
#[tokio::test]
#[ignore = "needs an environment without credentials"]
async fn connecting_without_credentials() {
    let refused = Sqs::connect(SqsConfig::default()).await.map(|_| ());
    let Err(TransportError::Misconfigured(reason)) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("no credentials for sqs"), "{reason}");
}

#[test]
fn missing_credentials_are_said_at_the_start() -> anyhow::Result<()> {
    let ran = std::process::Command::new(std::env::current_exe()?)
        .args(["--exact", "connecting_without_credentials", "--ignored"])
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()?;
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    assert!(String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "it was not run");
    Ok(())
}
