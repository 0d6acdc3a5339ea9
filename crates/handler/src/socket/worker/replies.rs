//! From frames that a worker wrote to replies of its requests.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Connection, FAST, Gone, MAX_DEPTH, Unblocked, WEIGHT};
use crate::{
    Code, End, Failure, Fault, Progress, Reply, answer,
    frame::{FrameError, MARGIN, Step},
    message::{Message, WorkerKind},
    socket::flight::Flight,
};

impl Connection {
    /// Handles the frames that have been read. Something is returned when the worker is cut off.
    pub(super) fn decode(&mut self) -> Option<Gone> {
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
            Message::Item(id, mut part) => {
                // The receiver keeps the first item until the end, when the number of items is known. It must not keep
                // room in the budget that the items after it need: all generators would wait for each other.
                if self.flight(id)?.job.as_ref().is_some_and(|job| !job.yielded) {
                    part.meta = Bytes::copy_from_slice(&part.meta);
                    part.payload = Bytes::copy_from_slice(&part.payload);
                }
                match answer::item(mode, &part) {
                    Ok(item) => self.deliver(id, Reply::Yield(item), size, now),
                    Err(failure) => self.abort(id, failure, now),
                }
            }
            Message::Progress(id, body) => {
                // A thread that outlives its request may report late: that is no answer, and nobody waits for it.
                if let Some(job) = self.flights.get_mut(id).and_then(|flight| flight.job.as_ref()) {
                    // Lossy by contract.
                    let progress = Progress { fraction: body.fraction, message: body.message };
                    let _ = job.sender.try_send(Reply::Progress(progress));
                }
                Ok(())
            }
            Message::Result(id, parts) => {
                let too_large = self.flight(id)?.received + size > self.runtime.config.max_reply + MARGIN;
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
    pub(super) fn abort(&mut self, id: u64, failure: Failure, now: Instant) -> Result<(), Gone> {
        let flight = self.flight(id)?;
        if let Some(job) = flight.job.take() {
            job.end(End::Failed(failure));
        }
        if self.flights.stop(id, now) {
            self.cancel(id);
        }
        Ok(())
    }

    pub(super) fn too_large(&self) -> Failure {
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
}
