//! Logging, metric names, trace propagation, health and metrics endpoints.
//!
//! | module | holds |
//! |---|---|
//! | [`log`] | how log lines look and which are written |
//! | [`names`] | every metric's name, labels and meaning, in one table |
//! | [`gateway`], [`operator`], [`analysis`] | the same of the gateway, of the operator, and of analyses |
//! | [`metrics`] | [`Metrics`], [`ActorMetrics`]: the metrics of one process, and one actor's share of them |
//! | [`payloads`] | counters of large payloads, for actors and the gateway |
//! | [`custom`] | metrics that an operator declares by `ASYA_CUSTOM_METRICS` |
//! | [`server`] | `/metrics`, `/healthz`, `/readyz`, `/health` |
//! | [`trace`] | W3C trace context, continued from hop to hop |
//! | `otlp` | export of spans, behind the feature `otlp` |
//!
//! The invariant of this crate: **nothing here can delay an envelope.** Recording is a few atomic operations; what must
//! go over the network waits in a bounded queue and is thrown away when the queue is full.

pub mod analysis;
pub mod custom;
pub mod gateway;
pub mod log;
pub mod metrics;
pub mod names;
pub mod operator;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod payloads;
pub mod server;
pub mod trace;

pub use metrics::{ActorMetrics, Metrics};
pub use trace::TraceContext;
