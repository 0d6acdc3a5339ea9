//! Streams, over a connection that holds little: whether a reader is slow is then known, not hoped for.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use asya_store::envelopes::{Ending, Report, Step};
use axum::{middleware::from_fn_with_state, serve::Listener};
use futures::{SinkExt, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf},
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{
        self, Message,
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::*;
use crate::{
    rest::guard::{self, Guard},
    service::Reporter,
};

/// What the connection holds.
const PIPE: usize = 8 * 1024;
const LIMIT: Duration = Duration::from_secs(30);
const TRUSTED: Reporter = Reporter { namespace: None, account: None };

/// The server's end of a connection; it tells when nothing more can be written.
struct Pipe {
    inner: DuplexStream,
    full: watch::Sender<bool>,
}

impl AsyncRead for Pipe {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.full.send_replace(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

struct Pipes(mpsc::Receiver<Pipe>);

impl Listener for Pipes {
    type Io = Pipe;
    type Addr = ();

    async fn accept(&mut self) -> (Pipe, ()) {
        match self.0.recv().await {
            Some(pipe) => (pipe, ()),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A connection to the app, and whether it is full.
async fn connect(app: Router) -> (DuplexStream, watch::Receiver<bool>) {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let (full, is_full) = watch::channel(false);
    let (sender, receiver) = mpsc::channel(1);
    sender.send(Pipe { inner: theirs, full }).await.unwrap();
    tokio::spawn(async move { axum::serve(Pipes(receiver), app).await });
    (ours, is_full)
}

/// An envelope with more to tell than a connection holds.
async fn told(world: &World, app: &Router) -> String {
    let id = sent(app, &json!(1)).await;
    for seq in 1..=100 {
        let report = Report {
            actors: vec!["split".to_owned(), "read".to_owned()],
            current: 0,
            actor: Some("split".to_owned()),
            step: Step::Processing,
            message: Some("m".repeat(10_000)),
            fraction: None,
            attempt: 1,
            seq,
            duration: None,
            size: None,
            offspring: Default::default(),
        };
        world.service.progress(&TRUSTED, &id, &report).await.unwrap();
    }
    id
}

/// Waits until the connection is full, and then longer than anybody is patient.
async fn forget_to_read(full: &mut watch::Receiver<bool>) {
    timeout(LIMIT, full.wait_for(|full| *full)).await.unwrap().unwrap();
    // A handshake that came late has read what stood behind it too. The server is awake then and fills the room before
    // this goes on; otherwise it would find itself in time, and all would be told.
    tokio::time::sleep(Duration::from_millis(10)).await;
    timeout(LIMIT, full.wait_for(|full| *full)).await.unwrap().unwrap();
    full.mark_unchanged();
    tokio::time::pause();
    tokio::time::advance(Pace::default().patience + Duration::from_secs(1)).await;
    tokio::time::resume();
}

async fn websocket(pipe: DuplexStream, path: &str) -> WebSocketStream<DuplexStream> {
    client_async(format!("ws://gateway/api/v1{path}"), pipe).await.unwrap().0
}

/// What a socket says until it is closed, and why it is. Pings would keep one that never is open for ever.
async fn heard(socket: &mut WebSocketStream<DuplexStream>) -> (Vec<Value>, CloseFrame) {
    let heard = async {
        let mut texts = Vec::new();
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Text(text) => texts.push(serde_json::from_str(&text).unwrap()),
                Message::Close(close) => return (texts, close.unwrap()),
                other => assert!(other.is_ping(), "{other}"),
            }
        }
    };
    timeout(LIMIT, heard).await.expect("it is not closed")
}

async fn finish(world: &World, id: &str) {
    let end = Ending::Succeeded { result: None, stored_at: None };
    world.service.finish(&TRUSTED, id, &end).await.unwrap();
}

#[tokio::test]
async fn a_socket_tells_what_events_tell_and_is_closed_after_the_end() {
    let world = world().await;
    let app = app(&world, &[Role::Admin]);
    let id = sent(&app, &json!(1)).await;
    let (pipe, _) = connect(app.clone()).await;
    let mut socket = websocket(pipe, &format!("/envelopes/{id}/socket")).await;
    let first = timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap();
    let first: Value = serde_json::from_str(first.to_text().unwrap()).unwrap();
    assert_eq!((&first["id"], &first["status"]), (&json!(id), &json!("pending")));
    finish(&world, &id).await;
    let (rest, close) = heard(&mut socket).await;
    let seen = [vec![first], rest].concat();
    assert_eq!(close.code, CloseCode::Normal);
    assert_eq!(seen.last().unwrap()["status"], "succeeded");
    let events = get(&app, &format!("/envelopes/{id}/events")).await;
    let events: Vec<Value> = events
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect();
    assert_eq!(seen, events);
    assert_eq!(get(&app, &format!("/envelopes/{id}/updates")).await.json()["updates"], json!(seen));
    // From a place on, and an end that was known.
    let (pipe, _) = connect(app.clone()).await;
    let known = &seen[seen.len() - 2]["seq"];
    let mut socket = websocket(pipe, &format!("/envelopes/{id}/socket?after={known}")).await;
    let last = timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(serde_json::from_str::<Value>(last.to_text().unwrap()).unwrap(), *seen.last().unwrap());
    assert!(timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap().is_close());
}

#[tokio::test]
async fn events_end_for_a_reader_that_takes_too_long_and_say_so() {
    let world = world().await;
    let app = app(&world, &[Role::Admin]);
    let id = told(&world, &app).await;
    let (mut pipe, mut full) = connect(app).await;
    let request =
        format!("GET /api/v1/envelopes/{id}/events HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n");
    pipe.write_all(request.as_bytes()).await.unwrap();
    forget_to_read(&mut full).await;
    let mut text = String::new();
    timeout(LIMIT, pipe.read_to_string(&mut text)).await.unwrap().unwrap();
    let updates = text.matches("event: update").count();
    assert!((1..100).contains(&updates), "{updates}");
    assert_eq!(text.matches("event: slow").count(), 1);
    assert!(text.rfind("event: slow") > text.rfind("event: update"), "it is the last one");
}

#[tokio::test]
async fn a_socket_is_closed_for_a_reader_that_takes_too_long_with_a_last_message() {
    let world = world().await;
    let app = app(&world, &[Role::Admin]);
    let id = told(&world, &app).await;
    let (pipe, mut full) = connect(app).await;
    let mut socket = websocket(pipe, &format!("/envelopes/{id}/socket")).await;
    forget_to_read(&mut full).await;
    // The goodbye wants to be written too: it was decided before anything is read.
    timeout(LIMIT, full.changed()).await.unwrap().unwrap();
    let (texts, close) = heard(&mut socket).await;
    assert_eq!(close.code, CloseCode::Policy);
    assert!(texts.len() < 100, "{}", texts.len());
    assert!(texts.last().unwrap().get("slow").is_some(), "{:?}", texts.last());
}

#[tokio::test]
async fn a_socket_whose_reader_answers_no_ping_is_closed() {
    let world = world().await;
    let pace = Pace { ping: Duration::from_millis(20), ..Pace::default() };
    let app = app_with(&world, &[Role::Admin], pace);
    let id = sent(&app, &json!(1)).await;
    let (pipe, _) = connect(app).await;
    // What reads below knows nothing of pings.
    let mut pipe = websocket(pipe, &format!("/envelopes/{id}/socket")).await.into_inner();
    let mut heard = Vec::new();
    timeout(LIMIT, pipe.read_to_end(&mut heard)).await.unwrap().unwrap();
    assert!(heard.windows(4).any(|text| text == b"slow"));
}

#[tokio::test]
async fn what_a_reader_says_is_not_heeded_and_large_words_end_the_socket() {
    let world = world().await;
    let app = app(&world, &[Role::Admin]);
    let id = sent(&app, &json!(1)).await;
    let (pipe, _) = connect(app).await;
    let mut socket = websocket(pipe, &format!("/envelopes/{id}/socket")).await;
    assert!(timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap().is_text());
    socket.send(Message::text("{\"cancel\": true}")).await.unwrap();
    assert_eq!(world.service.active(&id).await.unwrap(), Some(true));
    // The answer to a ping shows that the socket is still there.
    socket.send(Message::Ping(bytes::Bytes::from_static(b"there?"))).await.unwrap();
    assert!(timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap().is_pong());
    let _ = socket.send(Message::text("x".repeat(64 * 1024))).await;
    let ended = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(LIMIT, ended).await.unwrap();
}

#[tokio::test]
async fn a_socket_has_a_place_among_the_streams_while_it_lives_and_one_too_many_is_refused() {
    let world = world().await;
    let guard = Guard::small(8, 8, 1);
    let app = app(&world, &[Role::Admin]).layer(from_fn_with_state(Arc::clone(&guard), guard::pass));
    let id = sent(&app, &json!(1)).await;
    let path = format!("/envelopes/{id}/socket");
    let (pipe, _) = connect(app.clone()).await;
    let mut socket = websocket(pipe, &path).await;
    assert!(timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap().is_text());
    assert_eq!((guard.streams.available_permits(), guard.places.available_permits()), (0, 8));
    let (pipe, _) = connect(app.clone()).await;
    let refused = client_async(format!("ws://gateway/api/v1{path}"), pipe).await.unwrap_err();
    let tungstenite::Error::Http(answer) = refused else { panic!("{refused}") };
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    let events = get(&app, &format!("/envelopes/{id}/events")).await;
    assert_eq!(events.status, StatusCode::SERVICE_UNAVAILABLE);
    // Its place is free once it is closed.
    finish(&world, &id).await;
    let closed = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(LIMIT, closed).await.unwrap();
    let free = timeout(LIMIT, guard.streams.acquire()).await.unwrap().unwrap();
    drop(free);
    let (pipe, _) = connect(app).await;
    let mut next = websocket(pipe, &path).await;
    assert!(timeout(LIMIT, next.next()).await.unwrap().unwrap().unwrap().is_text());
}

#[tokio::test]
async fn sockets_are_closed_when_the_gateway_stops() {
    let world = world().await;
    let stopping = crate::rest::guard::Stopping::default();
    let app = app(&world, &[Role::Admin]).layer(Extension(stopping.clone()));
    let id = sent(&app, &json!(1)).await;
    let (pipe, _) = connect(app).await;
    let mut socket = websocket(pipe, &format!("/envelopes/{id}/socket")).await;
    assert!(timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap().is_text());
    stopping.0.cancel();
    let Message::Close(Some(close)) = timeout(LIMIT, socket.next()).await.unwrap().unwrap().unwrap() else {
        panic!("it is not closed");
    };
    assert_eq!(close.code, CloseCode::Away);
}
