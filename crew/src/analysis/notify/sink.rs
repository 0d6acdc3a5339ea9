//! Whom something is told, and what of it.

use std::{path::PathBuf, time::Duration};

use asya_analysis::{Finding, Severity};
use asya_settings::Secret;
use hyper::header::HeaderName;
use serde::Deserialize;
use url::Url;

use super::template::Template;

/// One sink.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sink {
    /// In keys, logs and metrics.
    pub(super) name: String,
    pub(super) format: Format,
    pub(super) target: Target,
    pub(super) headers: Vec<Header>,
    /// What is less is not told; none: everything is.
    pub(super) min_severity: Option<Severity>,
    /// Only these, unless empty.
    pub(super) clusters: Vec<String>,
    pub(super) namespaces: Vec<String>,
    /// Whether it is told what heals.
    pub(super) resolved: bool,
    /// Whether it is told explanations that come after their change.
    pub(super) late: bool,
    /// Whether agents and pipelines may send it messages.
    pub(super) messages: bool,
    /// How long findings are collected for one message.
    pub(super) window: Duration,
    /// Findings of one message.
    pub(super) most: usize,
    /// Between two messages.
    pub(super) pace: Duration,
    /// Of one try.
    pub(super) timeout: Duration,
    /// How long a message is tried.
    pub(super) give_up: Duration,
    /// PEM file of the authorities to trust instead of the system's.
    pub(super) authorities: Option<PathBuf>,
}

/// How a sink wants to be told.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Format {
    Slack,
    Mattermost { channel: Option<String> },
    Teams,
    PagerDuty { key: Secret, source: Option<String> },
    CloudEvents { mode: Mode, source: Option<String> },
    Webhook { template: Option<Template>, content_type: String },
}

/// Where the attributes of a CloudEvent are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Mode {
    /// In the body, with the data.
    #[default]
    Structured,
    /// In headers.
    Binary,
}

/// Where a sink is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    Plain(Url),
    /// The address is the secret.
    Secret(Secret),
}

/// A header of every message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub(super) name: HeaderName,
    pub(super) value: Secret,
    /// Stands before a value that is read: `Bearer `.
    pub(super) prefix: String,
}

impl Sink {
    /// Whether it is told of this finding when it is broken.
    pub(super) fn wants(&self, finding: &Finding) -> bool {
        let namespace = finding.object.namespace.as_deref().unwrap_or_default();
        self.min_severity.is_none_or(|least| finding.severity() >= Some(least))
            && (self.clusters.is_empty() || self.clusters.contains(&finding.cluster))
            && (self.namespaces.is_empty() || self.namespaces.iter().any(|wanted| wanted == namespace))
    }
}
