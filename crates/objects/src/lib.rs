//! Object stores: S3 and what speaks it, a directory, Google Cloud Storage, Azure.
//!
//! | module | holds |
//! |---|---|
//! | [`place`] | [`Place`]: which store, and how it is opened |
//! | `connect` | the HTTP client that stores are spoken to with |
//!
//! The invariant of this crate: **every store is spoken to by our own connector**, so that one TLS stack and one list of
//! trusted certificates count, whatever the cloud.

mod connect;
pub mod place;

pub use place::{Bucket, Opened, Place, PlaceError, S3};

/// An error with its causes, as one sentence.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
