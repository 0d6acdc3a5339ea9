//! Sinks as they are written, read into types. All errors are found before any is reported.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use asya_analysis::{Severity, scrub::scrub};
use asya_settings::{Secret, units};
use hyper::header::HeaderName;
use serde::Deserialize;
use url::Url;

use super::{
    sink::{Format, Header, Mode, Sink, Target},
    template::Template,
};
use crate::{asked::Source, shipped::Variables};

/// The address that PagerDuty takes events at.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// How long several findings are collected for one message of a chat.
const WINDOW: Duration = Duration::from_secs(5);
/// Findings of one message: more would be cut.
const MOST: usize = 20;
/// A bound of what one message may hold, whatever is asked for.
const MOST_OF_ALL: usize = 100;
/// Chats take one message per second and address.
const PACE: Duration = Duration::from_secs(1);
/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A try must end within the time for which a sink is claimed.
pub(super) const LONGEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a message is tried: a sink that is away over a night loses nothing.
const GIVE_UP: Duration = Duration::from_secs(24 * 60 * 60);
/// Letters of a sink's name.
const NAME: usize = 40;

/// What notify is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Whom it tells.
    pub(super) sinks: Vec<Sink>,
    /// Where the keys are by which it is known who asked for a message; none: nobody is named.
    pub(super) subjects: Option<Source>,
}

/// A sink as it is written.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    name: String,
    r#type: Type,
    url: Option<Value>,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    routing_key: Option<Value>,
    channel: Option<String>,
    #[serde(default)]
    mode: Mode,
    source: Option<String>,
    template: Option<String>,
    content_type: Option<String>,
    min_severity: Option<Severity>,
    #[serde(default)]
    clusters: Vec<String>,
    #[serde(default)]
    namespaces: Vec<String>,
    resolved: Option<bool>,
    #[serde(default)]
    late: bool,
    #[serde(default)]
    messages: bool,
    batch: Option<Batch>,
    pace: Option<String>,
    timeout: Option<String>,
    give_up: Option<String>,
    ca_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Type {
    Slack,
    Mattermost,
    Teams,
    Pagerduty,
    Cloudevents,
    Webhook,
}

/// A text, or where a secret is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Plain(String),
    From(From),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct From {
    env: Option<String>,
    file: Option<PathBuf>,
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Batch {
    window: Option<String>,
    most: Option<usize>,
}

impl Settings {
    /// Reads `ASYA_NOTIFY_SINKS`, or the file that `ASYA_NOTIFY_SINKS_FILE` names; and where some of them take messages,
    /// the keys of who asks, if they are said to be anywhere.
    ///
    /// # Errors
    /// All that is wrong, one sentence each. No secret is in them.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let (text, file) = (variables.get("ASYA_NOTIFY_SINKS"), variables.get("ASYA_NOTIFY_SINKS_FILE"));
        let (name, text) = match (text, file) {
            (Some(_), Some(_)) => {
                return Err(vec![
                    "ASYA_NOTIFY_SINKS and ASYA_NOTIFY_SINKS_FILE: only one of them can count".to_owned(),
                ]);
            }
            (Some(text), None) => ("ASYA_NOTIFY_SINKS", text),
            (None, Some(file)) => {
                let text = std::fs::read_to_string(variables.base.join(&file));
                let named = |error| vec![format!("ASYA_NOTIFY_SINKS_FILE: {file}: {error}")];
                ("ASYA_NOTIFY_SINKS_FILE", text.map_err(named)?)
            }
            (None, None) => return Err(vec!["ASYA_NOTIFY_SINKS: is required: whom to tell".to_owned()]),
        };
        // One after the other, so that each mistake says whose it is.
        let written: Vec<serde_json::Value> =
            serde_json::from_str(&text).map_err(|error| vec![format!("{name}: {error}")])?;
        let (mut sinks, mut errors) = (Vec::<Sink>::new(), Vec::new());
        for (index, written) in written.into_iter().enumerate() {
            let called = written.get("name").and_then(|called| called.as_str());
            let called =
                called.map_or_else(|| format!("sink {}", index + 1), |name| format!("sink {name:?}"));
            let mut wrong = |error: String| errors.push(format!("{name}: {called}: {error}"));
            match serde_json::from_value::<Written>(written) {
                // What stands in the wrong place may be a secret.
                Err(error) => wrong(scrub(&error.to_string())),
                Ok(written) => match sink(written, variables) {
                    Err(more) => more.into_iter().for_each(wrong),
                    Ok(sink) if sinks.iter().any(|other| other.name == sink.name) => {
                        wrong("there is another one of this name".to_owned());
                    }
                    Ok(sink) => sinks.push(sink),
                },
            }
        }
        if sinks.is_empty() && errors.is_empty() {
            errors.push(format!("{name}: names no sink"));
        }
        let said =
            ["ASYA_SUBJECT_KEYS_FILE", "ASYA_GATEWAY_URL"].iter().any(|name| variables.get(name).is_some());
        let subjects = (said && sinks.iter().any(|sink| sink.messages)).then(|| Source::read(variables));
        let subjects = subjects.transpose().map_err(|more| errors.extend(more)).unwrap_or_default();
        if errors.is_empty() { Ok(Self { sinks, subjects }) } else { Err(errors) }
    }
}

