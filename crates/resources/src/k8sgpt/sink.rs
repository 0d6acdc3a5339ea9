//! Who is told about findings.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{KeyRef, Severity};

/// Name under which messages of `spec.sink` are remembered: none that an entry of `spec.sinks` can have.
pub const ORIGINAL_SINK: &str = "spec.sink";

/// What listens at the address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum SinkType {
    /// An incoming webhook of Slack.
    #[default]
    Slack,
    /// An incoming webhook of Mattermost.
    Mattermost,
    /// A receiver of CloudEvents 1.0.
    CloudEvents,
    /// Anything that takes JSON by POST; template says which.
    Webhook,
    /// A workflow of Microsoft Teams.
    Teams,
    /// Events API v2 of PagerDuty; the secret is the routing key.
    PagerDuty,
}

/// Who is told about findings.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Sink {
    /// What listens there. Absent means slack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<SinkType>,
    /// Address that messages are posted to. Everybody who may read this object reads it: better stands in secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Channel, for mattermost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// Name of the sender, for mattermost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Address of the sender's picture, for mattermost.
    #[serde(rename = "icon_url", skip_serializing_if = "Option::is_none")]
    pub icon_url: Option<String>,
    /// Key of a Secret with the address; it wins over webhook. For pagerduty it holds the routing key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyRef>,
    /// Body of a webhook's message, with places for fields of the finding: {change}, {cluster}, {kind}, {namespace}, {name},
    /// {severity}, {codes}, {text}, {explanation}, {fingerprint}, {firstSeen}, {lastSeen}, and {json} for all of it. It must
    /// be JSON; any other brace is one. Absent means the whole finding as JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Further headers of a webhook, each from a key of a Secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_from: BTreeMap<String, KeyRef>,
    /// Findings that are less bad are not told here. Absent means all that spec.minSeverity lets through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_severity: Option<Severity>,
    /// Whether the end of a finding is told too. Absent means yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<bool>,
    /// Joins findings into one message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<MessageBatch>,
    /// How many messages may be sent. What is above it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<MessageRate>,
}

/// One of several that are told about findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NamedSink {
    /// Its name among the sinks. What was sent is remembered by it, so another name sends again.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 63), regex(pattern = NAME_PATTERN)))]
    pub name: String,
    /// The sink itself.
    #[serde(flatten)]
    pub sink: Sink,
}

/// What a sink may be called: as a label of DNS.
pub const NAME_PATTERN: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

/// Whether a text is what [`NAME_PATTERN`] says.
pub(crate) fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(fits) && !text.starts_with('-') && !text.ends_with('-')
}

/// Joins findings into one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct MessageBatch {
    /// Most findings of one message.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub max: u32,
    /// Seconds that the first one waits for more.
    #[cfg_attr(feature = "schema", schemars(range(max = 3600)))]
    pub wait: u32,
}

impl Default for MessageBatch {
    /// What a chat shows without folding, and a pause that nobody waits for.
    fn default() -> Self {
        Self { max: 20, wait: 10 }
    }
}

/// How many messages may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct MessageRate {
    /// Most messages in a minute.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub per_minute: u32,
}

impl Default for MessageRate {
    /// What Slack allows: one message a second.
    fn default() -> Self {
        Self { per_minute: 60 }
    }
}

impl Sink {
    /// What listens there.
    pub fn kind(&self) -> SinkType {
        self.r#type.unwrap_or_default()
    }

    /// Whether the end of a finding is told too.
    pub fn tells_resolved(&self) -> bool {
        self.resolved.unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json, to_value};

    use super::*;

    #[test]
    fn the_originals_names_of_fields_are_read_and_written() {
        let sample = json!({ "type": "mattermost", "webhook": "http://m", "channel": "c", "username": "u", "icon_url": "i",
                             "secret": { "name": "s", "key": "k" } });
        let sink: Sink = from_value(sample.clone()).unwrap();
        assert_eq!((sink.kind(), sink.icon_url.as_deref()), (SinkType::Mattermost, Some("i")));
        assert_eq!(to_value(sink).unwrap(), sample);
        assert_eq!(Sink::default().kind(), SinkType::Slack);
    }

    #[test]
    fn a_named_sink_has_all_fields_of_a_sink() {
        let sample = json!({ "name": "ops", "type": "webhook", "template": "{\"kind\": \"{kind}\"}", "resolved": false });
        let named: NamedSink = from_value(sample.clone()).unwrap();
        assert!(!named.sink.tells_resolved() && Sink::default().tells_resolved());
        assert_eq!(to_value(named).unwrap(), sample);
    }
}
