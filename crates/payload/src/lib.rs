//! Claim check: a payload above a threshold is kept in a store beside the queues, and the envelope carries a reference.
//!
//! | module | holds |
//! |---|---|
//! | [`reference`] | [`Reference`]: what an envelope carries instead of its payload, and who may |
//! | [`claims`] | [`Claims`]: checking payloads in and redeeming them |
//! | [`settings`] | which store, from the settings of a program |
//! | [`store`] | [`PayloadStore`], the seam, and [`store::open`] by address |
//! | `directory` | payloads as files |
//! | `objects` | payloads as objects (feature `objects`) |
//! | [`sweep`] | removing what is older than its lifetime |
//!
//! The invariant of this crate: **a reference gives back the very bytes that were checked in, to the envelope that they
//! belong to or to its children, or it gives back an error.**

pub mod claims;
mod directory;
#[cfg(feature = "objects")]
mod objects;
pub mod reference;
pub mod settings;
pub mod store;
pub mod sweep;

pub use claims::{ClaimError, Claims, Event, Options};
pub use reference::Reference;
pub use store::{PayloadStore, Swept};
