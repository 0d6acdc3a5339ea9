//! The operator's configuration as types that cannot be wrong.
//!
//! | module | holds |
//! |---|---|
//! | [`raw`] | [`Raw`]: every option as text |
//! | [`read`] | `Raw` becomes [`Settings`], or all that is wrong with it |
//! | [`transports`] | [`Transport`]: the brokers that actors may name |

pub mod raw;
pub mod read;
#[cfg(test)]
mod tests;
pub mod transports;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use asya_envelope::{Naming, Queue};
use asya_resources::{EnvVar, RolloutPolicy};
use asya_telemetry::log;
use serde_json::Value;

pub use raw::Raw;
pub use read::Errors;
pub use transports::{Credentials, Kind, Rabbitmq, SecretKey, Sqs, Transport};

/// Everything that the operator was told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Transports by the name that actors give.
    pub transports: BTreeMap<String, Transport>,
    /// What a person should hear of at start, one sentence each.
    pub warnings: Vec<String>,
    /// How queues are named.
    pub template: Template,
    /// The gateway that sidecars report to.
    pub gateway_url: Option<String>,
    /// Defaults of injected sidecars.
    pub sidecar: Sidecar,
    /// The Python runtime that is injected.
    pub runtime: Runtime,
    /// When pods follow a new runtime or sidecar.
    pub rollout: Rollout,
    /// How long an unreachable broker may hold up a deletion.
    pub deletion_timeout: Duration,
    /// False: queues are made and deleted by somebody else.
    pub manage_queues: bool,
    /// How often every queue is looked for; `None` = never.
    pub queue_check: Option<Duration>,
    /// The push scaler, if it is on.
    pub push: Option<Push>,
    /// What is made of agents; `None` = they are not looked after.
    pub agents: Option<Agents>,
    /// Namespaces to watch; empty = all.
    pub namespaces: Vec<String>,
    /// The operator's own namespace: its lease, the fetched runtime.
    pub namespace: String,
    /// This replica's name.
    pub identity: String,
    /// Whether replicas elect a leader.
    pub leader_elect: bool,
    /// Actors that are reconciled at the same time.
    pub concurrency: u16,
    /// How often every actor is looked at without a reason.
    pub resync: Duration,
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Where health is served.
    pub health: SocketAddr,
    /// Which log lines are written.
    pub log_filter: String,
    /// How they look.
    pub log_format: log::Format,
}

/// What is made of agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agents {
    /// Image of their actors, unless they name one: asya-crew.
    pub image: String,
    /// When it is pulled; `None` = Kubernetes' default.
    pub pull_policy: Option<String>,
}

/// How queues are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Template {
    /// `asya-{actor}`: the Go system's.
    Bare,
    /// `asya-{namespace}-{actor}`.
    #[default]
    Namespaced,
}

impl Template {
    /// The text that sidecars are given.
    pub fn text(self) -> &'static str {
        match self {
            Self::Bare => "asya-{actor}",
            Self::Namespaced => "asya-{namespace}-{actor}",
        }
    }

    /// The queue of an actor.
    pub fn queue(self, namespace: &str, actor: &str) -> Queue {
        match self {
            Self::Bare => Naming::bare().queue(actor),
            Self::Namespaced => Naming::namespaced(namespace).queue(actor),
        }
    }
}

/// Defaults of injected sidecars.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// Image.
    pub image: String,
    /// Pull policy.
    pub pull_policy: Option<String>,
    /// Pull secrets, which must exist in every actor's namespace.
    pub pull_secrets: Vec<String>,
    /// Kubernetes' `ResourceRequirements`.
    pub resources: Value,
    /// Further environment of every sidecar; `spec.sidecar.env` wins over it.
    pub env: Vec<EnvVar>,
    /// Whether it is an init container that stays; `None` = where the server can.
    pub native: Option<bool>,
}

/// Where the Python runtime comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runtime {
    /// The file in the operator's image, or mounted by the chart.
    pub path: PathBuf,
    /// A release to fetch instead.
    pub github: Option<GithubRelease>,
    /// A namespace that gets the ConfigMap even without actors.
    pub namespace: Option<String>,
}

/// A runtime published as a release, fetched once and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubRelease {
    /// `owner/name`.
    pub repo: String,
    /// The release's tag.
    pub version: String,
    /// What the file's SHA-256 must be, hexadecimal.
    pub sha256: String,
}

/// When pods follow a new runtime or sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// Unless the actor says otherwise.
    pub policy: RolloutPolicy,
    /// Actors that roll at the same time.
    pub max_concurrent: u16,
}

/// The push scaler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Where it listens.
    pub bind: SocketAddr,
    /// What KEDA dials: `host:port` of the headless Service.
    pub address: String,
    /// Directory with `tls.crt`, `tls.key` and `ca.crt`; `None` = plain text, for tests.
    pub tls: Option<PathBuf>,
    /// The ClusterTriggerAuthentication that gives KEDA its certificates.
    pub authentication: Option<String>,
    /// Whether actors that say nothing get it.
    pub default: bool,
}
