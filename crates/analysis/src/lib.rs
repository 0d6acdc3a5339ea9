//! What is broken in a Kubernetes cluster: analyzers as pure functions over an object and what it depends on.
//!
//! | module | holds |
//! |---|---|
//! | [`kind`] | [`GroupKind`]: a kind without its version |
//! | [`object`] | [`Object`], as the API server tells it but without secrets, and [`ObjectRef`] |
//! | [`view`] | [`View`]: what an analyzer may ask about the rest of the cluster |
//! | [`inventory`] | [`Inventory`]: a view of objects in memory |
//! | [`snapshot`] | [`Recorder`] and [`Snapshot`]: what one evaluation read, to be repeated elsewhere |
//! | [`extent`] | [`Extent`]: which objects are looked at |
//! | [`failure`] | [`Failure`], its [`Severity`] and its [`Evidence`] |
//! | [`report`] | [`Report`]: what an analyzer found, and what it could not verify |
//! | [`analyzer`] | [`Analyzer`], the seam, and [`Selection`]: which of them run |
//! | [`analyzers`] | the analyzers, a file each |
//! | [`rights`] | which kinds a watcher must be allowed to list |
//! | [`rules`] | the analyzer of any other kind, by rules as data |
//! | [`custom`] | analyzers that are not of this crate: how their findings are called, and what they answer |
//! | [`evaluate`](mod@evaluate) | one object through all its analyzers: [`evaluate()`](evaluate::evaluate) gives an [`Evaluation`] |
//! | [`citable`](mod@citable) | what an explanation may cite of a finding, and under which names |
//! | [`finding`] | [`Finding`]: what is wrong with one object, until it is healed |
//! | [`live`] | [`Live`]: which objects of a kind there are, a page at a time |
//! | [`message`] | what the actors of the analysis send each other |
//! | [`planner`] | [`Planner`]: which objects must be looked at when something changed |
//! | [`record`] | [`Kept`](record::Kept): what is kept of findings, and under which names |
//! | `shown` | an object as whoever asks may see it: [`Object::shown`] |
//! | [`deletion`] | deletions that are stuck, and what holds them |
//! | [`event`], [`owner`], [`reference`](mod@reference), [`selector`] | what many analyzers need: latest events, the owner at the top, which objects name which, label selectors |
//! | [`log_line`], [`scrub`](mod@scrub) | which lines of a log tell of an error; what looks like a secret goes out of them |
//! | [`schedule`] | cron schedules as the CronJob controller reads them |
//!
//! The invariants of this crate: **what could not be read is never reported as missing** (it is a doubt, and a finding
//! that stands in doubt keeps its last state), and **the same object with the same view gives the same report**.

pub mod analyzer;
pub mod analyzers;
mod blank;
pub mod citable;
pub mod custom;
pub mod deletion;
pub mod evaluate;
pub mod event;
pub mod extent;
pub mod failure;
pub mod finding;
pub mod inventory;
mod kept;
pub mod kind;
pub mod live;
pub mod log_line;
pub mod message;
pub mod object;
pub mod owner;
pub mod planner;
pub mod record;
pub mod reference;
pub mod report;
pub mod rights;
pub mod rules;
pub mod schedule;
pub mod scrub;
pub mod selector;
mod shown;
pub mod snapshot;
pub mod view;

pub use analyzer::{Analyzer, NameTaken, Selection, UnknownAnalyzer};
pub use citable::{Citable, citable};
pub use evaluate::{Evaluation, evaluate};
pub use extent::Extent;
pub use failure::{Evidence, Failure, Severity};
pub use finding::{Change, Finding, Lifecycle, Observation, Sequence};
pub use inventory::Inventory;
pub use kind::GroupKind;
pub use live::Live;
pub use object::{Malformed, Object, ObjectRef};
pub use planner::{Looked, Planner, Step};
pub use report::{Doubt, Report};
pub use selector::{NoSelector, Selector};
pub use snapshot::{Recorder, Snapshot};
pub use view::{LogTail, Lookup, Read, Typed, Unverified, View};
