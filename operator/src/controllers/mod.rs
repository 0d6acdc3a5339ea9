//! The API server's side: one controller per kind, and the only talk with the API server.

pub mod cache;
pub mod live;
pub mod watch;
pub mod work;
