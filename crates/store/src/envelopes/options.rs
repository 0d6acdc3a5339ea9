//! How a store is opened.

use std::time::Duration;

/// Settings of a store. Those of connections are PostgreSQL's only.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Whether opening brings the schema to this version; else an older schema is refused, because somebody else (a
    /// Job of the chart) migrates.
    pub migrate: bool,
    /// Most connections at once.
    pub connections: usize,
    /// How long opening a connection may take, and how long one may be waited for.
    pub connect_timeout: Duration,
    /// How long one statement may take: the server ends it, and one that does not answer is left a little later.
    pub statement_timeout: Duration,
    /// A connection is not used again when it is this old: a pooler or a failover behind the address is then noticed.
    pub max_lifetime: Duration,
    /// A connection is not used again when it has been idle this long.
    pub max_idle: Duration,
    /// Largest SQLite file, in bytes; what would exceed it fails with [`StoreError::Full`](crate::StoreError::Full).
    pub max_bytes: Option<u64>,
}

impl Default for StoreOptions {
    /// Connections as in the Go system's gateway.
    fn default() -> Self {
        Self {
            migrate: true,
            connections: 10,
            connect_timeout: Duration::from_secs(5),
            // Above everything that a healthy database does here, below a client's patience.
            statement_timeout: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(60 * 60),
            max_idle: Duration::from_secs(30 * 60),
            max_bytes: None,
        }
    }
}

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version of the schema before; 0 for an empty database.
    pub from: u32,
    /// The version after.
    pub to: u32,
    /// Whether tables of the Go system were taken over.
    pub adopted: bool,
}
