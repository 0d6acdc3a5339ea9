//! Server-sent events: history, then live, for readers of any pace.

use std::{convert::Infallible, time::Duration};

use asya_store::{
    StoreError,
    envelopes::{Follow, Update},
};
use axum::{
    http::HeaderMap,
    response::sse::{Event, KeepAlive, Sse},
};
use futures::{Stream, StreamExt, stream};
use tokio::time::Instant;

use crate::service::Error;

/// Pause between comments that keep proxies from closing the connection; from the contract.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client waits before it comes back after an error.
const RETRY: Duration = Duration::from_secs(2);
/// How long a reader may take for one event.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// What a reader that took longer hears last.
pub const SLOW: &str = "this reader takes too long: come back where you were";

/// The number in `Last-Event-ID`.
///
/// # Errors
/// Text that is no number of an event.
pub fn last_event(headers: &HeaderMap) -> Result<Option<i64>, Error> {
    match headers.get("last-event-id").map(|value| value.to_str().map(str::parse)) {
        None => Ok(None),
        Some(Ok(Ok(after))) if after >= 0 => Ok(Some(after)),
        Some(_) => Err(Error::invalid("Last-Event-ID", "Last-Event-ID is the id of an event of this stream")),
    }
}

/// What is left to tell, and since when the reader has had the last event.
struct Telling<S> {
    events: S,
    given: Option<Instant>,
}

/// The updates of an envelope, shaped by `shape`; closed after the end.
pub fn events(
    updates: Follow,
    patience: Duration,
    shape: impl Fn(Update) -> String + Send + 'static,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::try_unfold((updates, shape), async |(mut updates, shape)| {
        let update = updates.next().await?;
        Ok(update.map(|update| {
            let event = Event::default().event("update").id(update.seq.to_string()).data(shape(update));
            (event, (updates, shape))
        }))
    });
    told(events, patience)
}

/// Tells `events`. The connection's own buffer is all that a slow reader holds: the next event is asked for when there
/// is room for it. A reader that makes none for `patience` is told so with an event `slow` and left with what it has;
/// it comes back with `Last-Event-ID`, as it does after an error of the store.
pub fn told(
    events: impl Stream<Item = Result<Event, StoreError>> + Send + 'static,
    patience: Duration,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let telling = Telling { events: Box::pin(events), given: None };
    let told = stream::unfold(Some(telling), move |telling| {
        // Here, not in the future: this runs when the connection has room again, and a future may wait for long.
        let slow = telling
            .as_ref()
            .is_some_and(|telling| telling.given.is_some_and(|given| given.elapsed() > patience));
        async move {
            let mut telling = telling?;
            if slow {
                return Some((Event::default().event("slow").retry(RETRY).data(SLOW), None));
            }
            match telling.events.next().await? {
                Ok(event) => {
                    telling.given = Some(Instant::now());
                    Some((event, Some(telling)))
                }
                Err(error) => {
                    tracing::warn!(%error, "a stream ends early");
                    Some((Event::default().comment("the store is away: come back").retry(RETRY), None))
                }
            }
        }
    });
    Sse::new(told.map(Ok)).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keepalive"))
}
