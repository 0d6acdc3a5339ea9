//! Why a store did not do as asked.

/// Decisions for the caller. Nothing of the operation that failed was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A record had moved on: read again, decide again.
    #[error("record {table}/{key} was changed by someone else")]
    Conflict {
        /// The table of the record.
        table: String,
        /// The key of the record.
        key: String,
    },
    /// The store cannot be reached or is broken; a later try may succeed.
    #[error("store is unavailable: {0}")]
    Unavailable(String),
    /// Others held what it needed, in another order, and it gave way; the same again usually succeeds.
    #[error("store was contended: {0}")]
    Contended(String),
    /// There is no room for what was to be written; it may succeed once there is. Reading still works.
    #[error("store is full: {0}")]
    Full(String),
    /// Wrong as it stands (a URL, a schema of a newer version, an argument): no later try can succeed.
    #[error("store refuses: {0}")]
    Refused(String),
}
