//! What `notify` is told: whom, and where their secrets are.

use asya_resources::k8sgpt::{K8sGptSpec, KeyRef, Sink, SinkType, sink::ORIGINAL_SINK};
use serde_json::{Value, json};

use super::env::Env;

/// Name of `spec.sink` at `notify`; none of `spec.sinks` can end so.
const ORIGINAL: &str = "spec-sink-";
/// Longest name of a sink at `notify`.
const MAX_NAME: usize = 40;

/// Who is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sinks {
    /// As `ASYA_NOTIFY_SINKS` has them.
    pub told: Vec<Value>,
    /// Their secrets.
    pub env: Env,
    /// Those of which too little is known, by their fields.
    pub incomplete: Vec<String>,
}

/// Reads all of them.
pub fn read(spec: &K8sGptSpec) -> Sinks {
    let mut sinks = Sinks::default();
    for (at, (name, sink)) in spec.sinks().enumerate() {
        match one(at, name, sink, &mut sinks.env) {
            Some(told) => sinks.told.push(told),
            None => sinks.incomplete.push(if name == ORIGINAL_SINK {
                ORIGINAL_SINK.to_owned()
            } else {
                format!("spec.sinks {name:?}")
            }),
        }
    }
    sinks
}

fn reference(key: &KeyRef) -> Option<(&str, &str)> {
    let filled = |text: &'_ Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    (filled(&key.name) && filled(&key.key))
        .then(|| (key.name.as_deref().unwrap_or_default(), key.key.as_deref().unwrap_or_default()))
}

fn one(at: usize, name: &str, sink: &Sink, env: &mut Env) -> Option<Value> {
    let kind = sink.kind();
    let webhook = sink.webhook.as_deref().filter(|webhook| !webhook.is_empty());
    let secret = match &sink.secret {
        Some(secret) => Some(reference(secret)?),
        None => None,
    };
    let mut told = json!({"name": called(name), "type": word(kind), "resolved": sink.tells_resolved()});
    let variable = format!("ASYA_SINK_{at}");
    match (kind, secret, webhook) {
        (SinkType::PagerDuty, Some((name, key)), webhook) => {
            env.secret(&variable, name, key);
            told["routingKey"] = json!({"env": variable});
            if let Some(webhook) = webhook {
                told["url"] = json!(webhook);
            }
        }
        (SinkType::PagerDuty, None, _) | (_, None, None) => return None,
        (_, Some((name, key)), _) => {
            env.secret(&variable, name, key);
            told["url"] = json!({"env": variable});
        }
        // Whoever has a chat's address may write there: it stands in the environment like one from a Secret.
        (SinkType::Slack | SinkType::Mattermost | SinkType::Teams, None, Some(webhook)) => {
            env.plain(&variable, webhook);
            told["url"] = json!({"env": variable});
        }
        (SinkType::CloudEvents | SinkType::Webhook, None, Some(webhook)) => told["url"] = json!(webhook),
    }
    if kind == SinkType::Mattermost
        && let Some(channel) = &sink.channel
    {
        told["channel"] = json!(channel);
    }
    if kind == SinkType::Webhook {
        if let Some(template) = &sink.template {
            told["template"] = json!(template);
        }
        for (number, (header, key)) in sink.headers_from.iter().enumerate() {
            let (name, key) = reference(key)?;
            let variable = format!("{variable}_HEADER_{number}");
            env.secret(&variable, name, key);
            told["headers"][header] = json!({"env": variable});
        }
    }
    if let Some(severity) = sink.min_severity {
        told["minSeverity"] = json!(severity);
    }
    // One message for each finding is what the others are made for.
    let joins = matches!(kind, SinkType::Slack | SinkType::Mattermost | SinkType::Teams)
        || (kind == SinkType::Webhook && sink.template.is_none());
    if let Some(batch) = sink.batch.as_ref().filter(|_| joins) {
        told["batch"] = json!({"window": format!("{}s", batch.wait), "most": batch.max.clamp(1, 100)});
    }
    if let Some(rate) = &sink.rate {
        told["pace"] = json!(format!("{}ms", 60_000 / rate.per_minute.max(1)));
    }
    Some(told)
}

/// The name of a sink at `notify`, which keeps by it what was told.
fn called(name: &str) -> String {
    if name == ORIGINAL_SINK {
        return ORIGINAL.to_owned();
    }
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    let hash = asya_resources::k8sgpt::result_name("", "", None, name);
    let hash = &hash[hash.len() - 12..];
    format!("{}-{hash}", &name[..MAX_NAME - 13])
}

fn word(kind: SinkType) -> &'static str {
    match kind {
        SinkType::Slack => "slack",
        SinkType::Mattermost => "mattermost",
        SinkType::CloudEvents => "cloudevents",
        SinkType::Webhook => "webhook",
        SinkType::Teams => "teams",
        SinkType::PagerDuty => "pagerduty",
    }
}