/// One sink from what is written.
fn sink(written: Written, variables: &Variables<'_>) -> Result<Sink, Vec<String>> {
    let mut errors = Vec::new();
    let mut wrong = |error: String| errors.push(error);
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if written.name.is_empty() || written.name.len() > NAME || !written.name.chars().all(plain) {
        wrong(format!("its name must have 1 to {NAME} lower-case letters, digits and -"));
    }
    let time = |name: &str, text: Option<&String>, otherwise: Duration| match text
        .map(|text| units::duration(text))
    {
        None => Ok(otherwise),
        Some(Ok(given)) => Ok(given),
        Some(Err(error)) => Err(format!("{name}: {error}")),
    };
    let kind = written.r#type;
    let chat = matches!(kind, Type::Slack | Type::Mattermost | Type::Teams);
    let target = match (written.url, kind) {
        (None, Type::Pagerduty) => {
            Url::parse(PAGERDUTY).map(Target::Plain).map_err(|error| error.to_string())
        }
        (None, _) => Err("url: is required".to_owned()),
        (Some(Value::Plain(_)), _) if chat => {
            Err("url: whoever has it may write there: name where it is, {\"env\": NAME} or {\"file\": PATH}"
                .to_owned())
        }
        (Some(Value::Plain(text)), _) => {
            address(&text).map(Target::Plain).map_err(|error| format!("url: {error}"))
        }
        (Some(Value::From(from)), _) if !from.prefix.is_empty() => Err("url: has no prefix".to_owned()),
        (Some(Value::From(from)), _) => secret("url", from, variables).and_then(|(secret, _)| {
            // A file may come later; what is in the environment is there now.
            if let Secret::Plain(text) = &secret {
                address(text).map_err(|error| format!("url: {error}"))?;
            }
            Ok(Target::Secret(secret))
        }),
    };
    let target = target.map_err(&mut wrong).ok();
    let mut headers = Vec::new();
    for (name, value) in written.headers {
        match header(&name, value, variables) {
            Ok(header) => headers.push(header),
            Err(error) => wrong(format!("headers.{name}: {error}")),
        }
    }
    let mut only = |name: &str, given: bool, of: &[Type], whose: &str| {
        if given && !of.contains(&kind) {
            wrong(format!("{name}: is for {whose} only"));
        }
    };
    only("routingKey", written.routing_key.is_some(), &[Type::Pagerduty], "pagerduty");
    only("channel", written.channel.is_some(), &[Type::Mattermost], "mattermost");
    only("mode", written.mode != Mode::default(), &[Type::Cloudevents], "cloudevents");
    only(
        "source",
        written.source.is_some(),
        &[Type::Cloudevents, Type::Pagerduty],
        "cloudevents and pagerduty",
    );
    only("template", written.template.is_some(), &[Type::Webhook], "webhook");
    only("contentType", written.content_type.is_some(), &[Type::Webhook], "webhook");
    let content_type = written.content_type.unwrap_or_else(|| "application/json".to_owned());
    if hyper::header::HeaderValue::from_str(&content_type).is_err() {
        wrong("contentType: has characters that no header may have".to_owned());
    }
    let format = match kind {
        Type::Slack => Some(Format::Slack),
        Type::Mattermost => Some(Format::Mattermost { channel: written.channel }),
        Type::Teams => Some(Format::Teams),
        Type::Cloudevents => Some(Format::CloudEvents { mode: written.mode, source: written.source }),
        Type::Pagerduty => match written.routing_key.map(|value| reference("routingKey", value, variables)) {
            Some(Ok((key, _))) => Some(Format::PagerDuty { key, source: written.source }),
            Some(Err(error)) => {
                wrong(error);
                None
            }
            None => {
                wrong("routingKey: is required".to_owned());
                None
            }
        },
        Type::Webhook => match written.template.map(|text| Template::parse(&text, &content_type)).transpose()
        {
            Ok(template) => Some(Format::Webhook { template, content_type }),
            Err(error) => {
                wrong(format!("template: {error}"));
                None
            }
        },
    };
    let alone = match &format {
        Some(Format::PagerDuty { .. } | Format::CloudEvents { mode: Mode::Binary, .. }) => true,
        Some(Format::Webhook { template, .. }) => template.is_some(),
        _ => false,
    };
    let most = written.batch.as_ref().and_then(|batch| batch.most);
    if alone && most.is_some_and(|most| most != 1) {
        wrong("batch.most: its messages hold one finding each".to_owned());
    }
    if most.is_some_and(|most| most == 0 || most > MOST_OF_ALL) {
        wrong(format!("batch.most: must be 1 to {MOST_OF_ALL}"));
    }
    let events = matches!(format, Some(Format::CloudEvents { .. }));
    let most = most.unwrap_or(if alone || events { 1 } else { MOST });
    let window = written.batch.as_ref().and_then(|batch| batch.window.as_ref());
    let window = time("batch.window", window, if most == 1 { Duration::ZERO } else { WINDOW });
    let pace = time("pace", written.pace.as_ref(), if chat { PACE } else { Duration::ZERO });
    let timeout = time("timeout", written.timeout.as_ref(), TIMEOUT).and_then(|timeout| {
        let fits = !timeout.is_zero() && timeout <= LONGEST_TIMEOUT;
        if fits {
            Ok(timeout)
        } else {
            Err(format!("timeout: must be above zero and at most {LONGEST_TIMEOUT:?}"))
        }
    });
    let give_up = time("giveUp", written.give_up.as_ref(), GIVE_UP);
    let [window, pace, timeout, give_up] =
        [window, pace, timeout, give_up].map(|read| read.map_err(&mut wrong).ok());
    let authorities = written.ca_file.map(|file| variables.base.join(file));
    match (target, format, window, pace, timeout, give_up) {
        (Some(target), Some(format), Some(window), Some(pace), Some(timeout), Some(give_up))
            if errors.is_empty() =>
        {
            Ok(Sink {
                name: written.name,
                format,
                target,
                headers,
                min_severity: written.min_severity,
                clusters: written.clusters,
                namespaces: written.namespaces,
                resolved: written.resolved.unwrap_or(true),
                late: written.late,
                messages: written.messages,
                window,
                most,
                pace,
                timeout,
                give_up,
                authorities,
            })
        }
        _ => Err(errors),
    }
}

