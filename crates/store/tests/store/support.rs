//! Databases to test on, and what tests say often.

use std::sync::Arc;

use asya_envelope::Raw;
use asya_store::{
    EnvelopeStore, StoreOptions,
    envelopes::{NewEnvelope, Publish, Report, Step},
};
use bytes::Bytes;
use jiff::{Timestamp, ToSpan as _};
use tempfile::TempDir;

/// A database of its own for one test.
pub(crate) struct Home {
    pub(crate) url: String,
    _directory: Arc<TempDir>,
}

/// One test on every database there is.
pub(crate) async fn on_each<F, Fut>(test: F)
where
    F: Fn(EnvelopeStore, Home) -> Fut,
    Fut: Future<Output = ()>,
{
    for home in homes().await {
        eprintln!("on {}", home.url);
        let store = home.open().await;
        test(store, home).await;
    }
}

pub(crate) async fn homes() -> Vec<Home> {
    let directory = Arc::new(tempfile::tempdir().unwrap());
    let url = directory.path().join("gateway.db").display().to_string();
    vec![Home { url, _directory: directory }]
}

impl Home {
    /// Another replica's view of it.
    pub(crate) async fn open(&self) -> EnvelopeStore {
        EnvelopeStore::open(&self.url, StoreOptions::default()).await.unwrap()
    }
}

/// The time of a test: seconds after a fixed moment.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + seconds.seconds()
}

pub(crate) fn json(text: &str) -> Raw {
    Raw::parse(Bytes::from(text.to_owned())).unwrap()
}

/// An envelope to three actors.
pub(crate) fn envelope(id: &str) -> NewEnvelope {
    NewEnvelope {
        id: id.to_owned(),
        actors: ["a", "b", "c"].map(str::to_owned).to_vec(),
        metadata: None,
        headers: None,
        payload: json("{\"n\":1e400}"),
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

/// The first report of the actor with this index.
pub(crate) fn report(current: usize, step: Step) -> Report {
    let actors = ["a", "b", "c"].map(str::to_owned).to_vec();
    let actor = actors.get(current).cloned();
    let seq = step as u32;
    Report {
        actors,
        current,
        actor,
        step,
        message: None,
        fraction: None,
        attempt: 1,
        seq,
        duration: None,
        size: None,
    }
}
