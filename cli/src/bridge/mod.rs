//! A pipe on this side, a gateway's `/mcp` on the other: each message of the Model Context Protocol goes through as it
//! is, whatever the version.
//!
//! | module | holds |
//! |---|---|
//! | [`message`] | what has to be known of a message to carry it over HTTP |
//! | [`http`] | [`Gateway`]: requests, with their answers as messages |
//! | [`relay`] | [`run`]: which message goes when, and what is in hand |
//!
//! The invariant: **a request that came in is answered once, by the gateway or by an error that says why not.**

mod http;
mod message;
mod relay;

pub(crate) use http::Gateway;
pub(crate) use relay::run;