/// An address without a secret in it. The text is not in the error: it may hold one.
pub(super) fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|error| error.to_string())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err("must begin with http:// or https:// and name a server".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must hold no user and no password; there is headers.Authorization".to_owned());
    }
    Ok(url)
}

fn header(name: &str, value: Value, variables: &Variables<'_>) -> Result<Header, String> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?;
    let lower = name.to_ascii_lowercase();
    let (value, prefix) = match value {
        Value::Plain(text) => {
            let secret = ["authorization", "cookie", "token", "secret", "key"];
            if secret.iter().any(|word| lower.contains(word)) {
                return Err("is a secret: name where it is, {\"env\": NAME} or {\"file\": PATH}".to_owned());
            }
            (Secret::Plain(text), String::new())
        }
        Value::From(from) => self::secret("value", from, variables)?,
    };
    Ok(Header { name: parsed, value, prefix })
}

fn reference(name: &str, value: Value, variables: &Variables<'_>) -> Result<(Secret, String), String> {
    match value {
        Value::Plain(_) => {
            Err(format!("{name}: is a secret: name where it is, {{\"env\": NAME}} or {{\"file\": PATH}}"))
        }
        Value::From(from) => secret(name, from, variables),
    }
}

/// A secret from where it is said to be, and what is to stand before it.
fn secret(name: &str, from: From, variables: &Variables<'_>) -> Result<(Secret, String), String> {
    let secret = match (from.env, from.file) {
        (Some(variable), None) => {
            let text = variables.get(&variable);
            Secret::Plain(text.ok_or_else(|| format!("{name}: the variable {variable} is not set"))?)
        }
        (None, Some(file)) => Secret::File(variables.base.join(file)),
        _ => return Err(format!("{name}: must name either env or file")),
    };
    Ok((secret, from.prefix))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(sinks: &str) -> Result<Settings, Vec<String>> {
        let find = |name: &str| match name {
            "ASYA_NOTIFY_SINKS" => Some(sinks.to_owned()),
            "HOOK" => Some("https://hooks.example.com/T0/hunter2".to_owned()),
            "BROKEN" => Some("hunter2".to_owned()),
            _ => None,
        };
        Settings::read(&Variables { find: &find, base: Path::new("/etc/asya") })
    }

    #[test]
    fn every_type_is_read_and_debug_shows_no_secret() {
        let settings = read(
            r#"[{"name": "ops", "type": "slack", "url": {"env": "HOOK"}},
                {"name": "dev", "type": "mattermost", "url": {"file": "hook"}, "channel": "dev"},
                {"name": "teams", "type": "teams", "url": {"env": "HOOK"}, "batch": {"window": "1m", "most": 5}},
                {"name": "pager", "type": "pagerduty", "routingKey": {"file": "key"}, "minSeverity": "critical"},
                {"name": "bus", "type": "cloudevents", "url": "http://broker/", "mode": "binary"},
                {"name": "hook", "type": "webhook", "url": "http://hook/", "template": "{\"a\": \"{text}\"}",
                 "headers": {"Authorization": {"env": "HOOK", "prefix": "Bearer "}, "X-Team": "a"}}]"#,
        )
        .expect("sinks");
        assert_eq!(settings.sinks.iter().map(|sink| sink.most).collect::<Vec<_>>(), [20, 20, 5, 1, 1, 1]);
        assert!(!format!("{settings:?}").contains("hunter2"), "{settings:?}");
    }

    #[test]
    fn secrets_are_not_taken_where_they_would_be_seen() {
        for (sink, why) in [
            (r#"{"name": "a", "type": "slack", "url": "https://hooks/hunter2"}"#, "url: whoever has it"),
            (r#"{"name": "a", "type": "webhook", "url": "http://me:hunter2@x/"}"#, "no user and no password"),
            (
                r#"{"name": "a", "type": "webhook", "url": "http://x/", "headers": {"X-Api-Key": "hunter2"}}"#,
                "is a secret",
            ),
            (r#"{"name": "a", "type": "pagerduty", "routingKey": "hunter2"}"#, "routingKey: is a secret"),
            (r#"{"name": "a", "type": "slack", "url": {"env": "BROKEN"}}"#, "url: "),
            (r#"{"name": "a", "type": "slack", "url": {"env": "NONE"}}"#, "NONE is not set"),
            (r#"{"name": "a", "type": "slack", "headers": "Authorization: Bearer hunter2hunter2"}"#, "a map"),
        ] {
            let errors = read(&format!("[{sink}]")).expect_err(sink).join("\n");
            assert!(errors.contains(why) && !errors.contains("hunter2"), "{sink}: {errors}");
        }
    }

    #[test]
    fn every_mistake_is_named_at_once_with_its_sink() {
        let errors = read(
            r#"[{"name": "A b", "type": "webhook", "url": "ftp://x", "pace": "soon", "timeout": "5m", "channel": "x"},
                {"name": "b", "type": "pagerduty", "batch": {"most": 3}},
                {"name": "c", "type": "smoke"},
                {"name": "d", "type": "webhook", "url": "http://x/", "template": "{nmae}"},
                {"name": "d", "type": "webhook", "url": "http://x/", "tipo": 1}]"#,
        )
        .expect_err("mistakes");
        for (sink, why) in [
            ("A b", "its name"),
            ("A b", "url: "),
            ("A b", "pace: "),
            ("A b", "timeout: "),
            ("A b", "channel: is for mattermost only"),
            ("b", "routingKey: is required"),
            ("c", "smoke"),
            ("d", "template: "),
            ("d", "tipo"),
        ] {
            let found =
                errors.iter().any(|error| error.contains(&format!("sink {sink:?}: ")) && error.contains(why));
            assert!(found, "{sink}: {why} in {errors:#?}");
        }
        assert!(read("[]").is_err());
    }
}
