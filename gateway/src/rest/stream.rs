//! The updates of an envelope as server-sent events: history, then live, closed after the end.

use std::{convert::Infallible, time::Duration};

use asya_store::envelopes::Follow;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, stream};

use super::wire::UpdateOut;

/// Pause between comments that keep proxies from closing the connection; from the contract.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client waits before it comes back after an error.
const RETRY: Duration = Duration::from_secs(2);

/// The events of `updates`. The connection's own buffer is all that a slow reader holds: the next update is read from
/// the store when there is room for it. An error of the store ends the stream, and the client comes back with
/// `Last-Event-ID`.
pub fn events(updates: Follow, contents: bool) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold(Some(updates), move |updates| async move {
        let mut updates = updates?;
        match updates.next().await {
            Ok(Some(update)) => {
                let seq = update.seq;
                let data = serde_json::to_string(&UpdateOut::new(update, contents)).unwrap_or_default();
                let event = Event::default().event("update").id(seq.to_string()).data(data);
                Some((Ok(event), Some(updates)))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(%error, "a stream ends early");
                Some((Ok(Event::default().comment("the store is away: come back").retry(RETRY)), None))
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE).text("keepalive"))
}
