//! `asya-operator analysis`: a `K8sGPT` becomes the actors that watch a cluster, and its status says how they do.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | what this process is told besides what every operator is |
//! | [`subject`] | [`Subject`](subject::Subject): one `K8sGPT`, read |
//! | [`desired`] | pure: the actors, accounts and rights that it needs |
//! | [`status`] | pure: what was observed becomes its status |
//! | [`tally`] | its Results, counted |
//! | [`known`], [`watch`] | what is known of the cluster, kept up to date |
//! | [`reconcile`] | one look at one `K8sGPT` |
//! | [`objects`] | what it owns: applied, and deleted when it is wanted no more |
//! | [`remote`] | somebody's kubeconfig, of which the harmless parts are used |
//! | [`another`] | the original operator, which must not act beside this one |
//! | [`report`] | status and Events |
//! | [`metrics`] | what is counted |
//! | [`run`] | how all of it is started and stopped |
//!
//! The invariant: **where another operator acts, or something that is needed is missing, nothing that is there is taken
//! away; and while nothing changes nothing is written.**

pub mod another;
pub mod config;
pub mod desired;
pub mod known;
pub mod metrics;
pub mod objects;
pub mod reconcile;
pub mod remote;
pub mod report;
pub mod run;
pub mod status;
pub mod subject;
pub mod tally;
pub mod watch;

/// Field manager of what is applied here, and of the status.
pub const FIELD_MANAGER: &str = "asya-analysis";
/// Name of the Lease of the replica that acts.
pub const LEASE: &str = "asya-analysis.asya.sh";
/// Label of every object of a `K8sGPT`, with its name (or, where that is too long for a label, the beginning and a hash).
pub const LABEL: &str = "analysis.asya.sh/k8sgpt";
/// Label of those in other namespaces or in none: the namespace of the `K8sGPT`.
pub const NAMESPACE_LABEL: &str = "analysis.asya.sh/namespace";
