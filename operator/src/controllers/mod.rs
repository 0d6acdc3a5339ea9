//! The API server's side: one controller per kind, and the only talk with the API server.

pub mod apply;
pub mod cache;
pub mod crds;
pub mod finalizers;
pub mod live;
pub mod watch;
pub mod work;
