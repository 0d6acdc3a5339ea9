//! One persistent connection to one worker: requests out, replies in, and the end of both.
//!
//! | module | holds |
//! |---|---|
//! | this one | the loop: what is waited for, requests out, bytes in |
//! | `replies` | from frames to replies |
//! | `end` | what becomes of requests when the worker is gone |

mod end;
mod replies;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::{
    io::Interest,
    net::UnixStream,
    sync::{Notify, mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    config::SocketConfig,
    dispatch::{Dispatcher, Job, MAX_DEPTH},
    flight::{Due, Flights, PATIENCE},
};
use crate::{
    Code, Fault,
    budget::Grant,
    frame::{Decoder, WriteQueue},
    message::{self, Exited, HelloAnswer, Message, Mode, RequestMeta, Target, WorkerInfo, WorkerKind},
};

/// Below this mean handler time a sync worker is sent requests ahead.
const FAST: Duration = Duration::from_millis(1);
/// Weight of the latest sample in the mean handler time: about the last ten samples count.
const WEIGHT: f64 = 0.1;

/// Requests that one worker runs at a time, whatever the runtime says: no transport gives more credit, and sums over
/// workers must not overflow.
const MAX_SLOTS: usize = u16::MAX as usize;
/// Pause before a worker that cannot be reached is tried again; usually its end is announced meanwhile.
const RECONNECT_PAUSE: Duration = Duration::from_millis(200);
/// What a request's metadata adds to what is in the envelope anyway, at most.
const OWN_METADATA: usize = 1024;

/// What every worker of one runtime shares.
#[derive(Debug)]
pub(super) struct Runtime {
    pub(super) config: SocketConfig,
    pub(super) hello: HelloAnswer,
    pub(super) dispatcher: Arc<Dispatcher>,
    /// To the control connection.
    pub(super) control: mpsc::Sender<Message>,
    /// The control connection has ended.
    pub(super) lost: CancellationToken,
}

/// Why a worker is no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// By our own word, or because a runtime that cannot be understood was cut off: nobody else is to blame.
    Killed,
    /// In good order; it has not begun what it has not answered.
    Retired,
    /// By itself; how.
    Died(String),
    /// The supervisor is gone, and with it the worker.
    Lost,
}

impl From<Exited> for Gone {
    fn from(exited: Exited) -> Self {
        match exited.reason.as_str() {
            "killed" => Self::Killed,
            "retired" => Self::Retired,
            _ if exited.detail.is_empty() => Self::Died(exited.reason),
            _ => Self::Died(exited.detail),
        }
    }
}

/// Drives one worker until it is gone. Every request that it was given has then ended or gone back to the dispatcher.
pub(super) async fn run(runtime: Arc<Runtime>, info: WorkerInfo, exit: oneshot::Receiver<Exited>) -> u64 {
    let id = info.id;
    let mut exit = exit;
    let Some(name) = Path::new(&info.socket).file_name() else {
        tracing::warn!(worker = id, socket = info.socket, "worker has no socket");
        return id;
    };
    // The file name alone: a runtime says nothing about other directories.
    let path: PathBuf = runtime.config.directory.join(name);
    let stream = loop {
        tokio::select! {
            gone = &mut exit => {
                tracing::debug!(worker = id, ?gone, "worker was gone before it was connected");
                return id;
            }
            () = runtime.lost.cancelled() => return id,
            stream = super::connect::connect(&path) => match stream {
                Ok(stream) => break stream,
                Err(error) => {
                    tracing::warn!(worker = id, %error, socket = %path.display(), "worker cannot be reached");
                    tokio::time::sleep(RECONNECT_PAUSE).await;
                }
            },
        }
    };
    let slots = match (runtime.hello.kind, runtime.hello.batch_max) {
        (_, batch) if batch > 1 => batch,
        (WorkerKind::Async, _) => runtime.hello.concurrency.max(1),
        (WorkerKind::Sync, _) => 1,
    }
    .min(MAX_SLOTS);
    let wake = runtime.dispatcher.add_worker(id, slots);
    let cancels = runtime.dispatcher.cancels.subscribe();
    let connection = Connection {
        cap: super::control::frame_cap(&runtime.config),
        decoder: Decoder::new(super::control::frame_cap(&runtime.config)),
        flights: Flights::new(runtime.hello.kind),
        runtime,
        info,
        stream,
        wake,
        cancels,
        inbox: Vec::new(),
        out: WriteQueue::default(),
        slots,
        depth: slots,
        mean: FAST.as_secs_f64(),
        answered: 0,
        blocked: None,
        blocked_at: None,
        closed_at: None,
    };
    connection.run(exit).await;
    id
}

