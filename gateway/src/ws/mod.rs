//! `/ws/`: conversations with agents over a WebSocket, in one of two forms.
//!
//! | module | holds |
//! |---|---|
//! | [`door`] | who is let in, and which form is spoken |
//! | [`tickets`] | tickets, for those who can send no header |
//! | [`seats`] | how many sockets one person may have |
//! | `line` | one connection, until it ends: what both forms share |
//! | `talk` | what somebody does over it |
//! | `v1` | `asya.v1`: everything, with the shapes of `/api/v1` |
//! | `reference` | `asya.v0`: the messages of ThothScript |
//!
//! The invariants: **a socket holds nothing of a conversation**, so that another one, at any replica, goes on where it broke; and
//! **each connection is a task of its own that waits for its own reader alone**: nothing is queued for one that does not
//! read, and nothing that is said in one ends another.

pub mod door;
mod line;
mod reference;
pub mod seats;
mod talk;
#[cfg(test)]
mod tests;
pub mod tickets;
mod v1;

use std::sync::Arc;

use axum::{Router, middleware::from_fn_with_state, routing::get};

use crate::{
    auth::Auth,
    rest::{api::Pace, guard::Guard},
    service::Service,
};

/// What sockets share.
#[derive(Debug)]
pub struct Ws {
    /// The use cases.
    pub service: Service,
    /// Who may come.
    pub auth: Arc<Auth>,
    /// What is counted, and how many there may be.
    pub guard: Arc<Guard>,
    /// How patient they are.
    pub pace: Pace,
}

/// The route.
pub fn router(ws: Ws) -> Router {
    let ws = Arc::new(ws);
    Router::new()
        .route("/ws/", get(door::open))
        .route("/ws", get(door::open))
        .route_layer(from_fn_with_state(Arc::clone(&ws), door::enter))
        .with_state(ws)
}
