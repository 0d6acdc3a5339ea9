//! Metrics of one process.

/// Metrics of one process, shared by all its engines.
#[derive(Debug, Default)]
pub struct Metrics {}
