//! What tests say often.

use std::time::{Duration, Instant};

use asya_envelope::Raw;
pub(crate) use asya_store::testing::{Home, server, sql};
use asya_store::{
    EnvelopeStore,
    envelopes::{Ending, NewEnvelope, Offspring, Publish, Report, Step},
    testing::on_each_home,
};
use bytes::Bytes;
use jiff::{Timestamp, ToSpan as _};

/// Longest wait for anything that happens at once on an idle machine.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Runs one test on every database there is.
pub(crate) async fn on_each(test: impl AsyncFn(EnvelopeStore, &Home)) {
    on_each_home(async |home| test(home.open().await, home).await).await;
}

/// Waits until something is true.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < SOON, "{what}: not within {SOON:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The time of a test: seconds after a fixed moment.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + seconds.seconds()
}

pub(crate) fn json(text: &str) -> Raw {
    Raw::parse(Bytes::from(text.to_owned())).unwrap()
}

pub(crate) fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// An envelope to three actors.
pub(crate) fn envelope(id: &str) -> NewEnvelope {
    NewEnvelope {
        id: id.to_owned(),
        actors: names(&["a", "b", "c"]),
        metadata: None,
        headers: None,
        payload: json("{\"n\":1e400, \"n\":\"\\u0000\"}"),
        tool: None,
        sender: None,
        namespace: None,
        timeout: None,
        deadline: None,
        resubmit_of: None,
        replays: None,
        publish: Publish { actor: "a".to_owned(), body: Bytes::from(format!("body of {id}")) },
    }
}

/// The first report of this kind of the actor with this index.
pub(crate) fn report(current: usize, step: Step) -> Report {
    let actors = names(&["a", "b", "c"]);
    Report {
        actor: actors.get(current).cloned(),
        actors,
        current,
        step,
        message: Some(format!("{} at {current}", step.as_str())),
        fraction: None,
        attempt: 1,
        seq: step as u32,
        duration: None,
        size: None,
        offspring: Offspring::default(),
    }
}

pub(crate) fn succeeded(result: &str) -> Ending {
    Ending::Succeeded { result: Some(json(result)), stored_at: None }
}

pub(crate) fn failed(error: &str) -> Ending {
    Ending::Failed {
        error: error.to_owned(),
        code: Some("processing_error".to_owned()),
        details: Some(json("{\"type\":\"ValueError\"}")),
        actor: Some("b".to_owned()),
        current: Some(1),
        actors: names(&["a", "b", "c"]),
    }
}