/// What reading waits for.
enum Unblocked {
    Delivered,
    Granted(Grant),
}

struct Connection {
    runtime: Arc<Runtime>,
    info: WorkerInfo,
    stream: UnixStream,
    wake: Arc<Notify>,
    cancels: watch::Receiver<u64>,
    inbox: Vec<Job>,
    out: WriteQueue,
    decoder: Decoder,
    cap: usize,
    flights: Flights,
    slots: usize,
    depth: usize,
    /// Mean handler time in seconds.
    mean: f64,
    /// Requests that have ended since the dispatcher was told.
    answered: usize,
    /// Reading waits for room: of a receiver that is slower than the worker, or of the byte budget.
    blocked: Option<BoxFuture<'static, Unblocked>>,
    blocked_at: Option<Instant>,
    /// When the worker closed its connection, or was cut off.
    closed_at: Option<Instant>,
}

impl Connection {
    async fn run(mut self, mut exit: oneshot::Receiver<Exited>) {
        let lost = self.runtime.lost.clone();
        let gone = loop {
            if self.closed_at.is_none() {
                self.runtime.dispatcher.take_inbox(self.info.id, &mut self.inbox);
                self.send_inbox();
                self.write();
            }
            let interest = match (self.blocked.is_none() && self.closed_at.is_none(), self.out.is_empty()) {
                (true, true) => Some(Interest::READABLE),
                (true, false) => Some(Interest::READABLE | Interest::WRITABLE),
                (false, false) if self.closed_at.is_none() => Some(Interest::WRITABLE),
                _ => None,
            };
            let timer = match self.closed_at {
                Some(at) => Some(at + PATIENCE),
                None if self.blocked.is_some() => None,
                None => self.flights.wake_at(),
            };
            tokio::select! {
                ready = async { self.stream.ready(interest.expect("checked by the condition")).await },
                    if interest.is_some() =>
                {
                    if ready.is_err() {
                        self.close("the connection failed");
                    } else if self.blocked.is_none() && let Some(gone) = self.read() {
                        break gone;
                    }
                }
                () = self.wake.notified() => {}
                unblocked = async { self.blocked.as_mut().expect("checked by the condition").await },
                    if self.blocked.is_some() =>
                {
                    if let Some(gone) = self.unblock(unblocked) {
                        break gone;
                    }
                }
                () = async { tokio::time::sleep_until(timer.expect("checked by the condition")).await },
                    if timer.is_some() =>
                {
                    if let Some(gone) = self.expire() {
                        break gone;
                    }
                }
                changed = self.cancels.changed() => {
                    if changed.is_ok() {
                        self.stop_abandoned();
                    }
                }
                exited = &mut exit => break exited.map_or(Gone::Lost, Gone::from),
                () = lost.cancelled() => break Gone::Lost,
            }
        };
        let gone = self.last_words(gone).await;
        self.finish(gone);
    }

    /// Writes requests that have come into the queue of outgoing frames.
    fn send_inbox(&mut self) {
        if self.inbox.is_empty() {
            return;
        }
        let now = Instant::now();
        let mut inbox = std::mem::take(&mut self.inbox);
        for job in inbox.drain(..) {
            if job.sender.is_cancelled() {
                self.answered += 1;
                continue;
            }
            let request = &job.request;
            let payload: Bytes = match self.runtime.hello.mode {
                Mode::Payload => request.envelope.payload.as_bytes().clone(),
                Mode::Envelope => request.envelope.encode(),
            };
            let most = self.runtime.hello.max_frame;
            if request.body.len().max(payload.len()) + OWN_METADATA > most {
                self.answered += 1;
                let message =
                    format!("the message has {} bytes; the runtime takes at most {most}", payload.len());
                job.fail(Code::Parsing, Fault::Final, message);
                continue;
            }
            let meta = RequestMeta {
                envelope: &request.envelope,
                actor: &request.actor,
                attempt: request.attempt,
                timeout_ms: u64::try_from(request.timeout.as_millis()).unwrap_or(u64::MAX),
            };
            message::write_request(&mut self.out, self.flights.next_id(), &meta, &payload);
            self.flights.add(job, now);
        }
        // The buffer is kept for the next round.
        self.inbox = inbox;
        self.report();
    }

