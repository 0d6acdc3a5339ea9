//! State in PostgreSQL: a cluster, several replicas.
//!
//! | module | holds |
//! |---|---|
//! | `database` | the pool of connections, and the records |
//! | `session` | statements of `envelopes` in one transaction |
//! | `schema` | tables and migrations; takes over tables of the Go system |
//! | `notify` | telling other replicas which envelopes changed |
//! | `address` | what the URL says |
//! | `tls` | rustls, with the meaning that PostgreSQL's own clients give to `sslmode` |

mod address;
pub(crate) mod database;
mod notify;
mod schema;
mod session;
mod tls;

use std::error::Error as _;

use tokio_postgres::error::SqlState;

use crate::StoreError;

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let words = words(&error);
        match error.code() {
            Some(&SqlState::DISK_FULL | &SqlState::OUT_OF_MEMORY) => Self::Full(words),
            Some(&SqlState::T_R_DEADLOCK_DETECTED | &SqlState::T_R_SERIALIZATION_FAILURE) => {
                Self::Contended(words)
            }
            // The statement's values can never be stored: too large for an index, not text.
            Some(
                &SqlState::PROGRAM_LIMIT_EXCEEDED
                | &SqlState::CHARACTER_NOT_IN_REPERTOIRE
                | &SqlState::UNTRANSLATABLE_CHARACTER
                | &SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            ) => Self::Refused(words),
            _ => Self::Unavailable(words),
        }
    }
}

/// What the server said; the client's own words are "db error" there.
fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{}: {}", said.severity(), said.message()),
        None => match error.source() {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
