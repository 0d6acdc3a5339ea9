//! What travels: the envelope, its route, headers, ids and limits. Parsing and encoding only, no I/O.
//!
//! | module | holds |
//! |---|---|
//! | [`raw`] | [`Raw`]: one JSON value exactly as it stood in the message |
//! | [`name`] | [`ActorName`], [`Queue`], [`Naming`]: who is addressed, and on which queue |
//! | [`route`] | [`Route`]: the actors an envelope visits and where it is |
//! | [`glob`] | patterns of actor names |
//! | [`headers`] | [`Headers`], and the names that belong to the platform |
//! | [`budget`] | [`Budget`], [`Spent`]: what an envelope may use up, and what it has |
//! | [`approved`] | [`Approved`]: that it may do what it is about to |
//! | [`envelope`] | [`Envelope`]: parse and encode |
//! | [`lineage`] | ids of fan-out children |
//! | [`deadline`] | [`Deadline`]: until when an envelope is worth handling |
//! | [`limits`] | [`Limits`]: how large a message may be |
//! | [`original`] | what failed, back from the envelope that `error-end` received |
//! | [`report`] | [`ErrorReport`] and the envelope that `error-end` receives |
//!
//! The invariant of this crate: **what the runtime does not understand, it does not change.** A payload, a header or
//! an unknown field leaves with the bytes it came with; numbers such as `1.0`, `1e400` or 20-digit integers are never
//! read as numbers.

pub mod approved;
pub mod budget;
pub mod deadline;
pub mod envelope;
pub mod glob;
pub mod headers;
pub mod limits;
pub mod lineage;
pub mod name;
pub mod original;
pub mod raw;
pub mod report;
pub mod route;

pub use approved::Approved;
pub use budget::{Budget, Spent};
pub use deadline::Deadline;
pub use envelope::{Envelope, ParseError};
pub use headers::Headers;
pub use limits::Limits;
pub use name::{ActorName, NameError, Naming, Queue};
pub use raw::Raw;
pub use report::{ErrorReport, Wrapped};
pub use route::Route;
