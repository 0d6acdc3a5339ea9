//! The engine that moves envelopes between queues and a handler, and the wiring of the binary `asya-sidecar`.
//!
//! | module | holds |
//! |---|---|
//! | [`engine`] | [`engine::Engine`]: permits -> deliver -> handle -> route -> settle, and the drain |
//! | [`config`] | [`EngineConfig`]: everything an engine is told |
//! | [`retry`] | [`RetryPolicy`]: which failures are tried again, and when |
//! | [`observe`] | [`Observers`], [`Report`]: who is told how the work goes |
//! | [`stats`] | [`Stats`]: counters of one engine |
//!
//! The invariant of this crate: **a delivery leaves the engine by exactly one outcome, chosen after everything that
//! follows from it is known.** Whatever is decided, the transport confirms the successors before the delivery is gone.

pub mod config;
pub mod engine;
pub mod observe;
pub mod retry;
pub mod stats;

pub use config::EngineConfig;
pub use engine::{Engine, EngineError};
pub use observe::{Observers, Report, Status};
pub use retry::RetryPolicy;
pub use stats::Stats;
