//! How large a message may be.

/// Largest envelope where the transport sets no lower bound: what most RabbitMQ installations take without tuning.
pub const DEFAULT_MAX_ENVELOPE: usize = 1024 * 1024;
/// Largest reply of a handler, all its items together. Larger than one envelope: a fan-out is one reply.
pub const DEFAULT_MAX_REPLY: usize = 64 * 1024 * 1024;
/// Kept free in every envelope, so that the error wrapper fits where the original did.
pub const ERROR_RESERVE: usize = 16 * 1024;
/// Longest traceback that an error envelope carries; it is cut in the middle.
pub const MAX_TRACEBACK: usize = 8 * 1024;
/// How much of an oversized body the error envelope shows.
pub const EXCERPT: usize = 4 * 1024;

/// The size limits in force for one sidecar, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest message that the transport takes.
    pub max_envelope: usize,
    /// Largest reply of a handler.
    pub max_reply: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_envelope: DEFAULT_MAX_ENVELOPE, max_reply: DEFAULT_MAX_REPLY }
    }
}

impl Limits {
    /// Largest envelope that is published to an ordinary actor: the limit less the reserve for the error wrapper.
    pub fn publishable(&self) -> usize {
        self.max_envelope.saturating_sub(ERROR_RESERVE)
    }
}
