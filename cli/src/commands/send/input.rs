//! From the command line and standard input to envelopes.

use anyhow::Context as _;
use asya_envelope::{ActorName, Deadline, Envelope, Headers, Raw, Route};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::mpsc,
};

use crate::exit::misconfigured;

/// Envelopes read ahead of those that are being sent.
const READ_AHEAD: usize = 64;

/// What all envelopes of one command share.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) actors: Vec<String>,
    pub(crate) headers: Headers,
    pub(crate) deadline: Option<Deadline>,
}

impl Template {
    pub(crate) fn envelope(&self, payload: Raw, id: Option<String>) -> Envelope {
        let id = id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        let mut envelope = Envelope::new(id, Route::new(self.actors.iter()), payload);
        envelope.headers = self.headers.clone();
        envelope.deadline.clone_from(&self.deadline);
        envelope
    }

    /// One line of standard input: a whole envelope if it is an object with `route` and `payload`, else a payload.
    fn line(&self, line: &str) -> anyhow::Result<Envelope> {
        let raw = Raw::parse(line.as_bytes().to_vec().into()).context("is not JSON")?;
        if !raw.as_str().starts_with('{') {
            return Ok(self.envelope(raw, None));
        }
        let members: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(raw.as_str()).unwrap_or_default();
        if !(members.contains_key("route") && members.contains_key("payload")) {
            return Ok(self.envelope(raw, None));
        }
        let mut bytes = raw.as_bytes().clone();
        if !members.contains_key("id") {
            // The id goes in as text, so that the payload keeps its bytes.
            let id = uuid::Uuid::now_v7();
            bytes = format!("{{\"id\":\"{id}\",{}", &raw.as_str()[1..]).into();
        }
        let mut envelope = Envelope::parse(bytes).context("looks like an envelope")?;
        for (name, value) in self.headers.iter() {
            envelope.headers.set(name, value.clone());
        }
        if self.deadline.is_some() {
            envelope.deadline.clone_from(&self.deadline);
        }
        Ok(envelope)
    }
}

/// Reads `a,b,c`.
pub(crate) fn route(text: &str) -> anyhow::Result<Vec<String>> {
    let mut actors = Vec::new();
    for name in text.split(',').map(str::trim) {
        ActorName::parse(name).map_err(|error| misconfigured(format!("route {text:?}: {error}")))?;
        if name == "happy-end" || name == "error-end" {
            return Err(misconfigured(format!(
                "route {text:?}: {name} is added by the platform; leave it out"
            )));
        }
        actors.push(name.to_owned());
    }
    Ok(actors)
}

/// Reads JSON or `@FILE`.
pub(crate) fn payload(text: &str) -> anyhow::Result<Raw> {
    if let Some(file) = text.strip_prefix('@') {
        let bytes =
            std::fs::read(file).map_err(|error| misconfigured(format!("payload file {file}: {error}")))?;
        return Raw::parse(bytes.into())
            .map_err(|error| misconfigured(format!("payload file {file} is not JSON: {error}")));
    }
    Raw::parse(text.as_bytes().to_vec().into()).map_err(|error| {
        let quoted = serde_json::Value::from(text);
        misconfigured(format!("payload {text} is not JSON ({error}); a plain text is written '{quoted}'"))
    })
}

/// The given envelopes, then those of standard input.
pub(crate) fn stream(
    given: Vec<Envelope>,
    stdin: bool,
    template: Template,
) -> mpsc::Receiver<anyhow::Result<Envelope>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    tokio::spawn(async move {
        for envelope in given {
            if sender.send(Ok(envelope)).await.is_err() {
                return;
            }
        }
        if !stdin {
            return;
        }
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut number = 0_usize;
        loop {
            number += 1;
            let line = match lines.next_line().await {
                Ok(Some(line)) if line.trim().is_empty() => continue,
                Ok(Some(line)) => {
                    template.line(&line).with_context(|| format!("line {number} of standard input"))
                }
                Ok(None) => return,
                Err(error) => Err(error).context("reading standard input"),
            };
            let broken = line.is_err();
            if sender.send(line).await.is_err() || broken {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template() -> Template {
        Template { actors: vec!["a".into(), "b".into()], headers: Headers::default(), deadline: None }
    }

    #[test]
    fn a_line_is_a_payload_unless_it_looks_like_an_envelope() {
        let envelope = template().line(r#"{"n":1e400}"#).unwrap();
        assert_eq!((envelope.payload.as_str(), envelope.route.actors.len()), (r#"{"n":1e400}"#, 2));
        let envelope = template().line(r#"{"id":"x","route":{"actors":["c"]},"payload":1.0}"#).unwrap();
        assert_eq!((envelope.id.as_str(), envelope.payload.as_str()), ("x", "1.0"));
        let envelope = template().line(r#" {"route":{"actors":["c"]},"payload":2}"#).unwrap();
        assert!(!envelope.id.is_empty());
        assert!(template().line(r#"{"route":{"actors":[]},"payload":2}"#).is_err());
        assert!(template().line("{bad").is_err());
    }

    #[test]
    fn routes_are_checked_before_anything_is_sent() {
        assert_eq!(route("a, b").unwrap(), ["a", "b"]);
        for bad in ["", "a,,b", "A", "a,happy-end", "asya-a"] {
            assert!(route(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_payload_that_is_not_json_is_refused_with_the_way_to_write_it() {
        let error = payload("hello world").unwrap_err().to_string();
        assert!(error.contains(r#"'"hello world"'"#), "{error}");
    }
}
