//! Following a session by server-sent events.

use axum::{
    extract::State,
    http::HeaderMap,
    response::{IntoResponse, Response, sse::Event},
};
use futures::stream;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::messages::First;
use crate::{
    rest::{
        api::{
            Api, Refusal,
            input::{Name, Query, Who},
            refusal::Known,
        },
        stream::{last_event, told},
    },
    service::chat::follow::Happening,
};

/// From which entry on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Beginning {
    /// Number of the first entry. The header `Last-Event-ID` goes before it.
    #[serde(default)]
    #[param(value_type = Option<u64>, minimum = 1, default = 1)]
    from: First,
}

/// Follow a session: its entries from `from` on, then what happens, until the reader goes. The event `entry` has an entry,
/// whose number is the event's id; `delta` a piece of the entry that is being written, `{"n", "offset", "text"}`, of which
/// some may be missing; `session` the session, whenever it is otherwise; `operation` an operation, the latest ones first. An
/// event `slow` says that the reader took too long: come back with `Last-Event-ID`.
#[utoipa::path(get, path = "/sessions/{id}/events", operation_id = "followSession", tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"), Beginning,
        ("Last-Event-ID" = Option<i64>, Header, description = "Number of the last entry that is known already"),
    ),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream"), Known))]
pub(crate) async fn events(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    Query(Beginning { from }): Query<Beginning>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let known = last_event(&headers)?.and_then(|n| u64::try_from(n).ok());
    let from = known.map_or(from.0, |n| n.saturating_add(1).min(i64::MAX.unsigned_abs()));
    let following = api.service.follow_session(&who, &id, from).await?;
    let events = stream::try_unfold(following, async |mut following| {
        Ok(following.next().await?.map(|happening| (event(&happening), following)))
    });
    Ok(told(events, api.pace.patience).into_response())
}

fn event(happening: &Happening) -> Event {
    fn named(name: &str, data: &impl Serialize) -> Event {
        Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
    }
    match happening {
        Happening::Entry(entry) => named("entry", entry).id(entry.n.to_string()),
        Happening::Delta(delta) => named("delta", &**delta),
        Happening::Session(session) => named("session", session),
        Happening::Operation(operation) => named("operation", operation),
    }
}
