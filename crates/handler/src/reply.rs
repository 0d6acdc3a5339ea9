//! What comes back from a handler.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use asya_envelope::{Envelope, Headers, Raw, Route};
use asya_store::Write;
use futures::Stream;
use tokio::sync::{mpsc, watch};

/// Replies of one request that may wait for the sidecar; a generator that yields faster is held back.
pub const REPLIES_BUFFERED: usize = 16;

/// One step of a handler's answer. The last one is [`Reply::End`], exactly once.
#[derive(Debug)]
pub enum Reply {
    /// How far the handler is. Lossy: dropped when the receiver is busy.
    Progress(Progress),
    /// One item of a generator, to be sent on at once.
    Yield(Item),
    /// The end of the request.
    End(End),
}

/// How far a handler is.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    /// 0.0 to 1.0.
    pub fraction: f64,
    /// What it is doing, for a person.
    pub message: String,
}

/// How a request ended.
#[derive(Debug)]
pub enum End {
    /// It succeeded, with these items in order: all or nothing. Empty after yields, or when the handler returned
    /// nothing.
    Done(Vec<Item>),
    /// A platform actor (end actors, fan-in) succeeded. Only handlers in the sidecar's own process can say this: it
    /// does not exist on the socket.
    Platform {
        /// Whole envelopes to send on, identity and platform headers as they are; each goes to the actor at its
        /// `route.current`.
        envelopes: Vec<Envelope>,
        /// Records to keep, in the transaction that settles the delivery where the transport has one.
        writes: Vec<Write>,
        /// What becomes of the id that was handled; only end actors are asked.
        fate: Fate,
    },
    /// The handler asks to be called again later.
    Retry {
        /// When; `None` = as the retry policy says.
        after: Option<Duration>,
        /// Why, for logs and the error envelope of the last try.
        reason: String,
    },
    /// The handler wants the envelope to end here: acknowledged, counted, no record.
    Drop {
        /// Why, for the log.
        reason: String,
    },
    /// It failed.
    Failed(Failure),
}

/// What an end actor, or a fan-in, made of an envelope's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It ends here and is reported as ended; at a fan-in, as a part that went into the result under another id.
    Ended {
        /// Address of its record, if it has one that others can read.
        stored: Option<String>,
    },
    /// It lives on in what is sent: another try, or the result of a fan-in. No end is reported.
    GoesOn,
}

/// One resulting envelope, as far as the handler says: identity, deadline and unknown fields are the input's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The new payload.
    pub payload: Raw,
    /// The route, already advanced past this actor; `None` = the input's, advanced by one.
    pub route: Option<Route>,
    /// The headers; `None` = the input's.
    pub headers: Option<Headers>,
}

impl Item {
    /// A payload that goes on along the input's route.
    pub fn payload(payload: Raw) -> Self {
        Self { payload, route: None, headers: None }
    }
}

/// Stable codes of failures. Each has a page under docs/errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// The handler raised an exception.
    Processing,
    /// The runtime could not read the message.
    Parsing,
    /// The connection to the runtime failed.
    Connection,
    /// The handler took longer than it may.
    Timeout,
    /// The worker process died while it handled the message.
    WorkerDied,
    /// The handler returned something that cannot be sent.
    InvalidResult,
    /// The reply is larger than `max_reply`.
    ReplyTooLarge,
    /// The payload does not fit the handler's declared type.
    Validation,
    /// The handler refused the envelope.
    Rejected,
}

impl Code {
    /// The code as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing_error",
            Self::Parsing => "msg_parsing_error",
            Self::Connection => "connection_error",
            Self::Timeout => "timeout",
            Self::WorkerDied => "worker_died",
            Self::InvalidResult => "invalid_result",
            Self::ReplyTooLarge => "reply_too_large",
            Self::Validation => "validation_error",
            Self::Rejected => "rejected",
        }
    }

    /// The code that is written so; runtimes of others may know codes that we do not, which count as
    /// [`Code::Processing`].
    pub fn parse(text: &str) -> Self {
        const ALL: [Code; 9] = [
            Code::Processing,
            Code::Parsing,
            Code::Connection,
            Code::Timeout,
            Code::WorkerDied,
            Code::InvalidResult,
            Code::ReplyTooLarge,
            Code::Validation,
            Code::Rejected,
        ];
        ALL.into_iter().find(|code| code.as_str() == text).unwrap_or(Self::Processing)
    }
}

