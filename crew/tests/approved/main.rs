//! Proposed, decided and carried out: the actors `approval` and `k8s-write` with the gateway's own desk, and changes of a
//! real API server.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod approval;
mod once;
mod support;
mod verbs;
