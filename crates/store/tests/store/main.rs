//! The gateway's store: one suite, every database.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod ending;
mod support;
