//! What is tried again, and what is not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use asya_handler::{End, Request};

use crate::rig::{Bench, Scripted, infrastructure, item, raised};

/// Answers run `n` (from 1) with `answer(n)`, and notes the attempts it was told.
fn counted(answer: impl Fn(u32) -> End + Send + Sync + 'static) -> Arc<Scripted> {
    let runs = AtomicU32::new(0);
    Scripted::ending(move |_: &Request| answer(runs.fetch_add(1, Ordering::SeqCst) + 1))
}

#[tokio::test]
async fn by_default_a_failure_of_the_handler_is_final() {
    let rig = Bench::new().await.start(counted(|_| raised("ValueError")));
    rig.send_envelope("a", "1").await;
    assert_eq!(rig.take("error-end").await["payload"]["details"]["attempt"], 1);
    rig.settled().await;
    assert_eq!((rig.stats.retried(), rig.stats.failed()), (0, 1));
}

#[tokio::test]
async fn a_failure_is_tried_again_as_often_as_the_policy_says() {
    let handler = Scripted::ending(|request| match request.attempt {
        1 | 2 => raised("OSError"),
        _ => End::Done(vec![item("\"third\"")]),
    });
    let rig = Bench::new().await.with(|config| config.retry.attempts = 3).start(handler);
    rig.send_envelope("a", "1").await;
    let sent = rig.take("next").await;
    assert_eq!((&sent["payload"], &sent["headers"]["x-asya-attempt"]), (&"third".into(), &3.into()));
    assert_eq!(rig.stats.retried(), 2);
}

#[tokio::test]
async fn the_last_failure_goes_to_error_end_with_its_attempt() {
    let rig =
        Bench::new().await.with(|config| config.retry.attempts = 3).start(counted(|_| raised("OSError")));
    rig.send_envelope("a", "1").await;
    assert_eq!(rig.take("error-end").await["payload"]["details"]["attempt"], 3);
}

#[tokio::test]
async fn runs_before_the_error_end_sent_it_back_count_and_are_not_carried_on() {
    let before =
        r#"{"id":"a","route":{"actors":["ocr","next"],"current":0},"headers":{"x-asya-runs":3},"payload":1}"#;
    let rig =
        Bench::new().await.with(|config| config.retry.attempts = 3).start(counted(|_| raised("OSError")));
    rig.send(before).await;
    let failed = rig.take("error-end").await;
    assert_eq!(failed["payload"]["details"]["attempt"], 4, "one more run, whatever the policy");
    assert_eq!(failed["headers"].get("x-asya-runs"), None);
    assert_eq!((&failed["headers"]["x-asya-attempt"], rig.stats.retried()), (&4.into(), 0));

    let rig = Bench::new().await.start(Scripted::echo());
    rig.send(before).await;
    let sent = rig.take("next").await;
    assert_eq!((&sent["headers"]["x-asya-attempt"], sent["headers"].get("x-asya-runs")), (&4.into(), None));
}

#[tokio::test]
async fn a_listed_exception_or_its_base_is_not_tried_again() {
    for listed in ["ValueError", "builtins.Exception"] {
        let rig = Bench::new()
            .await
            .with(|config| {
                config.retry.attempts = 5;
                config.retry.non_retryable = vec![listed.to_owned()];
            })
            .start(counted(|_| raised("ValueError")));
        rig.send_envelope("a", "1").await;
        assert_eq!(rig.take("error-end").await["payload"]["details"]["attempt"], 1, "{listed}");
    }
}

#[tokio::test]
async fn faults_of_the_infrastructure_do_not_use_up_the_handlers_attempts() {
    let rig = Bench::new().await.start(counted(|run| match run {
        1..=3 => infrastructure(),
        _ => raised("ValueError"),
    }));
    rig.send_envelope("a", "1").await;
    assert_eq!(rig.take("error-end").await["payload"]["details"]["attempt"], 1);
    assert_eq!(rig.stats.retried(), 3);
}

#[tokio::test]
async fn faults_of_the_infrastructure_end_too() {
    let rig =
        Bench::new().await.with(|config| config.max_deliveries = 4).start(counted(|_| infrastructure()));
    rig.send_envelope("a", "1").await;
    assert_eq!(rig.take("error-end").await["payload"]["details"]["code"], "connection_error");
    assert_eq!(rig.stats.received(), 4);
}

#[tokio::test]
async fn a_handler_that_asks_is_called_again_even_without_a_policy_but_not_for_ever() {
    let again = || End::Retry { after: Some(Duration::from_millis(10)), reason: "not yet".to_owned() };
    let rig = Bench::new().await.start(counted(move |run| match run {
        1 => again(),
        _ => End::Done(vec![item("2")]),
    }));
    rig.send_envelope("a", "1").await;
    assert_eq!(rig.take("next").await["payload"], 2);

    let rig = Bench::new().await.with(|config| config.max_deliveries = 3).start(counted(move |_| again()));
    rig.send_envelope("a", "1").await;
    let details = &rig.take("error-end").await["payload"]["details"];
    assert_eq!((&details["code"], &details["attempt"]), (&"retries_exhausted".into(), &3.into()));
}

#[tokio::test]
async fn a_deadline_that_passes_while_the_handler_runs_ends_the_retries() {
    let handler = Scripted::new(|request, replies| async move {
        let deadline = request.envelope.deadline.as_ref().unwrap().clone();
        while !deadline.expired(std::time::SystemTime::now()) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        replies.send(asya_handler::Reply::End(raised("OSError"))).await;
    });
    let rig = Bench::new().await.with(|config| config.retry.attempts = 9).start(handler);
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_millis(300);
    rig.send(format!(r#"{{"id":"a","route":{{"actors":["ocr"]}},"payload":1,"deadline":"{soon}"}}"#)).await;
    assert_eq!(rig.take("error-end").await["payload"]["details"]["code"], "deadline");
    assert_eq!(rig.stats.retried(), 0);
}
