//! The binary `asya-gateway` as an operator starts it.
#![allow(
    clippy::unwrap_used,
    reason = "a test may panic; the lint knows only test functions, not their helpers"
)]

mod chat;
mod dead_queues;
mod faults;
mod kills;
mod large;
mod replicas;
mod start;
mod support;
mod ws;
