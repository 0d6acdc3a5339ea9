//! The gateway's store: one suite, every database.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod adoption;
mod children;
mod conversations;
mod decisions;
mod ending;
mod faults;
mod finding;
mod keeping;
mod operations;
mod outbox;
mod progress;
mod scale;
mod support;
mod talk;
mod turn_ends;
mod turns;
mod watching;
