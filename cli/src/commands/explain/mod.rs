//! `asya explain actor`.
//!
//! Everything is gathered into one [`Report`], which is printed as text or as JSON. What one may not read is left out
//! and said.

mod credentials;
mod gather;
mod next;
mod pods;
mod render;
mod trouble;

use asya_resources::Condition;
use clap::{Args, Subcommand};
use serde::Serialize;

use self::{pods::Pod, trouble::LastError};
use crate::{args::Common, cluster::ClusterArgs, exit, output::Output};

/// Explain the state of one thing on the cluster, and what to do next
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  asya explain actor ocr\n  asya explain actor ocr -n prod --output json")]
pub(crate) enum Explain {
    /// Queue, workload, credentials, KEDA, pods, conditions, last error and next step of an actor
    Actor(Named),
}

/// Which actor.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  asya explain actor ocr\n  asya explain actor ocr -n prod --output json")]
pub(crate) struct Named {
    /// The actor
    name: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Explain {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self::Actor(Named { name, cluster }) = self;
        let cluster = cluster.connect(&common).await?;
        let actor = cluster.actor(&name).await?;
        let report = gather::gather(&cluster, &actor).await?;
        match common.output {
            Output::Human => crate::output::print(&render::text(&report)),
            Output::Json => common.output.line(&report, String::new),
        }
        Ok(exit::OK)
    }
}

/// Everything about one actor.
#[derive(Debug, Serialize)]
struct Report {
    actor: String,
    namespace: String,
    /// The operator's word; absent while it said nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    word: Option<String>,
    /// The word in a sentence.
    meaning: String,
    /// Whether the status is about the spec as it is now.
    current: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueReport>,
    workload: WorkloadReport,
    /// Where the sidecar has the broker's credentials from; absent when the workload could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<String>,
    scaling: ScalingReport,
    pods: Vec<Pod>,
    conditions: Vec<Condition>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<LastError>,
    /// What could not be read, and which right is missing.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_read: Vec<String>,
    next_step: String,
}

#[derive(Debug, Serialize)]
struct QueueReport {
    transport: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    dead_letter: Option<String>,
    waiting: Option<i32>,
    in_work: Option<i32>,
    /// When they were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    counted: Option<String>,
}

#[derive(Debug, Serialize)]
struct WorkloadReport {
    kind: String,
    name: String,
    exists: bool,
    /// It is somebody else's, bound by `spec.workloadRef`.
    bound: bool,
    paused: bool,
    wanted: i32,
    total: i32,
    ready: i32,
    images: Vec<Image>,
}

#[derive(Debug, Serialize)]
struct Image {
    container: String,
    image: String,
}

#[derive(Debug, Serialize)]
struct ScalingReport {
    on: bool,
    min: u32,
    max: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<ScalerReport>,
    /// The autoscaler that KEDA made.
    #[serde(skip_serializing_if = "Option::is_none")]
    autoscaler: Option<String>,
    /// The TriggerAuthentication, if the triggers use one.
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication: Option<String>,
}

/// A ScaledObject or ScaledJob.
#[derive(Debug, Serialize)]
struct ScalerReport {
    kind: String,
    name: String,
    triggers: Vec<String>,
    /// Type, status, and KEDA's words.
    conditions: Vec<(String, String, String)>,
}
