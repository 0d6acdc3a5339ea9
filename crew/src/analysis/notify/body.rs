//! What is sent to a sink: a body, and headers that say what it is. Of changes of findings; messages are in `spoken`.

use asya_analysis::message::Told;
use hyper::header::{self, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{
    outbox::{Entry, News},
    sink::{Format, Mode, Sink},
    text::{self, Markup},
};

/// Letters of a summary that PagerDuty takes.
pub(super) const SUMMARY: usize = 1024;

/// What is sent.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) text: String,
}

impl Body {
    pub(super) fn of(content_type: &str, text: String) -> Result<Self, String> {
        let kind = HeaderValue::from_str(content_type).map_err(|error| error.to_string())?;
        Ok(Self { headers: vec![(header::CONTENT_TYPE, kind)], text })
    }

    pub(super) fn json(value: &Value) -> Result<Self, String> {
        Self::of("application/json", value.to_string())
    }

    /// One event of the standard, with its attributes in the body.
    pub(super) fn event(event: &Value) -> Result<Self, String> {
        Self::of("application/cloudevents+json; charset=utf-8", event.to_string())
    }

    /// What Mattermost takes.
    pub(super) fn posted(text: &str, channel: Option<&str>) -> Result<Self, String> {
        let mut body = json!({"text": text});
        if let Some(channel) = channel {
            body["channel"] = Value::from(channel);
        }
        Self::json(&body)
    }

    /// The message of these entries, of which there is at least one, and not more than the sink takes at once.
    ///
    /// # Errors
    /// A sentence without a secret: a file with one cannot be read now.
    pub(super) fn new(sink: &Sink, entries: &[Entry]) -> Result<Self, String> {
        let Some(first) = entries.first() else { return Err("there is nothing to send".to_owned()) };
        match &sink.format {
            Format::Slack => Self::json(&json!({"text": text::message(entries, Markup::Slack)})),
            Format::Mattermost { channel } => {
                Self::posted(&text::message(entries, Markup::Markdown), channel.as_deref())
            }
            Format::Teams => {
                let text = text::message(entries, Markup::Markdown);
                Self::json(&card(text.split("\n\n")))
            }
            Format::PagerDuty { key, source } => {
                let key = key.read()?;
                Self::json(&page(first, key.trim(), source.as_deref()))
            }
            Format::CloudEvents { mode: Mode::Binary, source } => {
                event_in_headers(attributes(first, source.as_deref()), &data(first))
            }
            Format::CloudEvents { mode: Mode::Structured, source } => {
                let event = |entry| event(attributes(entry, source.as_deref()), data(entry));
                let mut events: Vec<_> = entries.iter().map(event).collect();
                match (events.len(), events.pop()) {
                    (1, Some(event)) => Self::event(&event),
                    (_, last) => {
                        events.extend(last);
                        let kind = "application/cloudevents-batch+json; charset=utf-8";
                        Self::of(kind, Value::Array(events).to_string())
                    }
                }
            }
            Format::Webhook { template: None, content_type } => {
                let findings: Vec<_> = entries.iter().map(data).collect();
                Self::of(content_type, json!({"findings": findings}).to_string())
            }
            Format::Webhook { template: Some(template), content_type } => {
                Self::of(content_type, template.fill(|place| value(first, place)))
            }
        }
    }
}

/// What programs read of an entry: the message as it came, and what is new about it.
fn data(entry: &Entry) -> Value {
    let mut data = json!(entry.told);
    // Of what one is told, not of what the store knows: a change is the first that a sink hears of if it heard nothing else.
    data["change"] = Value::from(entry.news.as_str());
    data
}

fn value(entry: &Entry, place: &str) -> String {
    let finding = &entry.told.transition.finding;
    match place {
        "change" => entry.news.as_str().to_owned(),
        "cluster" => finding.cluster.clone(),
        "kind" => finding.object.kind.to_string(),
        "namespace" => finding.object.namespace.clone().unwrap_or_default(),
        "name" => finding.object.name.clone(),
        "severity" => text::severity(finding).to_owned(),
        "codes" => codes(entry),
        "text" => text::failures(finding),
        "explanation" => text::explanation(&entry.told).unwrap_or_default(),
        "fingerprint" => finding.fingerprint.clone(),
        "firstSeen" => finding.first_seen.to_string(),
        "lastSeen" => finding.last_seen.to_string(),
        _ => data(entry).to_string(),
    }
}

