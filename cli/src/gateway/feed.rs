//! A stream of server-sent events of a gateway, over broken connections.

use std::{collections::VecDeque, time::Duration};

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep, timeout};

use super::{Client, GatewayError, client::LARGEST};
use crate::events::{Event, Events};

/// Longest silence of a stream: a gateway says something every 15 s.
const SILENCE: Duration = Duration::from_secs(60);
/// First pause before a broken stream is begun again; it doubles.
const PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a gateway that was there may be away: a new version of it starts, its machine restarts.
const AWAY: Duration = Duration::from_secs(120);

/// What a stream gives.
#[derive(Debug)]
pub(crate) enum Fed {
    /// An event.
    Event(Event),
    /// The stream broke; it is begun again behind the last event that has an id.
    Lost(String),
}

/// The events of one path.
pub(crate) struct Feed {
    client: Client,
    path: String,
    /// Id of the last event that was given.
    last: Option<String>,
    stream: Option<(Incoming, Events)>,
    waiting: VecDeque<Event>,
    /// Since when there has been no stream, after there was one.
    lost: Option<(Instant, Duration)>,
}

impl Feed {
    /// From the first event on.
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self { client, path, last: None, stream: None, waiting: VecDeque::new(), lost: None }
    }

    /// The next event. Cancel safe: what was not given comes with the next call.
    ///
    /// # Errors
    /// The gateway refuses, was never there, or has been away for [`AWAY`].
    pub(crate) async fn next(&mut self) -> Result<Fed, GatewayError> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.last = event.id.clone().or(self.last.take());
                return Ok(Fed::Event(event));
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
                    return Ok(Fed::Lost(why));
                }
                Some((since, _)) if since.elapsed() >= AWAY => return Err(self.client.away(why)),
                Some(_) => {}
            }
        }
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
            Ok(None) => return Err("it ended".to_owned()),
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;
    use crate::gateway::{Follow, Place, Told};

    fn client(url: String) -> Client {
        Client::new(&Place { url, token: None, from: "a test".to_owned(), again: String::new() }).unwrap()
    }

    /// What the gateway answers to its only connection, which it then leaves open.
    async fn once(answer: &'static str) -> Client {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            drop(listener);
            let _ = stream.read(&mut [0; 4096]).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        });
        client(url)
    }

    #[tokio::test(start_paused = true)]
    async fn a_gateway_that_never_answers_is_not_waited_for_without_end() {
        let error = once("").await.get::<serde_json::Value>("/api/v1/info").await.unwrap_err();
        assert!(error.to_string().contains("did not answer within 30s"), "{error}");
        let error = once("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{").await;
        let error = error.get::<serde_json::Value>("/api/v1/info").await.unwrap_err();
        assert!(error.to_string().contains("did not end its answer within 30s"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_falls_silent_is_lost_and_its_gateway_is_given_up_after_a_while() {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: update\nid: 1\ndata: {\"status\":\"running\"}\n\n";
        let mut follow = Follow::new(once(head).await, "x");
        assert!(matches!(follow.next().await, Ok(Some(Told::Update { .. }))));
        let Ok(Some(Told::Lost(why))) = follow.next().await else { panic!("it is not lost") };
        assert!(why.contains("said nothing for 60s"), "{why}");
        let begun = Instant::now();
        let error = follow.next().await.unwrap_err();
        assert!(error.to_string().contains("cannot be reached"), "{error}");
        assert!(begun.elapsed() >= AWAY && begun.elapsed() < AWAY * 2, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_event_of_ours_is_told_as_such() {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: update\ndata: nonsense\n\n";
        let error = Follow::new(once(head).await, "x").next().await.unwrap_err();
        assert!(error.to_string().contains("an event cannot be read"), "{error}");
        let html = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 1\r\n\r\nx";
        let error = Follow::new(once(html).await, "x").next().await.unwrap_err();
        assert!(error.to_string().contains("text/html came"), "{error}");
    }
}
