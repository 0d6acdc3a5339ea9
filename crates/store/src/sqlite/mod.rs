//! State in SQLite files: one machine, several processes.
//!
//! | module | holds |
//! |---|---|
//! | `records` | records in any file, the queue file too, and [`SqliteStore`]: a file of records alone |
//! | `database` | the gateway's file: one writing thread with group commit, a few readers |
//! | `session` | statements of `envelopes` on one connection |
//! | `schema` | tables and migrations |

#[cfg(feature = "envelopes")]
pub(crate) mod database;
mod records;
#[cfg(feature = "envelopes")]
mod schema;
#[cfg(feature = "envelopes")]
mod session;
#[cfg(feature = "envelopes")]
mod writer;

pub use records::{SqliteStore, apply, create, get, list, use_write_ahead_log};
