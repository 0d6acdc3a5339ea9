//! The updates of an envelope as server-sent events: history, then live, closed after the end.

use std::{convert::Infallible, time::Duration};

use asya_store::envelopes::{Follow, Update};
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
struct Telling {
    updates: Follow,
    given: Option<Instant>,
}

/// What is told.
enum Told {
    Update(Box<Update>),
    Slow,
    Away,
}

/// The events of `updates`, shaped by `shape`. The connection's own buffer is all that a slow reader holds: the next
/// update is read from the store when there is room for it. A reader that makes none for `patience` is told so with an
/// event `slow` and left with the updates that it has; it comes back with `Last-Event-ID`, as it does after an error
/// of the store.
pub fn events(
    updates: Follow,
    patience: Duration,
    shape: impl Fn(Update) -> String + Send + 'static,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let told = stream::unfold(Some(Telling { updates, given: None }), move |telling| {
        // Here, not in the future: this runs when the connection has room again, and a future may wait for long.
        let slow = telling
            .as_ref()
            .is_some_and(|telling| telling.given.is_some_and(|given| given.elapsed() > patience));
        async move {
            let mut telling = telling?;
            if slow {
                return Some((Told::Slow, None));
            }
            match telling.updates.next().await {
                Ok(update) => {
                    telling.given = Some(Instant::now());
                    update.map(|update| (Told::Update(Box::new(update)), Some(telling)))
                }
                Err(error) => {
                    tracing::warn!(%error, "a stream ends early");
                    Some((Told::Away, None))
                }
            }
        }
    });
    let events = told.map(move |told| {
        Ok(match told {
            Told::Update(update) => {
                let seq = update.seq.to_string();
                Event::default().event("update").id(seq).data(shape(*update))
            }
            Told::Slow => Event::default().event("slow").retry(RETRY).data(SLOW),
            Told::Away => Event::default().comment("the store is away: come back").retry(RETRY),
        })
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keepalive"))
}
