//! Settings of an actor written in Rust.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::frame::DEFAULT_CAP;

/// Requests that run at the same time unless the actor says otherwise: enough to hide one network round trip each.
const DEFAULT_CONCURRENCY: usize = 64;
/// Grace period of a pod unless it says otherwise.
const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// The sidecar's container has another user.
const DEFAULT_SOCKET_MODE: u32 = 0o666;

/// Settings of [`super::serve`].
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Requests that run at the same time, at least 1.
    pub concurrency: usize,
    /// Largest frame that is read, in bytes.
    pub max_frame: usize,
    /// Time between SIGTERM and the end; serving stops 2 s before it at the latest.
    pub grace: Duration,
    /// Permissions of the sockets.
    pub socket_mode: u32,
    /// Asks for a graceful stop, beside SIGTERM and SIGINT.
    pub stop: CancellationToken,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            concurrency: DEFAULT_CONCURRENCY,
            max_frame: DEFAULT_CAP,
            grace: DEFAULT_GRACE,
            socket_mode: DEFAULT_SOCKET_MODE,
            stop: CancellationToken::new(),
        }
    }
}
