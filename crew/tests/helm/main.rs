//! Releases of Helm on a real API server: looked at, changed by approval only, at most once; by helm 3 and helm 4.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod charts;
mod lifecycle;
mod refusals;
// The gateway and its turns are those of the other tool that asks.
#[allow(dead_code, reason = "the other tool's tests use more of it")]
#[path = "../approved/support.rs"]
mod support;
mod twice;
mod world;
