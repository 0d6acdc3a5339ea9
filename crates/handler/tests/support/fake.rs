//! A runtime played by the test: it says what the test tells it to.

use std::{path::PathBuf, sync::Arc};

use asya_handler::{
    frame::WriteQueue,
    message::{
        Exited, Hello, HelloAnswer, Message, Mode, Part, WorkerInfo, WorkerKind, parse_handshake,
        write_handshake,
    },
    socket::{READY_NAME, SOCKET_NAME, SocketHandler},
};
use bytes::Bytes;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::{LIMIT, client};

/// A runtime's socket directory and main socket.
pub struct Fake {
    pub directory: TempDir,
    pub listener: UnixListener,
}

/// One connection of the fake runtime, frame by frame.
pub struct Peer(UnixStream);

impl Peer {
    pub async fn frame(&mut self) -> Option<Bytes> {
        let length = self.0.read_u32().await.ok()?;
        let mut body = vec![0; length as usize];
        self.0.read_exact(&mut body).await.ok()?;
        Some(body.into())
    }

    pub async fn message(&mut self) -> Message {
        let body = tokio::time::timeout(LIMIT, self.frame()).await.expect("a frame comes").expect("a frame");
        Message::parse(&body).unwrap()
    }

    /// The id of the next request and its payload.
    pub async fn request(&mut self) -> (u64, String) {
        match self.message().await {
            Message::Request(id, part) => (id, String::from_utf8(part.payload.to_vec()).unwrap()),
            other => panic!("expected a request: {other:?}"),
        }
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    pub async fn say(&mut self, message: Message) {
        let mut out = WriteQueue::default();
        message.write(&mut out);
        self.raw(&out.take()).await;
    }

    pub async fn echo(&mut self, id: u64, payload: String) {
        let part = Part { meta: Bytes::new(), payload: payload.into() };
        self.say(Message::Result(id, vec![part])).await;
    }

    pub async fn exited(&mut self, worker: u64, reason: &str) {
        let (reason, detail) = (reason.to_owned(), "signal 9".to_owned());
        self.say(Message::Exited(Exited { worker, reason, detail })).await;
    }
}

impl Fake {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join(SOCKET_NAME)).unwrap();
        std::fs::write(directory.path().join(READY_NAME), "ready").unwrap();
        Self { directory, listener }
    }

    pub fn client(&self) -> Arc<SocketHandler> {
        client(self.directory.path())
    }

    pub async fn accept(&self) -> Peer {
        let accepted = tokio::time::timeout(LIMIT, self.listener.accept()).await.expect("it connects");
        Peer(accepted.unwrap().0)
    }

    pub fn worker(&self, id: u64) -> (WorkerInfo, UnixListener) {
        let socket = format!("w{id}.sock");
        let listener = UnixListener::bind(self.directory.path().join(&socket)).unwrap();
        (WorkerInfo { id, pid: 1, socket }, listener)
    }

    /// Shakes hands as a streaming runtime with one worker; control and worker connection.
    pub async fn streaming(&self, kind: WorkerKind, concurrency: usize, batch_max: usize) -> (Peer, Peer) {
        let mut control = self.accept().await;
        let hello: Hello = parse_handshake(&control.frame().await.unwrap()).unwrap();
        assert_eq!(hello.actor, "a");
        let (info, listener) = self.worker(1);
        let mut out = WriteQueue::default();
        write_handshake(
            &mut out,
            &HelloAnswer {
                max_frame: 1 << 20,
                mode: Mode::Payload,
                kind,
                concurrency,
                batch_max,
                workers: vec![info],
                runtime: "fake".to_owned(),
            },
        );
        control.raw(&out.take()).await;
        let worker = Peer(listener.accept().await.unwrap().0);
        (control, worker)
    }

    /// Replaces the worker.
    pub async fn replace(&self, control: &mut Peer, id: u64) -> Peer {
        let (info, listener) = self.worker(id);
        control.say(Message::Ready(info)).await;
        let accepted = tokio::time::timeout(LIMIT, listener.accept()).await.expect("it connects");
        Peer(accepted.unwrap().0)
    }

    /// Answers the handshake as a one-shot runtime.
    pub async fn one_shot(&self) {
        let mut hello = self.accept().await;
        assert!(hello.frame().await.unwrap().starts_with(b"\0asya/2 "));
        hello
            .raw(&framed(br#"[{"error":"msg_parsing_error","details":{"message":"x","type":"ValueError"}}]"#))
            .await;
    }
}

pub fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

pub fn path_of(fake: &Fake, name: &str) -> PathBuf {
    fake.directory.path().join(name)
}