fn codes(entry: &Entry) -> String {
    let failures = &entry.told.transition.finding.failures;
    failures.iter().map(|failure| failure.code.as_str()).collect::<Vec<_>>().join(", ")
}

/// An adaptive card, as workflows of Teams take it, of a block for each of these.
pub(super) fn card<T: AsRef<str>>(parts: impl IntoIterator<Item = T>) -> Value {
    let block = |part: T| json!({"type": "TextBlock", "text": part.as_ref(), "wrap": true});
    let blocks: Vec<_> = parts.into_iter().map(block).collect();
    json!({"type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive",
        "content": {"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard",
            "version": "1.4", "msteams": {"width": "Full"}, "body": blocks},
    }]})
}

/// An event for PagerDuty: one alert per object, which the same key opens, updates and closes.
fn page(entry: &Entry, key: &str, source: Option<&str>) -> Value {
    let finding = &entry.told.transition.finding;
    let object = &finding.object;
    let namespace = object.namespace.as_deref().unwrap_or_default();
    let dedup = format!("{}/{}/{namespace}/{}", finding.cluster, object.kind, object.name);
    // It takes 255 letters; what is longer is told apart by its fingerprint, which names the object too.
    let dedup = if dedup.len() > 255 { finding.fingerprint.clone() } else { dedup };
    if entry.news == News::Resolved {
        return json!({"routing_key": key, "event_action": "resolve", "dedup_key": dedup});
    }
    let first = finding.failures.first().map_or("", |failure| failure.text.as_str());
    json!({"routing_key": key, "event_action": "trigger", "dedup_key": dedup, "client": "asya", "payload": {
        "summary": text::cut(&format!("{}: {first}", text::summary(entry)), SUMMARY - 1),
        "source": source.unwrap_or(&finding.cluster),
        "severity": text::severity(finding),
        "timestamp": finding.last_seen.to_string(),
        "component": object.to_string(),
        "group": namespace,
        "class": codes(entry),
        "custom_details": {
            "failures": text::failures(finding),
            "explanation": text::explanation(&entry.told),
            "fingerprint": finding.fingerprint,
        },
    }})
}

/// The attributes of an event. Its id is the same at each try, and another one for each change.
fn attributes(entry: &Entry, source: Option<&str>) -> Vec<(&'static str, String)> {
    let Told { transition, .. } = &entry.told;
    let finding = &transition.finding;
    let sequence = finding.sequence;
    let news = entry.news.as_str();
    let source = source.map_or_else(|| format!("/asya/clusters/{}", uri(&finding.cluster)), str::to_owned);
    vec![
        ("specversion", "1.0".to_owned()),
        ("id", format!("{}-{}-{}-{news}", finding.cluster, sequence.at, sequence.number)),
        ("source", source),
        ("type", format!("sh.asya.finding.{news}")),
        ("subject", format!("{}/{}", finding.object.kind, finding.object.path())),
        ("time", finding.last_seen.to_string()),
    ]
}

/// An event with these attributes.
pub(super) fn event(attributes: Vec<(&'static str, String)>, data: Value) -> Value {
    let mut event: serde_json::Map<_, _> =
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    event.insert("datacontenttype".to_owned(), "application/json".into());
    event.insert("data".to_owned(), data);
    Value::Object(event)
}

/// The same with its attributes in headers.
pub(super) fn event_in_headers(
    attributes: Vec<(&'static str, String)>,
    data: &Value,
) -> Result<Body, String> {
    let mut body = Body::json(data)?;
    for (name, value) in attributes {
        let name = HeaderName::try_from(format!("ce-{name}")).map_err(|error| error.to_string())?;
        let value = HeaderValue::from_str(&in_header(&value)).map_err(|error| error.to_string())?;
        body.headers.push((name, value));
    }
    Ok(body)
}

/// A value as the standard writes it in a header: what is not printable ASCII, a quote or a percent sign is encoded.
fn in_header(value: &str) -> String {
    let plain = |byte: u8| matches!(byte, 0x21..=0x7e) && !matches!(byte, b'"' | b'%');
    encoded(value, plain)
}

/// A name as part of a path.
pub(super) fn uri(name: &str) -> String {
    encoded(name, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~'))
}

fn encoded(text: &str, plain: impl Fn(u8) -> bool) -> String {
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
