//! The state seam: what is kept between envelopes, besides the queues.
//!
//! | module | holds |
//! |---|---|
//! | [`record`] | [`Store`]: records under keys, for actors |
//! | [`due`] | a deadline of a record, as a record |
//! | [`error`] | [`StoreError`]: decisions for the caller |
//! | `envelopes` | `EnvelopeStore`: the gateway's envelopes, outbox, dead letters and audit log |
//! | `chat` | on the same store: conversations with agents, and operations that wait for approval |
//! | `sqlite`, `postgres` | the two siblings, one machine and a cluster |
//! | `testing` | a database of its own for each test |
//!
//! A [`Record`] lives in a named table under a key and has a version that goes up by one with each write. Actors read
//! with [`Store::get`] and [`Store::list`], decide, and hand their [`Write`]s over together with the envelopes they
//! send. A write may carry the version it was decided on ([`Expect`]); if the record has moved on meanwhile, nothing of
//! the whole set is written and the delivery is handled again.
//!
//! The invariant of this crate: **a set of writes happens entirely or not at all.** On the local transport the set is
//! part of the transaction that settles the delivery. Of the gateway's envelopes it keeps one more: **an envelope that
//! has ended stays as it ended.**

#[cfg(feature = "envelopes")]
pub mod chat;
pub mod due;
#[cfg(feature = "envelopes")]
pub mod envelopes;
pub mod error;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod record;
#[cfg(feature = "envelopes")]
mod session;
#[cfg(feature = "sqlite")]
pub mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;

#[cfg(feature = "envelopes")]
pub use envelopes::{EnvelopeStore, StoreOptions};
pub use error::StoreError;
pub use record::{Expect, Record, Store, Write};
