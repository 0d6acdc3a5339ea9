//! HTTP: how use cases are reached and how refusals look. No logic lives here.
//!
//! | module | holds |
//! |---|---|
//! | [`api`] | `/api/v1`: everything, for programs |
//! | [`contract`] | the routes of the Go system, with their bodies and status codes |
//! | [`internal`] | `/internal/v1`: what actors ask in a person's name |
//! | [`guard`] | what every request passes: bounds, origins, metrics, the end of streams |
//! | [`shapes`] | what the contract's routes answer, for their description |
//! | [`stream`] | the updates of an envelope as server-sent events |
//! | [`body`] | bodies, bounded; those and ids of the contract's routes |
//! | [`problem`] | refusals: plain text as the Go system's, or problem+json |
//! | [`traces`] | spans of requests |
//! | [`wire`] | JSON shapes of records, updates and reports |
//!
//! Routers take who acts ([`Principal`](crate::auth::Principal)) and which sidecar reports
//! ([`Reporter`](crate::service::Reporter)) from the request's extensions: authentication is a layer around them, and
//! a request that went through none is refused.

pub mod api;
pub mod body;
pub mod contract;
pub mod guard;
pub mod internal;
pub mod problem;
pub mod shapes;
pub mod stream;
#[cfg(test)]
mod tests;
pub mod traces;
pub mod wire;
