//! The engine that moves envelopes between queues and a handler, and the wiring of the binary `asya-sidecar`.
//!
//! | module | holds |
//! |---|---|
//! | [`engine`] | [`engine::Engine`]: permits -> deliver -> handle -> route -> settle, and the drain |
//! | [`config`] | [`EngineConfig`]: everything an engine is told |
//! | [`retry`] | [`RetryPolicy`]: which failures are tried again, and when |
//! | [`observe`] | [`Observers`], [`Report`]: who is told how the work goes |
//! | [`stats`] | [`Stats`]: counters of one engine |
//! | [`args`], [`settings`] | what the binary is told, as text and as types |
//! | [`web`] | [`web::WebHandler`]: a handler that is an HTTP server in the same pod |
//! | [`wiring`] | from settings to a running sidecar |
//! | `endpoints` | what the probes say, and the drain that `/drain` begins |
//! | [`gateway`] | reports to the gateway |
//! | [`failure`] | the codes of the engine's own refusals |
//! | [`cancelled`] | [`Cancelled`]: envelopes that need not go on |
//! | `arrival` | what is checked before a handler sees an envelope |
//! | `budget` | what an envelope may use up |
//! | `claim` | large payloads, redeemed before a handler and checked in after it |
//! | `work` | one delivery: join, check, handle, resolve |
//! | `handle` | one run of the handler, generators included |
//! | `end` | end actors, which record and never route |
//! | `route` | from a handler's answer to messages; pure |
//! | `settle` | carrying a resolution out, whatever the transport answers |
//! | `runs` | runs that a redelivered copy joins |
//! | `permits`, `credit` | how many messages may be in hand |
//!
//! The invariant of this crate: **a delivery leaves the engine by exactly one outcome, chosen after everything that
//! follows from it is known.** Whatever is decided, the transport confirms the successors before the delivery is gone.

mod approved;
pub mod args;
mod arrival;
mod budget;
pub mod cancelled;
mod claim;
pub mod config;
mod credit;
mod end;
mod endpoints;
pub mod engine;
pub mod failure;
pub mod gateway;
mod handle;
pub mod observe;
mod permits;
pub mod retry;
mod route;
mod runs;
pub mod settings;
mod settle;
mod shared;
pub mod stats;
pub mod web;
pub mod wiring;
mod work;

pub use cancelled::Cancelled;
pub use config::{EngineConfig, Job};
pub use engine::{Ended, Engine, EngineError, Means};
pub use observe::{Child, Ends, Final, Observers, Report, Status};
pub use retry::RetryPolicy;
pub use stats::Stats;
