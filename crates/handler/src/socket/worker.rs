//! One persistent connection to one worker: requests out, replies in, and the end of both.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

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
    dispatch::{Dispatcher, Job, MAX_DEATHS, MAX_DEPTH},
    flight::{Due, Flight, Flights, PATIENCE},
};
use crate::{
    Code, End, Failure, Fault, Progress, Reply, answer,
    budget::Grant,
    frame::{Decoder, FrameError, Step, WriteQueue},
    message::{self, Exited, HelloAnswer, Message, Mode, RequestMeta, Target, WorkerInfo, WorkerKind},
};

/// Below this mean handler time a sync worker is sent requests ahead.
const FAST: Duration = Duration::from_millis(1);
/// Weight of the latest sample in the mean handler time: about the last ten samples count.
const WEIGHT: f64 = 0.1;
/// How long answers are still read after the supervisor has gone: what a worker wrote before it died is in the socket.
const LAST_WORDS: Duration = Duration::from_secs(1);

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
    let path: PathBuf = runtime.config.directory.join(&info.socket);
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
                    tokio::time::sleep(PATIENCE).await;
                }
            },
        }
    };
    let slots = match (runtime.hello.kind, runtime.hello.batch_max) {
        (_, batch) if batch > 1 => batch,
        (WorkerKind::Async, _) => runtime.hello.concurrency.max(1),
        (WorkerKind::Sync, _) => 1,
    };
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

    /// Handles the frames that have been read. Something is returned when the worker is cut off.
    fn decode(&mut self) -> Option<Gone> {
        let now = Instant::now();
        let since = self.flights.head_since();
        let before = self.answered;
        let mut gone = None;
        // Bounded by what one read buffer holds.
        loop {
            match self.step(now) {
                Ok(true) => {}
                Ok(false) => break,
                Err(cut) => {
                    gone = Some(cut);
                    break;
                }
            }
        }
        let answered = self.answered - before;
        if answered > 0 {
            self.adapt(since.map_or(Duration::ZERO, |since| now - since), answered);
            self.report();
        }
        gone
    }

    /// Handles one frame; false when there is none, or reading has to wait.
    fn step(&mut self, now: Instant) -> Result<bool, Gone> {
        if self.blocked.is_some() {
            return Ok(false);
        }
        match self.decoder.next_frame() {
            Ok(Step::More) => Ok(false),
            Ok(Step::Large(bytes)) => {
                match self.runtime.config.budget.clone() {
                    None => self.decoder.admit(None),
                    Some(budget) => match budget.try_take(bytes) {
                        Some(grant) => self.decoder.admit(Some(grant)),
                        None => {
                            self.block(Box::pin(async move { Unblocked::Granted(budget.take(bytes).await) }));
                        }
                    },
                }
                Ok(self.blocked.is_none())
            }
            Ok(Step::Frame(body)) => {
                let message = Message::parse(&body).map_err(|error| self.cut_off(&error.to_string()))?;
                self.handle(message, body.len(), now)?;
                Ok(true)
            }
            Err(FrameError::TooLarge { length, cap, id }) => {
                let error = format!("a reply of {length} bytes is over the limit of {cap}");
                match self.flights.remove(id, now) {
                    Some(flight) => {
                        self.answered += 1;
                        if let Some(job) = flight.job {
                            job.fail(Code::ReplyTooLarge, Fault::Final, &error);
                        }
                        self.cut_off(&error);
                        Err(Gone::Killed)
                    }
                    None => Err(self.cut_off(&error)),
                }
            }
        }
    }

    fn handle(&mut self, message: Message, size: usize, now: Instant) -> Result<(), Gone> {
        let mode = self.runtime.hello.mode;
        match message {
            Message::Item(id, part) => match answer::item(mode, &part) {
                Ok(item) => self.deliver(id, Reply::Yield(item), size, now),
                Err(failure) => self.abort(id, failure, now),
            },
            Message::Progress(id, body) => {
                let flight = self.flight(id)?;
                if let Some(job) = &flight.job {
                    // Lossy by contract.
                    let progress = Progress { fraction: body.fraction, message: body.message };
                    let _ = job.sender.try_send(Reply::Progress(progress));
                }
                Ok(())
            }
            Message::Result(id, parts) => {
                let too_large =
                    self.flight(id)?.received + size > self.runtime.config.max_reply + crate::frame::MARGIN;
                let end =
                    if too_large { End::Failed(self.too_large()) } else { answer::result(mode, &parts) };
                self.deliver(id, Reply::End(end), size, now)
            }
            Message::Error(id, body) => self.deliver(id, Reply::End(answer::error(body)), size, now),
            // Not for this side, or not known: skipped, so that the protocol can grow.
            _ => Ok(()),
        }
    }

    fn flight(&mut self, id: u64) -> Result<&mut Flight, Gone> {
        if self.flights.get_mut(id).is_none() {
            return Err(self.cut_off(&format!("it answered request {id}, which it does not have")));
        }
        Ok(self.flights.get_mut(id).expect("looked at above"))
    }

    /// Hands a yield or an end on; when the receiver is slow, reading stops until it has room.
    fn deliver(&mut self, id: u64, reply: Reply, size: usize, now: Instant) -> Result<(), Gone> {
        let max_reply = self.runtime.config.max_reply;
        let flight = self.flight(id)?;
        flight.received += size;
        let sender = if matches!(reply, Reply::End(_)) {
            let flight = self.flights.remove(id, now).expect("looked at above");
            self.answered += 1;
            // What was cancelled for its time ends as what the worker says: it may have made it after all.
            let Some(job) = flight.job else { return Ok(()) };
            job.sender
        } else {
            let too_large = flight.received > max_reply;
            let Some(job) = &mut flight.job else { return Ok(()) };
            if too_large {
                let failure = self.too_large();
                return self.abort(id, failure, now);
            }
            job.yielded = true;
            job.sender.clone()
        };
        if let Err(reply) = sender.try_send(reply)
            && !sender.is_cancelled()
        {
            self.block(Box::pin(async move {
                sender.send(reply).await;
                Unblocked::Delivered
            }));
        }
        Ok(())
    }

    /// Ends a request for the sidecar although the worker is not done with it.
    fn abort(&mut self, id: u64, failure: Failure, now: Instant) -> Result<(), Gone> {
        let flight = self.flight(id)?;
        if let Some(job) = flight.job.take() {
            job.end(End::Failed(failure));
        }
        if self.flights.stop(id, now) {
            self.cancel(id);
        }
        Ok(())
    }

    fn too_large(&self) -> Failure {
        let message = format!("the reply is larger than {} bytes", self.runtime.config.max_reply);
        Failure::new(Code::ReplyTooLarge, Fault::Final, message)
    }

    /// Adapts how far the worker is sent ahead to how fast it is.
    fn adapt(&mut self, elapsed: Duration, answered: usize) {
        if self.runtime.hello.kind == WorkerKind::Async || self.runtime.hello.batch_max > 1 {
            return;
        }
        let count = u32::try_from(answered).unwrap_or(u32::MAX);
        let sample = (elapsed / count).as_secs_f64();
        self.mean += (sample - self.mean) * WEIGHT;
        let fast = self.mean < FAST.as_secs_f64();
        self.depth = if fast { (self.depth * 2).min(MAX_DEPTH) } else { self.slots };
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

    /// Reads what the worker wrote before it was gone.
    async fn last_words(&mut self, gone: Gone) -> Gone {
        if self.closed_at.is_some() {
            return gone;
        }
        // Whoever is dead has written everything; a lost runtime may still be at it.
        let until = Instant::now() + LAST_WORDS;
        loop {
            if let Some(blocked) = self.blocked.take() {
                let unblocked = blocked.await;
                if let Some(cut) = self.unblock(unblocked) {
                    return cut;
                }
                continue;
            }
            match self.decoder.fill(|room| self.stream.try_read_buf(room)) {
                Ok(0) => return gone,
                Ok(_) => {
                    if let Some(cut) = self.decode() {
                        return cut;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if gone != Gone::Lost || self.flights.is_empty() {
                        return gone;
                    }
                    let readable = tokio::time::timeout_at(until, self.stream.readable()).await;
                    if !matches!(readable, Ok(Ok(()))) {
                        return gone;
                    }
                }
                Err(_) => return gone,
            }
        }
    }

    /// Ends what the worker has left, or gives it back.
    fn finish(mut self, gone: Gone) {
        let worker = self.info.id;
        tracing::debug!(worker, ?gone, unanswered = self.flights.len(), "worker is gone");
        let flights = self.flights.take_all();
        let together = flights.len() > 1;
        let mut again = Vec::new();
        for flight in flights {
            again.extend(self.judge(flight, &gone, together));
        }
        // Out of the dispatcher first, so that nothing comes back to this worker.
        let untouched = self.runtime.dispatcher.remove_worker(worker);
        let inbox = std::mem::take(&mut self.inbox);
        self.runtime.dispatcher.resubmit(again.into_iter().chain(inbox).chain(untouched));
    }

    /// What becomes of one request that a worker has left; it is returned if it is to run again.
    fn judge(&self, mut flight: Flight, gone: &Gone, together: bool) -> Option<Job> {
        let batch = self.runtime.hello.batch_max > 1;
        if flight.is_stopping() && !(batch && together) {
            flight.time_out();
            return None;
        }
        let mut job = flight.job?;
        match gone {
            Gone::Lost => {
                job.fail(Code::Connection, Fault::Infrastructure, "the runtime went away");
                return None;
            }
            Gone::Retired => {}
            // One item of a batch hung, nobody knows which: each gets a call of its own.
            Gone::Killed => job.solo |= batch && together,
            Gone::Died(how) => {
                job.deaths += 1;
                job.solo = true;
                if job.deaths >= MAX_DEATHS {
                    let deaths = job.deaths;
                    job.fail(
                        Code::WorkerDied,
                        Fault::Final,
                        format!(
                            "the worker process died {deaths} times while it handled this message: {how}"
                        ),
                    );
                    return None;
                }
            }
        }
        if job.yielded {
            // Its items are on their way: only the sidecar can run it again, under the same numbers.
            if job.deaths > 0 {
                self.runtime.dispatcher.remember(&job.request.envelope.id, job.deaths);
            }
            job.fail(
                Code::WorkerDied,
                Fault::Infrastructure,
                "the worker was gone before the generator ended",
            );
            return None;
        }
        Some(job)
    }
}
