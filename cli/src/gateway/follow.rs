//! What happens to an envelope, to its end, over broken connections.

use std::{collections::VecDeque, time::Duration};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout};

use super::{
    Client, GatewayError,
    client::{LARGEST, segment},
    wire::Update,
};
use crate::events::{Event, Events};

/// Longest silence of a stream: a gateway says something every 15 s.
const SILENCE: Duration = Duration::from_secs(60);
/// First pause before a broken stream is begun again; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a gateway that was there may be away: a new version of it starts, its machine restarts.
const AWAY: Duration = Duration::from_secs(120);

/// Something to tell.
#[derive(Debug)]
pub(crate) enum Told {
    /// It happened to the envelope; the text is the event's own.
    Update { update: Box<Update>, text: String },
    /// The stream broke; it is begun again where it was.
    Lost(String),
}

/// Follows one envelope.
pub(crate) struct Follow {
    client: Client,
    path: String,
    /// Number of the last event that was told.
    last: Option<String>,
    stream: Option<(Incoming, Events)>,
    waiting: VecDeque<Event>,
    /// Since when there has been no stream, after there was one.
    lost: Option<(Instant, Duration)>,
    ended: bool,
}

impl Follow {
    /// From the first update on.
    pub(crate) fn new(client: Client, id: &str) -> Self {
        Self::at(client, format!("/api/v1/envelopes/{}/events", segment(id)))
    }

    /// Events of this path.
    pub(crate) fn at(client: Client, path: String) -> Self {
        let waiting = VecDeque::new();
        Self { client, path, last: None, stream: None, waiting, lost: None, ended: false }
    }

    /// What is to be told next; `None` after the update that ended the envelope.
    ///
    /// # Errors
    /// The gateway refuses, was never there, or has been away for [`AWAY`].
    pub(crate) async fn next(&mut self) -> Result<Option<Told>, GatewayError> {
        while !self.ended {
            if let Some(event) = self.waiting.pop_front() {
                if let Some(told) = self.tell(event)? {
                    return Ok(Some(told));
                }
                continue;
            }
            if self.stream.is_none() {
                self.begin().await?;
            }
            let Err(why) = self.more().await else {
                // Whatever came shows that the gateway is there.
                self.lost = None;
                continue;
            };
            self.stream = None;
            match self.lost {
                None => {
                    self.lost = Some((Instant::now(), PAUSE));
                    return Ok(Some(Told::Lost(why)));
                }
                Some((since, _)) if since.elapsed() >= AWAY => return Err(self.client.away(why)),
                Some(_) => {}
            }
        }
        Ok(None)
    }

    fn tell(&mut self, event: Event) -> Result<Option<Told>, GatewayError> {
        if event.name != "update" {
            return Ok(None);
        }
        let update: Update = serde_json::from_str(&event.data)
            .map_err(|error| self.client.strange(format!("an event cannot be read: {error}")))?;
        self.last = event.id.or(self.last.take());
        self.ended = update.status.is_final();
        Ok(Some(Told::Update { update: Box::new(update), text: event.data }))
    }

    async fn begin(&mut self) -> Result<(), GatewayError> {
        loop {
            if let Some((_, pause)) = &mut self.lost {
                sleep(*pause).await;
                *pause = (*pause * 2).min(LONGEST_PAUSE);
            }
            match self.client.stream(&self.path, self.last.as_deref()).await {
                Ok(body) => {
                    self.stream = Some((body, Events::default()));
                    return Ok(());
                }
                Err(error) => match (error.again(), self.lost) {
                    (Some(after), Some((since, _))) if since.elapsed() < AWAY => sleep(after).await,
                    _ => return Err(error),
                },
            }
        }
    }

    /// Takes what comes next; says why nothing comes.
    async fn more(&mut self) -> Result<(), String> {
        let Some((body, events)) = &mut self.stream else { return Ok(()) };
        let frame = match timeout(SILENCE, body.frame()).await {
            Err(_) => return Err(format!("it said nothing for {SILENCE:?}")),
            Ok(None) => return Err("it ended before the envelope did".to_owned()),
            Ok(Some(Err(error))) => return Err(error.to_string()),
            Ok(Some(Ok(frame))) => frame,
        };
        if let Ok(data) = frame.into_data() {
            self.waiting.extend(events.take(&data));
        }
        if events.kept() > LARGEST {
            return Err(format!("an event has more than {LARGEST} bytes"));
        }
        Ok(())
    }
}
