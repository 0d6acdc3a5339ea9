//! Conversations with agents, on the gateway's store.
//!
//! | module | holds |
//! |---|---|
//! | [`sessions`] | [`NewSession`]; a conversation's row |
//! | [`list`] | [`SessionFilter`], [`SessionPage`] |
//! | [`entries`] | what was said and done, in order |
//! | [`say`] | [`Said`], [`Turn`], [`Spoken`]: a person speaks, and an envelope carries the turn |
//! | [`append`] | [`Appended`]: an actor writes down what it did |
//! | `over` | the end of an envelope whose turn has not ended |
//! | [`operations`] | changes that are proposed, decided and carried out once |
//! | [`watch`] | [`Watch`]: that something happened in a session |
//! | [`audited`] | names of the audit log's actions |
//!
//! The invariants of this module: **a session has at most one envelope, which alone may append and propose; an entry
//! never changes; what a person said is an entry with an envelope, or waits, and is never neither.** Whatever changes
//! several rows takes them in one order: envelope, session, operation.

pub mod append;
pub mod audited;
pub mod entries;
pub mod list;
pub mod operations;
pub(crate) mod over;
pub mod say;
pub mod sessions;
pub mod watch;

pub use append::Appended;
pub use list::{SessionFilter, SessionPage};
pub use operations::{
    Claiming, Decided, OperationFilter, OperationPage, Proposed, Recorded, Renew, Renewed, Ruling,
};
pub use say::{Begin, Heard, Said, Spoken, Turn};
pub use sessions::{Deleted, NewSession};
pub use watch::Watch;
