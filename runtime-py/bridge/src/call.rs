//! One request as Python sees it.

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard,
    atomic::{AtomicBool, Ordering},
};

use asya_handler::{
    Code, End, Failure, Fault, Progress, Reply, Request, answer,
    frame::{MARGIN, PREFIX, WriteQueue},
    message::{Message, Mode, RequestMeta, kind, write_request},
    reply::REPLIES_BUFFERED,
};
use bytes::Bytes;
use pyo3::{prelude::*, types::PyBytes};
use tokio::sync::mpsc::UnboundedSender;

use crate::inlet::Inlet;

/// What Python does with a request.
#[derive(Debug)]
pub(crate) enum Event {
    /// It has been taken: its clock runs.
    Started,
    /// A reply.
    Reply(Reply),
    /// Python has let go of it.
    Done,
}

/// One request that is shared between Python and the task that attends to it.
pub(crate) struct Job {
    id: u64,
    request: Request,
    max_reply: usize,
    /// Bounded by `gauge`.
    events: UnboundedSender<Event>,
    gauge: Mutex<Gauge>,
    room: Condvar,
    cancelled: AtomicBool,
}

#[derive(Default)]
struct Gauge {
    /// Replies that the sidecar has not taken.
    waiting: usize,
    /// The event loop waits for room.
    paused: bool,
    /// Bytes of all replies.
    received: usize,
}

impl Job {
    pub(crate) fn new(id: u64, request: Request, max_reply: usize, events: UnboundedSender<Event>) -> Self {
        Self {
            id,
            request,
            max_reply,
            events,
            gauge: Mutex::default(),
            room: Condvar::new(),
            cancelled: AtomicBool::new(false),
        }
    }

    /// Python has taken it.
    pub(crate) fn started(&self) {
        let _ = self.events.send(Event::Started);
    }

    /// Python has let go of it, or never gets it.
    pub(crate) fn done(&self) {
        let _ = self.events.send(Event::Done);
    }

    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        let _gauge = self.gauge();
        self.room.notify_all();
    }

    /// The sidecar has taken a reply; true when an event loop waits for that.
    pub(crate) fn took(&self) -> bool {
        let mut gauge = self.gauge();
        gauge.waiting = gauge.waiting.saturating_sub(1);
        self.room.notify_all();
        gauge.waiting == 0 && std::mem::take(&mut gauge.paused)
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn gauge(&self) -> MutexGuard<'_, Gauge> {
        self.gauge.lock().expect("nothing panics while it counts")
    }

    /// A frame that a worker class wrote, as the reply that it is; true when the request must not go on.
    fn reply(&self, mode: Mode, frame: &[u8]) -> (Option<Reply>, bool) {
        let size = frame.len();
        let body = Bytes::copy_from_slice(frame.get(PREFIX..).unwrap_or_default());
        let message = match Message::parse(&body) {
            Ok(message) => message,
            Err(error) => return failed(Code::InvalidResult, Fault::Handler, error.to_string()),
        };
        let received = {
            let mut gauge = self.gauge();
            gauge.received += size;
            gauge.received
        };
        match message {
            Message::Item(_, part) => {
                if received > self.max_reply {
                    return self.too_large();
                }
                match answer::item(mode, &part) {
                    Ok(item) => (Some(Reply::Yield(item)), false),
                    Err(failure) => (Some(Reply::End(End::Failed(failure))), true),
                }
            }
            Message::Result(_, parts) => {
                if received > self.max_reply + MARGIN {
                    return self.too_large();
                }
                (Some(Reply::End(answer::result(mode, &parts))), false)
            }
            Message::Error(_, body) => (Some(Reply::End(answer::error(body))), false),
            Message::Progress(_, body) => {
                let progress = Progress { fraction: body.fraction, message: body.message };
                (Some(Reply::Progress(progress)), false)
            }
            _ => (None, false),
        }
    }

    fn too_large(&self) -> (Option<Reply>, bool) {
        let message = format!("the reply is larger than {} bytes", self.max_reply);
        failed(Code::ReplyTooLarge, Fault::Final, message)
    }

    /// Passes a reply on; false when the request must not go on. Progress is dropped when there is no room.
    fn tell(&self, mode: Mode, frame: &[u8]) -> bool {
        if self.is_cancelled() {
            return false;
        }
        let (reply, stop) = self.reply(mode, frame);
        if let Some(reply) = reply {
            let mut gauge = self.gauge();
            if gauge.waiting < REPLIES_BUFFERED || !matches!(reply, Reply::Progress(_)) {
                gauge.waiting += 1;
                let _ = self.events.send(Event::Reply(reply));
            }
        }
        !stop
    }

    /// Waits until the sidecar has taken enough; false when the request is cancelled.
    fn wait_for_room(&self) -> bool {
        let mut gauge = self.gauge();
        while gauge.waiting >= REPLIES_BUFFERED && !self.is_cancelled() {
            gauge = self.room.wait(gauge).expect("nothing panics while it counts");
        }
        !self.is_cancelled()
    }
}

fn failed(code: Code, fault: Fault, message: String) -> (Option<Reply>, bool) {
    (Some(Reply::End(End::Failed(Failure::new(code, fault, message)))), true)
}

/// [`Job`] as Python sees it.
#[pyclass(frozen)]
pub(crate) struct Call {
    job: Arc<Job>,
    inlet: Arc<Inlet>,
}

impl Call {
    pub(crate) fn new(job: Arc<Job>, inlet: Arc<Inlet>) -> Self {
        Self { job, inlet }
    }
}

#[pymethods]
impl Call {
    #[getter]
    fn id(&self) -> u64 {
        self.job.id
    }

    /// A REQUEST as it would have come over the socket, without its length.
    fn body<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let request = &self.job.request;
        let meta = RequestMeta {
            envelope: &request.envelope,
            actor: &request.actor,
            attempt: request.attempt,
            timeout_ms: u64::try_from(request.timeout.as_millis()).unwrap_or(u64::MAX),
        };
        let payload = match self.inlet.setup().mode {
            Mode::Payload => request.envelope.payload.as_bytes().clone(),
            Mode::Envelope => request.envelope.encode(),
        };
        let mut out = WriteQueue::default();
        write_request(&mut out, self.job.id, &meta, &payload);
        PyBytes::new(py, &out.take()[PREFIX..])
    }

    /// Takes a frame of a sync worker, waiting for room; false when the request is cancelled.
    fn send(&self, py: Python<'_>, frame: &[u8]) -> bool {
        let progress = frame.get(PREFIX) == Some(&kind::PROGRESS);
        self.job.tell(self.inlet.setup().mode, frame) && (progress || py.detach(|| self.job.wait_for_room()))
    }

    /// Takes a frame of an async worker without waiting; false when it should pause until it is told of room.
    fn write(&self, frame: &[u8]) -> bool {
        if !self.job.tell(self.inlet.setup().mode, frame) {
            self.inlet.cancel(&self.job);
            return true;
        }
        let mut gauge = self.job.gauge();
        gauge.paused = gauge.waiting >= REPLIES_BUFFERED;
        !gauge.paused
    }

    /// An async call has come to its end.
    fn done(&self) {
        self.inlet.finished(&self.job);
    }
}