/// Whose fault a failure is: decides whether it counts against the handler's attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The handler's own: counts as an attempt, retried if the policy says so.
    Handler,
    /// The handler's own, and a retry cannot help.
    Final,
    /// Not the handler's (runtime not up, connection lost before the request was read): retried with back-off, does
    /// not count as an attempt.
    Infrastructure,
}

/// A failed request.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Stable code.
    pub code: Code,
    /// Whose fault it is.
    pub fault: Fault,
    /// The reason, for a person.
    pub message: String,
    /// Class name of the exception, bare.
    pub type_name: Option<String>,
    /// Qualified names of the exception's classes, most derived first; retry policies match on them.
    pub mro: Vec<String>,
    /// The traceback.
    pub traceback: Option<String>,
}

impl Failure {
    /// A failure without an exception behind it.
    pub fn new(code: Code, fault: Fault, message: impl Into<String>) -> Self {
        Self { code, fault, message: message.into(), type_name: None, mro: Vec::new(), traceback: None }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code.as_str())?;
        if let Some(name) = &self.type_name {
            write!(f, "{name}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The answer to one request, as it comes. Dropping it cancels the request.
#[derive(Debug)]
pub struct Replies {
    receiver: mpsc::Receiver<Reply>,
    ended: bool,
    cancels: Option<watch::Sender<u64>>,
}

/// The handler's side of [`Replies`].
#[derive(Clone, Debug)]
pub struct ReplySender(mpsc::Sender<Reply>);

impl Replies {
    /// A new answer with its sending side.
    pub fn channel() -> (ReplySender, Self) {
        let (sender, receiver) = mpsc::channel(REPLIES_BUFFERED);
        (ReplySender(sender), Self { receiver, ended: false, cancels: None })
    }

    /// Like [`Replies::channel`]; being dropped before the end counts `cancels` up, so that one task can watch over
    /// many requests.
    pub fn watched(cancels: &watch::Sender<u64>) -> (ReplySender, Self) {
        let (sender, mut replies) = Self::channel();
        replies.cancels = Some(cancels.clone());
        (sender, replies)
    }

    /// The next reply; after the end `None`. If the handler's side vanished without an end, a
    /// [`Code::WorkerDied`] failure takes its place. Cancel safe.
    pub async fn recv(&mut self) -> Option<Reply> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(cx).map(|reply| {
            let reply = reply.unwrap_or_else(|| {
                Reply::End(End::Failed(Failure::new(
                    Code::WorkerDied,
                    Fault::Infrastructure,
                    "the handler ended without an answer",
                )))
            });
            self.ended = matches!(reply, Reply::End(_));
            Some(reply)
        })
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        self.receiver.close();
        if let Some(cancels) = self.cancels.take().filter(|_| !self.ended) {
            cancels.send_modify(|count| *count += 1);
        }
    }
}

impl Stream for Replies {
    type Item = Reply;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Reply>> {
        self.get_mut().poll_recv(cx)
    }
}

impl ReplySender {
    /// Sends a yield or the end, waiting for room; false when the request was cancelled. Progress never waits: it is
    /// dropped when there is no room.
    pub async fn send(&self, reply: Reply) -> bool {
        if matches!(reply, Reply::Progress(_)) {
            return self.0.try_send(reply).is_ok() || !self.0.is_closed();
        }
        self.0.send(reply).await.is_ok()
    }

    /// Sends without waiting; gives the reply back when there is no room or nobody listens.
    ///
    /// # Errors
    /// The reply itself.
    pub fn try_send(&self, reply: Reply) -> Result<(), Reply> {
        self.0.try_send(reply).map_err(|error| match error {
            mpsc::error::TrySendError::Full(reply) | mpsc::error::TrySendError::Closed(reply) => reply,
        })
    }

    /// Waits until the other side has dropped its [`Replies`]: the request is cancelled.
    pub async fn cancelled(&self) {
        self.0.closed().await;
    }

    /// True when the request is cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_closed()
    }
}
