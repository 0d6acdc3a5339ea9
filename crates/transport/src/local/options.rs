//! What can be chosen about a queue file.

use std::time::Duration;

use asya_envelope::limits::DEFAULT_MAX_ENVELOPE;

/// Long enough that a renewal every third of it is not noticed, short enough that work of a killed process is picked
/// up while someone watches.
pub const DEFAULT_LEASE: Duration = Duration::from_secs(30);
/// A writer of another process holds the file for milliseconds; longer than this means that something is wrong.
pub const DEFAULT_BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// When SQLite makes a commit durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Synchronous {
    /// A commit survives the end of the process, SIGKILL included; a power failure may take the last ones.
    #[default]
    Normal,
    /// A commit survives a power failure, at the price of a disk flush for each.
    Full,
}

/// How a queue file is used.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// How long a message stays with its holder after the last renewal; renewed by itself while the delivery lives.
    pub lease: Duration,
    /// When a commit is durable.
    pub synchronous: Synchronous,
    /// Largest message in bytes.
    pub max_message: usize,
    /// How long to wait for a writer of another process.
    pub busy_timeout: Duration,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            lease: DEFAULT_LEASE,
            synchronous: Synchronous::default(),
            max_message: DEFAULT_MAX_ENVELOPE,
            busy_timeout: DEFAULT_BUSY_TIMEOUT,
        }
    }
}
