//! The Model Context Protocol: tools for models, over Streamable HTTP and over a pipe.
//!
//! | module | holds |
//! |---|---|
//! | [`server`] | [`Server`]: what one client talks to |
//! | [`call`] | a tool call: a handle at once, or progress and the result |
//! | `cluster` | the gateway's own tools: a look into the cluster |
//! | [`answer`] | results and refusals in the protocol's words |
//! | [`resource`] | envelopes and queues to be read |
//! | [`prompt`] | a failed envelope, put together for a model |
//! | `troubleshoot` | how to look for what is wrong in a cluster |
//! | [`http`] | [`router`]: the addresses, and what is checked before a message is read |
//! | [`session`] | sessions of clients that still have them, kept in the store |
//! | [`pipe`] | [`serve_stdio`] |
//!
//! Versions: 2026-07-28, where each request stands alone, and 2025-11-25, 2025-06-18 and 2025-03-26 with sessions.
//!
//! The invariant of this module: **a replica knows nothing that another one does not.** What a client began at one it
//! may read, follow by its handle and cancel at another.

pub mod answer;
mod call;
mod cluster;
pub mod http;
pub mod pipe;
mod prompt;
mod resource;
pub mod server;
pub mod session;
mod troubleshoot;

pub use http::{Options, router};
pub use pipe::serve_stdio;
pub use server::Server;
