//! The Kubernetes cluster that a command works on.
//!
//! | module | holds |
//! |---|---|
//! | [`args`] | `--context`, `--namespace`, `--kubeconfig`, and connecting with them |
//! | [`client`] | [`Cluster`]: reading and writing objects as JSON |
//! | [`error`] | [`ClusterError`]: what went wrong, in sentences that say what to do |
//! | [`resource`] | the resources that commands know |
//! | [`actor`] | [`Actor`]: one AsyncActor as it is stored |
//! | [`operator`] | finding the operator's Deployment |
//!
//! The invariant: **no command waits longer than [`PATIENCE`] for one answer of the API server, and every refusal names
//! the right that is missing.**

pub(crate) mod actor;
pub(crate) mod args;
pub(crate) mod client;
pub(crate) mod error;
pub(crate) mod operator;
pub(crate) mod resource;

use std::time::Duration;

pub(crate) use actor::Actor;
pub(crate) use args::ClusterArgs;
pub(crate) use client::Cluster;
pub(crate) use error::ClusterError;
pub(crate) use operator::{Operator, find as find_operator};
pub(crate) use resource::Resource;

/// How long an API server may take to let us in: longer is a wrong address or a missing VPN.
pub(crate) const REACHABLE: Duration = Duration::from_secs(5);
/// How long one answer may take: the API server itself gives up after a minute.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
