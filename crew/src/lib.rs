//! The actors shipped with the product.
//!
//! | module | holds |
//! |---|---|
//! | [`actor`] | [`InProcess`]: an async function as a [`Handler`](asya_handler::Handler) in the sidecar's own process |
//! | [`end`] | `happy-end` and `error-end`: the last stop of every envelope |
//! | [`fan_in`] | joins the parts of a fan-out into one envelope |
//! | [`gap`] | the notice that a part of a fan-out will not come |
//! | [`record`] | where ends are recorded: tables of the state store, or a directory |
//! | `schedule`, [`park`] | sends and holds envelopes by time; keeps them until an event |
//! | `http_call` | calls an HTTP endpoint per envelope |
//! | `http_get` | gets pages for a model |
//! | `mcp_call` | calls tools of an MCP server |
//! | `analysis` | the steps of the cluster analysis |
//! | `agent` | has a model talk with somebody, and calls tools for it |
//! | `desk`, `asked`, `tool` | what agents and their tools share: the gateway's sessions, who asked, what tools are |
//! | `approval` | has somebody decide whether an envelope goes on |
//! | `hide` | takes what looks like a secret out of what a model is to read |
//! | `kube` | the tools of agents that work with a cluster |
//! | `helm` | the one of them that installs charts |
//! | [`shipped`] | those that are told what to do by settings of their own, from their settings |
//!
//! The invariant of this crate: **every id that enters ends in exactly one record**, written in the transaction that
//! settles its last delivery where the transport has one. End actors send to nobody but a fan-in that waits.

pub mod actor;
#[cfg(feature = "agents")]
pub mod agent;
#[cfg(feature = "analysis")]
pub mod analysis;
#[cfg(feature = "agents")]
pub mod approval;
#[cfg(feature = "agents")]
pub mod asked;
pub mod committed;
mod deadlines;
#[cfg(feature = "agents")]
pub mod desk;
pub mod end;
pub mod failure;
pub mod fan_in;
pub mod gap;
#[cfg(feature = "helm")]
pub mod helm;
#[cfg(any(feature = "agents", feature = "mcp-call"))]
mod hide;
#[cfg(feature = "http-call")]
pub mod http_call;
#[cfg(feature = "http-call")]
pub mod http_get;
pub mod kind;
#[cfg(feature = "kube-tools")]
pub mod kube;
pub mod letter;
#[cfg(feature = "mcp-call")]
pub mod mcp_call;
#[cfg(feature = "objects")]
pub mod objects;
pub mod park;
#[cfg(feature = "program")]
pub mod program;
pub mod record;
#[cfg(feature = "schedule")]
pub mod schedule;
pub mod shipped;
#[cfg(feature = "agents")]
pub mod tool;

pub use actor::InProcess;
pub use end::{ErrorEnd, Failures, HappyEnd};
pub use failure::Again;
pub use fan_in::{FanIn, Patience};
pub use kind::Kind;
pub use letter::{Buried, Letter, Letters};
pub use record::{ERRORS, RESULTS, Record, Recorder, Status};
