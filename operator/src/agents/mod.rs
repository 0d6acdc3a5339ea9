//! An `Agent` becomes an `AsyncActor`, and an entry for the gateways of its namespace. Part of the operator itself: nothing
//! here needs a right that is not about agents and actors.
//!
//! | module | holds |
//! |---|---|
//! | [`subject`] | [`Subject`](subject::Subject): one `Agent`, read |
//! | [`known`], [`watch`] | what is known of the cluster, kept up to date |
//! | [`sources`] | the ConfigMaps and Secrets that agents name; nobody tells of them, so they are read |
//! | [`status`] | pure: what was observed becomes the status |
//! | [`reconcile`] | one look at one `Agent` |
//! | [`registry`] | the ConfigMap that tells gateways which agents a namespace has |
//! | [`report`] | status and Events |
//! | [`run`] | how all of it is started and stopped |
//!
//! The invariant: **an agent that is granted more than it may have has no actor; what is missing for a while takes nothing
//! away; and while nothing changes nothing is written.**

pub mod known;
pub mod reconcile;
pub mod registry;
pub mod report;
pub mod run;
pub mod sources;
pub mod status;
pub mod subject;
pub mod watch;

/// Field manager of what is applied here, and of the status. Another than that of actors: an apply of an actor's spec would
/// else take away the finalizer that the same manager set.
pub const FIELD_MANAGER: &str = "asya-agents";
/// Label of the ConfigMaps that hold the entries of a namespace.
pub const REGISTRY_LABEL: &str = "agents.asya.sh/registry";
