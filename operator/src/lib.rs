//! The operator: `AsyncActor` resources become queues, workloads with the sidecar injected, and KEDA scaling.
//!
//! | module | holds |
//! |---|---|
//! | [`agents`] | `Agent` resources become actors, and entries for gateways |
//! | [`analysis`] | the subcommand for `K8sGPT` resources |
//! | [`args`], [`settings`] | what the binary is told, as written and as types |
//! | [`actor`] | [`Actor`](actor::Actor): one resource, read and checked |
//! | [`cluster`] | [`Cluster`](cluster::Cluster): what the server and the namespace can do |
//! | [`desired`] | pure: the workload, the runtime's ConfigMap, accounts and services that an actor needs |
//! | [`keda`] | pure: its ScaledObject or ScaledJob and TriggerAuthentication |
//! | [`queues`] | its queues on the broker: ensured, measured, deleted |
//! | [`status`] | pure: what was observed becomes conditions, one word, and events |
//! | [`controllers`] | the only talk with the API server |
//! | [`scaler`] | KEDA's external push scaler |
//! | [`leader`], [`run`] | who acts; how everything is started and stopped |
//! | [`server`], [`metrics`] | health, and what is counted |
//!
//! The invariant of this crate: **what the operator owns it applies as one field manager, it touches nothing else, and
//! while nothing changes it writes nothing.** Everything between reading the cluster and writing to it is pure.

pub mod actor;
pub mod agents;
pub mod analysis;
pub mod args;
pub mod cluster;
pub mod controllers;
pub mod desired;
pub mod keda;
pub mod leader;
pub mod metrics;
pub mod queues;
pub mod run;
pub mod scaler;
pub mod server;
pub mod settings;
pub mod status;
