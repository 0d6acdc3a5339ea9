//! The engine on the local transport, with a handler that does as each test says.

#![allow(
    clippy::unwrap_used,
    reason = "a test may panic; the lint knows only test functions, not their helpers"
)]

mod bad_input;
mod budget;
mod claim;
mod drain;
mod ends;
mod family;
mod fan_out;
mod faults;
mod job;
mod lost;
mod picky;
mod reports;
mod retry;
mod rig;
mod routing;
