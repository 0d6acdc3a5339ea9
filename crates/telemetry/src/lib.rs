//! Logging, metric names, trace propagation, health and metrics endpoints.

pub mod metrics;

pub use metrics::Metrics;
