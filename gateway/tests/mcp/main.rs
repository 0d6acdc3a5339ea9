//! The Model Context Protocol as clients speak it: the official SDK's client over a real connection, and by hand what
//! no client would send.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod calls;
mod faults;
mod looking;
mod reading;
mod replicas;
mod support;
