//! The gateway's store: one suite, every database.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod adoption;
mod children;
mod ending;
mod faults;
mod finding;
mod keeping;
mod outbox;
mod progress;
mod scale;
mod support;
mod watching;
