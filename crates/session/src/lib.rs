//! Conversations with agents, and the operations of theirs that wait for somebody's approval: how they are written down
//! and sent. No I/O.
//!
//! | module | holds |
//! |---|---|
//! | [`session`] | [`Session`]: one conversation, and how it is |
//! | [`entry`] | [`Entry`]: one thing that was said or done in it, chained by hashes |
//! | [`operation`] | [`Operation`]: a change that is proposed, decided and carried out once |
//! | [`desk`] | what actors ask of the gateway, and its answers |
//! | [`hash`] | hashes of JSON that do not depend on the order of keys |
//!
//! The invariant: **an entry never changes, and says by its hash what came before it.** Whoever appends names the hash that
//! it has seen; one that is not the last is a repeat, or somebody was faster.

pub mod desk;
pub mod entry;
pub mod hash;
pub mod operation;
pub mod session;

pub use entry::{Body, Call, Entry, Options, Place, Usage};
pub use operation::{Decision, Operation, Outcome, Phase, Proposal, Review, Risk, Verdict};
pub use session::{Session, State};
