//! The runtime's end of the socket protocol: the SDK for actors written in Rust.
//!
//! ```no_run
//! use asya_handler::serve::{Call, Error, Output, ServeOptions, serve};
//!
//! # async fn main_() -> anyhow::Result<()> {
//! serve("/var/run/asya".as_ref(), ServeOptions::default(), async |call: Call| {
//!     let text: String = call.json()?;
//!     Output::json(&text.to_uppercase())
//! })
//! .await?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | holds |
//! |---|---|
//! | `options` | [`ServeOptions`] |
//! | `call` | [`Call`], [`Output`]: what a handler is given and gives back |
//! | `error` | [`Error`], [`ServeError`] |
//! | `connection` | streaming connections |
//! | `oneshot` | one message per connection |
//! | `outlet` | where a handler's words go |
//!
//! There is one worker, in this process. A handler is cancelled at its next `await`; one that never awaits holds a
//! thread until it returns, although its request has ended, and should use `tokio::task::spawn_blocking`.

mod call;
mod connection;
mod error;
mod oneshot;
mod options;
mod outlet;

use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use tokio::{
    net::{UnixListener, UnixStream},
    signal::unix::{SignalKind, signal},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use call::{Call, CallMeta, Output};
pub use error::{Error, ServeError};
pub use options::ServeOptions;

use crate::{
    frame::{Decoder, MARGIN, Step, WriteQueue},
    message::{self, Exited, Hello, HelloAnswer, MAGIC, Malformed, Message, Mode, WorkerInfo, WorkerKind},
    socket::{READY_NAME, SOCKET_NAME},
};
use connection::{Broken, Function, Runner, drive};
use outlet::{HIGH_WATER, Outbox};

/// Serving ends this long before the grace period, so that the process ends in good order.
const BEFORE_GRACE: Duration = Duration::from_secs(2);

/// Serves a handler in `directory` until it is asked to stop (SIGTERM, SIGINT or [`ServeOptions::stop`]) and its last
/// connection has closed, or 2 s before the grace period ends.
///
/// Speaks the streaming protocol, and the one-shot protocol with older sidecars. The handler gets payloads, never
/// whole envelopes.
///
/// # Errors
/// [`ServeError`] when the sockets cannot be made.
pub async fn serve<F, R>(
    directory: &Path,
    options: ServeOptions,
    handler: impl Fn(Call) -> F + Send + Sync + 'static,
) -> Result<(), ServeError>
where
    F: Future<Output = Result<R, Error>> + Send + 'static,
    R: Into<Output>,
{
    let function: Function = Arc::new(move |call| handler(call).map(|result| result.map(Into::into)).boxed());
    let server = Arc::new(Server {
        directory: directory.to_owned(),
        function,
        max_frame: options.max_frame,
        concurrency: options.concurrency.max(1),
        socket_mode: options.socket_mode,
        state: Mutex::new(State {
            worker: 0,
            workers: CancellationToken::new(),
            current: None,
            control: None,
        }),
        client_frame: AtomicUsize::new(options.max_frame),
        connections: TaskTracker::new(),
        end: CancellationToken::new(),
        done: CancellationToken::new(),
    });
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let listener = server.bind(SOCKET_NAME)?;
    server.start_worker(None)?;
    let ready = directory.join(READY_NAME);
    std::fs::write(&ready, "ready").map_err(|source| ServeError::Make { path: ready.clone(), source })?;
    // Removes what it made, however serving ends.
    let _files = Files { server: Arc::clone(&server), ready };
    loop {
        tokio::select! {
            accepted = listener.accept() => server.accepted(accepted),
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = options.stop.cancelled() => break,
            () = server.done.cancelled() => break,
        }
    }
    tracing::info!("asked to stop: serving until the last connection closes");
    server.connections.close();
    let until = tokio::time::sleep(options.grace.saturating_sub(BEFORE_GRACE));
    tokio::pin!(until);
    loop {
        tokio::select! {
            biased;
            () = server.connections.wait() => break,
            () = &mut until => break,
            accepted = listener.accept() => server.accepted(accepted),
        }
    }
    Ok(())
}

struct Server {
    directory: PathBuf,
    function: Function,
    max_frame: usize,
    concurrency: usize,
    socket_mode: u32,
    state: Mutex<State>,
    /// Largest frame that the sidecar reads.
    client_frame: AtomicUsize,
    connections: TaskTracker,
    /// Serving has ended.
    end: CancellationToken,
    /// The sidecar has said that no work will come any more.
    done: CancellationToken,
}

struct State {
    /// Id of the current worker.
    worker: u64,
    /// Ends its listener and connections.
    workers: CancellationToken,
    /// Its newest connection.
    current: Option<Arc<Outbox>>,
    /// The newest control connection.
    control: Option<Arc<Outbox>>,
}

/// The files of a server, removed on drop.
struct Files {
    server: Arc<Server>,
    ready: PathBuf,
}

impl Drop for Files {
    fn drop(&mut self) {
        self.server.end.cancel();
        let worker = self.server.state().worker;
        for path in
            [self.ready.clone(), self.server.path(SOCKET_NAME), self.server.path(&socket_name(worker))]
        {
            // Gone already, perhaps with its directory.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn socket_name(worker: u64) -> String {
    format!("asya-worker-{worker}.sock")
}

impl Server {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the server's state")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn bind(&self, name: &str) -> Result<UnixListener, ServeError> {
        let path = self.path(name);
        // What a killed predecessor left.
        let _ = std::fs::remove_file(&path);
        let bind = || {
            let listener = UnixListener::bind(&path)?;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(self.socket_mode))?;
            Ok(listener)
        };
        bind().map_err(|source| ServeError::Make { path: path.clone(), source })
    }

    /// Starts the first worker, or one in place of `killed`.
    fn start_worker(self: &Arc<Self>, killed: Option<u64>) -> Result<(), ServeError> {
        let mut state = self.state();
        if killed.is_some_and(|killed| killed != state.worker) {
            return Ok(());
        }
        if let Some(outbox) = state.current.take() {
            outbox.abort_all();
        }
        state.workers.cancel();
        let _ = std::fs::remove_file(self.path(&socket_name(state.worker)));
        if let (Some(control), Some(worker)) = (&state.control, killed) {
            let (reason, detail) = ("killed".to_owned(), String::new());
            control.put(&Message::Exited(Exited { worker, reason, detail }));
        }
        state.worker += 1;
        state.workers = self.end.child_token();
        let listener = self.bind(&socket_name(state.worker))?;
        tokio::spawn(Arc::clone(self).listen(listener, state.workers.clone()));
        if let Some(control) = &state.control {
            control.put(&Message::Ready(worker_info(state.worker)));
        }
        Ok(())
    }

    /// Accepts connections of one worker.
    async fn listen(self: Arc<Self>, listener: UnixListener, end: CancellationToken) {
        loop {
            let stream = tokio::select! {
                () = end.cancelled() => return,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a connection cannot be accepted");
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    }
                },
            };
            let (server, end) = (Arc::clone(&self), end.clone());
            self.connections.spawn(async move {
                tokio::select! {
                    () = end.cancelled() => {}
                    () = server.worker(stream) => {}
                }
            });
        }
    }

    async fn worker(self: Arc<Self>, stream: UnixStream) {
        let outbox = Arc::new(Outbox::default());
        self.state().current = Some(Arc::clone(&outbox));
        let mut runner = Runner {
            function: Arc::clone(&self.function),
            outbox: Arc::clone(&outbox),
            max_frame: self.client_frame.load(Ordering::Relaxed),
            mean: 0.0,
        };
        let full = || outbox.active() >= self.concurrency || outbox.queue().len() >= HIGH_WATER;
        let decoder = Decoder::new(self.max_frame);
        let ended = drive(&stream, &outbox, decoder, full, |body| runner.frame(&body)).await;
        closed("worker", ended);
        // Nobody is left to answer to.
        outbox.abort_all();
    }

    fn accepted(self: &Arc<Self>, accepted: std::io::Result<(UnixStream, tokio::net::unix::SocketAddr)>) {
        match accepted {
            Ok((stream, _)) => {
                let server = Arc::clone(self);
                let end = self.end.clone();
                self.connections.spawn(async move {
                    tokio::select! {
                        () = end.cancelled() => {}
                        () = server.first_frame(stream) => {}
                    }
                });
            }
            Err(error) => tracing::warn!(%error, "a connection cannot be accepted"),
        }
    }

    /// Finds out by the first frame what the sidecar speaks.
    async fn first_frame(self: Arc<Self>, stream: UnixStream) {
        let mut decoder = Decoder::new(self.max_frame);
        let body = loop {
            match decoder.next_frame() {
                Ok(Step::Frame(body)) => break body,
                Ok(Step::Large(_)) => decoder.admit(None),
                Ok(Step::More) => {
                    if stream.readable().await.is_err() {
                        return;
                    }
                    match decoder.fill(|room| stream.try_read_buf(room)) {
                        Ok(0) => return,
                        Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
                        _ => {}
                    }
                }
                Err(error) => return closed("main", Err(error.into())),
            }
        };
        if body.starts_with(MAGIC) {
            let ended = self.control(&stream, decoder, &body).await;
            return closed("control", ended);
        }
        let answer = oneshot::reply(&self.function, body).await;
        let outbox = Outbox::default();
        outbox.queue().frame(|out| out.put_shared(&answer));
        // Ends when the sidecar has read the answer and closes.
        closed("one-shot", drive(&stream, &outbox, decoder, || false, |_| Ok(())).await);
    }

    async fn control(
        self: &Arc<Self>,
        stream: &UnixStream,
        decoder: Decoder,
        hello: &[u8],
    ) -> Result<(), Broken> {
        let hello: Hello = message::parse_handshake(hello)?;
        tracing::info!(actor = hello.actor, "sidecar connected");
        self.client_frame.store(hello.max_frame.max(MARGIN), Ordering::Relaxed);
        let outbox = Arc::new(Outbox::default());
        {
            let mut state = self.state();
            self.greeting(state.worker, &mut outbox.queue());
            state.control = Some(Arc::clone(&outbox));
        }
        drive(stream, &outbox, decoder, || false, |body| self.command(&body)).await
    }

    fn greeting(&self, worker: u64, out: &mut WriteQueue) {
        let answer = HelloAnswer {
            max_frame: self.max_frame,
            mode: Mode::Payload,
            kind: WorkerKind::Async,
            concurrency: self.concurrency,
            batch_max: 1,
            workers: vec![worker_info(worker)],
            runtime: format!("asya-handler {}", env!("CARGO_PKG_VERSION")),
        };
        message::write_handshake(out, &answer);
    }

    fn command(self: &Arc<Self>, body: &Bytes) -> Result<(), Malformed> {
        match Message::parse(body)? {
            Message::Cancel(id, target) => {
                let state = self.state();
                if target.worker == state.worker
                    && let Some(outbox) = &state.current
                {
                    outbox.cancel(id);
                }
            }
            Message::Kill(target) => {
                if let Err(error) = self.start_worker(Some(target.worker)) {
                    tracing::error!(%error, "the worker cannot be replaced");
                }
            }
            Message::Shutdown => self.done.cancel(),
            _ => {}
        }
        Ok(())
    }
}

fn worker_info(id: u64) -> WorkerInfo {
    WorkerInfo { id, pid: std::process::id().into(), socket: socket_name(id) }
}

fn closed(what: &str, ended: Result<(), Broken>) {
    if let Err(error) = ended {
        tracing::warn!(what, %error, "connection closed");
    }
}
