//! How many tool calls a second the store bears: each is a creation, a claim, a confirmation, three reports and an end.
//!
//! `cargo run --release -p asya-store --features postgres --example store_rate -- URL [CALLS] [AT_ONCE]`

use std::time::{Duration, Instant};

use asya_envelope::Raw;
use asya_store::{
    EnvelopeStore, StoreError, StoreOptions,
    envelopes::{Ending, NewEnvelope, Publish, Report, Step},
};
use bytes::Bytes;
use futures::StreamExt as _;
use jiff::Timestamp;

#[tokio::main]
async fn main() -> Result<(), StoreError> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().unwrap_or_else(|| "rate.db".to_owned());
    let calls: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(2000);
    let at_once: usize = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(32);
    let store = EnvelopeStore::open(&url, StoreOptions::default()).await?;
    let run = Timestamp::now().as_millisecond();
    let began = Instant::now();
    let mut took: Vec<_> = futures::stream::iter(0..calls)
        .map(|number| call(&store, format!("{run}-{number}")))
        .buffer_unordered(at_once)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect::<Result<_, _>>()?;
    took.sort();
    let rate = calls as f64 / began.elapsed().as_secs_f64();
    let at = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
    println!("{}: {rate:.0} calls/s, p50 {:.1?}, p99 {:.1?} a call", store.kind(), at(50), at(99));
    Ok(())
}

async fn call(store: &EnvelopeStore, id: String) -> Result<Duration, StoreError> {
    let began = Instant::now();
    let actors = vec!["a".to_owned()];
    let new = NewEnvelope {
        id: id.clone(),
        actors: actors.clone(),
        metadata: None,
        headers: None,
        payload: Raw::null(),
        tool: Some("rate".to_owned()),
        sender: None,
        namespace: None,
        timeout: None,
        deadline: None,
        resubmit_of: None,
        replays: None,
        publish: Publish { actor: "a".to_owned(), body: Bytes::from_static(b"{}") },
    };
    store.create(&new, Timestamp::now()).await?;
    let claimed = store.claim(Timestamp::now(), Duration::from_secs(30), 1).await?;
    store.confirm(&claimed).await?;
    for (seq, step) in [Step::Received, Step::Processing, Step::Completed].into_iter().enumerate() {
        let report = Report {
            actors: actors.clone(),
            current: 0,
            actor: Some("a".to_owned()),
            step,
            message: None,
            fraction: None,
            attempt: 1,
            seq: u32::try_from(seq).unwrap_or(0),
            duration: None,
            size: None,
            offspring: Default::default(),
        };
        store.report(&id, &report, Timestamp::now()).await?;
    }
    let ending = Ending::Succeeded { result: Some(Raw::null()), stored_at: None };
    store.end(&id, &ending, Timestamp::now()).await?;
    Ok(began.elapsed())
}
