//! Where the runtime is and what the sidecar takes from it.

use std::path::PathBuf;

use asya_envelope::limits::DEFAULT_MAX_REPLY;

use crate::budget::Budget;

/// The socket that runtimes listen on, in the socket directory.
pub const SOCKET_NAME: &str = "asya-runtime.sock";
/// The file that says that every worker has loaded the handler.
pub const READY_NAME: &str = "runtime-ready";
/// The socket directory of pods.
pub const DEFAULT_DIRECTORY: &str = "/var/run/asya";

/// Settings of a [`super::SocketHandler`].
#[derive(Clone, Debug)]
pub struct SocketConfig {
    /// The directory with the runtime's sockets.
    pub directory: PathBuf,
    /// The actor's name, for the runtime's logs.
    pub actor: String,
    /// Largest reply to one request in bytes, all its frames together.
    pub max_reply: usize,
    /// Memory for replies; a large one is left in the socket until it fits. `None` = only `max_reply` bounds it.
    pub budget: Option<Budget>,
}

impl SocketConfig {
    /// The default limits.
    pub fn new(directory: impl Into<PathBuf>, actor: impl Into<String>) -> Self {
        Self { directory: directory.into(), actor: actor.into(), max_reply: DEFAULT_MAX_REPLY, budget: None }
    }
}
