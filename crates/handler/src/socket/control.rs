//! The handshake, and the control connection that it becomes.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::{
    config::{SOCKET_NAME, SocketConfig},
    connect::{Line, LineError, connect},
    dispatch::Dispatcher,
    ends::Ends,
    oneshot::{LOOK, inode},
    worker::{self, Runtime},
};
use crate::{
    frame::{MARGIN, WriteQueue},
    message::{self, Exited, Hello, HelloAnswer, MAGIC, Malformed, Message, WorkerInfo},
};

/// How long a runtime may take to answer the handshake.
pub(super) const HELLO_PATIENCE: Duration = Duration::from_secs(5);
/// Commands to the supervisor that wait to be written; there are at most two for each request that times out.
const COMMANDS: usize = 1024;

/// Largest frame that this side reads.
pub(super) fn frame_cap(config: &SocketConfig) -> usize {
    config.max_reply.saturating_add(MARGIN)
}

/// Why the handshake failed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// Nobody listens.
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    /// It did not answer.
    #[error("no answer to the handshake: {0}")]
    NoAnswer(#[from] LineError),
    /// It took too long.
    #[error("no answer to the handshake within {HELLO_PATIENCE:?}")]
    Slow,
    /// It answered with something else.
    #[error("the answer to the handshake is neither a greeting nor a JSON array: {0}")]
    Garbage(#[from] Malformed),
}

/// What the runtime speaks.
#[derive(Debug)]
pub(super) enum Spoken {
    Streaming(Box<(Line, HelloAnswer)>),
    OneShot,
}

/// Finds out what the runtime speaks.
pub(super) async fn handshake(config: &SocketConfig) -> Result<Spoken, HandshakeError> {
    let path = config.directory.join(SOCKET_NAME);
    let talk = async {
        let mut line = Line::new(connect(&path).await?, frame_cap(config), None);
        let mut out = WriteQueue::default();
        let hello = Hello { max_frame: frame_cap(config), actor: config.actor.clone() };
        message::write_handshake(&mut out, &hello);
        line.write(&mut out).await?;
        let body = line.read().await?;
        if body.starts_with(MAGIC) {
            return Ok(Spoken::Streaming(Box::new((line, message::parse_handshake(&body)?))));
        }
        match serde_json::from_slice::<Vec<serde::de::IgnoredAny>>(&body) {
            Ok(_) => Ok(Spoken::OneShot),
            Err(_) => Err(Malformed::NotHandshake.into()),
        }
    };
    tokio::time::timeout(HELLO_PATIENCE, talk).await.map_err(|_| HandshakeError::Slow)?
}

/// Drives a streaming runtime until its control connection ends; then every worker of it is gone too.
pub(super) async fn run(
    config: &SocketConfig,
    dispatcher: &Arc<Dispatcher>,
    ends: &Ends,
    mut line: Line,
    hello: HelloAnswer,
) {
    tracing::info!(
        actor = config.actor, runtime = hello.runtime, kind = ?hello.kind, workers = hello.workers.len(),
        concurrency = hello.concurrency, batch = hello.batch_max, "runtime speaks the streaming protocol"
    );
    let (control, mut commands) = mpsc::channel(COMMANDS);
    let lost = CancellationToken::new();
    // Aborting the whole (the handler was dropped) aborts the workers with the set.
    let mut workers = Workers { tasks: JoinSet::new(), exits: HashMap::new() };
    let runtime = Arc::new(Runtime {
        config: config.clone(),
        hello,
        dispatcher: Arc::clone(dispatcher),
        control,
        lost: lost.clone(),
    });
    for info in &runtime.hello.workers {
        workers.start(&runtime, info.clone());
    }
    let socket = config.directory.join(SOCKET_NAME);
    let first = inode(&socket);
    let mut look = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            // What a killed supervisor leaves behind may hold this connection open for ever.
            _ = look.tick() => {
                let now = inode(&socket);
                if now.is_some() && now != first {
                    tracing::info!(actor = config.actor, "another runtime has taken the socket");
                    break;
                }
            }
            frame = line.read() => match frame.map_err(|error| error.to_string()).and_then(|body| {
                Message::parse(&body).map_err(|error| error.to_string())
            }) {
                Ok(Message::Ready(info)) => workers.start(&runtime, info),
                Ok(Message::Exited(exited)) => workers.exited(exited),
                Ok(_) => {}
                Err(error) => {
                    tracing::info!(actor = config.actor, error, "control connection ended");
                    break;
                }
            },
            Some(command) = commands.recv() => {
                let mut out = WriteQueue::default();
                command.write(&mut out);
                while let Ok(command) = commands.try_recv() {
                    command.write(&mut out);
                }
                // A supervisor that does not read its commands is found out by reading, or by its workers' patience.
                let written = tokio::time::timeout(HELLO_PATIENCE, line.write(&mut out)).await;
                if !matches!(written, Ok(Ok(()))) {
                    tracing::warn!(actor = config.actor, "the supervisor takes no commands");
                    break;
                }
            }
            () = ends.wished() => {
                let mut out = WriteQueue::default();
                Message::Shutdown.write(&mut out);
                if !matches!(tokio::time::timeout(HELLO_PATIENCE, line.write(&mut out)).await, Ok(Ok(()))) {
                    tracing::warn!(actor = config.actor, "the supervisor takes no commands");
                    break;
                }
                ends.told();
            }
            Some(done) = workers.tasks.join_next(), if !workers.tasks.is_empty() => {
                if let Ok(id) = done {
                    workers.exits.remove(&id);
                }
            }
        }
    }
    lost.cancel();
    while workers.tasks.join_next().await.is_some() {}
}

/// Tasks of the workers, and how they are told that their worker is gone.
struct Workers {
    tasks: JoinSet<u64>,
    exits: HashMap<u64, oneshot::Sender<Exited>>,
}

impl Workers {
    fn start(&mut self, runtime: &Arc<Runtime>, info: WorkerInfo) {
        // A worker may be both in the greeting and announced.
        if self.exits.contains_key(&info.id) {
            return;
        }
        let (exit, news) = oneshot::channel();
        self.exits.insert(info.id, exit);
        self.tasks.spawn(worker::run(Arc::clone(runtime), info, news));
    }

    fn exited(&mut self, exited: Exited) {
        if exited.reason == "died" {
            tracing::warn!(worker = exited.worker, detail = exited.detail, "worker died");
        }
        if let Some(exit) = self.exits.remove(&exited.worker) {
            // A worker that was given up already does not listen any more.
            let _ = exit.send(exited);
        }
    }
}