    /// Tells the dispatcher what has ended, and takes what it gives in return.
    fn report(&mut self) {
        let count = std::mem::take(&mut self.answered);
        if count > 0 && self.closed_at.is_none() {
            self.runtime.dispatcher.finished(self.info.id, count, self.depth, &mut self.inbox);
        }
    }

    fn write(&mut self) {
        while !self.out.is_empty() && self.closed_at.is_none() {
            match self.out.drain(|slices| self.stream.try_write_vectored(slices)) {
                Ok(0) => return self.close("the connection takes no more bytes"),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // What it wrote before is still to be read; reading finds the end.
                Err(error) => {
                    tracing::debug!(worker = self.info.id, %error, "a request could not be written");
                    self.out = WriteQueue::default();
                    return;
                }
            }
        }
    }

    fn read(&mut self) -> Option<Gone> {
        match self.decoder.fill(|room| self.stream.try_read_buf(room)) {
            Ok(0) => {
                self.close("it closed its connection");
                None
            }
            Ok(_) => self.decode(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                self.close(&error.to_string());
                None
            }
        }
    }

    fn block(&mut self, until: BoxFuture<'static, Unblocked>) {
        self.blocked = Some(until);
        self.blocked_at = Some(Instant::now());
    }

    fn unblock(&mut self, unblocked: Unblocked) -> Option<Gone> {
        self.blocked = None;
        if let Some(at) = self.blocked_at.take() {
            self.flights.shift(at.elapsed());
        }
        if let Unblocked::Granted(grant) = unblocked {
            self.decoder.admit(Some(grant));
        }
        self.decode()
    }

    fn expire(&mut self) -> Option<Gone> {
        if let Some(at) = self.closed_at {
            if at.elapsed() < PATIENCE {
                return None;
            }
            self.kill();
            return Some(Gone::Died("it closed its connection".to_owned()));
        }
        let mut gone = None;
        for due in self.flights.due(Instant::now()) {
            match due {
                Due::Cancel(id) => self.cancel(id),
                Due::Kill => self.kill(),
                Due::GiveUp => gone = Some(Gone::Killed),
            }
        }
        gone
    }

    fn stop_abandoned(&mut self) {
        let now = Instant::now();
        for id in self.flights.abandoned() {
            if self.flights.stop(id, now) {
                self.cancel(id);
            }
        }
    }

    fn cancel(&self, id: u64) {
        self.tell(Message::Cancel(id, Target { worker: self.info.id }));
    }

    fn kill(&self) {
        self.tell(Message::Kill(Target { worker: self.info.id }));
    }

    fn tell(&self, message: Message) {
        // A full queue means that the supervisor does not read; patience with it runs out by itself.
        if self.runtime.control.try_send(message).is_err() {
            tracing::warn!(worker = self.info.id, "the supervisor takes no more commands");
        }
    }

    /// The connection is of no use any more; the supervisor's news of the worker is waited for.
    fn close(&mut self, why: &str) {
        if self.closed_at.is_none() {
            tracing::debug!(worker = self.info.id, why, "connection to worker closed");
            self.closed_at = Some(Instant::now());
        }
    }

    /// Gives a worker up that does not keep to the protocol.
    fn cut_off(&mut self, why: &str) -> Gone {
        tracing::warn!(
            worker = self.info.id,
            why,
            cap = self.cap,
            "worker breaks the protocol and is killed"
        );
        self.kill();
        self.closed_at = Some(Instant::now());
        Gone::Died(format!("it broke the protocol: {why}"))
    }
}
