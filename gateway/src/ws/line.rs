//! One connection, until it ends: what both forms share.
//!
//! A message is read when the one before has been answered, and the next thing is looked for when the one before is on its way:
//! the connection's own buffers are all that a reader who is slow, or one who says a thousand things at once, holds.

use std::{sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::{Error as Wire, error::ProtocolError};
use tokio_util::sync::CancellationToken;

use super::talk::Talk;
use crate::{
    auth::{Admission, Auth},
    metrics::Metrics,
    rest::{
        api::{Pace, Refusal},
        stream::SLOW,
    },
    service::chat::follow::Happening,
};

/// Largest message that is taken, in bytes: the longest text, written as badly as JSON allows.
pub(super) const FRAME: usize = 512 * 1024;
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How things are said.
pub(super) trait Form: Send {
    /// Its name in metrics.
    const NAME: &'static str;

    /// The first words.
    fn hello(&mut self, talk: &Talk) -> Option<Value>;

    /// What is answered to what was said; `Err` where that could not be read at all.
    fn heard(
        &mut self,
        talk: &mut Talk,
        said: Result<&str, Refusal>,
    ) -> impl Future<Output = Vec<Value>> + Send;

    /// What is told of what happens in a session.
    fn told(&mut self, session: &str, happening: Happening) -> Option<Value>;

    /// What is told when there is nothing more of a session for this reader.
    fn gone(&mut self, session: &str) -> Value;

    /// The last words before the connection is closed.
    fn last(&mut self, why: &str) -> Option<Value>;
}

/// A connection.
pub(super) struct Line {
    pub(super) talk: Talk,
    pub(super) auth: Arc<Auth>,
    pub(super) admission: Admission,
    pub(super) pace: Pace,
    pub(super) stop: CancellationToken,
    pub(super) metrics: Arc<Metrics>,
}

/// Why a connection ends.
enum End {
    /// The reader takes too long, or answers no ping.
    Slow,
    /// Who it is would not be let in any more.
    Credentials,
    /// The store is away.
    Away,
    /// The gateway stops.
    Stops,
    /// What came is no WebSocket, or too large: with this code.
    Broken(u16, &'static str),
    /// The reader has gone.
    Gone,
}

impl End {
    /// Its name in metrics, its code, and what is said.
    fn words(&self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Slow => ("slow", close_code::POLICY, SLOW),
            Self::Credentials => {
                ("credentials", close_code::POLICY, "your credentials are not good any more")
            }
            Self::Away => ("unavailable", close_code::AGAIN, "the store is away: come back where you were"),
            Self::Stops => ("stopping", close_code::AWAY, "the gateway stops: come back where you were"),
            Self::Broken(code, why) => ("broken", *code, why),
            Self::Gone => ("gone", close_code::NORMAL, ""),
        }
    }
}

impl From<axum::Error> for End {
    fn from(error: axum::Error) -> Self {
        match error.into_inner().downcast_ref::<Wire>() {
            Some(Wire::Capacity(_)) => Self::Broken(close_code::SIZE, "a message has at most 512 KiB"),
            Some(Wire::Utf8(_)) => Self::Broken(close_code::INVALID, "a text is UTF-8"),
            Some(Wire::Protocol(error)) if *error != ProtocolError::ResetWithoutClosingHandshake => {
                Self::Broken(close_code::PROTOCOL, "this is no frame of a WebSocket")
            }
            _ => Self::Gone,
        }
    }
}

impl Line {
    /// Serves a connection until it ends.
    pub(super) async fn run<F: Form>(mut self, mut socket: WebSocket, mut form: F) {
        let _open = self.metrics.socket(F::NAME);
        let Err(end) = self.converse(&mut socket, &mut form).await;
        let (name, code, why) = end.words();
        self.metrics.socket_closed(F::NAME, name);
        tracing::debug!(who = self.talk.who().name, form = F::NAME, name, "a socket is closed");
        let goodbye = async {
            if !matches!(end, End::Gone) {
                if let Some(last) = form.last(why) {
                    socket.send(Message::text(last.to_string())).await?;
                }
                let reason = Utf8Bytes::from_static(why);
                socket.send(Message::Close(Some(CloseFrame { code, reason }))).await?;
            }
            // The reader's answer, or that to its own goodbye: a socket that is dropped before it may lose what was sent
            // last. Of a broken one no answer can be read.
            while let Some(Ok(_)) = socket.recv().await {}
            if matches!(end, End::Broken(..)) {
                std::future::pending::<()>().await;
            }
            Ok::<_, axum::Error>(())
        };
        // Whoever does not read does not hear why.
        let _ = timeout(GOODBYE, goodbye).await;
    }

    async fn converse<F: Form>(
        &mut self,
        socket: &mut WebSocket,
        form: &mut F,
    ) -> Result<std::convert::Infallible, End> {
        let mut pings = interval_at(Instant::now() + self.pace.ping, self.pace.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        let hello = form.hello(&self.talk);
        self.send::<F>(socket, hello).await?;
        loop {
            let words = tokio::select! {
                () = self.stop.cancelled() => return Err(End::Stops),
                () = self.auth.ended(&self.admission) => return Err(End::Credentials),
                _ = pings.tick() => {
                    if heard.elapsed() > 2 * self.pace.ping {
                        return Err(End::Slow);
                    }
                    self.put(socket, Message::Ping(bytes::Bytes::new())).await?;
                    continue;
                }
                said = socket.recv() => {
                    let said = said.ok_or(End::Gone)??;
                    heard = Instant::now();
                    let said = match &said {
                        Message::Text(text) => Ok(text.as_str()),
                        Message::Binary(_) => Err(Refusal::field("", "a message is a text, not bytes")),
                        Message::Close(_) => return Err(End::Gone),
                        Message::Ping(_) | Message::Pong(_) => continue,
                    };
                    self.metrics.socket_message(F::NAME, "received");
                    form.heard(&mut self.talk, said).await
                }
                next = self.talk.next() => match next {
                    Ok((session, Some(happening))) => form.told(&session, happening).into_iter().collect(),
                    Ok((session, None)) => vec![form.gone(&session)],
                    Err(error) => {
                        tracing::warn!(%error, "a socket ends early");
                        return Err(End::Away);
                    }
                },
            };
            self.send::<F>(socket, words).await?;
        }
    }

    async fn send<F: Form>(
        &self,
        socket: &mut WebSocket,
        words: impl IntoIterator<Item = Value>,
    ) -> Result<(), End> {
        for word in words {
            self.put(socket, Message::text(word.to_string())).await?;
            self.metrics.socket_message(F::NAME, "sent");
        }
        Ok(())
    }

    async fn put(&self, socket: &mut WebSocket, message: Message) -> Result<(), End> {
        tokio::select! {
            sent = timeout(self.pace.patience, socket.send(message)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(End::Gone),
                Err(_) => Err(End::Slow),
            },
            () = self.stop.cancelled() => Err(End::Stops),
        }
    }
}
