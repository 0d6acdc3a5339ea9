//! Python handlers in the sidecar's own process: the same handlers, the same answers, no socket.
//!
//! | module | holds |
//! |---|---|
//! | [`EmbeddedHandler`] | the handler seam over one Python thread |
//! | `interpreter` | which interpreter, and how it is started |
//! | `inlet` | requests on their way to Python |
//! | `call` | one request as Python sees it |
//! | [`program`] | what the binary does |
//! | `attend` | one request as the sidecar sees it: clock, cancellation, end |
//!
//! The Python half is `asya_runtime.embedded`: it runs the worker classes of the socket runtime, which speak the frames
//! of docs/protocol.md to an object in memory. So both ways share the code that decides what a result means.
//!
//! The invariant of this crate: **every request ends exactly once, also when Python never comes back from it.** What
//! cannot be ended is the Python code itself: then the handler says that it is stuck, and the pod is restarted.

mod attend;
mod call;
mod handler;
mod inlet;
mod interpreter;
pub mod program;

pub use handler::{EmbeddedConfig, EmbeddedHandler, StartError};
