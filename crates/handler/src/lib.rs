//! Who handles an envelope: the handler seam, the frame codec, and both ends of the socket protocol.
//!
//! | module | holds |
//! |---|---|
//! | [`request`] | [`Request`]: one run of a handler |
//! | [`reply`] | [`Reply`], [`Item`], [`Failure`]: what comes back |
//! | [`capacity`] | [`Capacity`]: how much a handler can do at once |
//! | [`budget`] | [`Budget`]: how much memory replies may take |
//! | [`frame`] | frames of the socket protocol, and the limits on them |
//! | [`message`] | what the frames say |
//! | [`answer`] | from the runtime's words to items and ends |
//! | [`socket`] | the sidecar's end: persistent connections, or one connection per message for older runtimes |
//! | [`serve`] | the runtime's end: actors written in Rust |
//!
//! The invariant of this crate: **every request ends in exactly one [`Reply::End`]**, whatever the handler's process
//! does: hang, die, print garbage, or close its socket.

pub mod answer;
pub mod budget;
pub mod capacity;
pub mod frame;
pub mod message;
pub mod reply;
pub mod request;
pub mod serve;
pub mod socket;

use futures::future::BoxFuture;
use tokio::sync::watch;

pub use budget::Budget;
pub use capacity::{Capacity, Readiness};
pub use reply::{Code, End, Failure, Fate, Fault, Item, Progress, Replies, Reply, ReplySender};
pub use request::Request;

/// What turns an envelope into zero or more envelopes.
pub trait Handler: Send + Sync + 'static {
    /// Starts one run. Dropping the returned [`Replies`] cancels it. The caller keeps to [`Handler::capacity`]; more
    /// requests than that wait inside the handler, and their clock does not run.
    fn handle(&self, request: Request) -> Replies;

    /// How much the handler can do at once, now and as it changes (a handshake tells it).
    fn capacity(&self) -> watch::Receiver<Capacity>;

    /// Whether requests can be handled, now and as it changes.
    fn readiness(&self) -> watch::Receiver<Readiness>;

    /// Tells the process behind the handler that no work will come any more, so that it ends by itself; to be called
    /// before [`Handler::close`], which cuts the line to it. False where there is no such process.
    fn shutdown(&self) -> BoxFuture<'_, bool> {
        Box::pin(async { false })
    }

    /// Lets running work finish and closes; after it no request is accepted.
    fn close(&self) -> BoxFuture<'_, ()>;
}
