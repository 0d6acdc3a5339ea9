//! What happens to the operator when its surroundings fail. One test at a time: they share the servers they break.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
