//! Streaming connections of a runtime: a worker's, and the control connection.

use std::{
    any::Any,
    io,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use asya_envelope::Raw;
use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use tokio::{io::Interest, net::UnixStream};

use super::{
    Error, Output,
    call::{Call, part_of},
    outlet::{Outbox, Outlet},
};
use crate::{
    Code,
    frame::{Decoder, FrameError, HEADER, Step},
    message::{ErrorBody, Malformed, Message, Part},
};

/// A handler whose first step takes longer on average gets a task of its own at once, so that it does not hold up the
/// reading of others.
const INLINE: Duration = Duration::from_micros(100);
/// Weight of the latest sample in that average.
const WEIGHT: f64 = 0.05;

/// A handler without its type.
pub(super) type Function = Arc<dyn Fn(Call) -> BoxFuture<'static, Result<Output, Error>> + Send + Sync>;

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads frames and writes what is in the outbox, until the other side closes.
///
/// Nothing is read while `full` says so; a change of its answer must come with a wake-up of the outbox, or with the
/// writing of what waits.
pub(super) async fn drive(
    stream: &UnixStream,
    outbox: &Outbox,
    mut decoder: Decoder,
    full: impl Fn() -> bool,
    mut on_frame: impl FnMut(Bytes) -> Result<(), Malformed>,
) -> Result<(), Broken> {
    loop {
        // Frames first: some may have been read together with the handshake, or before it was full.
        let mut more = true;
        while more && !full() {
            match decoder.next_frame()? {
                Step::Frame(body) => on_frame(body)?,
                Step::Large(_) => decoder.admit(None),
                Step::More => more = false,
            }
        }
        let waiting = {
            let mut queue = outbox.queue();
            let mut blocked = false;
            while !queue.is_empty() && !blocked {
                match queue.drain(|slices| stream.try_write_vectored(slices)) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => blocked = true,
                    Err(error) => return Err(error.into()),
                }
            }
            !queue.is_empty()
        };
        if !waiting {
            outbox.room.notify_waiters();
        }
        if more && !full() {
            continue;
        }
        let interest = match (!more, waiting) {
            // Full: whatever ends wakes the outbox.
            (false, false) => {
                outbox.wake.notified().await;
                continue;
            }
            (false, true) => Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (true, true) => Interest::READABLE | Interest::WRITABLE,
        };
        tokio::select! {
            ready = stream.ready(interest) => {
                if !ready?.is_readable() || more {
                    continue;
                }
                match decoder.fill(|room| stream.try_read_buf(room)) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(error.into()),
                }
            }
            () = outbox.wake.notified() => {}
        }
    }
}

/// Runs the requests of one worker connection.
pub(super) struct Runner {
    pub(super) function: Function,
    pub(super) outbox: Arc<Outbox>,
    /// Largest frame that the sidecar reads.
    pub(super) max_frame: usize,
    /// Mean time of a handler's first step in seconds.
    pub(super) mean: f64,
}

impl Runner {
    /// Handles one frame of the sidecar.
    pub(super) fn frame(&mut self, body: &Bytes) -> Result<(), Malformed> {
        if let Message::Request(id, part) = Message::parse(body)? {
            self.request(id, part);
        }
        Ok(())
    }

    fn request(&mut self, id: u64, part: Part) {
        self.outbox.begin();
        let payload = match Raw::parse(part.payload) {
            Ok(payload) => payload,
            Err(error) => {
                let message = format!("Failed to parse message: {error}");
                let body =
                    ErrorBody { code: Code::Parsing.as_str().to_owned(), message, ..ErrorBody::default() };
                return self.outbox.end(&Message::Error(id, body));
            }
        };
        let outlet = Outlet::Frames { outbox: Arc::clone(&self.outbox), id };
        let mut run = run(&self.function, Call { payload, meta: part.meta, outlet });
        if self.mean < INLINE.as_secs_f64() {
            let begun = Instant::now();
            let first = (&mut run).now_or_never();
            self.mean += (begun.elapsed().as_secs_f64() - self.mean) * WEIGHT;
            if let Some(result) = first {
                return self.outbox.end(&answer(id, result, self.max_frame));
            }
        } else {
            // Tried again some day.
            self.mean *= 1.0 - WEIGHT / 10.0;
        }
        let (outbox, max_frame) = (Arc::clone(&self.outbox), self.max_frame);
        let mut running = self.outbox.running();
        let task = tokio::spawn(async move {
            let result = run.await;
            // Whoever takes it out of the table answers.
            let mine = outbox.running().remove(&id).is_some();
            if mine {
                outbox.end(&answer(id, result, max_frame));
            }
        });
        running.insert(id, task.abort_handle());
    }
}

/// Runs the handler; a panic is a failure like another.
pub(super) fn run(function: &Function, call: Call) -> BoxFuture<'static, Result<Output, Error>> {
    let panicked = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Error::Failed { code: Code::Processing, message: text, type_name: "panic".to_owned() }
    };
    match std::panic::catch_unwind(AssertUnwindSafe(|| function(call))) {
        Ok(future) => AssertUnwindSafe(future)
            .catch_unwind()
            .map(move |result| result.unwrap_or_else(|panic| Err(panicked(panic))))
            .boxed(),
        Err(panic) => futures::future::ready(Err(panicked(panic))).boxed(),
    }
}

fn answer(id: u64, result: Result<Output, Error>, max_frame: usize) -> Message {
    match result {
        Ok(Output(items)) => {
            let parts: Vec<Part> = items.iter().map(part_of).collect();
            let size: usize = parts.iter().map(|part| part.meta.len() + part.payload.len() + 8).sum();
            if size + HEADER <= max_frame {
                return Message::Result(id, parts);
            }
            let message = format!("the result has {size} bytes; the sidecar reads at most {max_frame}");
            let code = Code::ReplyTooLarge.as_str().to_owned();
            Message::Error(id, ErrorBody { code, message, ..ErrorBody::default() })
        }
        Err(error) => Message::Error(id, error.into_body()),
    }
}
