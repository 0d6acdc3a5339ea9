//! A message, as each kind of sink is sent it. Everywhere it is said whose it is, and its words are told from ours.

use asya_envelope::Raw;
use serde_json::{Value, json};

use super::{
    body::{self, Body, SUMMARY},
    message::Message,
    sink::{Format, Mode, Sink},
    text::{self, Markup},
};

/// What it is called where a change of a finding is called opened or resolved.
const CHANGE: &str = "message";
/// How bad it is: nothing is known to be wrong.
const SEVERITY: &str = "info";

/// What a sink is sent.
///
/// # Errors
/// A sentence without a secret: a file with one cannot be read now.
pub(super) fn body(sink: &Sink, message: &Message) -> Result<Body, String> {
    match &sink.format {
        Format::Slack => Body::json(&json!({"text": text::spoken(message, Markup::Slack).join("\n")})),
        Format::Mattermost { channel } => {
            Body::posted(&text::spoken(message, Markup::Markdown).join("\n"), channel.as_deref())
        }
        Format::Teams => Body::json(&body::card(text::spoken(message, Markup::Markdown))),
        Format::PagerDuty { key, source } => {
            Body::json(&page(message, key.read()?.trim(), source.as_deref()))
        }
        Format::CloudEvents { mode, source } => {
            let attributes = attributes(message, source.as_deref());
            match mode {
                Mode::Binary => body::event_in_headers(attributes, &json!(message)),
                Mode::Structured => Body::event(&body::event(attributes, json!(message))),
            }
        }
        Format::Webhook { template: None, content_type } => {
            Body::of(content_type, json!({"message": message}).to_string())
        }
        Format::Webhook { template: Some(template), content_type } => {
            Body::of(content_type, template.fill(|place| value(message, place)))
        }
    }
}

/// An alert of its own, which people close.
fn page(message: &Message, key: &str, source: Option<&str>) -> Value {
    let from = message.from.as_deref().unwrap_or("asya");
    json!({"routing_key": key, "event_action": "trigger", "dedup_key": message.id, "client": "asya", "payload": {
        "summary": text::cut(&text::line(message), SUMMARY - 1),
        "source": source.unwrap_or(from),
        "severity": SEVERITY,
        "timestamp": message.at.to_string(),
        "component": from,
        "class": CHANGE,
        "custom_details": {"text": message.text, "from": message.whose()},
    }})
}

/// The attributes of an event. Its id is the same at each try.
fn attributes(message: &Message, source: Option<&str>) -> Vec<(&'static str, String)> {
    let from = message.from.as_deref().unwrap_or_default();
    let source = source.map_or_else(|| format!("/asya/actors/{}", body::uri(from)), str::to_owned);
    vec![
        ("specversion", "1.0".to_owned()),
        ("id", message.id.clone()),
        ("source", source),
        ("type", "sh.asya.message".to_owned()),
        ("time", message.at.to_string()),
    ]
}

/// What stands at a place of a template that was written for findings.
fn value(message: &Message, place: &str) -> String {
    match place {
        "change" | "kind" => CHANGE.to_owned(),
        "severity" => SEVERITY.to_owned(),
        "namespace" => message.whose(),
        "name" => message.title.clone().unwrap_or_default(),
        "text" => message.text.clone(),
        "fingerprint" => message.id.clone(),
        "firstSeen" | "lastSeen" => message.at.to_string(),
        "json" => Raw::of(message).as_str().to_owned(),
        _ => String::new(),
    }
}
