//! The gateway's store: envelopes with their progress, an outbox, dead letters and an audit log.
//!
//! | module | holds |
//! |---|---|
//! | [`create`] | [`NewEnvelope`], [`NewChild`]: creation and its outbox entry in one transaction |
//! | [`children`] | [`Offspring`]: families of fan-outs, and the envelope that waits for its children |
//! | [`tracked`] | [`Tracked`], [`Summary`]: an envelope as it is followed |
//! | [`status`] | [`Status`]: its states |
//! | [`progress`] | [`Report`]: what a sidecar says, and the arithmetic of progress |
//! | [`ending`] | [`Ending`], cancellation, the sweep of deadlines: how it ends, once |
//! | [`update`] | [`Update`]: the log, with numbers |
//! | [`follow`] | [`Follow`]: history and live updates without a gap |
//! | [`hub`] | [`Changes`]: that something changed |
//! | `handled` | how much actors do |
//! | [`list`] | [`Filter`], [`Page`], [`Cursor`], [`Counts`] |
//! | [`outbox`] | [`Claimed`]: what is to be published |
//! | [`dead`] | [`DeadLetter`], [`DeadPage`], [`DeadGroup`] |
//! | [`audit`] | [`AuditEntry`] |
//! | [`retention`] | [`Retention`]: what is deleted |
//! | [`bounds`] | how long ids, names and texts may be |
//! | [`options`] | [`StoreOptions`] |
//!
//! Everything that decides is a function over a session, a transaction of either database: there is one set of rules,
//! and the two siblings differ in how statements reach them. All times come from the caller.
//!
//! The invariant of this module: **status, percentage and position only go forward, and an envelope that has ended
//! stays as it ended.** Whatever changes an envelope holds its row first.

pub mod audit;
pub mod bounds;
pub mod children;
pub mod create;
pub mod dead;
pub mod ending;
pub mod follow;
mod handled;
pub mod hub;
pub mod list;
pub mod options;
pub mod outbox;
pub mod progress;
pub mod retention;
pub mod status;
mod store;
pub mod tracked;
pub mod update;

pub use audit::{AuditEntry, AuditFilter};
pub use bounds::MAX_ID;
pub use children::{Offspring, Within};
pub use create::{Creation, NewChild, NewEnvelope, Publish};
pub use dead::{DeadFilter, DeadGroup, DeadLetter, DeadPage, Settling};
pub use ending::{Cancelled, Ended, Ending, codes};
pub use follow::Follow;
pub use hub::{Change, Changes};
pub use list::{Counts, Cursor, Filter, MAX_PAGE, Page};
pub use options::{Migrated, StoreOptions};
pub use outbox::{Claimed, OutboxDepth};
pub use progress::{Report, Reported, Step};
pub use retention::{Purged, Retention};
pub use status::Status;
pub use store::EnvelopeStore;
pub use tracked::{Summary, Tracked};
pub use update::Update;
