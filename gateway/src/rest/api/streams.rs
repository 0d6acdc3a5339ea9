//! Following an envelope: server-sent events and WebSocket, with the same updates.

use std::{ops::ControlFlow, time::Duration};

use asya_store::envelopes::Follow;
use axum::{
    Extension,
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::{
    Api, Refusal,
    input::{Name, Query, Who},
    page::Seen,
    refusal::Known,
    update::Update,
};
use crate::{
    auth::Role,
    rest::{
        guard::{Seat, Stopping},
        stream::{self, SLOW},
    },
};

/// What is sent on a socket that is not read; more is refused by the socket's own buffer.
const SOCKET_BUFFER: usize = 256 * 1024;
/// Largest message that a reader may send: it has nothing to say.
const FROM_READER: usize = 4 * 1024;
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How patient streams are.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// How long a reader may take for one event.
    pub patience: Duration,
    /// Pause between pings on sockets; a reader that answers none in twice this time is gone.
    pub ping: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { patience: stream::PATIENCE, ping: Duration::from_secs(20) }
    }
}

/// From which update on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Number of the last update that is known already. The header `Last-Event-ID` goes before it.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 0, default = 0)]
    after: Seen,
}

/// Follow an envelope by server-sent events: what has happened, what happens, and the end, which closes the stream. The
/// data of an event `update` is an `Update`. An event `slow` says that the reader took too long: come back with
/// `Last-Event-ID`.
#[utoipa::path(get, path = "/envelopes/{id}/events", operation_id = "followEnvelope", tag = "envelopes",
    params(
        ("id" = String, Path, description = "The envelope"), After,
        ("Last-Event-ID" = Option<i64>, Header, description = "Number of the last update that is known already"),
    ),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream"), Known))]
pub(super) async fn events(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    Query(after): Query<After>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let after = stream::last_event(&headers)?.unwrap_or(after.after.0);
    let updates = api.service.follow(&who, &id, after).await?;
    let contents = who.roles.has(Role::Payload);
    let shape = move |update| serde_json::to_string(&Update::new(update, contents)).unwrap_or_default();
    Ok(stream::events(updates, api.pace.patience, shape).into_response())
}

/// Follow an envelope on a WebSocket: every update as a text with an `Update`; closed with 1000 after the end, with
/// 1008 and a last text `{"slow": …}` when the reader takes too long, with 1013 when the store is away, with 1001 when the gateway stops.
#[utoipa::path(get, path = "/envelopes/{id}/socket", operation_id = "followEnvelopeBySocket", tag = "envelopes",
    params(("id" = String, Path, description = "The envelope"), After),
    responses(
        (status = 101, description = "The socket"),
        (status = 426, description = "This is no WebSocket handshake", body = super::Problem,
            content_type = "application/problem+json"),
        Known,
    ))]
pub(super) async fn socket(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    Query(after): Query<After>,
    stopping: Option<Extension<Stopping>>,
    seat: Option<Extension<Seat>>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Refusal> {
    let updates = api.service.follow(&who, &id, after.after.0).await?;
    let upgrade = upgrade.map_err(|rejection| {
        Refusal::new(axum::http::StatusCode::UPGRADE_REQUIRED, "upgrade_required", rejection.body_text())
    })?;
    let contents = who.roles.has(Role::Payload);
    let upgrade = upgrade
        .max_message_size(FROM_READER)
        .max_frame_size(FROM_READER)
        .write_buffer_size(0)
        .max_write_buffer_size(SOCKET_BUFFER);
    let stop = stopping.map(|Extension(Stopping(stop))| stop).unwrap_or_default();
    Ok(upgrade.on_upgrade(async move |socket| {
        tell(socket, updates, contents, api.pace, stop).await;
        drop(seat);
    }))
}

/// Why a socket is closed.
enum End {
    /// The envelope has ended and everything was told.
    Told,
    /// The reader takes too long.
    Slow,
    /// The store is away.
    Away,
    /// The gateway stops.
    Stops,
    /// The reader has gone.
    Gone,
}

/// Tells updates until the end.
async fn tell(
    mut socket: WebSocket,
    mut updates: Follow,
    contents: bool,
    pace: Pace,
    stop: CancellationToken,
) {
    let end = tokio::select! {
        end = follow(&mut socket, &mut updates, contents, pace) => end,
        () = stop.cancelled() => End::Stops,
    };
    let (code, reason, last) = match end {
        End::Gone => return,
        End::Told => (close_code::NORMAL, "", None),
        End::Slow => (close_code::POLICY, "slow", Some(json!({ "slow": SLOW }))),
        End::Away => (close_code::AGAIN, "the store is away: come back", None),
        End::Stops => (close_code::AWAY, "the gateway stops: come back", None),
    };
    let goodbye = async {
        if let Some(last) = last {
            socket.send(Message::text(last.to_string())).await?;
        }
        socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
        // The reader's answer: a socket that is dropped before it may lose what was sent last.
        while let Some(Ok(_)) = socket.recv().await {}
        Ok::<_, axum::Error>(())
    };
    // Whoever does not read does not hear why.
    let _ = timeout(GOODBYE, goodbye).await;
}

async fn follow(socket: &mut WebSocket, updates: &mut Follow, contents: bool, pace: Pace) -> End {
    let mut pings = interval_at(Instant::now() + pace.ping, pace.ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            update = updates.next() => match update {
                Ok(Some(update)) => {
                    Message::text(serde_json::to_string(&Update::new(update, contents)).unwrap_or_default())
                }
                Ok(None) => return End::Told,
                Err(error) => {
                    tracing::warn!(%error, "a stream ends early");
                    return End::Away;
                }
            },
            said = socket.recv() => match heed(said) {
                ControlFlow::Continue(()) => {
                    heard = Instant::now();
                    continue;
                }
                ControlFlow::Break(end) => return end,
            },
            _ = pings.tick() => {
                if heard.elapsed() > 2 * pace.ping {
                    return End::Slow;
                }
                Message::Ping(bytes::Bytes::new())
            }
        };
        match timeout(pace.patience, socket.send(message)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return End::Gone,
            Err(_) => return End::Slow,
        }
    }
}

/// Readers have nothing to say: what they say shows that they are there.
fn heed(said: Option<Result<Message, axum::Error>>) -> ControlFlow<End> {
    match said {
        Some(Ok(Message::Close(_)) | Err(_)) | None => ControlFlow::Break(End::Gone),
        Some(Ok(_)) => ControlFlow::Continue(()),
    }
}
