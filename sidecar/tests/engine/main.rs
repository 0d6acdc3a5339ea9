//! The engine on the local transport, with a handler that does as each test says.

mod bad_input;
mod drain;
mod ends;
mod fan_out;
mod faults;
mod lost;
mod retry;
mod rig;
mod routing;
