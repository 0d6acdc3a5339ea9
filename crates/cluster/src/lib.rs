//! Reading a Kubernetes cluster for the analyzers: no more than they ask for, and without taking a refusal for an absence.
//!
//! | module | holds |
//! |---|---|
//! | [`api`] | [`Api`]: one question to the API server, with its retries, and [`Refusal`]: why there is no answer |
//! | [`catalogue`] | [`Catalogue`]: which kinds the cluster serves, in which version, under which path |
//! | [`lease`] | [`lease::Candidate`]: which of several replicas acts |
//! | [`list`] | whole lists by pages |
//! | [`fetch`] | [`Fetch`]: what is read at once, and how the questions of analyzers become few of these |
//! | [`collect`] | [`Collector`]: reads what the analyzers look at, and then what they ask for, until they ask no more |
//! | [`scope`] | [`Scope`]: which namespaces are meant |
//! | [`fence`] | [`Fence`]: what may be read, and for whom |
//! | [`namespaces`] | [`Namespaces`](namespaces::Namespaces): which may be touched at all |
//! | [`review`] | [`Person`](review::Person): whether somebody may do something, as the API server says |
//! | [`look`] | bounded looks for models, without what looks like a secret |
//! | [`table`] | lists as `kubectl get` shows them, a page at a time |
//! | [`watch`] | [`Watch`]: a cluster kept in memory and looked at whenever something of it changes |
//! | [`report`] | everything that one look found, sorted and counted, and as JSON |
//! | [`rights`] | which rights were missing, and the commands that give them |
//! | [`fields`] | what the API server's own documentation says of a field |
//!
//! The invariant: **whatever could not be read is told to the analyzers as unverified, with the reason**: an answer 403 is
//! a missing right, a kind that the discovery does not list is not installed, everything else has failed.

pub mod api;
pub mod catalogue;
pub mod collect;
pub mod fence;
pub mod fetch;
pub mod fields;
pub mod lease;
pub mod list;
pub mod look;
pub mod namespaces;
pub mod report;
pub mod review;
pub mod rights;
pub mod scope;
pub mod table;
pub mod watch;

pub use api::{Api, Patience, Refusal, introduce};
pub use catalogue::{Catalogue, Served};
pub use collect::{Collected, Collector, Progress, Unread};
pub use fence::Fence;
pub use fetch::Fetch;
pub use fields::Fields;
pub use rights::Rights;
pub use scope::Scope;
pub use watch::{Pass, Watch, WatchOptions};
