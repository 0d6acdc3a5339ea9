//! Answers of a gateway, as far as commands look into them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

/// Something that can be called.
#[derive(Debug, Deserialize)]
pub(crate) struct Tool {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) description: String,
    #[serde(default)]
    pub(crate) input_schema: Map<String, Value>,
    #[serde(default)]
    pub(crate) route: Vec<String>,
    pub(crate) wait: Option<f64>,
    pub(crate) timeout_seconds: Option<u64>,
}

/// Tools by name.
#[derive(Debug, Deserialize)]
pub(crate) struct Tools {
    pub(crate) tools: Vec<Box<RawValue>>,
    /// What is wrong with their files as they are now.
    pub(crate) error: Option<String>,
}

/// What sending answers.
#[derive(Debug, Deserialize)]
pub(crate) struct Handle {
    pub(crate) id: String,
}

/// How far an envelope is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Pending,
    Running,
    Succeeded,
    Failed,
    #[default]
    #[serde(other)]
    Unknown,
}

impl Status {
    /// Whether nothing more happens to it.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// One thing that happened to an envelope.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Update {
    pub(crate) status: Status,
    pub(crate) message: Option<String>,
    pub(crate) result: Option<Box<RawValue>>,
    pub(crate) error: Option<String>,
    /// Its name in streams of the Go system is the other one.
    #[serde(alias = "progress_percent")]
    pub(crate) percent: Option<f64>,
    pub(crate) actor: Option<String>,
    #[serde(alias = "envelope_state")]
    pub(crate) step: Option<String>,
    #[serde(alias = "timestamp", default)]
    pub(crate) at: String,
}

/// An envelope.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    pub(crate) id: String,
    pub(crate) status: Status,
    pub(crate) code: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) actors: Vec<String>,
    pub(crate) actor: Option<String>,
    #[serde(default)]
    pub(crate) percent: f64,
    pub(crate) tool: Option<String>,
    pub(crate) parent: Option<String>,
    #[serde(default)]
    pub(crate) contents: bool,
    #[serde(default)]
    pub(crate) created: String,
    #[serde(default)]
    pub(crate) updated: String,
    pub(crate) result: Option<Box<RawValue>>,
    #[serde(default)]
    pub(crate) hops: Vec<Hop>,
    #[serde(default)]
    pub(crate) children: Counts,
}

/// Why an envelope failed, as the handler's error says it.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Details {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<String>,
    pub(crate) traceback: Option<String>,
}

impl Details {
    /// In one line; empty when nothing is known.
    pub(crate) fn sentence(&self) -> String {
        let parts = [self.kind.as_deref(), self.message.as_deref()];
        parts.into_iter().flatten().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ")
    }
}

impl Envelope {
    /// Of one that failed: the error's details, as far as who asks may see them.
    pub(crate) fn details(&self) -> Option<(Details, Box<RawValue>)> {
        #[derive(Deserialize)]
        struct Failed {
            details: Box<RawValue>,
        }
        let result = self.result.as_ref().filter(|_| self.status == Status::Failed)?;
        let Failed { details } = serde_json::from_str(result.get()).ok()?;
        Some((serde_json::from_str(details.get()).ok()?, details))
    }
}

/// One actor that an envelope has been at.
#[derive(Debug, Deserialize)]
pub(crate) struct Hop {
    pub(crate) actor: String,
    pub(crate) started_at: String,
    pub(crate) duration_ms: Option<u64>,
    #[serde(default)]
    pub(crate) attempts: u32,
    pub(crate) status: String,
}

/// How many envelopes are in each state.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Counts {
    pub(crate) pending: u64,
    pub(crate) running: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

impl Counts {
    pub(crate) fn sum(self) -> u64 {
        self.pending + self.running + self.succeeded + self.failed
    }
}

/// A page of envelopes.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) envelopes: Vec<Box<RawValue>>,
}

/// What was cancelled.
#[derive(Debug, Deserialize)]
pub(crate) struct Cancelled {
    pub(crate) cancelled: Vec<String>,
}
