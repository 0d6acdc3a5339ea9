//! Conversations with agents, and operations that wait for approval.
//!
//! | module | holds |
//! |---|---|
//! | [`agents`] | who can be talked with |
//! | [`sessions`] | begin, list, look at, share, delete, cancel |
//! | [`messages`] | say, read, export |
//! | [`events`] | follow one: server-sent events |
//! | [`approvals`] | what waits for approval, and decisions |

pub(super) mod agents;
pub(crate) mod approvals;
pub(super) mod events;
pub(crate) mod messages;
pub(crate) mod sessions;
